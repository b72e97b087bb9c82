"""Hybrids of linear attention: most layers are a delta rule, every few one is softmax attention (grouped-query or latent)."""

from __future__ import annotations

from costc.huggingface.config import LAYERS, Config
from costc.huggingface.draft import Draft
from costc.huggingface.families.common import FULL, HEADS, layer_types, stem
from costc.huggingface.families.decoder import gqa
from costc.huggingface.families.experts import ffn_of
from costc.huggingface.families.latent import mla
from costc.huggingface.row import Traits

LINEAR = "linear_attention"
#: names of formats in configs
FORMATS = {"float32": "fp32", "bfloat16": "bf16", "float16": "fp16"}


def gated_delta_hybrid(c: Config, draft: Draft, traits: Traits) -> None:
    """Qwen3-Next's: gated delta net and gated grouped-query attention."""
    stem(c, draft, traits)
    layers = c.size(LAYERS)
    every = c.size("full_attention_interval", 4)
    default = [LINEAR if (i + 1) % every else FULL for i in range(layers)]
    types = layer_types(c, layers, (LINEAR, FULL)) or default
    c.only("attn_output_gate", True)
    c.only("attention_bias", False)
    # rotates a quarter of a head's elements
    full = gqa(c, draft, traits, "pre", output_gate="element")
    mixer = gated_delta(c, draft)
    ffn = ffn_of(c, draft, traits, layers)
    for kind, each in zip(types, ffn, strict=True):
        draft.layer(attention=full if kind == FULL else None, mixer=mixer if kind == LINEAR else None, ffn=each)
    drafted = c.count("mtp_num_hidden_layers", 0)
    own = c.flag("mtp_use_dedicated_embeddings", False)
    if drafted:
        draft.draft_layers(drafted, own_embedding=own, attention=full, ffn=ffn[-1])


def gated_delta(c: Config, draft: Draft) -> str:
    """The mixer block."""
    keys, values = c.size("linear_num_key_heads"), c.size("linear_num_value_heads")
    if values % keys:
        raise c.error("linear_num_key_heads", f"{keys} does not divide {values} linear_num_value_heads")
    state = c.word("mamba_ssm_dtype", "float32", FORMATS)
    return draft.block(
        "mixer",
        "gated_delta",
        "gated_delta",
        linear_num_key_heads=keys,
        linear_num_value_heads=values,
        linear_key_head_dim=c.size("linear_key_head_dim"),
        linear_value_head_dim=c.size("linear_value_head_dim"),
        linear_conv_kernel_dim=c.size("linear_conv_kernel_dim"),
        state_dtype=FORMATS[state],
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


def bailing_hybrid(c: Config, draft: Draft, traits: Traits) -> None:
    """Ling 3.0's: delta attention (KDA) with gates of full rank, and latent attention whose output is gated."""
    stem(c, draft, traits)
    layers = c.size(LAYERS)
    group = c.size("layer_group_size")
    whole = layers // group * group
    default = [FULL if (i + 1) % group == 0 or i >= whole else LINEAR for i in range(layers)]
    types = layer_types(c, layers, (LINEAR, FULL)) or default
    mixer = draft.block(
        "mixer",
        "kda",
        "kda",
        linear_num_heads=c.size("linear_num_heads", None) or c.size(HEADS),
        linear_head_dim=c.size("linear_head_dim", None) or c.size("head_dim"),
        short_conv_kernel_size=c.size(("linear_conv_kernel_dim", "short_conv_kernel_size")),
    )
    gates = {"head_wise": "head", "element_wise": "element"}
    gate = gates[c.word("gated_attention_proj_granularity_type", "head_wise", gates)]
    full = mla(c, draft, traits, output_gate=gate, rope=False if c.flag("use_mla_nope", False) else None)
    ffn = ffn_of(c, draft, traits, layers)
    for i, kind in enumerate(types):
        one = {"attention": full} if kind == FULL else {"mixer": mixer}
        draft.layer(**one, ffn=ffn[i])
    drafted = c.count("num_nextn_predict_layers", 0)
    draft.draft_layers(drafted, attention=full, ffn=ffn[-1], own_embedding=True, own_head=True)
