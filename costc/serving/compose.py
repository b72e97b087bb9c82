"""The whole serving algebra of one model as a program: inputs, named steps, outputs."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import sympy as sp

from costc import symbols as S
from costc.count.rows import CostTable
from costc.count.shapes import Shape, shapes
from costc.ir.reach import Reach
from costc.ir.types import Graph
from costc.minmax import Max
from costc.place.mesh import Mesh
from costc.program import Program, Steps, verify
from costc.serving import metrics, totals
from costc.serving.memory import memory
from costc.serving.operators import operators
from costc.serving.phases import generation, prefill
from costc.serving.schedule import fullest, schedule
from costc.serving.sections import sections
from costc.serving.totals import generation_run, prefill_run


@dataclass(frozen=True)
class Lowered:
    """A phase after counting: the placed, fused graph with its table, and the table of the unsharded graph."""

    graph: Graph
    table: CostTable
    model_table: CostTable

    @cached_property
    def shapes(self) -> tuple[Shape, ...]:
        """The units that are timed."""
        return shapes(self.graph)


def compose(name: str, before: Lowered, after: Lowered, mesh: Mesh, detail: bool = False) -> Program:
    """The program of a model from its two phases; with `detail`, outputs for every operator too."""
    steps = Steps()
    plan = schedule(steps, fullest(steps, S.batch))
    bindings: dict[sp.Symbol, sp.Expr] = {s: sp.Integer(v) for s, v in before.graph.bindings}
    for symbol, stored in before.table.definitions:
        bindings[symbol] = steps.let(
            symbol.name, stored.xreplace(bindings), "B", "bytes of the weight as stored, scales included"
        )
    reaches = reaches_of(before.graph)
    bound = tuple(r.bind(bindings) for r in reaches)
    out = metrics.Outputs(steps)
    first = prefill(sections(before.table, before.shapes, bound, bindings, steps), plan, steps)
    rest = generation(sections(after.table, after.shapes, bound, bindings, steps), plan, steps)
    metrics.times(first, rest, plan, mesh, out)
    metrics.fitting(memory((before.graph, after.graph), bindings, plan, steps), out)
    runs = (
        ("prefill", before, first, prefill_run(plan, bound), sp.Integer(1)),
        ("decode", after, rest, generation_run(plan, bound), plan.decode_rounds),
    )
    for phase, lowered, time, run, rounds in runs:
        # the model's own work: the unsharded graph on the sequences of all ranks and micro-batches
        useful = totals.flop(lowered.model_table, run, bindings, f"{phase}.model", steps, rank=S.batch / run.sequences)
        flop = totals.flop(lowered.table, run, bindings, phase, steps)
        byte = totals.byte(lowered.table, run, bindings, phase, steps)
        metrics.work(phase, time, metrics.Work(flop, byte, useful, rounds), mesh, out)
        if detail:
            operators(phase, lowered, time, run, rounds, bindings, out)
    valid = (*(c.expr.xreplace(bindings) for c in before.graph.constraints), _unlinked(mesh))
    known = {s.symbol for s in steps.steps}
    free = {s for step in steps.steps for s in step.expr.free_symbols} - known
    return verify(
        Program(name, ordered(free | {v for e in valid for v in e.free_symbols}), tuple(steps.steps), tuple(out.found), valid)
    )


def _unlinked(mesh: Mesh) -> sp.Expr:
    """Devices beyond the domain of a device without a scale-out link: must be 0."""
    return (1 - S.scale_out_links) * Max(0, mesh.devices - S.domain)


def reaches_of(graph: Graph) -> tuple[Reach, ...]:
    """The laws of positions that the graph's axes carry."""
    axes = (a for section in graph for t in section.tensors for a in t.axes)
    return tuple(sorted({a.reach for a in axes if a.reach}, key=lambda r: r.name))


def ordered(symbols: set[sp.Symbol]) -> tuple[sp.Symbol, ...]:
    """Inputs in the order in which they are defined."""
    order = {name: i for i, name in enumerate(S.VARS)}
    unknown = [s.name for s in symbols if s.name not in order]
    if unknown:
        raise KeyError(f"symbols without definition: {unknown}")
    return tuple(sorted(symbols, key=lambda s: order[s.name]))
