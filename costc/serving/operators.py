"""Outputs per operator: what each unit computes, moves, sends and takes, over a phase."""

from __future__ import annotations

from typing import TYPE_CHECKING

import sympy as sp

from costc import symbols as S
from costc.count.rows import LINKS, MEMORY, CostTable
from costc.serving.metrics import Outputs
from costc.serving.phases import Phase
from costc.serving.sections import Bindings
from costc.serving.totals import Run, over_run

if TYPE_CHECKING:
    from costc.serving.compose import Lowered

#: the columns of an operator's row, with their units. `compute_time` and `memory_time` are those of the datasheet's rates
COLUMNS = {
    "flop": "FLOP",
    "memory_byte": "B",
    "link_byte": "B",
    "compute_time": "s",
    "memory_time": "s",
    "link_time": "s",
    "time": "s",
}


def operators(phase: str, lowered: Lowered, time: Phase, run: Run, rounds: sp.Expr, bindings: Bindings, out: Outputs) -> None:
    """Add outputs 'operator.<phase>.<section>.<unit>.<column>', of one rank, all layers and all `rounds` of the run."""
    for shape in lowered.shapes:
        own = lowered.table.where(section=shape.section, kernel=shape.kernels)
        if not own.rows:
            continue
        where = f"operator.{phase}.{shape.section}.{shape.name}"

        def total(part: CostTable, column: str, where: str = where) -> sp.Expr:
            return rounds * over_run(part.total().xreplace(bindings), run, f"{where}.{column}", out.steps)

        flop = {m: total(t, f"flop.{m}") for m, t in own.where(resource="flop").group_by("module").items()}
        moved = total(own.where(resource=MEMORY), "byte")
        taken = rounds * time.units[shape.section, shape.name]
        columns = {
            "flop": sp.Add(*flop.values()),
            "memory_byte": moved,
            "link_byte": total(own.where(resource=LINKS), "link_byte"),
            "compute_time": sp.Add(*(f / S.peak(m) for m, f in flop.items())),
            "memory_time": moved / S.memory_bandwidth,
            "link_time": taken if shape.links else sp.Integer(0),
            "time": taken,
        }
        for column, expr in columns.items():
            out.force(f"{where}.{column}", expr, COLUMNS[column], column)
