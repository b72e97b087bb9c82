"""Zamba and Zamba2: Mamba in every layer; before some of them, a transformer block whose weights these layers share."""

from __future__ import annotations

from costc.huggingface.config import LAYERS, Config
from costc.huggingface.draft import Draft
from costc.huggingface.families.common import stem
from costc.huggingface.families.state_space import HEADS, mamba1, mamba2
from costc.huggingface.row import Traits

WITHOUT = ("linear_attention", "mamba")
JOINED = "hybrid"


def zamba(c: Config, draft: Draft, traits: Traits) -> None:
    """One shared block (arXiv 2405.16712); Mamba's channels are divided among heads."""
    layers = c.size(LAYERS)
    period, offset = c.size("attn_layer_period"), c.count("attn_layer_offset")
    by_period = [JOINED if i == 2 or (i > 2 and (i - 3) % period == offset) else WITHOUT[0] for i in range(layers)]
    mixer = mamba1(c, draft, use_bias=c.flag("mamba_proj_bias"), num_heads=c.size(HEADS))
    _layers(c, draft, traits, mixer, _kinds(c, by_period), blocks=1)


def zamba2(c: Config, draft: Draft, traits: Traits) -> None:
    """Several shared blocks in turn, with adapters for each use (arXiv 2411.15242)."""
    bias = c.flag("add_bias_linear")
    plain = WITHOUT[0]
    by_class = [plain, *([plain] * 5 + [JOINED]) * 7, *[plain] * 4, JOINED, *[plain] * 3, JOINED, plain, plain]
    kinds = _kinds(c, by_class)
    # transformers and the checkpoints have the bias of the convolution, whatever the field says
    mixer = mamba2(c, draft, use_bias=bias, out_bias=bias, use_conv_bias=True)
    _layers(c, draft, traits, mixer, kinds, c.size("num_mem_blocks"))


def _kinds(c: Config, default: list[str]) -> list[str]:
    """The kind of each layer."""
    name, found = c.raw(("layers_block_type", "layer_types"), default)
    if found is not default:
        found = c.items(name, str)
    if len(found) != c.size(LAYERS):
        raise c.error(name, f"{len(found)} kinds of layers where num_hidden_layers is {c.size(LAYERS)}")
    for kind in found:
        if kind not in (*WITHOUT, JOINED):
            raise c.error(name, f"holds {kind!r}, which is not understood; known: {', '.join((*WITHOUT, JOINED))}")
    return list(found)


def _layers(c: Config, draft: Draft, traits: Traits, mixer: str, kinds: list[str], blocks: int) -> None:
    """The layers: the last `blocks` shared blocks count their weights, as memory is that of the last pipeline stage."""
    stem(c, draft, traits)
    left = kinds.count(JOINED)
    # a block that stands nowhere is read for its mistakes, and left out
    made = {again: _block(c, draft if left else Draft(), again) for again in {left > blocks, False}}
    for kind in kinds:
        if kind in WITHOUT:
            draft.layer(mixer=mixer)
            continue
        attention, ffn = made[left > blocks]
        draft.layer(attention=attention, mixer=mixer, ffn=ffn)
        left -= 1


def _block(c: Config, draft: Draft, again: bool) -> tuple[str, str]:
    """The attention and the FFN of the shared block."""
    hidden, count = c.size("hidden_size"), c.size("num_attention_heads")
    if c.size("attention_hidden_size", 2 * hidden) != 2 * hidden:
        raise c.refuse("attention_hidden_size", f"twice hidden_size {hidden}; other widths are not modelled")
    name, rank = "shared_again" if again else "shared", c.size("adapter_rank", None)
    kept, size = c.size("num_key_value_heads", count), c.size(("attention_head_dim", "head_dim"), 2 * hidden // count)
    adapted = c.flag("use_shared_attention_adapter", False)
    if adapted and (kept != count or count * size != 2 * hidden):
        raise c.error("use_shared_attention_adapter", f"with heads of other than {2 * hidden} elements together: not modelled")
    attention = draft.block(
        "attention",
        name,
        "joined",
        num_attention_heads=count,
        num_key_value_heads=kept,
        head_dim=size,
        rope=c.flag("use_mem_rope", False),
        adapter_rank=rank if adapted else None,
        shared_weights=again or None,
    )
    ffn = draft.block(
        "ffn",
        name,
        "joined",
        intermediate_size=c.size("intermediate_size", 4 * hidden),
        hidden_act=c.word("hidden_act"),
        mlp_bias=c.flag("add_bias_linear", False) or None,
        adapter_rank=rank,
        shared_weights=again or None,
    )
    return attention, ffn
