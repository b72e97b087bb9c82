"""Outputs per operator: what each kernel and collective computes, moves, sends and takes, over a phase."""

from __future__ import annotations

import sympy as sp

from costc import symbols as S
from costc.count.rows import LINKS, MEMORY, CostTable
from costc.latency import links
from costc.latency.roofline import second_per_byte
from costc.serving.metrics import Outputs
from costc.serving.phases import Phase
from costc.serving.sections import Bindings
from costc.serving.totals import Run, over_run

#: the columns of an operator's row, with their units
COLUMNS = {
    "flop": "FLOP",
    "memory_byte": "B",
    "link_byte": "B",
    "compute_time": "s",
    "memory_time": "s",
    "link_time": "s",
    "time": "s",
}


def operators(phase: str, table: CostTable, time: Phase, run: Run, rounds: sp.Expr, bindings: Bindings, out: Outputs) -> None:
    """Add outputs 'operator.<phase>.<section>.<kernel>.<column>', of one rank, all layers and all `rounds` of the run."""
    for section, rows in table.group_by("section").items():
        for kernel, own in rows.group_by("kernel").items():
            where = f"operator.{phase}.{section}.{kernel}"

            def total(part: CostTable, column: str, where: str = where) -> sp.Expr:
                return rounds * over_run(part.total().xreplace(bindings), run, f"{where}.{column}", out.steps)

            flop = {m: total(t, f"flop.{m}") for m, t in own.where(resource="flop").group_by("module").items()}
            moved = total(own.where(resource=MEMORY), "byte")
            columns = {
                "flop": sp.Add(*flop.values()),
                "memory_byte": moved,
                "link_byte": total(own.where(resource=LINKS), "link_byte"),
                "compute_time": sp.Add(*(f / (S.peak(m) * S.compute_efficiency) for m, f in flop.items())),
                "memory_time": moved * second_per_byte(out.steps),
                "link_time": rounds * _link_time(own, run, bindings, where, out),
            }
            columns["time"] = rounds * time.kernels.get((section, kernel), sp.Integer(0)) + columns["link_time"]
            for column, expr in columns.items():
                out.force(f"{where}.{column}", expr, COLUMNS[column], column)


def _link_time(own: CostTable, run: Run, bindings: Bindings, where: str, out: Outputs) -> sp.Expr:
    """Hops of every step, and bytes."""
    found = sp.Integer(0)
    for link, latency in links.LATENCY.items():
        found += own.where(resource=f"{link}_hops").total().xreplace(bindings) * run.head[0] * latency
        for peers, rows in links.by_peers(own, link):
            byte = over_run(rows.total().xreplace(bindings), run, f"{where}.{link}_byte", out.steps)
            found += byte * links.second_per_byte(link, peers.xreplace(bindings), out.steps)
    return found
