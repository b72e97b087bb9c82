"""Hybrids of linear attention: most layers are a delta rule, every few one is softmax attention (grouped-query or latent)."""

from __future__ import annotations

from costc.huggingface.config import LAYERS, Config
from costc.huggingface.draft import Draft
from costc.huggingface.families.common import FULL, HEADS, HIDDEN, heads, layer_types, stem
from costc.huggingface.families.decoder import DRAFTS, gqa
from costc.huggingface.families.experts import ffn_of
from costc.huggingface.families.latent import mla
from costc.huggingface.row import Traits

LINEAR = "linear_attention"
#: names of formats in configs
FORMATS = {"float32": "fp32", "bfloat16": "bf16", "float16": "fp16"}


def gated_delta_hybrid(c: Config, draft: Draft, traits: Traits) -> None:
    """Qwen3-Next's: gated delta net and grouped-query attention, gated or not; OLMo's norms stand after attention and its FFN."""
    stem(c, draft, traits)
    layers = c.size(LAYERS)
    every = c.size("full_attention_interval", 4)
    default = [LINEAR if (i + 1) % every else FULL for i in range(layers)]
    types = layer_types(c, layers, (LINEAR, FULL)) or default
    c.only("attention_bias", False)
    place = str(traits.norm_place)
    if FULL not in types and place != "pre":
        raise c.error("layer_types", f"holds no {FULL!r}, which this architecture needs")
    gate = "element" if c.flag("attn_output_gate", False) else None
    rotated = traits.rope != "given" or c.raw("rope_parameters", None)[1] is not None
    full = gqa(c, draft, traits, place, rotated=rotated, output_gate=gate)
    mixer = gated_delta(c, draft)
    ffn = {LINEAR: ffn_of(c, draft, traits, layers), FULL: ffn_of(c, draft, traits, layers, place)}
    for i, kind in enumerate(types):
        one = {"attention": full} if kind == FULL else {"mixer": mixer}
        draft.layer(**one, ffn=ffn[kind][i])
    own = c.flag("mtp_use_dedicated_embeddings", False)
    draft.draft_layers(c.count("mtp_num_hidden_layers", 0), own_embedding=own, attention=full, ffn=ffn[FULL][-1])


