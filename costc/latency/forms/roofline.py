"""The roofline with achieved fractions: for operators over positions that no measured class covers.

    time = launch + max(flop / (peak e_c), byte / (bandwidth e_m))

Williams, Waterman and Patterson 2009 (doi 10.1145/1498765.1498785).
"""

from __future__ import annotations

import sympy as sp

from costc.latency.form import BANDWIDTH, PEAK, Constant, Demand, Form, Pieces

FLOP = Demand("flop", "FLOP", "matrix FLOP")
BYTE = Demand("byte", "B", "bytes between memory and chip")
LAUNCH = Constant("launch_latency", "s", "time to start the kernel", 3e-6, 0.7, 1e-7, 1e-4, 0.0)
COMPUTE = Constant("compute_efficiency", "1", "achieved fraction of the peak", 0.6, 0.4, 0.02, 1.0, 1.0, per_dtype=True)
MEMORY = Constant("memory_efficiency", "1", "achieved fraction of the memory bandwidth", 0.75, 0.3, 0.02, 1.0, 1.0)

PIECES = Pieces(
    LAUNCH.symbol,
    FLOP.symbol / (PEAK * COMPUTE.symbol),
    BYTE.symbol / (BANDWIDTH * MEMORY.symbol),
    sp.Integer(1),
)
FORM = Form("roofline", "Roofline", (FLOP, BYTE), (LAUNCH, COMPUTE, MEMORY), PIECES.time, PIECES)
FORMS = (FORM,)
