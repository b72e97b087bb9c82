"""Layers that a search has thinned out one by one: DeciLM and Nemotron-NAS (arXiv 2411.19146)."""

from __future__ import annotations

from costc.huggingface.config import LAYERS, Config
from costc.huggingface.draft import Draft
from costc.huggingface.families.common import HEADS, HIDDEN, stem
from costc.huggingface.families.decoder import gqa
from costc.huggingface.families.experts import dense
from costc.huggingface.row import Traits

#: FFN widths are rounded up to a multiple of this
ROUNDED = 256
WIDEST = 1000


def pruned(c: Config, draft: Draft, traits: Traits) -> None:
    """`block_configs` says for each layer how many query heads share a KV head, and how wide the FFN is, or that one is left
    out, with its norm.

    What is not there is neither computed nor cached (the checkpoint's own modeling_decilm.py).
    """
    stem(c, draft, traits)
    layers = c.size(LAYERS)
    blocks = c.mappings("block_configs", layers)
    c.unused("num_key_value_heads", "intermediate_size")
    kept = 0
    for block in blocks:
        attention, ffn = block.section("attention"), block.section("ffn")
        for part in (attention, ffn):
            part.only("replace_with_linear", False)
            part.only("sparsify")
        names = [_attention(c, draft, traits, attention), _ffn(c, draft, traits, ffn)]
        if any(names):
            draft.layer(attention=names[0], ffn=names[1])
            kept += 1
    if kept < layers:
        draft.notes.append(f"{layers - kept} of {layers} layers compute nothing and are left out.")


def _attention(c: Config, draft: Draft, traits: Traits, part: Config) -> str | None:
    part.only("window_length")
    part.only("num_sink_tokens")
    part.unused("unshifted_sink", "use_prefill_window_in_sink_attention", "n_heads_in_group")
    if part.flag("no_op", False):
        return None
    heads, each = c.size(HEADS), part.size("n_heads_in_group")
    if heads % each:
        raise part.refuse("n_heads_in_group", f"a divisor of {heads} num_attention_heads")
    return gqa(c, draft, traits, "pre", num_key_value_heads=heads // each)


def _ffn(c: Config, draft: Draft, traits: Traits, part: Config) -> str | None:
    part.unused("ffn_mult", "intermediate_size")
    if part.flag("no_op", False):
        return None
    width = part.size("intermediate_size", None)
    if width is None:
        times = part.number("ffn_mult")
        if not 0 < times < WIDEST:
            raise part.refuse("ffn_mult", f"more than 0 and less than {WIDEST}")
        width = int(2 * times * c.size(HIDDEN) / 3)
    return dense(c, draft, traits, size=-(-width // ROUNDED) * ROUNDED)