def gated_delta(c: Config, draft: Draft) -> str:
    """The mixer block; by default as many heads as attention has, of 3/4 of its width for keys and twice that for values."""
    keys = c.size("linear_num_key_heads", None) or c.size(HEADS)
    values = c.size("linear_num_value_heads", None) or c.size(HEADS)
    if values % keys:
        raise c.error("linear_num_key_heads", f"{keys} does not divide {values} linear_num_value_heads")
    size = c.size("linear_key_head_dim", None) or max(1, 3 * c.size(HIDDEN) // (4 * keys))
    # the activation of the output gate
    c.word("output_gate_type", "swish", ("swish", "silu", "sigmoid"))
    return draft.block(
        "mixer",
        "gated_delta",
        "gated_delta",
        linear_num_key_heads=keys,
        linear_num_value_heads=values,
        linear_key_head_dim=size,
        linear_value_head_dim=c.size("linear_value_head_dim", None) or 2 * size,
        linear_conv_kernel_dim=c.size("linear_conv_kernel_dim"),
        state_dtype=FORMATS[c.word("mamba_ssm_dtype", "float32", FORMATS)],
    )


def kimi_hybrid(c: Config, draft: Draft, traits: Traits) -> None:
    """Kimi Linear's: delta attention (KDA) and latent attention without positions."""
    stem(c, draft, traits)
    layers = c.size(LAYERS)
    linear = c.section("linear_attn_config", None) or Config({}, c.source)
    types = _listed(linear, layers) or layer_types(c, layers, (LINEAR, FULL))
    if types is None:
        types = [FULL if i and i % 4 == 0 else LINEAR for i in range(layers)]
    size = linear.size("head_dim", None) or c.size("linear_head_dim")
    mixer = draft.block(
        "mixer",
        "kda",
        "kda",
        linear_num_heads=linear.size("num_heads", None) or c.size("linear_num_heads"),
        linear_head_dim=size,
        short_conv_kernel_size=linear.size("short_conv_kernel_size", None) or c.size("linear_conv_kernel_dim"),
        forget_rank=size,
        gate_rank=None if linear.flag("use_full_rank_gate", False) else size,
    )
    linear.unused("gate_lower_bound")
    c.unused("linear_head_dim", "linear_num_heads", "linear_conv_kernel_dim")
    full = mla(
        c,
        draft,
        traits,
        rope=None if not c.flag("mla_use_nope", True) else False,
        output_gate="element" if c.flag("mla_use_output_gate", False) else None,
    )
    ffn = ffn_of(c, draft, traits, layers)
    residual = _residuals(c, draft, layers)
    for i, kind in enumerate(types):
        one = {"attention": full} if kind == FULL else {"mixer": mixer}
        draft.layer(**one, ffn=ffn[i], auxiliary=residual[i])
    c.only("num_nextn_predict_layers", 0)


def _listed(linear: Config, layers: int) -> list[str] | None:
    """The layers by the lists of their numbers, which start at 1."""
    full = linear.items("full_attn_layers", int, None)
    delta = linear.items("kda_layers", int, None)
    if full is None or delta is None:
        return None
    if sorted(full + delta) != list(range(1, layers + 1)):
        raise linear.error("full_attn_layers", f"and kda_layers do not number each of {layers} layers once")
    return [FULL if i + 1 in full else LINEAR for i in range(layers)]


def _residuals(c: Config, draft: Draft, layers: int) -> list[list[str]]:
    """Attention residuals of each layer: before its attention and before its FFN, over the sums of earlier blocks of layers."""
    block = c.size("attn_res_block_size", None)
    if block is None:
        return [[] for _ in range(layers)]

    def over(sources: int) -> str:
        return draft.block("auxiliary", f"residual_of_{sources}", "block_residual", sources=sources, norm="shared")

    found = [[over(-(-i // block)), over(i // block + 1)] for i in range(layers)]
    # and one before the final norm
    found[-1].append(over(-(-layers // block)))
    return found


def ling_hybrid(c: Config, draft: Draft, traits: Traits) -> None:
    """Ling's: every few layers, and what is left over, is attention, latent or grouped-query; the others are linear."""
    stem(c, draft, traits)
    layers = c.size(LAYERS)
    group = c.size("layer_group_size")
    whole = layers // group * group
    default = [FULL if (i + 1) % group == 0 or i >= whole else LINEAR for i in range(layers)]
    types = layer_types(c, layers, (LINEAR, FULL)) or default
    if c.size("num_kv_heads_for_linear_attn", c.size(HEADS)) != c.size(HEADS):
        raise c.refuse("num_kv_heads_for_linear_attn", f"{c.size(HEADS)}, as many as query heads")
    delta = "group_norm_size" not in c or "short_conv_kernel_size" in c or "linear_conv_kernel_dim" in c
    c.unused("group_norm_size")
    mixer = _ling_delta(c, draft) if delta else _ling_lightning(c, draft)
    full = _ling_attention(c, draft, traits, gated=delta)
    ffn = ffn_of(c, draft, traits, layers)
    for i, kind in enumerate(types):
        one = {"attention": full} if kind == FULL else {"mixer": mixer}
        draft.layer(**one, ffn=ffn[i])
    drafted = c.count(DRAFTS, 0)
    draft.draft_layers(drafted, attention=full, ffn=ffn[-1], own_embedding=True, own_head=True)


def _ling_delta(c: Config, draft: Draft) -> str:
    """Ling 3.0's: KDA with gates of full rank."""
    return draft.block(
        "mixer",
        "kda",
        "kda",
        linear_num_heads=c.size("linear_num_heads", None) or c.size(HEADS),
        linear_head_dim=c.size("linear_head_dim", None) or c.size("head_dim"),
        short_conv_kernel_size=c.size(("linear_conv_kernel_dim", "short_conv_kernel_size")),
    )


def _ling_lightning(c: Config, draft: Draft) -> str:
    """Ling 2.5's and Ring-linear's: lightning attention with normed queries and keys (arXiv 2510.19338)."""
    c.only("use_qk_norm", True)
    c.only("linear_silu", False)
    return draft.block(
        "mixer", "lightning", "lightning", num_attention_heads=c.size(HEADS), head_dim=heads(c)["head_dim"], qk_norm=True
    )


def _ling_attention(c: Config, draft: Draft, traits: Traits, gated: bool) -> str:
    if "kv_lora_rank" not in c:
        return gqa(c, draft, traits, "pre")
    gates = {"head_wise": "head", "element_wise": "element"}
    said = c.word("gated_attention_proj_granularity_type", "head_wise" if gated else None, gates)
    rope = False if c.flag("use_mla_nope", False) else None
    return mla(c, draft, traits, output_gate=gates[said] if said else None, rope=rope)
