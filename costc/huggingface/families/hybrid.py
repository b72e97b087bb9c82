"""Layers of attention among layers of a recurrent mixer, each with an FFN; and layers that hold both, or one block alone."""

from __future__ import annotations

from collections.abc import Callable

from costc.huggingface.config import LAYERS, Config
from costc.huggingface.draft import Draft
from costc.huggingface.families.common import stem
from costc.huggingface.families.decoder import gqa
from costc.huggingface.families.experts import WIDTH, dense, ffn_of
from costc.huggingface.families.state_space import Mixer, mamba1, mamba2
from costc.huggingface.row import Traits

Builder = Callable[[Config, Draft, Traits], None]
#: from a config and its number of layers: for each layer, whether a mixer stands in the place of attention
Places = Callable[[Config, int], list[bool]]
#: from a config, a draft, traits and the number of layers: the name of the FFN of each layer
FeedForward = Callable[[Config, Draft, Traits, int], list[str]]
#: words for layers of attention, and for layers of a mixer
ATTENTION = ("full_attention", "attention")
MIXER = ("linear_attention", "mamba", "conv")


def hybrid(places: Places, mixer: Mixer, rotated: bool = True, ffn: FeedForward = ffn_of) -> Builder:
    """A builder of layers with attention (whose queries and keys are `rotated`) or a mixer, and an FFN."""

    def build(c: Config, draft: Draft, traits: Traits) -> None:
        stem(c, draft, traits)
        layers = c.size(LAYERS)
        mixed = places(c, layers)
        # a block that stands nowhere is read for its mistakes, and left out
        attention = gqa(c, Draft() if all(mixed) else draft, traits, "pre", rotated=rotated)
        recurrent = mixer(c, draft if any(mixed) else Draft())
        for is_mixed, each in zip(mixed, ffn(c, draft, traits, layers), strict=True):
            draft.layer(**{"mixer" if is_mixed else "attention": recurrent if is_mixed else attention}, ffn=each)

    return build


def listed(*fields: str, other: Callable[[Config, int], list[bool]] | None = None) -> Places:
    """Places by a list with a word for each layer, in one of the fields; by `other` where none is there."""

    def places(c: Config, layers: int) -> list[bool]:
        name, words = c.raw(fields, None)
        if words is None and other is not None:
            return other(c, layers)
        words = c.items(fields, str, length=layers)
        for word in words:
            if word not in ATTENTION + MIXER:
                raise c.error(name, f"holds {word!r}, which is not understood; known: {', '.join(ATTENTION + MIXER)}")
        return [word in MIXER for word in words]

    return places


def periodic(c: Config, layers: int) -> list[bool]:
    """Jamba's: attention every `attn_layer_period` layers, from `attn_layer_offset` on."""
    period, offset = c.size("attn_layer_period"), c.count("attn_layer_offset")
    return [i % period != offset for i in range(layers)]


def indexed(*fields: str) -> Places:
    """Attention in the layers of a list; `fields` are names it may have."""

    def places(c: Config, layers: int) -> list[bool]:
        chosen = c.items(fields, int, [])
        if any(not 0 <= i < layers for i in chosen):
            raise c.refuse(fields[0], f"layers from 0 to {layers - 1}")
        return [i not in chosen for i in range(layers)]

    return places


def numbered(c: Config, layers: int) -> list[bool]:
    """MiniMax's own: a list with 1 for softmax attention, 0 for lightning attention."""
    kinds = c.items(("attn_type_list", "decoder_attention_types"), int, length=layers)
    if {*kinds} - {0, 1}:
        raise c.refuse("attn_type_list", "0 and 1")
    return [kind == 0 for kind in kinds]


def alternating(c: Config, layers: int) -> list[bool]:
    """Every second layer, the first of which has attention."""
    return [i % 2 == 1 for i in range(layers)]


def every(c: Config, layers: int) -> list[bool]:
    """A mixer in every layer."""
    return [True] * layers


# ---- mixers of these models


