"""What a row of the mapping table says of an architecture."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from costc.huggingface.config import Config
from costc.huggingface.draft import Draft

#: True, False, or the name of the field that says so
Switch = bool | str
#: the parameters of a tower and of what joins it to the text model, from its config, the config around it, and the text
#: model's hidden size
Tower = Callable[[Config, Config, int], int]

# What checkpoints of an architecture do and their configs do not say, as defaults of fields that only schemes read.
#: scales of fp8 blocks in bf16: the published size of Qwen3-32B-FP8, 34322434048 bytes, leaves 2 for each
BF16_SCALES = {"fp8_scale_dtype": "bfloat16"}
#: scales as 8-bit exponents, and the draft layer's joining projection in fp8: DeepSeek-V4-Flash's counts of F8_E8M0 and F8_E4M3
EXPONENT_SCALES = {"fp8_scale_dtype": "float8_e8m0fnu", "fp8_draft_join": True}
#: the shape of a packed matrix as two int32: Kimi-K2-Thinking's 594205920512 bytes
SHORT_SHAPES = {"packed_shape_byte": 8}

#: traits of Qwen's: layers from `max_window_layers` on see a window, where `use_sliding_window` says so
LATE: dict[str, Any] = {"window": "late", "window_if": "use_sliding_window"}


@dataclass(frozen=True)
class Traits:
    """How an architecture of the common form departs from Llama's. A switch is a constant or a field's name.

    Args:
        qk_norm: 'head', 'all', 'per_head' or '': over a head's elements, over all of them at once, a scale for each head.
        norm_place: of the layers' norms, see blocks.base.NormPlace; a pair where attention and FFN differ.
        norm: fields of the spec's `norm`.
        window: which layers see `sliding_window` where `layer_types` do not say: 'all', 'late' (from `max_window_layers` on), or
            '' (none, whatever they say); `window_if`: whether any does.
        pattern: without `layer_types`, every so many layers one is full; the field of that name counts before it.
        kinds: further layer types and the builder's name for them.
        moe: how experts are laid out: '' (none), or the name of a rule in families.experts.
        tied: tie_word_embeddings where the file does not say.
        qk_norm_if: whether queries and keys are normed at all; `qk_norm_style`: the kind of norm, see Gqa.
        parallel: the FFN reads what the attention reads, in place of `norm_place`.
        rope: which layers rotate queries and keys: '' (all), 'listed' (`no_rope_layers`), 'local' (those with a window, where
            any has one).
        head_bias: a bias on the logits.
        last_full: the last layer sees everything, whatever `layer_types` say.
        positions: '' (rotated, or as `rope` says), 'learned' (an embedding of positions), 'bias' (ALiBi, arXiv 2108.12409).
        mtp: `num_nextn_predict_layers` further layers, like the last one, predict tokens: 'shared' with the model's embedding
            and head, 'declared' so too, but published checkpoints lack them, 'own' with copies of these in the checkpoint;
            without it they are left out, with a note.
    """

    attention_bias: Switch = False
    o_bias: Switch = False
    mlp_bias: Switch = False
    gated: bool = True
    qk_norm: str = ""
    norm_place: str | tuple[str, str] = "pre"
    norm: Mapping[str, Any] = field(default_factory=dict)
    window: str = ""
    window_if: Switch = True
    pattern: int = 0
    sinks: bool = False
    moe: str = ""
    tied: bool = False
    stem: Mapping[str, Any] = field(default_factory=dict)
    qk_norm_if: Switch = True
    qk_norm_style: str = ""
    parallel: Switch = False
    rope: str = ""
    head_bias: Switch = False
    positions: str = ""
    mtp: str = ""
    last_full: bool = False


@dataclass(frozen=True)
class Row:
    """How configs of a model_type are read.

    Args:
        build: fills a draft from a config.
        traits: for builders of the common form.
        defaults: what the architecture's own configuration class takes for fields that a file leaves out.
        ignored: fields that the architecture has and its cost does not depend on.
        fixed: fields with the only values that are modelled.
        text: the field that holds the text model of a multimodal config; its own model_type has a row, or is `text_type`.
        towers: fields that hold the other towers.
        source: where the layout is defined.
    """

    build: Callable[[Config, Draft, Traits], None]
    traits: Traits = Traits()
    defaults: Mapping[str, Any] = field(default_factory=dict)
    ignored: tuple[str, ...] = ()
    source: str = ""
    fixed: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)


@dataclass(frozen=True)
class Wrapper:
    """A multimodal config: the text model lies in a field of it, towers beside.

    Args:
        text: the field that holds the text model's config.
        kind: its model_type where it does not say one itself; with it, the text model's fields may also stand in the
            config itself.
        towers: fields of other towers, and how to count their parameters; None: named as left out.
        ignored: fields without a bearing on the text model's cost.
        tied: whose tie_word_embeddings counts: of the 'outer' config (the text's where it has none), of the 'text', or
            'either'.
    """

    text: str = "text_config"
    kind: str = ""
    towers: Mapping[str, Tower | None] = field(default_factory=dict)
    ignored: tuple[str, ...] = ()
    tied: str = "outer"
