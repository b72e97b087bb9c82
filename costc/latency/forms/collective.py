"""Collectives on one class of link, one launch. Two protocols, and the quicker of them:

    time = launch_latency + hop_latency (ranks - 1) + min(A, B)
    A = direct / (direct_efficiency * bandwidth)
    B = switch_latency + byte (1 + contention max(0, ranks - 2)) / (link_efficiency * bandwidth)

A sends small messages at once, with flags in the data or in one step without a ring: for NCCL `direct = byte` (its protocols
LL and LL128 give up bandwidth for latency: NCCL 2.30, src/graph/tuning.cc), for an engine's own all-reduce `direct =
(ranks - 1) message`, since each rank reads every other's whole message. B is the ring bound (Patarasuk and Yuan 2009, doi
10.1016/j.jpdc.2008.09.002) behind a start of its own. `link_efficiency` may exceed 1: a switch that adds (NVLink SHARP) halves
an all-reduce's bytes, so 2 bounds it. `contention` is what cards without a switch of their own (PCIe) pay for a shared root.

Dispatch and combine of mixture-of-experts have no rings (DeepEP, github.com/deepseek-ai/DeepEP):

    time = launch_latency + hop_latency (ranks - 1) + byte / (link_efficiency * bandwidth)

Low-latency kernels (`dispatch`, `combine`: decode) send a copy to each expert, `byte = copies * row * (ranks - 1) / ranks`;
high-throughput ones (`_large`: prefill) send a copy to each rank that has a wanted expert. A group of one launches nothing.
"""

from __future__ import annotations

from typing import Final

import sympy as sp

from costc.latency.form import BANDWIDTH, Constant, Demand, Form
from costc.minmax import Max, Min

BYTE: Final = Demand("byte", "B", "bytes that a device sends by the ring bound; over the link, copies counted")
MESSAGE: Final = Demand("message", "B", "operand of a rank, of which an all-reduce makes the sum")
RANKS: Final = Demand("ranks", "1", "members of the group on this class of link")

#: seconds: launch, hop, switch; fractions: direct, link. In a domain: geometric means over NVLink devices. Beyond it, where no
#: ring was measured: NCCL's own constants (2.30, src/graph/tuning.cc: bases 6.6 us for LL and 8.4 for Simple, network hops 2.7
#: and 14 us, half the rate for LL) and 0.85 of the rate, which is assumed; Hopper's over InfiniBand for dispatch and combine.
PRIORS: Final = {
    ("all_reduce", "scale_up"): (4.1e-6, 0.10e-6, 11e-6, 0.48, 0.75),
    ("all_reduce_ring", "scale_up"): (7.3e-6, 2.1e-6, 23e-6, 0.34, 0.74),
    ("all_gather", "scale_up"): (7.4e-6, 1.0e-6, 18e-6, 0.22, 0.64),
    ("reduce_scatter", "scale_up"): (7.1e-6, 1.0e-6, 13e-6, 0.26, 0.57),
    ("all_to_all", "scale_up"): (8.8e-6, 0.25e-6, 6.3e-6, 0.036, 0.5),
    ("all_reduce", "scale_out"): (6.6e-6, 5.4e-6, 28e-6, 0.5, 0.85),
    ("all_reduce_ring", "scale_out"): (6.6e-6, 5.4e-6, 28e-6, 0.5, 0.85),
    ("all_gather", "scale_out"): (6.6e-6, 2.7e-6, 14e-6, 0.5, 0.85),
    ("reduce_scatter", "scale_out"): (6.6e-6, 2.7e-6, 14e-6, 0.5, 0.85),
    ("all_to_all", "scale_out"): (8.4e-6, 2.7e-6, 14e-6, 0.5, 0.85),
}
EXCHANGES: Final = {
    ("dispatch", "scale_up"): (12.5e-6, 0.2e-6, 0.53),
    ("combine", "scale_up"): (12.5e-6, 0.2e-6, 0.6),
    ("dispatch_large", "scale_up"): (35e-6, 0.5e-6, 0.3),
    ("combine_large", "scale_up"): (45e-6, 0.5e-6, 0.3),
    ("dispatch", "scale_out"): (19e-6, 0.15e-6, 0.95),
    ("combine", "scale_out"): (24e-6, 0.05e-6, 0.92),
    ("dispatch_large", "scale_out"): (37e-6, 1.5e-6, 0.65),
    ("combine_large", "scale_out"): (83e-6, 0.9e-6, 0.55),
}
#: where every rank reads all others' whole messages when they are small
ONE_SHOT: Final = (("all_reduce", "scale_up"),)
#: of the logarithm of launch and rate; beyond the domain rings were not measured
SPREAD: Final = {"scale_up": 0.35, "scale_out": 0.6}


