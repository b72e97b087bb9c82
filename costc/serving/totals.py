"""Exact totals of counts over a whole phase: FLOPs by module and bytes by kind, closed forms in the schedule."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import sympy as sp

from costc import symbols as S
from costc.count.rows import LINKS, MEMORY, CostTable
from costc.ir.reach import Reach, Segment
from costc.latency.affine import TOKENS, affine
from costc.latency.units import DP
from costc.program import Steps
from costc.serving.schedule import Schedule

ZERO = sp.Integer(0)


@dataclass(frozen=True)
class Run:
    """One phase of one rank: `tokens` in all, `steps` as (how many, tokens of each), attended segments, sequences, and
    steps and rows of the head."""

    tokens: sp.Expr
    steps: tuple[tuple[sp.Expr, sp.Expr], ...]
    segments: Mapping[Reach, tuple[Segment, ...]]
    sequences: sp.Expr
    head: tuple[sp.Expr, sp.Expr]


def prefill_run(plan: Schedule, reaches: tuple[Reach, ...]) -> Run:
    """Prefill of all prompts of a rank."""
    steps = ((plan.whole_steps, plan.step_tokens), (plan.rest_steps, plan.rest_tokens))
    segments = {r: r.prefill(S.isl, plan.piece) for r in reaches}
    return Run(plan.tokens, steps, segments, plan.sequences, (plan.prefill_steps, plan.sequences / plan.prefill_steps))


def generation_run(plan: Schedule, reaches: tuple[Reach, ...]) -> Run:
    """The decode steps of one micro-batch."""
    segments = {r: r.decode(S.isl + 1, plan.decode_steps) for r in reaches}
    step = (plan.decode_steps, plan.decode_sequences)
    return Run(plan.decode_steps * plan.decode_sequences, (step,), segments, plan.decode_sequences, step)


def over_run(amount: sp.Expr, run: Run, where: str, steps: Steps, rank: sp.Expr = DP) -> sp.Expr:
    """Sum of a per-step amount over the phase. `rank`: attention data-parallel ranks among which `batch` is divided."""
    per_step = per_token = per_row = total = ZERO
    for part in sp.Add.make_args(sp.expand(amount)):
        reach = next((r for r in run.segments if part.has(r.pairs, r.context)), None)
        if reach is not None:
            total += _over_segments(part.xreplace({S.batch: rank * run.sequences}), reach, run.segments[reach])
        elif not part.has(S.batch):
            per_step += part
        elif not part.has(S.seq):
            per_row += part / S.batch * rank
        elif not (part / (S.batch * S.seq)).has(S.batch, S.seq):
            per_token += part / (S.batch * S.seq) * rank
        else:
            total += _over_steps(part, run, rank)
    coefficients = (
        (per_step, run.head[0], "step"),
        (per_token, run.tokens, "token"),
        (per_row, run.head[0] * run.head[1], "sequence"),
    )
    for each, size, name in coefficients:
        if each != 0:
            total += size * steps.let(f"{where}.per_{name}", each, "B" if "byte" in where else "FLOP", f"for each {name}")
    return total


def _over_steps(part: sp.Expr, run: Run, rank: sp.Expr) -> sp.Expr:
    """Sum over the steps of a term that is not proportional to tokens (the experts that a step touches)."""
    powers = sp.Mul(*(p for p in sp.Mul.make_args(part) if p.is_Pow and p.exp.has(S.seq)))
    sizes = (count * powers.xreplace({S.batch: rank * size, S.seq: sp.Integer(1)}) for count, size in run.steps)
    return part / powers * sp.Add(*sizes)


def _over_segments(part: sp.Expr, reach: Reach, segments: tuple[Segment, ...]) -> sp.Expr:
    """Sum over arithmetic progressions of pairs and context; `part` must be affine in them."""
    _, (per_pair, per_context) = affine(part, (reach.pairs, reach.context))
    total = ZERO
    for s in segments:
        first = part.xreplace({S.seq: s.seq, reach.pairs: s.pairs, reach.context: s.context})
        slope = (per_pair * s.pairs_step + per_context * s.context_step).xreplace({S.seq: s.seq})
        total += s.total(first, slope)
    return total


Bindings = Mapping[sp.Symbol, sp.Expr]
Amounts = dict[str, sp.Expr]


def flop(table: CostTable, run: Run, bindings: Bindings, where: str, steps: Steps, rank: sp.Expr = DP) -> Amounts:
    """Matrix FLOP of the phase by module, named as steps: of a rank, or of `rank` ranks where the table is unsharded."""
    found = table.where(resource="flop").group_by("module").items()
    return {
        m: steps.let(
            f"{where}.flop.{m}",
            over_run(rows.total().xreplace(bindings), run, f"{where}.flop.{m}", steps, rank),
            "FLOP",
            f"matrix FLOP of {m}",
        )
        for m, rows in found
    }


def byte(table: CostTable, run: Run, bindings: Bindings, where: str, steps: Steps) -> Amounts:
    """Bytes of a rank over the phase, all stages, by memory and link resource."""
    found: Amounts = {}
    for resource in MEMORY:
        amount = table.where(resource=resource).total().xreplace(bindings)
        found[resource] = over_run(amount, run, f"{where}.{resource}", steps)
    for resource in LINKS:
        found[resource] = _sent(table.where(resource=resource), run, bindings, f"{where}.{resource}", steps)
    return {r: steps.let(f"{where}.{r}", e, "B", "of one rank, all stages") for r, e in found.items()}


def _sent(table: CostTable, run: Run, bindings: Bindings, where: str, steps: Steps) -> sp.Expr:
    """Link bytes: proportional to tokens, and for the head to sequences."""
    total = ZERO
    for name, rows in table.group_by("section").items():
        amount = rows.total("once").xreplace(bindings)
        size = run.tokens if amount.has(S.seq) else run.head[0] * run.head[1]
        local = amount.xreplace({S.batch: DP * TOKENS, S.seq: sp.Integer(1)})
        each = steps.let(f"{where}.{name}", sp.diff(local, TOKENS), "B", "of one layer, for each token")
        total += rows.rows[0].layers.xreplace(bindings) * each * size
    return total
