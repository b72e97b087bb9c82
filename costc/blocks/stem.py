"""What stands before and after the layers: embedding, and final norm with the head."""

from __future__ import annotations

from dataclasses import dataclass

import sympy as sp

from costc import symbols as S
from costc.blocks.base import BATCH, SEQ, Axes, Builder, Dimensions
from costc.blocks.streams import coefficients, merged
from costc.blocks.widened import widen
from costc.ir.model import Model
from costc.ir.types import Axis, Kind, Read, Section
from costc.minmax import Floor


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

    @property
    def stream(self) -> Axis:
        """The axis that tells copies of the residual stream apart."""
        return self.axis("stream", "hc_mult", self.model.stem.streams, "residual streams")


def _one_stream(b: Builder, frame: Frame) -> str:
    """The residual streams of the last positions merged, and normed."""
    streams = b.input("streams", (BATCH, frame.stream, frame.hidden))
    x = merged(b, streams, (BATCH,), coefficients(b, streams, (BATCH,), frame.stream.size, scales=1))
    return b.norm("norm", x, frame.hidden, style=b.style) if frame.model.stem.final_norm else x


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
    if width is not frame.hidden:
        x = b.project("embedding_in", x, (frame.hidden,), (width,), module="embedding")
    if stem.learned_positions:
        rows = frame.axis("position", "learned_positions", stem.learned_positions, "rows of the learned position embedding")
        positions = b.weight("position_weight", (rows,), (frame.hidden,))
        x = b.map("add_position", (x, Read(positions, S.batch * S.seq / rows.size)), (BATCH, SEQ, frame.hidden))
    if stem.embedding_norm:
        x = b.norm("embedding_norm", x, frame.hidden, style=model.norm)
    if stem.altup_streams:
        widen(b, x, stem.altup_streams)
    if stem.streams > 1:
        b.map("streams", (x,), (BATCH, SEQ, frame.stream, frame.hidden), work=0)
    return b.section(sp.Integer(1), Floor(1 / S.pp))  # the last of several stages does not embed


def looked_up(b: Builder, name: str, weight: str, vocab: Axis, *out: Axis) -> str:
    """Rows of an embedding for the step's tokens."""
    tokens = "tokens" if "tokens" in b.tensors else b.input("tokens", (BATCH, SEQ))
    touched = Read(weight, S.batch * S.seq / vocab.size)
    return b.op(name, Kind.LOOKUP, (tokens, touched), (BATCH, SEQ, *out), (BATCH, SEQ, vocab, *out), module="head", work=0)


def head(frame: Frame, *, own: bool = True) -> Section:
    """Final norm, LM head and sampling, for the last position of each sequence; not `own`: the weight is counted elsewhere."""
    model, stem = frame.model, frame.model.stem
    b = Builder("head", "head", frame.dimensions, model.norm)
    b.module = "head"
    x = _one_stream(b, frame) if stem.streams > 1 else residual(b, (BATCH, frame.hidden), stem.final_norm)
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