def _second(name: str, meaning: str, prior: float, spread: float) -> Constant:
    return Constant(name, "s", meaning, prior, spread, 1e-9, 3e-4, 0.0)


def _fraction(name: str, meaning: str, prior: float, spread: float, low: float) -> Constant:
    return Constant(name, "1", meaning, prior, spread, low, 2.0, 1.0)


def _latencies(launch: float, hop: float, spread: float) -> tuple[Constant, Constant]:
    return (
        _second("launch_latency", "least time of a launch, its synchronisation with it", launch, spread),
        _second("hop_latency", "what each rank more adds", hop, 2 * spread),
    )


def _link(prior: float, spread: float) -> Constant:
    return _fraction("link_efficiency", "achieved fraction of the link's bandwidth, large messages", prior, spread, 0.02)


def _ring(kind: str, link: str) -> Form:
    """A collective with two protocols. Every term grows with byte, message and ranks, and so does the lesser of two."""
    launch, hop, switch, direct, rate = PRIORS[kind, link]
    spread = SPREAD[link]
    constants = (
        *_latencies(launch, hop, spread),
        _fraction("direct_efficiency", "achieved fraction of the bandwidth, small messages", direct, 2 * spread, 0.002),
        _link(rate, spread),
        _second("switch_latency", "what the protocol for large messages takes to start", switch, 2 * spread),
        Constant("contention", "1", "slowing by each rank beyond two of a shared path", 0.0, 0.3, 0.0, 4.0, 0.0, log=False),
    )
    byte, message, ranks = BYTE.symbol, MESSAGE.symbol, RANKS.symbol
    demands = (BYTE, MESSAGE, RANKS) if (kind, link) in ONE_SHOT else (BYTE, RANKS)
    launch_latency, hop_latency, direct_efficiency, link_efficiency, switch_latency, contention = (c.symbol for c in constants)
    at_once = (ranks - 1) * message if (kind, link) in ONE_SHOT else byte
    large = byte * (1 + contention * Max(0, ranks - 2)) / (link_efficiency * BANDWIDTH)
    moved = Min(at_once / (direct_efficiency * BANDWIDTH), switch_latency + large)
    return _form(kind, link, demands, constants, launch_latency + hop_latency * (ranks - 1) + moved)


def _exchange(kind: str, link: str) -> Form:
    launch, hop, rate = EXCHANGES[kind, link]
    constants = (*_latencies(launch, hop, SPREAD[link]), _link(rate, SPREAD[link]))
    launch_latency, hop_latency, link_efficiency = (c.symbol for c in constants)
    time = launch_latency + hop_latency * (RANKS.symbol - 1) + BYTE.symbol / (link_efficiency * BANDWIDTH)
    return _form(kind, link, (BYTE, RANKS), constants, time)


def _form(kind: str, link: str, demands: tuple[Demand, ...], constants: tuple[Constant, ...], time: sp.Expr) -> Form:
    return Form(f"{kind}_{link}", f"{kind.replace('_', ' ')}, {link.replace('_', '-')} link", demands, constants, time)


FORMS: Final = tuple(_ring(*key) for key in PRIORS) + tuple(_exchange(*key) for key in EXCHANGES)
