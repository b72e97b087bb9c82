"""From a model to the unsharded graph of one phase: embedding, layers, final norm, head."""

from __future__ import annotations

import sympy as sp

from costc import symbols as S
from costc.blocks.base import BATCH, SEQ, Block, Builder, Dimensions
from costc.ir.model import Model
from costc.ir.types import Axis, Graph, Kind, Read, Section
from costc.ir.verify import verify

PHASES = ("prefill", "decode")
PARTS = ("attention", "ffn")


def build(model: Model, phase: str) -> Graph:
    """The operators of one step of `model`, unsharded, in symbols; dimension symbols are bound in `bindings`."""
    dimensions = Dimensions()
    hidden = Axis("hidden", dimensions.bind("hidden_size", model.hidden_size, "elements of the residual stream", ""))
    vocab = Axis("vocab", dimensions.bind("vocab_size", model.vocab_size, "vocabulary", ""))
    layers = dimensions.bind("num_hidden_layers", model.num_hidden_layers, "layers", "")
    first = layers - sp.ceiling(layers / S.pp)
    sections = [_embedding(dimensions, hidden, vocab, model.tie_word_embeddings)]
    for part, blocks in enumerate((model.attention, model.ffn)):
        for name, block in blocks.items():
            count = model.occurrences(part, name)
            if not isinstance(block, Block):
                raise TypeError(f"block {name!r} is not a blocks.base.Block")
            if count:
                stage = model.after(part, name, first)
                sections.append(_layer(PARTS[part], name, block, phase, dimensions, hidden, count, stage))
    sections.append(_head(dimensions, hidden, vocab))
    return verify(Graph(model.name, phase, tuple(sections), tuple(dimensions.values.items())))


def _layer(
    part: str, name: str, block: Block, phase: str, dimensions: Dimensions, hidden: Axis, count: int, stage: sp.Expr
) -> Section:
    """A block, and before it the sum of the last block's output into the residual stream, and the norm."""
    b = Builder(f"{part}.{name}", block.group, dimensions)
    block.build(b, _residual(b, (BATCH, SEQ, hidden)), phase)
    return b.section(sp.Integer(count), stage)


def _residual(b: Builder, axes: tuple[Axis, ...]) -> str:
    summed = b.map("residual", (b.input("x", axes), b.input("y", axes)), axes)
    b.outputs.append(summed)
    return b.norm("norm", summed, axes[-1])


def _embedding(dimensions: Dimensions, hidden: Axis, vocab: Axis, tied: bool) -> Section:
    b = Builder("embedding", "head", dimensions)
    weight = b.weight("embedding_weight", (vocab,), (hidden,), module="embedding", shared=tied)
    tokens = b.input("tokens", (BATCH, SEQ))
    axes = (BATCH, SEQ, hidden)
    touched = Read(weight, S.batch * S.seq / vocab.size)
    b.op("lookup", Kind.LOOKUP, (tokens, touched), axes, (BATCH, SEQ, vocab, hidden), module="head", work=0)
    return b.section(sp.Integer(1), sp.floor(1 / S.pp))  # the last of several stages does not embed


def _head(dimensions: Dimensions, hidden: Axis, vocab: Axis) -> Section:
    """Final norm, LM head and sampling, for the last position of each sequence."""
    b = Builder("head", "head", dimensions)
    x = _residual(b, (BATCH, hidden))
    weight = b.weight("lm_head_weight", (vocab,), (hidden,), module="head")
    logits = b.contract("lm_head", (x, weight), (BATCH, vocab), (hidden,), module="head", element_byte=S.logit_byte)
    b.op("sample", Kind.REDUCE, (logits,), (BATCH,), (BATCH, vocab), work=5, module="head")
    return b.section(sp.Integer(1), sp.Integer(1))
