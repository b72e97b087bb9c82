"""From a model to the unsharded graph of one phase: embedding, layers, final norm, head."""

from __future__ import annotations

import sympy as sp

from costc import symbols as S
from costc.blocks.base import BATCH, SEQ, Block, Builder, Dimensions
from costc.blocks.lora import adapted
from costc.blocks.mtp import draft_head, join
from costc.blocks.refine import refined, refinements
from costc.blocks.stem import Frame, embedding, head, residual
from costc.ir.model import Model
from costc.ir.types import Axis, Graph, Section
from costc.ir.verify import verify

PHASES = ("prefill", "decode")


def build(model: Model, phase: str) -> Graph:
    """The operators of one step of `model`, unsharded, in symbols; dimension symbols are bound in `bindings`."""
    dimensions = Dimensions()
    hidden = Axis("hidden", dimensions.bind("hidden_size", model.hidden_size, "elements of the residual stream", ""))
    vocab = Axis("vocab", dimensions.bind("vocab_size", model.vocab_size, "vocabulary", ""))
    layers = dimensions.bind("num_hidden_layers", model.num_hidden_layers, "layers", "")
    frame = Frame(model, dimensions, hidden, vocab)
    first = layers - sp.ceiling(layers / S.pp)
    sections = [embedding(frame)]
    for name in model.blocks:
        if count := model.occurrences(name):
            sections.append(_layer(frame, name, phase, count, model.after(name, first)))
    sections.append(head(frame))
    graph = Graph(model.name, phase, tuple(sections), tuple(dimensions.values.items()))
    graph = refined(graph, refinements(model.scheme.modules if model.scheme else ()))
    return verify(adapted(graph, model.lora, dimensions) if model.lora else graph)


def draft(model: Model, phase: str) -> Graph | None:
    """One step of the layers that draft tokens, if the model has such; what it shares with the model is marked shared."""
    if not model.mtp:
        return None
    dimensions = Dimensions()
    hidden = Axis("hidden", dimensions.bind("hidden_size", model.hidden_size, "elements of the residual stream", ""))
    vocab = Axis("vocab", dimensions.bind("vocab_size", model.vocab_size, "vocabulary", ""))
    frame, mtp = Frame(model, dimensions, hidden, vocab), model.mtp
    every = sp.Integer(mtp.count)
    layers = (_layer(frame, name, phase, mtp.count, every) for name in mtp.layer)
    graph = Graph(f"{model.name}.mtp", phase, (join(frame, mtp), *layers, draft_head(frame, mtp)), tuple(dimensions.values.items()))
    keys = refinements(model.scheme.modules) if model.scheme else ()
    return verify(refined(graph, keys, within="mtp"))


def _layer(frame: Frame, name: str, phase: str, count: int, stage: sp.Expr) -> Section:
    """A block as it stands in the model: the sum into the residual stream before it, and its norms."""
    block = frame.model.blocks[name]
    if not isinstance(block, Block):
        raise TypeError(f"block {name!r} is not a blocks.base.Block")
    b = Builder(name, block.group, frame.dimensions, frame.model.norm)
    axes = (BATCH, SEQ, frame.hidden)
    x = b.input("y", axes) if block.norm == "shared" else residual(b, axes, block.norm in ("pre", "both"))
    y = block.build(b, x, phase)
    if block.norm in ("post", "both"):
        b.norm("post_norm", y, frame.hidden, style=frame.model.norm)
    return b.section(sp.Integer(count), stage)
