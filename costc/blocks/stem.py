"""What stands before and after the layers: embedding, and final norm with the head."""

from __future__ import annotations

from dataclasses import dataclass

import sympy as sp

from costc import symbols as S
from costc.blocks.base import BATCH, SEQ, Axes, Builder, Dimensions
from costc.ir.model import Model
from costc.ir.types import Axis, Kind, Read, Section


@dataclass(frozen=True)
class Frame:
    """What all sections of a model share."""

    model: Model
    dimensions: Dimensions
    hidden: Axis
    vocab: Axis

    def axis(self, name: str, dimension: str, size: int, meaning: str) -> Axis:
        """An axis over a dimension of the model as a whole."""
        return Axis(name, self.dimensions.bind(dimension, size, meaning, ""))

    @property
    def embedded(self) -> Axis:
        """The axis of an embedded token: the residual stream, or a narrower one that is projected to it."""
        size = self.model.stem.embedding_size
        return self.axis("embedded", "embedding_size", size, "elements of an embedded token") if size else self.hidden


def residual(b: Builder, axes: Axes, normed: bool) -> str:
    """The last block's output added to the residual stream, and, where `normed`, the norm of the sum."""
    summed = b.map("residual", (b.input("x", axes), b.input("y", axes)), axes)
    b.outputs.append(summed)
    return b.norm("norm", summed, axes[-1], style=b.style) if normed else summed


def embedding(frame: Frame) -> Section:
    """The lookup of tokens, and what is done to them before the first layer."""
    model, stem = frame.model, frame.model.stem
    b = Builder("embedding", "head", frame.dimensions, model.norm)
    b.module = "embedding"
    width = frame.embedded
    weight = b.weight("embedding_weight", (frame.vocab,), (width,), shared=model.tie_word_embeddings)
    x = looked_up(b, "lookup", weight, frame.vocab, width)
    if stem.learned_positions:
        rows = frame.axis("position", "learned_positions", stem.learned_positions, "rows of the learned position embedding")
        positions = b.weight("position_weight", (rows,), (frame.hidden,))
        x = b.map("add_position", (x, Read(positions, S.seq / rows.size)), (BATCH, SEQ, frame.hidden))
    if width is not frame.hidden:
        x = b.project("embedding_in", x, (frame.hidden,), (width,), module="embedding")
    if stem.embedding_norm:
        x = b.norm("embedding_norm", x, frame.hidden, style=model.norm)
    if stem.per_layer_size:
        _per_layer(b, frame, x)
    return b.section(sp.Integer(1), sp.floor(1 / S.pp))  # the last of several stages does not embed


def looked_up(b: Builder, name: str, weight: str, vocab: Axis, *out: Axis) -> str:
    """Rows of an embedding for the step's tokens."""
    tokens = "tokens" if "tokens" in b.tensors else b.input("tokens", (BATCH, SEQ))
    touched = Read(weight, S.batch * S.seq / vocab.size)
    return b.op(
        name, Kind.LOOKUP, (tokens, touched), (BATCH, SEQ, *out), (BATCH, SEQ, vocab, *out), module="head", work=0
    )


def _per_layer(b: Builder, frame: Frame, x: str) -> None:
    """A second embedding and a projection of the first give every layer an input of its own (Gemma 3n)."""
    stem = frame.model.stem
    each = frame.axis("per_layer", "hidden_size_per_layer_input", stem.per_layer_size, "elements of a layer's own input")
    rows = frame.axis("layer_vocab", "vocab_size_per_layer_input", stem.per_layer_vocab, "vocabulary of the layers' own inputs")
    layer = frame.axis("layer_input", "num_hidden_layers", frame.model.num_hidden_layers, "layers")
    table = b.weight("per_layer_weight", (rows,), (layer, each))
    looked = looked_up(b, "per_layer_lookup", table, rows, layer, each)
    y = b.project("per_layer_model_projection", x, (layer, each), (frame.hidden,), module="embedding")
    y = b.norm("per_layer_projection_norm", y, each)
    b.outputs.append(b.map("per_layer_input", (y, looked), (BATCH, SEQ, layer, each), work=2))


def head(frame: Frame, *, own: bool = True) -> Section:
    """Final norm, LM head and sampling, for the last position of each sequence; not `own`: the weight is counted elsewhere."""
    model, stem = frame.model, frame.model.stem
    b = Builder("head", "head", frame.dimensions, model.norm)
    b.module = "head"
    x = residual(b, (BATCH, frame.hidden), stem.final_norm)
    width = frame.embedded
    if width is not frame.hidden:
        out = b.weight("embedding_out_weight", (width,), (frame.hidden,))
        x = b.contract("embedding_out", (x, out), (BATCH, width), (frame.hidden,))
    reads: tuple[str, ...] = (x, b.weight("lm_head_weight", (frame.vocab,), (width,), shared=not own))
    if stem.head_bias:
        reads += (b.weight("lm_head_bias", (frame.vocab,)),)
    logits = b.contract("lm_head", reads, (BATCH, frame.vocab), (width,), element_byte=S.logit_byte)
    if stem.logit_softcap:
        logits = b.map("softcap", (logits,), (BATCH, frame.vocab), work=3)
    b.op("sample", Kind.REDUCE, (logits,), (BATCH,), (BATCH, frame.vocab), work=5)
    return b.section(sp.Integer(1), sp.Integer(1))
