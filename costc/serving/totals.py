"""Exact totals of counts over a whole phase: FLOPs by module and bytes by kind, closed forms in the schedule."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import sympy as sp

from costc import symbols as S
from costc.count.rows import LINKS, MEMORY, CostTable
from costc.ir.reach import Reach, Segment
from costc.latency.affine import affine
from costc.latency.roofline import DP
from costc.program import Steps
from costc.serving.schedule import Schedule

ZERO = sp.Integer(0)


@dataclass(frozen=True)
class Run:
    """One phase of one rank: `steps` as (how many, tokens of each), attended segments, sequences, and rows of the head per step."""

    steps: tuple[tuple[sp.Expr, sp.Expr], ...]
    segments: Mapping[Reach, tuple[Segment, ...]]
    sequences: sp.Expr
    head: tuple[sp.Expr, sp.Expr]


def prefill_run(plan: Schedule, reaches: tuple[Reach, ...]) -> Run:
    steps = ((plan.whole_steps, plan.step_tokens), (plan.rest_steps, plan.rest_tokens))
    segments = {r: r.prefill(S.isl, plan.piece) for r in reaches}
    return Run(steps, segments, plan.sequences, (plan.prefill_steps, plan.sequences / plan.prefill_steps))


def generation_run(plan: Schedule, reaches: tuple[Reach, ...]) -> Run:
    """The decode steps of one micro-batch."""
    segments = {r: r.decode(S.isl + 1, plan.decode_steps) for r in reaches}
    step = (plan.decode_steps, plan.decode_sequences)
    return Run((step,), segments, plan.decode_sequences, step)


def over_run(amount: sp.Expr, run: Run, rank: sp.Expr = DP) -> sp.Expr:
    """Sum of a per-step amount over the phase. `rank`: attention data-parallel ranks among which `batch` is divided."""
    total = ZERO
    for part in sp.Add.make_args(sp.expand(amount)):
        reach = next((r for r in run.segments if part.has(r.pairs, r.context)), None)
        if reach is not None:
            total += _over_segments(part.xreplace({S.batch: rank * run.sequences}), reach, run.segments[reach])
        else:
            counted = run.steps if part.has(S.seq) or not part.has(S.batch) else (run.head,)
            for count, size in counted:
                total += count * part.xreplace({S.batch: rank * size, S.seq: sp.Integer(1)})
    return total


def _over_segments(part: sp.Expr, reach: Reach, segments: tuple[Segment, ...]) -> sp.Expr:
    """Sum over arithmetic progressions of pairs and context; `part` must be affine in them."""
    _, (per_pair, per_context) = affine(part, (reach.pairs, reach.context))
    total = ZERO
    for s in segments:
        first = part.xreplace({S.seq: s.seq, reach.pairs: s.pairs, reach.context: s.context})
        slope = (per_pair * s.pairs_step + per_context * s.context_step).xreplace({S.seq: s.seq})
        total += s.count * first + slope * s.count * (s.count - 1) / 2
    return total


@dataclass(frozen=True)
class Totals:
    """Of one rank over all its stages: FLOP by module; bytes by memory and by link resource."""

    flop: dict[str, sp.Expr]
    byte: dict[str, sp.Expr]


def totals(table: CostTable, run: Run, bindings: Mapping[sp.Symbol, sp.Expr], phase: str, steps: Steps, rank: sp.Expr = DP) -> Totals:
    """The totals of a phase, named as steps."""

    def total(rows: CostTable, name: str, unit: str) -> sp.Expr:
        expr = over_run(rows.total().xreplace(bindings), run, rank)
        return steps.let(f"{phase}.{name}", expr, unit, "of one rank, all stages")

    flop = {m: total(rows, f"flop.{m}", "FLOP") for m, rows in table.where(resource="flop").group_by("module").items()}
    found = table.group_by("resource")
    return Totals(flop, {r: total(found[r], r, "B") for r in (*MEMORY, *LINKS) if r in found and rank is DP})
