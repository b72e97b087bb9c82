"""Sums over positions: exact, with the hard maximum of the roofline split at its crossing."""

from __future__ import annotations

import sympy as sp

from costc.ir.reach import Segment
from costc.ir.types import ONE
from costc.latency.affine import SEQUENCES, affine
from costc.latency.units import Unit
from costc.minmax import Max
from costc.program import Steps, Turn
from costc.symbols import seq

Progression = tuple[sp.Expr, sp.Expr]


def sum_of_max(count: sp.Expr, a: sp.Expr, a_step: sp.Expr, b: sp.Expr, b_step: sp.Expr, where: str, steps: Steps) -> sp.Expr:
    """Sum over k = 0 .. count-1 of max(a + k a_step, b + k b_step), in closed form.

    The difference d_k = a - b + k (a_step - b_step) changes sign once, at k = ceil(-d_0 / step). The sum is that of b plus the
    sum of the positive differences, which lie all before the crossing or all after it.
    """
    if a_step == 0 and b_step == 0:
        return count * Max(a, b)
    gap = steps.let(f"{where}.gap", a - b, "s", "computing less moving, at the first position")
    slope = steps.let(f"{where}.slope", a_step - b_step, "s", "and how it changes from position to position")
    turn = steps.let(f"{where}.turn", Turn(gap, slope, count), "1", "positions before the crossing")
    before = steps.let(f"{where}.before", turn * (gap + slope * (turn - 1) / 2), "s", "sum of differences before it")
    whole = steps.let(f"{where}.whole", count * (gap + slope * (count - 1) / 2), "s", "sum of all differences")
    return count * (b + b_step * (count - 1) / 2) + Max(before, whole - before)


def over_segments(
    unit: Unit, segments: tuple[Segment, ...], batch: sp.Expr, where: str, steps: Steps, queries: sp.Expr = ONE
) -> sp.Expr:
    """Time of an attention unit over all pieces of all segments, for `batch` sequences of the step.

    `queries`: tokens that attend where the segments say one (a step that verifies drafts): all attend the same context.
    """
    total = sp.Integer(0)
    for index, segment in enumerate(segments):
        name = f"{where}.{index}" if len(segments) > 1 else where
        count = steps.let(f"{name}.pieces", segment.count, "1", "pieces of the segment")
        fixed, (a, a_step), (b, b_step), overlap = _progressions(unit, segment, batch, queries)
        first = _let(a, f"{name}.compute", steps), _let(b, f"{name}.move", steps)
        larger = sum_of_max(count, first[0], a_step, first[1], b_step, name, steps)
        both = count * (first[0] + first[1] + (a_step + b_step) * (count - 1) / 2)
        total += segment.times * (count * fixed + overlap * larger + (1 - overlap) * both)
    return total


def _let(expr: sp.Expr, name: str, steps: Steps) -> sp.Expr:
    return steps.let(name, expr, "s", "of the first piece")


def _progressions(
    unit: Unit, segment: Segment, batch: sp.Expr, queries: sp.Expr
) -> tuple[sp.Expr, Progression, Progression, sp.Expr]:
    """The fixed time, first value and step of computing and of moving over the pieces of a segment, and the overlap."""
    law, pieces = unit.reach, unit.pieces
    assert law is not None
    assert pieces is not None
    at = {SEQUENCES: batch, seq: segment.seq * queries}
    fixed, overlap = (expr.xreplace(at) for expr in (pieces.fixed, pieces.overlap))
    found = []
    for expr in (pieces.compute.xreplace(at), pieces.move.xreplace(at)):
        first = expr.xreplace({law.pairs: segment.pairs * queries, law.context: segment.context})
        _, (per_pair, per_context) = affine(expr, (law.pairs, law.context))
        found.append((first, per_pair * segment.pairs_step * queries + per_context * segment.context_step))
    return fixed, found[0], found[1], overlap
