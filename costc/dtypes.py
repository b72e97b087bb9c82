"""Number formats: how many bytes an element takes, and what computes where a device lacks it.

A new format is one line here. `lacks` says in which format a device without this one computes:
the next one up that keeps the kind of arithmetic (a float scheme never runs at an integer rate, and
an integer scheme without its unit is dequantized to bf16).
"""

from __future__ import annotations

from dataclasses import dataclass

from costc.errors import CostcError, not_among


@dataclass(frozen=True)
class Dtype:
    """A number format. `bits` per element; `unit`: the matrix unit that computes it; `lacks`: the format used instead."""

    name: str
    bits: float
    unit: str
    lacks: str | None = None

    @property
    def byte(self) -> float:
        return self.bits / 8


DTYPES = {
    d.name: d
    for d in (
        Dtype("fp32", 32, "fp32"),
        Dtype("fp16", 16, "fp16", lacks="fp32"),
        Dtype("bf16", 16, "bf16", lacks="fp32"),
        Dtype("fp8", 8, "fp8", lacks="bf16"),
        Dtype("int8", 8, "int8", lacks="bf16"),
        Dtype("int4", 4, "int4", lacks="bf16"),
        Dtype("int2", 2, "int2", lacks="bf16"),
        Dtype("mxfp4", 4, "fp4", lacks="bf16"),
        Dtype("nvfp4", 4, "fp4", lacks="bf16"),
        Dtype("fp4", 4, "fp4", lacks="bf16"),
        Dtype("nf4", 4, "bf16", lacks="fp32"),
    )
}
#: the names under which a device lists its peaks
UNITS = tuple(sorted({d.unit for d in DTYPES.values()} | {"tf32"}))


def dtype(name: str) -> Dtype:
    """The format of that name, or a CostcError with the nearest."""
    if name not in DTYPES:
        raise CostcError(not_among("dtype", name, DTYPES))
    return DTYPES[name]


def computed_in(name: str, units: set[str]) -> str | None:
    """The format in which a device with these matrix units computes `name`; None if in none."""
    current: str | None = name
    while current is not None:
        if dtype(current).unit in units:
            return current
        current = DTYPES[current].lacks
    return None