def normed_channels(c: Config, draft: Draft) -> str:
    """Jamba's: Mamba with norms of time steps, B and C (arXiv 2403.19887)."""
    return mamba1(c, draft, use_bias=c.flag("mamba_proj_bias"), ssm_norm="learned")


def grouped_heads(c: Config, draft: Draft) -> str:
    """Bamba's and Granite's: Mamba-2 with one flag for both biases."""
    bias = c.flag("mamba_proj_bias")
    return mamba2(c, draft, use_bias=bias, out_bias=bias)


def short_conv(c: Config, draft: Draft) -> str:
    """LFM2's."""
    return draft.block("mixer", "conv", "short_conv", conv_L_cache=c.size("conv_L_cache"), conv_bias=c.flag("conv_bias"))


def lightning(c: Config, draft: Draft) -> str:
    """MiniMax's: as many heads as attention has."""
    count = c.size("num_attention_heads")
    size = c.size("head_dim", None) or c.size("hidden_size") // count
    chunk = c.size("block_size", None)
    return draft.block("mixer", "lightning", "lightning", num_attention_heads=count, head_dim=size, block_size=chunk)


# ---- feed-forward parts, and models that are put together otherwise


def beside(c: Config, draft: Draft, traits: Traits, layers: int) -> list[str]:
    """Granite 4's: experts beside a shared FFN, or the shared FFN alone."""
    if c.count(("num_local_experts", "num_experts"), 0):
        return ffn_of(c, draft, traits, layers)
    c.unused("num_experts_per_tok", *WIDTH)
    return [dense(c, draft, traits, c.size("shared_intermediate_size"))] * layers


def adjusted(c: Config, draft: Draft, traits: Traits, layers: int) -> list[str]:
    """LFM2's: a width that is cut to two thirds, scaled, and rounded up to a multiple."""
    # the class lets the one overrule the other, and published files have both
    width = c.size("block_ff_dim", None) or c.size("intermediate_size")
    c.unused("intermediate_size")
    factor, multiple = c.number("block_ffn_dim_multiplier", None), c.size("block_multiple_of", 256)
    if c.flag("block_auto_adjust_ff_dim", True):
        width = int(2 * width / 3)
        if factor is not None:
            width = multiple * -(int(factor * width) // -multiple)
    return [dense(c, draft, traits, width)] * layers


def granite(c: Config, draft: Draft, traits: Traits) -> None:
    """Granite 4: attention or Mamba-2, then experts."""
    rotated = c.word("position_embedding_type", "none", allowed=("rope", "nope", "none")) == "rope"
    kinds = listed("layer_types", "layers_block_type", other=every)
    hybrid(kinds, grouped_heads, rotated, beside)(c, draft, traits)


def liquid(c: Config, draft: Draft, traits: Traits) -> None:
    """LFM2 (arXiv 2511.23404): attention or a short convolution, then an FFN, or experts from some layer on."""
    width = c.size("hidden_size")
    for name in ("conv_dim", "conv_dim_out", "block_dim"):
        if c.size(name, width) != width:
            raise c.refuse(name, f"hidden_size {width}")
    kinds = listed("layer_types", other=indexed("full_attn_idxs"))
    c.unused("full_attn_idxs")
    hybrid(kinds, short_conv, True, ffn_of if traits.moe else adjusted)(c, draft, traits)
    draft.fields["tie_word_embeddings"] = c.flag("tie_embedding", draft.fields["tie_word_embeddings"])


def parallel(c: Config, draft: Draft, traits: Traits) -> None:
    """Falcon-H1 (arXiv 2507.22448): attention and Mamba-2 read one norm side by side, then an FFN."""
    stem(c, draft, traits)
    attention = gqa(c, draft, traits, "pre")
    biases = {"use_bias": c.flag("mamba_proj_bias"), "out_bias": c.flag("projectors_bias")}
    normed = c.flag("mamba_rms_norm")
    mixer = mamba2(c, draft, c.size("mamba_d_ssm", None), **biases, gated_norm=normed, norm="shared")
    ffn = dense(c, draft, traits)
    for _ in range(c.size(LAYERS)):
        draft.layer(attention=attention, mixer=mixer, ffn=ffn)
