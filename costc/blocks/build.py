"""From a model to the unsharded graph of one phase: embedding, layers, final norm, head."""

from __future__ import annotations

import sympy as sp

from costc.blocks.base import BATCH, SEQ, Axes, Block, Builder, Dimensions, NormPlace
from costc.blocks.layer_inputs import layer_inputs
from costc.blocks.lora import adapted
from costc.blocks.mtp import draft_head, join
from costc.blocks.refine import refined, refinements
from costc.blocks.stages import staged
from costc.blocks.stem import Frame, embedding, head, residual
from costc.blocks.widened import narrow
from costc.ir.model import Model
from costc.ir.types import Axis, Graph, Section
from costc.ir.verify import verify

PHASES = ("prefill", "decode")


def build(model: Model, phase: str) -> Graph:
    """The operators of one step of `model`, unsharded, in symbols; dimension symbols are bound in `bindings`."""
    dimensions = Dimensions()
    hidden = Axis("hidden", dimensions.bind("hidden_size", model.hidden_size, "elements of the residual stream", ""))
    vocab = Axis("vocab", dimensions.bind("vocab_size", model.vocab_size, "vocabulary", ""))
    dimensions.bind("num_hidden_layers", model.num_hidden_layers, "layers", "")
    frame = Frame(model, dimensions, hidden, vocab)
    sections = [embedding(frame)]
    if model.stem.per_layer_size:
        sections.append(layer_inputs(frame))
    for name in model.blocks:
        if count := model.occurrences(name):
            sections.append(_layer(frame, name, phase, count))
    if model.stem.altup_streams:
        sections.append(narrow(dimensions, hidden, model.stem.altup_streams))
    sections.append(head(frame))
    graph = Graph(model.name, phase, tuple(sections), tuple(dimensions.values.items()))
    graph = refined(graph, refinements(model.scheme.modules if model.scheme else ()))
    graph = adapted(graph, model.lora, dimensions) if model.lora else graph
    return verify(staged(graph, model))


def draft(model: Model, phase: str) -> Graph | None:
    """One step of the layers that draft tokens, if the model has such; what it shares with the model is marked shared."""
    if not model.mtp:
        return None
    dimensions = Dimensions()
    hidden = Axis("hidden", dimensions.bind("hidden_size", model.hidden_size, "elements of the residual stream", ""))
    vocab = Axis("vocab", dimensions.bind("vocab_size", model.vocab_size, "vocabulary", ""))
    frame, mtp = Frame(model, dimensions, hidden, vocab), model.mtp
    counts = {name: mtp.count * mtp.layer.count(name) for name in mtp.layer}
    layers = (_layer(frame, name, phase, count) for name, count in counts.items())
    sections = (join(frame, mtp), *layers, draft_head(frame, mtp))
    graph = Graph(f"{model.name}.mtp", phase, sections, tuple(dimensions.values.items()))
    keys = refinements(model.scheme.modules) if model.scheme else ()
    return verify(refined(graph, keys, within="mtp"))


def _entered(b: Builder, frame: Frame, axes: Axes, place: NormPlace) -> str:
    """What a block reads: the residual stream, to which the last block's output is added, and its norm.

    Of several streams, a hyper-connection has merged what the block reads, and will mix in what it writes.
    """
    normed = place in ("pre", "both")
    if place != "shared" and frame.model.stem.streams == 1:
        return residual(b, axes, normed)
    x = b.input("y", axes)
    return b.norm("norm", x, axes[-1], style=b.style) if normed else x


def _layer(frame: Frame, name: str, phase: str, count: int) -> Section:
    """A block as it stands in the model: the sum into the residual stream before it, and its norms."""
    block = frame.model.blocks[name]
    if not isinstance(block, Block):
        raise TypeError(f"block {name!r} is not a blocks.base.Block")
    b = Builder(name, block.group, frame.dimensions, frame.model.norm)
    axes = (BATCH, SEQ, frame.hidden)
    x = _entered(b, frame, axes, block.norm)
    y = block.build(b, x, phase)
    if block.norm in ("post", "both"):
        b.norm("post_norm", y, frame.hidden, style=frame.model.norm)
    return b.section(sp.Integer(count), sp.Integer(count))
