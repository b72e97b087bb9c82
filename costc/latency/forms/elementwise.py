"""What computes little for each byte: norms, activations, sums, quantizing, rotations, short convolutions. One launch:

    time = launch_latency + byte / (memory_efficiency * bandwidth)

A stream through memory. The default is what aiconfigurator-core 0.12 takes where it has no table (3 us and 0.8 of the
bandwidth), which quantizing kernels that were measured come near on large tensors.
"""

from __future__ import annotations

from typing import Final

from costc.latency.form import BANDWIDTH, Constant, Demand, Form

BYTE: Final = Demand("byte", "B", "bytes read and written")
CONSTANTS: Final = (
    Constant("launch_latency", "s", "least time of a launch", 3e-6, 0.5, 1e-7, 3e-4, 0.0),
    Constant("memory_efficiency", "1", "achieved fraction of the memory bandwidth", 0.8, 0.4, 0.02, 1.0, 1.0),
)
_LAUNCH, _MEMORY = (c.symbol for c in CONSTANTS)
FORM: Final = Form("elementwise", "Elementwise", (BYTE,), CONSTANTS, _LAUNCH + BYTE.symbol / (_MEMORY * BANDWIDTH))
FORMS: Final = (FORM,)
