"""Which pipeline stage is the fullest, and how many layers of each section lie on it.

Layers are cut from the end into stages of ceil(layers / pp); the last one also has the head. Where layers are alike it is the
fullest. Where they are not (dense layers first, blocks of unlike widths, formats or kinds), the stage with the most bytes of
weights, and the one with the most bytes of cache, are found for every degree when the model is compiled: `pp` stays a symbol,
and degrees at which another stage is fuller are terms of their own.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import accumulate

import sympy as sp

from costc import symbols as S
from costc.dtypes import dtype
from costc.ir.model import Model
from costc.ir.types import Constraint, Graph, Role, Section, Tensor
from costc.minmax import Ceiling, Max

#: degrees for which stages are compared; beyond, the last one is taken
MOST_STAGES = 64
#: bytes of an element where no format says more; only ratios matter here
BYTE = 2.0


def staged(graph: Graph, model: Model) -> Graph:
    """The graph with the layers of each section that lie on the fullest stage: by weights, and for caches by their own bytes."""
    layers = [layer for run in model.runs for _ in range(run.repeat) for layer in run.pattern]
    known: dict[sp.Symbol, sp.Expr] = {s: sp.Integer(v) for s, v in graph.bindings}
    by_name = {s.name: s for s in graph}
    head = _weight(by_name["head"], model, known)
    weights, caches = {}, {}
    for name in model.blocks:
        if name in by_name:
            weights[name] = _weight(by_name[name], model, known)
            caches[name] = _cache(by_name[name], model, known)
    first, kept = (
        _fullest([sum(each[n] for n in layer) for layer in layers], last) for each, last in ((weights, head), (caches, 0))
    )
    sections = tuple(_placed(s, model, first, kept) for s in graph)
    return graph.evolve(sections=sections, constraints=_together(graph))


def _together(graph: Graph) -> tuple[Constraint, ...]:
    """A layer that reads another's cache must lie in its stage, which is only sure with one."""
    if any(t.role is Role.CACHE and t.shared for s in graph for t in s.tensors):
        return (Constraint(S.pp - 1, "layers that read another layer's KV cache must lie in its stage: pp must be 1, not {pp}"),)
    return ()


def _weight(section: Section, model: Model, known: Mapping[sp.Symbol, sp.Expr]) -> float:
    """Bytes of one layer's weights, as the checkpoint stores their elements."""
    own = (t for t in section.of_role(Role.WEIGHT) if not t.shared)
    return float(sum(float(t.size.xreplace(known)) * _element(t, model) for t in own))


def _element(tensor: Tensor, model: Model) -> float:
    scheme = model.scheme
    if scheme is None or tensor.matrix is None:
        return BYTE
    if tensor.module in scheme.modules:
        return dtype(scheme.modules[tensor.module][0].dtype).byte
    return dtype(scheme.weights.dtype if tensor.module in scheme.converts else scheme.others).byte


def _cache(section: Section, model: Model, known: Mapping[sp.Symbol, sp.Expr]) -> float:
    """Bytes that one layer keeps of a sequence of the model's longest context."""
    total = 0.0
    for tensor in section.tensors:
        if tensor.role in (Role.CACHE, Role.STATE) and not tensor.shared:
            size = (tensor.element_byte or sp.Float(BYTE)).subs({S.byte: 1, S.kv_byte: BYTE, S.activation_byte: BYTE})
            for axis in tensor.axes:
                if axis.reach:
                    size *= axis.reach.bind(known).stored(sp.Integer(model.max_position_embeddings))
                elif axis.name != "batch":
                    size *= axis.size
            total += float(size.xreplace(dict(known)))
    return total


def _fullest(loads: list[float], last: float) -> dict[int, int]:
    """For each degree at which it is not the last one: the fullest stage, counted from the end."""
    sums = [0.0, *accumulate(loads)]
    count = len(loads)
    found = {}
    for pp in range(2, min(count, MOST_STAGES) + 1):
        width = -(-count // pp)
        starts = range(count - width, -width, -width)
        stages = [sums[start + width] - sums[max(start, 0)] for start in starts]
        stages[0] += last
        best = max(range(len(stages)), key=lambda j: (round(stages[j], 3), -j))
        if stages[best] > stages[0] * (1 + 1e-9):
            found[pp] = best
    return found


def _placed(section: Section, model: Model, weights: dict[int, int], caches: dict[int, int]) -> Section:
    if section.name in model.blocks:
        by_weight, by_cache = (_inside(model, section.name, table) for table in (weights, caches))
        return section.evolve(stage_layers=by_weight, cache_layers=by_cache)
    if not weights:
        return section
    shift = _shift(weights)
    on_last, on_first = _is(shift, sp.Integer(0)), _is(shift + 1, S.pp)
    return section.evolve(stage_layers={"head": on_last, "embedding": on_first}.get(section.name, section.stage_layers))


def _inside(model: Model, name: str, table: dict[int, int]) -> sp.Expr:
    """How many layers of a block lie on the stage that a table names."""
    layers = sp.Symbol("num_hidden_layers", integer=True, positive=True)
    width = Ceiling(layers / S.pp)
    if not table:
        return model.after(name, layers - width)
    first = layers - width * (1 + _shift(table))
    return model.after(name, first) - model.after(name, first + width)


def _shift(table: dict[int, int]) -> sp.Expr:
    return sp.Add(*(j * _is(S.pp, sp.Integer(pp)) for pp, j in table.items()))


def _is(a: sp.Expr, b: sp.Expr) -> sp.Expr:
    """1 where two whole numbers are equal, else 0."""
    return Max(0, 1 - Max(a - b, b - a))
