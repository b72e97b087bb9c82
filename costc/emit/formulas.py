"""Published formulas: closed forms of counts, in symbols that are all defined.

`decode.*` is one decode step that attends `context` tokens; `prefill.*` a prompt of `seq` tokens in one
piece; `generation.*` the sum over all decode steps of a request. Counts are those of one tensor- and
data-parallel rank, summed over its pipeline stages: at degree 1 everywhere they are the model's own.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import sympy as sp

from costc import symbols as S
from costc.count.rows import LINKS, MEMORY, CostTable
from costc.ir.reach import Reach
from costc.latency.affine import affine
from costc.simplify.rules import factored

RESOURCES = {
    "flop": ("FLOP", "matrix FLOP"),
    "vector_flop": ("FLOP", "elementwise FLOP"),
    "weight_byte": ("B", "bytes of weights read"),
    "kv_byte": ("B", "bytes of KV cache read and written"),
    "activation_byte": ("B", "bytes of activations read and written"),
    "memory_byte": ("B", "all bytes between memory and chip"),
    "scale_up_byte": ("B", "bytes sent on the scale-up link"),
    "scale_out_byte": ("B", "bytes sent on the scale-out link"),
    "link_byte": ("B", "bytes sent on all links"),
    "launches": ("1", "kernels started"),
}
SUMS = {"memory_byte": MEMORY, "link_byte": LINKS}


@dataclass(frozen=True)
class Formula:
    """A published quantity: rows of a cost table, summed and substituted when the expression is asked for."""

    name: str
    unit: str
    meaning: str
    table: CostTable
    reaches: tuple[Reach, ...]
    phase: str

    @property
    def expr(self) -> sp.Expr:
        """In the dimension symbols of the block kinds; bind them for a model's own."""
        total, known = self.table.total(), dict(self.table.definitions)
        if self.phase == "prefill":
            return total.xreplace(known | _step(self.reaches, S.seq, sp.Integer(0)))
        one = {S.seq: sp.Integer(1)}
        if self.phase == "decode":
            return total.xreplace(known | _step(self.reaches, sp.Integer(1), S.context - 1) | one)
        return _generation(total.xreplace(known | one), self.reaches)


def of_phase(table: CostTable, reaches: tuple[Reach, ...], phase: str, name: str = "") -> dict[str, Formula]:
    """The formulas of a phase ('prefill', 'decode', 'generation'), or under another `name`.

    Named '<phase>.<resource>', '<phase>.<section>.<resource>' and '<phase>.<section>.<kernel>.<resource>'.
    """
    found, top = {}, name or phase
    scopes = {top: table}
    for section, rows in table.group_by("section").items():
        scopes[f"{top}.{section}"] = rows
        scopes |= {f"{top}.{section}.{kernel}": own for kernel, own in rows.group_by("kernel").items()}
    for scope, rows in scopes.items():
        for resource, (unit, meaning) in RESOURCES.items():
            own = rows.where(resource=SUMS.get(resource, (resource,)))
            if own.rows:
                name = f"{scope}.{resource}"
                found[name] = Formula(name, unit, f"{meaning}, {scope}", own, reaches, phase)
    return found


@lru_cache(maxsize=64)
def _step(reaches: tuple[Reach, ...], seq: sp.Expr, past: sp.Expr) -> dict[sp.Symbol, sp.Expr]:
    """Pairs and context of every reach for a step."""
    found = {}
    for r in reaches:
        found[r.pairs] = _tidy(r.pairs_of(seq, past), seq)
        found[r.context] = _tidy(r.context_of(seq, past), seq)
    return found


def _tidy(expr: sp.Expr, seq: sp.Expr) -> sp.Expr:
    return sp.expand(expr) if seq == 1 and not expr.has(sp.Min, sp.Max) else expr


def _generation(expr: sp.Expr, reaches: tuple[Reach, ...]) -> sp.Expr:
    """Sum over decode steps 1 .. osl-1, step j attending isl + j positions."""
    count = S.osl - 1
    total = sp.Integer(0)
    for part in sp.Add.make_args(sp.expand(expr)):
        reach = next((r for r in reaches if part.has(r.pairs, r.context)), None)
        if reach is None:
            total += part * count
            continue
        _, slopes = affine(part, (reach.pairs, reach.context))
        for s in reach.decode(S.isl + 1, count):
            first = part.xreplace({reach.pairs: s.pairs, reach.context: s.context})
            slope = slopes[0] * s.pairs_step + slopes[1] * s.context_step
            total += s.total(first, slope)
    return sp.Mul(*(part for factor in sp.Mul.make_args(factored(total)) for part in _content(factor)))


def _content(expr: sp.Expr) -> tuple[sp.Expr, sp.Expr]:
    """The whole number that all terms of a sum share, and the rest."""
    numerators = [term.as_coeff_Mul()[0].p for term in expr.args] if expr.is_Add else []
    shared = sp.Integer(math.gcd(*numerators)) if numerators else sp.Integer(1)
    return (shared, sp.Add(*(term / shared for term in expr.args))) if shared != 1 else (shared, expr)
