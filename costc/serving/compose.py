"""The whole serving algebra of one model as a program: inputs, named steps, outputs."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import sympy as sp

from costc import symbols as S
from costc.count.rows import CostTable
from costc.count.shapes import Shape, shapes
from costc.ir.reach import Reach
from costc.ir.types import Graph
from costc.latency.units import DP
from costc.minmax import Max, Min
from costc.place.mesh import Mesh
from costc.program import Program, Steps, step_symbol, verify
from costc.serving import metrics, totals
from costc.serving.closed_loop import loop, running
from costc.serving.constants import SYMBOLS as ENGINE
from costc.serving.drafting import QUERIES
from costc.serving.engine import Engine, carried, decode_time, prefill_time
from costc.serving.memory import memory
from costc.serving.operators import operators
from costc.serving.phases import Phase, generation, prefill
from costc.serving.schedule import Schedule, fullest, schedule
from costc.serving.sections import launches_of, sections
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
    """The program of a model from its two phases, for a static batch; with `detail`, outputs for every operator too."""
    steps = Steps()
    plan = schedule(steps, fullest(steps, S.batch))
    bindings = _stored(before, steps)
    bound = tuple(r.bind(bindings) for r in reaches_of(before.graph))
    out = metrics.Outputs(steps)
    prompts = sections(before.table, before.shapes, bound, bindings, steps)
    first = prefill(prompts, plan, steps)
    taken = prefill_time(first, plan, launches_of(prompts), steps) + ENGINE["request_overhead"]
    first = replace(first, total=steps.let("ttft", taken, "s", "prefill of the whole batch, and the way of a request"))
    rest = generation(sections(after.table, after.shapes, bound, bindings, steps), plan, steps)
    rest = replace(rest, total=decode_time(rest, plan, None, steps))
    metrics.times(first, rest, plan, mesh, out)
    metrics.fitting(memory((before.graph, after.graph), bindings, plan, steps), out)
    for phase, lowered, time, run, rounds in _runs(before, after, first, rest, plan, bound):
        _work(phase, lowered, time, run, rounds, S.batch, bindings, mesh, out)
        if detail:
            operators(phase, lowered, time, run, rounds, bindings, out)
    return _program(name, before, bindings, mesh, out)


def _runs(
    before: Lowered, after: Lowered, first: Phase, rest: Phase, plan: Schedule, bound: tuple[Reach, ...]
) -> tuple[tuple[str, Lowered, Phase, totals.Run, sp.Expr], ...]:
    """Both phases: name, counts, times, what of the counts a rank runs, and in how many micro-batches."""
    return (
        ("prefill", before, first, prefill_run(plan, bound), sp.Integer(1)),
        ("decode", after, rest, generation_run(plan, bound), plan.decode_rounds),
    )


def _work(
    phase: str,
    lowered: Lowered,
    time: Phase,
    run: totals.Run,
    rounds: sp.Expr,
    batch: sp.Expr,
    bindings: dict[sp.Symbol, sp.Expr],
    mesh: Mesh,
    out: metrics.Outputs,
) -> None:
    """Counts and utilisation of a phase. The model's own work: the unsharded graph on the `batch` sequences of all ranks."""
    useful = totals.flop(lowered.model_table, run, bindings, f"{phase}.model", out.steps, rank=batch / run.sequences)
    flop = totals.flop(lowered.table, run, bindings, phase, out.steps)
    byte = totals.byte(lowered.table, run, bindings, phase, out.steps)
    metrics.work(phase, time, metrics.Work(flop, byte, useful, rounds), mesh, out)


def _stored(before: Lowered, steps: Steps, where: str = "") -> dict[sp.Symbol, sp.Expr]:
    """The model's dimensions, and the stored bytes of each weight as steps, whose names begin with `where`."""
    bindings: dict[sp.Symbol, sp.Expr] = {s: sp.Integer(v) for s, v in before.graph.bindings}
    for symbol, byte in before.table.definitions:
        name, meaning = where + symbol.name, "bytes of the weight as stored, scales included"
        bindings[symbol] = steps.let(name, byte.xreplace(bindings), "B", meaning)
    return bindings


def _program(
    name: str,
    before: Lowered,
    bindings: dict[sp.Symbol, sp.Expr],
    mesh: Mesh,
    out: metrics.Outputs,
    more: tuple[sp.Expr, ...] = (),
) -> Program:
    """The collected steps and outputs, with the inputs that they use and the conditions on degrees (and `more`)."""
    steps = out.steps.steps
    valid = (*(c.expr.xreplace(bindings) for c in before.graph.constraints), _unlinked(mesh), *more)
    known = {s.symbol for s in steps}
    free = {s for step in steps for s in step.expr.free_symbols} - known
    inputs = ordered(free | {v for e in valid for v in e.free_symbols})
    return verify(Program(name, inputs, tuple(steps), tuple(out.found), valid))


def compose_closed_loop(name: str, before: Lowered, after: Lowered, drafting: Lowered | None, mesh: Mesh) -> Program:
    """The program of a model under continuous batching, with `batch` requests in flight.

    `drafting`: a decode step of the layers that draft tokens, if the model has such.
    """
    steps = Steps()
    offered = fullest(steps, S.batch)
    bindings = _stored(before, steps)
    bound = tuple(r.bind(bindings) for r in reaches_of(before.graph))
    found = memory((before.graph, after.graph), bindings, schedule(steps, offered, "offered"), steps)
    alone = schedule(steps, sp.Integer(1), "alone")
    plan = schedule(steps, running(offered, found, steps), queries=QUERIES)
    prompts = sections(before.table, before.shapes, bound, bindings, steps)
    launches = launches_of(prompts)
    one = prefill_time(prefill(prompts, alone, steps), alone, launches, steps)
    every = prefill(prompts, plan, steps)
    every = replace(every, total=prefill_time(every, plan, launches, steps))
    rest = generation(sections(after.table, after.shapes, bound, bindings, steps), plan, steps)
    drafts = _drafts(drafting, plan, steps) if drafting else None
    decode = decode_time(rest, plan, drafts, steps)
    run = loop(offered, plan, Engine(one, every.total, decode, carried(rest, plan, steps)), steps)
    out = metrics.Outputs(steps)
    metrics.closed_loop(run, plan, mesh, out)
    busy = step_symbol("request_throughput") / DP * step_symbol("loop.prompt")
    out.add("prefill_load", busy, "1", "share of a rank's time that the prefill of prompts takes")
    metrics.fitting(found, out)
    served = Min(S.batch, DP * plan.sequences)
    for phase, lowered, time, counted, rounds in _runs(before, after, every, replace(rest, total=decode), plan, bound):
        _work(phase, lowered, time, counted, rounds, served, bindings, mesh, out)
    valid = () if drafting else (S.draft_tokens,)
    return _program(f"{name} in a closed loop", before, bindings, mesh, out, valid)


def _drafts(drafting: Lowered, plan: Schedule, steps: Steps) -> sp.Expr:
    """Time of a pass of one draft layer in each decode step."""
    bindings = _stored(drafting, steps, "drafting.")
    bound = tuple(r.bind(bindings) for r in reaches_of(drafting.graph))
    costs = sections(drafting.table, drafting.shapes, bound, bindings, steps, "drafting")
    joined = next(c.layers for c in costs if c.kernels)
    once = generation(costs, replace(plan, where="drafting", queries=sp.Integer(1)), steps)
    return steps.let("drafting.layer", once.total / joined, "s", "a pass of one draft layer in each decode step")


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
