"""Roofline time of kernels: the longer of computing and moving, both from counts and rates.

    time = max(sum over modules of flop / (peak x efficiency), bytes / (bandwidth x efficiency))

Elementwise FLOPs are counted but not timed: below 1 FLOP a byte, every listed device is bound by
memory on them. Williams, Waterman and Patterson 2009 (doi 10.1145/1498765.1498785).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import sympy as sp

from costc import symbols as S
from costc.count.rows import MEMORY, CostTable
from costc.ir.reach import Reach
from costc.latency.affine import SEQUENCES, in_coefficients
from costc.program import Steps

Bindings = Mapping[sp.Symbol, sp.Expr]
TOKENS = sp.Symbol("tokens", real=True)
DP = S.degree("dp", "attention data-parallel degree")


@dataclass(frozen=True)
class Kernel:
    """What one kernel asks of compute and memory, in seconds, as functions of the step.

    `compute` and `move` are in `TOKENS` (tokens of a rank; for the head, sequences), or, where `reach` is set, in batch, seq,
    pairs and context.
    """

    section: str
    name: str
    group: str
    layers: sp.Expr
    stage_layers: sp.Expr
    compute: sp.Expr
    move: sp.Expr
    per_sequence: bool
    reach: Reach | None

    def for_batch(self, expr: sp.Expr, sequences: sp.Expr) -> sp.Expr:
        """`compute` or `move` of an attention kernel for that many sequences of a rank."""
        return expr.xreplace({SEQUENCES: sequences})

    def at(self, tokens: sp.Expr) -> tuple[sp.Expr, sp.Expr]:
        """(compute, move) for a step of that many tokens."""
        return self.compute.xreplace({TOKENS: tokens}), self.move.xreplace({TOKENS: tokens})


def second_per_flop(module: str, steps: Steps) -> sp.Expr:
    """Time of one FLOP of a module, named as a step."""
    expr = 1 / (S.peak(module) * S.compute_efficiency)
    return steps.let(f"rates.second_per_flop.{module}", expr, "s/FLOP", f"time of one FLOP of {module}")


def second_per_byte(steps: Steps) -> sp.Expr:
    """Time to move one byte between memory and chip, named as a step."""
    expr = 1 / (S.memory_bandwidth * S.memory_efficiency)
    return steps.let("rates.second_per_byte", expr, "s/B", "time to move one byte between memory and chip")


def kernels(table: CostTable, reaches: tuple[Reach, ...], bindings: Bindings, steps: Steps, prefix: str) -> Iterator[Kernel]:
    """The kernels of a phase that compute or move, with coefficients named as steps."""
    local = {S.batch: DP * TOKENS, S.seq: sp.Integer(1)}
    for section, rows in table.group_by("section").items():
        for name, own in rows.group_by("kernel").items():
            if not own.where(resource="launches").rows:
                continue
            flop = {m: t.total("once").xreplace(bindings) for m, t in own.where(resource="flop").group_by("module").items()}
            byte = own.where(resource=MEMORY).total("once").xreplace(bindings)
            symbols = byte.free_symbols.union(*(f.free_symbols for f in flop.values()))
            reach = next((r for r in reaches if {r.pairs, r.context} & symbols), None)
            one = own.rows[0]
            where = f"{prefix}.{section}.{name}"
            grown = local if reach is None else {S.batch: DP * SEQUENCES}
            flop, byte = {m: f.xreplace(grown) for m, f in flop.items()}, byte.xreplace(grown)
            grows = (TOKENS,) if reach is None else (S.seq, reach.pairs, reach.context)
            compute = sp.Add(*(f * second_per_flop(m, steps) for m, f in flop.items()))
            move = byte * second_per_byte(steps)
            yield Kernel(
                section,
                name,
                one.group,
                one.layers.xreplace(bindings),
                one.stage_layers.xreplace(bindings),
                in_coefficients(compute, grows, f"{where}.compute", steps),
                in_coefficients(move, grows, f"{where}.move", steps),
                reach is None and S.seq not in symbols,
                reach,
            )
