"""A message on a link, for which nothing was measured: hops that follow one another, and bytes.

time = hops x hop_latency + byte / (bandwidth e)
"""

from __future__ import annotations

from costc.latency.form import BANDWIDTH, Constant, Demand, Form

BYTE = Demand("byte", "B", "bytes that a device sends")
HOPS = Demand("hops", "1", "transfers that follow one another")
HOP = {"scale_up": (0.6e-6, "scale-up"), "scale_out": (2.7e-6, "scale-out")}


def form(collective: str, link: str) -> Form:
    """The form of one collective on one class of link."""
    prior, word = HOP[link]
    hop = Constant("hop_latency", "s", f"latency of one {word} hop", prior, 0.7, 1e-8, 1e-4, 0.0)
    rate = Constant("link_efficiency", "1", "achieved fraction of the link's bandwidth", 0.8, 0.3, 0.02, 1.5, 1.0)
    time = HOPS.symbol * hop.symbol + BYTE.symbol / (BANDWIDTH * rate.symbol)
    return Form(f"{collective}_{link}", f"{collective.replace('_', '-')}, {word}", (BYTE, HOPS), (hop, rate), time)


FORMS = tuple(form("send", link) for link in HOP)
