"""What a section costs, ready to be timed: its kernels, and the link time and launches of one step."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import sympy as sp

from costc import symbols as S
from costc.count.rows import CostTable
from costc.ir.reach import Reach
from costc.latency import links
from costc.latency.roofline import DP, TOKENS, Kernel, kernels
from costc.program import Steps

Bindings = Mapping[sp.Symbol, sp.Expr]


@dataclass(frozen=True)
class SectionCost:
    """One layer of a section. `hops` and `per_token`: link time of a step, fixed and per token; `launches`: kernels."""

    name: str
    group: str
    layers: sp.Expr
    stage_layers: sp.Expr
    launches: int
    hops: sp.Expr
    per_token: sp.Expr
    kernels: tuple[Kernel, ...]

    @property
    def per_sequence(self) -> bool:
        """Whether it runs on sequences (the head), not on tokens."""
        return any(k.per_sequence for k in self.kernels)


def sections(table: CostTable, reaches: tuple[Reach, ...], bindings: Bindings, steps: Steps) -> tuple[SectionCost, ...]:
    """The sections of a phase, with their coefficients named as steps."""
    phase = table.rows[0].phase
    found = tuple(kernels(table, reaches, bindings, steps, phase))
    return tuple(
        _section(name, rows, tuple(k for k in found if k.section == name), bindings, f"{phase}.{name}", steps)
        for name, rows in table.group_by("section").items()
    )


def _section(name: str, rows: CostTable, own: tuple[Kernel, ...], bindings: Bindings, where: str, steps: Steps) -> SectionCost:
    one = rows.rows[0]
    hops, per_token = _links(rows, bindings, where, steps)
    return SectionCost(
        name,
        own[0].group if own else "communication",
        one.layers.xreplace(bindings),
        one.stage_layers.xreplace(bindings),
        len(rows.where(resource="launches").rows),
        hops,
        per_token,
        own,
    )


def _links(rows: CostTable, bindings: Bindings, where: str, steps: Steps) -> tuple[sp.Expr, sp.Expr]:
    hops = per_token = sp.Integer(0)
    local = {S.batch: DP * TOKENS, S.seq: sp.Integer(1)}
    for link, latency in links.LATENCY.items():
        for place, (peers, own) in enumerate(links.by_peers(rows, link)):
            byte = sp.diff(own.total("once").xreplace(bindings).xreplace(local), TOKENS)
            each = steps.let(f"{where}.link.{link}_byte.{place}", byte, "B", f"sent on the {link} link, for each token")
            per_token += each * links.second_per_byte(link, peers.xreplace(bindings), steps)
        hops += rows.where(resource=f"{link}_hops").total("once").xreplace(bindings) * latency
    if per_token == 0:
        return hops, per_token
    return (
        steps.let(f"{where}.link.hops", hops, "s", "latency of the collectives of one step"),
        steps.let(f"{where}.link.per_token", per_token, "s", "their bytes, for each token"),
    )
