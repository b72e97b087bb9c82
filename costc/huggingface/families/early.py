"""Decoders of the form that came before Llama's: layer norms, plain FFNs of four times the width, biases.

GPT-2, GPT-J, GPT-NeoX (arXiv 2204.06745), OPT (arXiv 2205.01068), BLOOM (arXiv 2211.05100), StarCoder (arXiv 2305.06161),
MPT, Falcon (arXiv 2311.16867), as transformers' classes of these names.
"""

from __future__ import annotations

from typing import Any

from costc.huggingface.config import LAYERS, Config
from costc.huggingface.draft import Draft
from costc.huggingface.families.common import HEADS, HIDDEN, LENGTH, stem
from costc.huggingface.families.decoder import gqa, places
from costc.huggingface.families.experts import EXPERTS, WIDTH, dense
from costc.huggingface.row import Traits

#: rows of OPT's position embedding before the first position
OFFSET = 2
WIDENING = 4


def early(c: Config, draft: Draft, traits: Traits) -> None:
    """Positions learned, as a bias on scores, or rotated; one KV head where the config says `multi_query`."""
    stem(c, draft, traits)
    if traits.positions == "learned":
        draft.stem["learned_positions"] = c.size(LENGTH)
    heads = {"num_key_value_heads": 1} if c.flag("multi_query", False) else {}
    c.unused("num_key_value_heads")
    _layers(c, draft, traits, places(c, traits), heads)


def projected(c: Config, draft: Draft, traits: Traits) -> None:
    """OPT: the embedding may be narrower than the layers, and the norms may follow the sums.

    Norms after the sums are written as norms before the blocks without a final one: there are as many, of the same sums.
    """
    stem(c, draft, traits)
    hidden, narrow = c.size(HIDDEN), c.size("word_embed_proj_dim", None)
    before = c.flag("do_layer_norm_before", True)
    draft.stem["learned_positions"] = c.size(LENGTH) + OFFSET
    if narrow and narrow != hidden:
        draft.stem["embedding_size"] = narrow
    if not before or c.flag("_remove_final_layer_norm", False):
        draft.stem["final_norm"] = False
    learned = c.flag("layer_norm_elementwise_affine", True)
    draft.norm |= {"weight": learned, "bias": learned}
    _layers(c, draft, traits, places(c, traits), {})


def parallel(c: Config, draft: Draft, traits: Traits) -> None:
    """Falcon: attention and FFN side by side after one norm or two, or in turn; many KV heads, one or as many as queries."""
    stem(c, draft, traits)
    count, grouped = c.size(HEADS), c.flag("new_decoder_architecture", False)
    multi = c.flag("multi_query", True)
    c.unused("num_kv_heads", "n_head_kv")
    kept = c.size(("num_kv_heads", "n_head_kv"), count) if grouped else 1 if multi else count
    norms = c.count("num_ln_in_parallel_attn", 2 if grouped else 1)
    if norms not in ((1, 2) if grouped else (1,)):
        raise c.error("num_ln_in_parallel_attn", f"is {norms}, which is not modelled")
    one = c.flag("parallel_attn", True) and norms == 1
    rotated = not c.flag("alibi", False)
    _layers(c, draft, traits, ("pre", "shared" if one else "pre"), {"num_key_value_heads": kept}, rotated)


def inside(c: Config, draft: Draft, traits: Traits) -> None:
    """MPT and DBRX: settings of attention and FFN in mappings of their own."""
    stem(c, draft, traits)
    attention, ffn = c.section("attn_config", None), c.section("ffn_config", None)
    heads: dict[str, Any] = {}
    if attention:
        for name, *known in MODELLED:
            attention.only(name, *known)
        attention.unused("attn_pdrop", "attn_impl", "clip_qkv", "softmax_scale", "alibi_bias_max", "attn_uses_sequence_id")
        heads["num_key_value_heads"] = attention.size("kv_n_heads", c.size(HEADS))
        c.unused("num_key_value_heads")
    if not ffn:
        _layers(c, draft, traits, ("pre", "pre"), heads, wide=c.size("expansion_ratio", WIDENING))
        return
    ffn.unused("moe_jitter_eps", "moe_loss_weight", "moe_normalize_expert_weights", "hidden_size", "uniform_expert_assignment")
    act = ffn.section("ffn_act_fn", None)
    experts = draft.block(
        "ffn",
        "moe",
        "moe",
        n_routed_experts=ffn.size(EXPERTS, 4),
        num_experts_per_tok=ffn.size("moe_top_k", 1),
        moe_intermediate_size=ffn.size(WIDTH, 3584),
        hidden_act=act.word("name", "silu") if act else "silu",
    )
    name = gqa(c, draft, traits, "pre", **heads)
    for _ in range(c.size(LAYERS)):
        draft.layer(attention=name, ffn=experts)


#: fields of MPT's attn_config, and the values that are modelled
MODELLED = (("attn_type", "multihead_attention"), ("qk_ln", False), ("prefix_lm", False), ("alibi", True))


def _layers(
    c: Config,
    draft: Draft,
    traits: Traits,
    norms: tuple[str, str],
    heads: dict[str, Any],
    rotated: bool = True,
    wide: int = WIDENING,
) -> None:
    """As many layers as the config says, all alike."""
    attention = gqa(c, draft, traits, norms[0], None, rotated and not traits.positions, **heads)
    width = c.size(WIDTH, wide * c.size(HIDDEN))
    ffn = dense(c, draft, traits, width, norm=norms[1] if norms[1] != "pre" else None)
    for _ in range(c.size(LAYERS)):
        draft.layer(attention=attention, ffn=ffn)
