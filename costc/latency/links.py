"""Time of a collective on one class of link: what its ranks send, at the rate of the link to that many peers."""

from __future__ import annotations

from collections.abc import Callable

import sympy as sp

from costc import symbols as S
from costc.ir.types import Link
from costc.latency import constants
from costc.latency.form import BANDWIDTH
from costc.latency.forms import FORMS
from costc.minmax import Min

#: names an amount of the collective as a step, in the variables of the step: (name, expression, unit)
Named = Callable[[str, sp.Expr, str], sp.Expr]


def bandwidth(link: Link) -> sp.Expr:
    """Bytes per second to the peers of a link at once: no more than the device's links to them."""
    if link.name == "scale_out":
        return S.scale_out_bandwidth
    return Min(S.scale_up_bandwidth, link.peers * S.scale_up_peer_bandwidth)


def time(link: Link, named: Named) -> sp.Expr:
    """Seconds of a collective on this class of link; nothing where the device is alone on it."""
    if link.byte == 0:
        return sp.Integer(0)
    form = FORMS[f"{link.collective}_{link.name}"]
    amounts = {"byte": link.byte, "message": link.message, "ranks": link.ranks, "hops": link.hops}
    known = {d.symbol: named(f"{link.name}.{d.name}", amounts[d.name], d.unit) for d in form.demands}
    known |= {c.symbol: constants.symbol(form, c, "") for c in form.constants}
    known[BANDWIDTH] = named(f"{link.name}.bandwidth", bandwidth(link), "B/s")
    together = named(f"{link.name}.together", Min(1, link.ranks - 1), "1")
    return together * form.time.xreplace(known)
