"""A closed form of an operator class's time: what the operator asks for, constants with a meaning, an expression.

One definition serves the program that is emitted and the fit to measurements.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import sympy as sp

from costc.minmax import Max, Min


@dataclass(frozen=True)
class Demand:
    """What an operator asks for, per device and launch: a count of the model, workload, quantization and plan."""

    name: str
    unit: str
    meaning: str

    @property
    def symbol(self) -> sp.Symbol:
        return sp.Symbol(self.name, nonnegative=True)


@dataclass(frozen=True)
class Constant:
    """A constant of a device and, where `per_dtype`, of the format computed in.

    Args:
        prior: value where nothing is known; `spread` its standard deviation, of the logarithm for a
            positive scale (`log`), else in the constant's unit.
        low, high: bounds that keep the form monotone.
        neutral: value under which the form is the datasheet's roofline (profile `ideal`).
    """

    name: str
    unit: str
    meaning: str
    prior: float
    spread: float
    low: float
    high: float
    neutral: float
    log: bool = True
    per_dtype: bool = False

    @property
    def symbol(self) -> sp.Symbol:
        return sp.Symbol(self.name, nonnegative=True)


@dataclass(frozen=True)
class Pieces:
    """Time as fixed + max(compute, move) + (1 - overlap) min(compute, move).

    `compute` and `move` are affine in pairs and context where there are such, so that sums over positions are exact: the lesser
    of two is their sum less the larger, and the sum of the larger is split where they cross.
    """

    fixed: sp.Expr
    compute: sp.Expr
    move: sp.Expr
    overlap: sp.Expr

    @property
    def time(self) -> sp.Expr:
        return self.fixed + Max(self.compute, self.move) + (1 - self.overlap) * Min(self.compute, self.move)


@dataclass(frozen=True)
class Form:
    """Time in seconds of one launch of an operator class, over symbols of its demands and constants and of `PEAK`
    and `BANDWIDTH`, the datasheet's rates.

    A constant named `launch_latency` is added to the rest of the time. `pieces`: the parts of `time`, for operators whose
    time is summed over positions.
    """

    name: str
    title: str
    demands: tuple[Demand, ...]
    constants: tuple[Constant, ...]
    time: sp.Expr
    pieces: Pieces | None = None

    def at(self, values: Mapping[str, sp.Expr]) -> sp.Expr:
        """The time with demands and constants (by name) put in."""
        return self.time.xreplace({sp.Symbol(k, nonnegative=True): v for k, v in values.items()})


PEAK = sp.Symbol("peak", nonnegative=True)
BANDWIDTH = sp.Symbol("bandwidth", nonnegative=True)
