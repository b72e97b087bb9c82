"""What a section costs, ready to be timed: its kernels and its collectives."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import sympy as sp

from costc.count.rows import CostTable
from costc.count.shapes import Shape
from costc.ir.reach import Reach
from costc.latency.units import Unit, units
from costc.program import Steps

Bindings = Mapping[sp.Symbol, sp.Expr]
COMMUNICATION = "communication"


@dataclass(frozen=True)
class SectionCost:
    """One layer of a section: `kernels` work on the device, `collectives` on links."""

    name: str
    group: str
    layers: sp.Expr
    stage_layers: sp.Expr
    kernels: tuple[Unit, ...]
    collectives: tuple[Unit, ...]

    @property
    def units(self) -> tuple[Unit, ...]:
        return (*self.kernels, *self.collectives)

    @property
    def launch(self) -> sp.Expr:
        """Time to start the kernels of one layer."""
        return sp.Add(*(k.launch for k in self.kernels))


def sections(
    table: CostTable,
    shapes: tuple[Shape, ...],
    reaches: tuple[Reach, ...],
    bindings: Bindings,
    steps: Steps,
    where: str = "",
) -> tuple[SectionCost, ...]:
    """The sections of a phase, with what they ask for named as steps, whose names begin with `where` (default: the phase)."""
    found = tuple(units(table, shapes, reaches, bindings, steps, where or table.rows[0].phase))
    return tuple(_section(tuple(u for u in found if u.section == name)) for name in dict.fromkeys(u.section for u in found))


def _section(own: tuple[Unit, ...]) -> SectionCost:
    kernels = tuple(u for u in own if u.group != COMMUNICATION)
    one = (*kernels, *own)[0]
    collectives = tuple(u for u in own if u.group == COMMUNICATION)
    return SectionCost(one.section, one.group, one.layers, one.stage_layers, kernels, collectives)


def launches_of(costs: tuple[SectionCost, ...]) -> tuple[sp.Expr, bool]:
    """Kernels and collectives that a step launches, the routed experts of a layer as one, and whether there are experts."""
    count = sp.Add(*(c.layers * len(c.units) for c in costs if c.kernels))
    return count, any(c.group == "experts" for c in costs)
