"""Bytes and hops of each collective, per device, on the scale-up link inside a domain and the scale-out link beyond.

Rings over `n` devices, in two levels where a group spans domains: an all-reduce sends 2 (n-1)/n of
its operand, an all-gather or reduce-scatter (n-1)/n (Patarasuk and Yuan 2009, doi 10.1016/j.jpdc.2008.09.002).
"""

from __future__ import annotations

from dataclasses import replace

import sympy as sp

from costc import symbols as S
from costc.ir.types import ONE, Link
from costc.minmax import Max, Min
from costc.place.mesh import Group


def all_reduce(byte: sp.Expr, group: Group) -> tuple[Link, ...]:
    """Sum an operand of `byte` bytes over the group; each device ends with the whole sum."""
    return tuple(replace(k, byte=2 * k.byte, hops=2 * k.hops, collective="all_reduce") for k in all_gather(byte, group))


def all_gather(byte: sp.Expr, group: Group) -> tuple[Link, ...]:
    """Each device ends with all of an operand of `byte` bytes in total, of which it held an equal share."""
    inside, domains = group.inside, group.domains
    return (
        Link("scale_up", byte * (inside - 1) / inside, inside - 1, _peers(inside), "all_gather", inside, byte),
        Link("scale_out", byte * (domains - 1) / (domains * inside), domains - 1, ONE, "all_gather", domains, byte / inside),
    )


def all_to_all(byte: sp.Expr, group: Group, copies: sp.Expr) -> tuple[Link, ...]:
    """Each device sends each other member its part of `byte` bytes, times the fraction `copies` that is needed there."""
    inside, domains = group.inside, group.domains
    part = byte * copies
    return (
        Link("scale_up", part * (inside - 1), Min(1, inside - 1), _peers(inside), "all_to_all", inside, part * inside),
        Link(
            "scale_out", part * (group.size - inside), Min(1, group.size - inside), ONE, "all_to_all", domains, part * group.size
        ),
    )


def send(byte: sp.Expr, group: Group) -> tuple[Link, ...]:
    """Pass an operand down the whole chain of the group, one member to the next."""
    crossings = group.domains - 1
    within = group.size - 1 - crossings
    return (
        Link("scale_up", byte * within, within, ranks=within + 1, message=byte),
        Link("scale_out", byte * crossings, crossings, ranks=crossings + 1, message=byte),
    )


def _peers(inside: sp.Expr) -> sp.Expr:
    """Members that a device can send to at once within the domain; 1 where it is alone, as nothing is sent then."""
    return Max(1, inside - 1)


def needed_copies(ranks: sp.Expr, fanout: sp.Expr) -> sp.Expr:
    """Chance that a token which visits `fanout` experts needs a given one of `ranks` expert groups (uniform routing)."""
    return 1 - (1 - 1 / ranks) ** fanout


def activation_byte(size: sp.Expr) -> sp.Expr:
    """Bytes of that many activation elements."""
    return size * S.activation_byte
