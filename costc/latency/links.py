"""Rates of links: what a device can send per second, by class of link and by how many peers it sends to."""

from __future__ import annotations

import sympy as sp

from costc import symbols as S
from costc.count.rows import CostTable
from costc.minmax import Min
from costc.program import Steps

LATENCY = {"scale_up": S.scale_up_latency, "scale_out": S.scale_out_latency}


def bandwidth(link: str, peers: sp.Expr) -> sp.Expr:
    """Bytes per second to `peers` members of a group at once: no more than the device's links to them."""
    if link == "scale_out":
        return S.scale_out_bandwidth
    return Min(S.scale_up_bandwidth, peers * S.scale_up_peer_bandwidth)


def second_per_byte(link: str, peers: sp.Expr, steps: Steps) -> sp.Expr:
    """Time of one byte on a link, named as a step."""
    rate = bandwidth(link, peers) * S.link_efficiency
    known = sum(s.name.startswith(f"rates.second_per_byte.{link}") for s in steps.steps)
    return steps.let(f"rates.second_per_byte.{link}.{known}", 1 / rate, "s/B", f"time of one byte on the {link} link")


def by_peers(table: CostTable, link: str) -> list[tuple[sp.Expr, CostTable]]:
    """The byte rows of a link, apart for each number of peers."""
    rows = table.where(resource=f"{link}_byte")
    found = dict.fromkeys(row.peers for row in rows)
    return [(p, CostTable(tuple(r for r in rows if r.peers == p), table.definitions)) for p in found]
