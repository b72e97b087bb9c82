"""The model type: named blocks, the layers that they stand in, and what stands around the layers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, Protocol

import sympy as sp

from costc.ir.platform import Quantization
from costc.minmax import Max, Min, quotient_up

#: what a layer is made of, in this order
PARTS = ("attention", "mixer", "ffn", "auxiliary")


class Block(Protocol):
    """What the model needs of a block: its kind, and building itself (see blocks.base.Block)."""

    kind: str


@dataclass(frozen=True)
class Norm:
    """The normalisation of the layers: RMS norm or layer norm, with or without learned scale and bias."""

    kind: Literal["rms", "layer"] = "rms"
    weight: bool = True
    bias: bool = False


@dataclass(frozen=True)
class Stem:
    """What stands before and after the layers.

    Args:
        learned_positions: rows of a learned position embedding; 0: none.
        embedding_norm: a norm of the embedded tokens.
        embedding_size: width of the embedding where it is projected to and from the residual stream.
        final_norm: a norm before the head.
        head_bias: a bias on the logits.
        logit_softcap: logits are squashed; elementwise work alone.
        per_layer_size: elements that a second embedding gives each token for each layer (Gemma 3n and 4); 0: none.
        per_layer_vocab: its vocabulary.
        streams: copies of the residual stream (hyper-connections, arXiv 2409.19606), merged before the head.
        altup_streams: residual streams of which all but the first are projections of it, and are projected back before the
            head (AltUp, arXiv 2301.13310); 0: none.
    """

    learned_positions: int = 0
    embedding_norm: bool = False
    embedding_size: int = 0
    final_norm: bool = True
    head_bias: bool = False
    logit_softcap: bool = False
    per_layer_size: int = 0
    per_layer_vocab: int = 0
    streams: int = 1
    altup_streams: int = 0


#: a layer: its blocks, as '<part>.<name>'
Layer = tuple[str, ...]


@dataclass(frozen=True)
class LayerRun:
    """`pattern`, the blocks of each layer, `repeat` times."""

    repeat: int
    pattern: tuple[Layer, ...]

    @property
    def layers(self) -> int:
        return self.repeat * len(self.pattern)


@dataclass(frozen=True)
class Mtp:
    """Multi-token prediction: `count` extra layers that each draft one token from the last layer's output.

    A draft layer norms and joins the hidden state and the next token's embedding (2 x hidden to hidden), runs `layer`,
    norms, and uses the model's head. DeepSeek-V3, section 2.2 (arXiv 2412.19437).
    """

    count: int
    layer: Layer
    own_embedding: bool = False
    own_head: bool = False


@dataclass(frozen=True)
class Lora:
    """Low-rank adapters on weights named in `targets`: `resident` in memory, `active` in a step (arXiv 2106.09685)."""

    rank: int
    targets: tuple[str, ...]
    resident: int = 1
    active: int = 1


@dataclass(frozen=True)
class Model:
    """A decoder-only model, top to bottom: embedding, layers, final norm, head.

    Args:
        blocks: by '<part>.<name>'.
        towers: parameters of what is beside the text model (a vision tower), by name; not part of its cost.
    """

    name: str
    title: str
    hidden_size: int
    vocab_size: int
    max_position_embeddings: int
    tie_word_embeddings: bool
    blocks: Mapping[str, Block]
    runs: tuple[LayerRun, ...]
    quantization: str
    modules_to_not_convert: tuple[str, ...]
    norm: Norm = Norm()
    stem: Stem = Stem()
    mtp: Mtp | None = None
    lora: Lora | None = None
    towers: Mapping[str, int] = field(default_factory=dict)
    scheme: Quantization | None = None

    @property
    def num_hidden_layers(self) -> int:
        return sum(run.layers for run in self.runs)

    def occurrences(self, block: str) -> int:
        """How often the block of that name stands in the layers."""
        return sum(run.repeat * sum(layer.count(block) for layer in run.pattern) for run in self.runs)

    def after(self, block: str, first: sp.Expr) -> sp.Expr:
        """Of these, how many stand in layers at position `first` or later: a closed form in `first`, a whole number."""
        total, start = sp.Integer(0), 0
        for run in self.runs:
            period = len(run.pattern)
            for offset, layer in enumerate(run.pattern):
                if times := layer.count(block):
                    before = quotient_up(first - start - offset, sp.Integer(period))
                    total += times * (run.repeat - Min(Max(before, 0), run.repeat))
            start += run.layers
        return total
