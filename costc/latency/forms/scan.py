"""Scans of linear recurrences (gated delta rules), one launch: prefill in chunks, decode one token at a time.

    time = launch_latency + chain sequences heads + max(C, M) + (1 - overlap) min(C, M)
    C = flop / (compute_efficiency * peak) * max(1, chains / (sequences heads))
    M = byte / (memory_efficiency * bandwidth)

A state is a chain of chunks that follow one another (Gated DeltaNet, arXiv 2412.06464, section 3.3), one chain for each
sequence and head. Few chains leave processors idle: below `chains` of them the scan takes as long as one chain alone, which
makes prefill of a single prompt slow whatever the device's peak. Starting and ending a chain (its state is loaded and
stored by the processor that holds it) takes `chain`, shared by all processors. FLOP and bytes are affine in tokens and pairs at a
fixed number of sequences, and so are C and M: sums over steps stay exact.

A decode step reads and writes each state once and computes little: M alone, behind the launch.
"""

from __future__ import annotations

from typing import Final

import sympy as sp

from costc.latency.form import BANDWIDTH, PEAK, Constant, Demand, Form, Pieces
from costc.minmax import Max

FLOP: Final = Demand("flop", "FLOP", "matrix FLOP of the scan's products, over pairs inside chunks and tokens")
BYTE: Final = Demand("byte", "B", "activations read and written, and states read and written once")
SEQUENCES: Final = Demand("sequences", "1", "sequences of the launch")
HEADS: Final = Demand("heads", "1", "value heads per device, each with a state")


def _launch(prior: float) -> Constant:
    return Constant("launch_latency", "s", "least time of a launch", prior, 0.4, 1e-7, 3e-4, 0.0)


def _memory(prior: float) -> Constant:
    return Constant("memory_efficiency", "1", "achieved fraction of the memory bandwidth", prior, 0.4, 0.02, 1.0, 1.0)


#: priors: geometric means over data-centre devices and engines, spreads a little above theirs
PREFILL: Final = (
    _launch(19e-6),
    Constant("chain", "s", "start and end of one chain, shared by all processors", 5e-9, 1.5, 1e-11, 1e-6, 0.0),
    Constant("chains", "1", "chains that fill the device", 50.0, 0.7, 1.0, 2000.0, 1.0),
    Constant("compute_efficiency", "1", "achieved fraction of the peak", 0.08, 0.8, 0.002, 1.0, 1.0, per_dtype=True),
    _memory(0.35),
    Constant("overlap", "1", "share of the shorter of computing and moving that hides", 0.5, 0.3, 0.0, 1.0, 1.0, log=False),
)
DECODE: Final = (_launch(3.9e-6), _memory(0.83))


def pieces() -> Pieces:
    """Prefill. Work of a chain, flop / (sequences heads), never shrinks as a size grows: so neither does C."""
    chained = SEQUENCES.symbol * HEADS.symbol
    launch, chain, chains, compute, memory, overlap = (c.symbol for c in PREFILL)
    computing = FLOP.symbol / (compute * PEAK) * Max(1, chains / chained)
    return Pieces(launch + chain * chained, computing, BYTE.symbol / (memory * BANDWIDTH), overlap)


def decode_pieces() -> Pieces:
    """Decode: moving alone."""
    launch, memory = (c.symbol for c in DECODE)
    return Pieces(launch, sp.Integer(0), BYTE.symbol / (memory * BANDWIDTH), sp.Integer(1))


PREFILL_FORM: Final = Form("scan_prefill", "Scan, prefill", (FLOP, BYTE, SEQUENCES, HEADS), PREFILL, pieces().time, pieces())
DECODE_FORM: Final = Form("scan_decode", "Scan, decode", (BYTE,), DECODE, decode_pieces().time, decode_pieces())
FORMS: Final = (PREFILL_FORM, DECODE_FORM)
