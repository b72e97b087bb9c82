"""Units: reading '3.35 TB/s' into SI base units, and checking the dimension of expressions.

A dimension is a map from base unit to exponent. Base units: B (byte), s, W, USD. Counts (tokens,
devices, FLOP) have no dimension. 1 GB = 1e9 B, 1 GiB = 2**30 B. OP (integer operation) and FLOP
are the same: both are what a matrix unit does.
"""

from __future__ import annotations

import math
import re

import sympy as sp

from costc.errors import nearest

Dimension = dict[str, int]

_PREFIX = {"": 1.0, "k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12, "P": 1e15}
_BINARY = {"Ki": 2.0**10, "Mi": 2.0**20, "Gi": 2.0**30, "Ti": 2.0**40}


def _units() -> dict[str, tuple[float, str]]:
    table: dict[str, tuple[float, str]] = {"W": (1.0, "W"), "kW": (1e3, "W"), "1": (1.0, "1"), "": (1.0, "1")}
    table["USD/h"] = (1 / 3600, "USD/s")
    table["USD/s"] = (1.0, "USD/s")
    for prefix, factor in (_PREFIX | _BINARY).items():
        table[f"{prefix}B"] = (factor, "B")
        table[f"{prefix}B/s"] = (factor, "B/s")
    for prefix, factor in _PREFIX.items():
        for name in ("FLOP/s", "OP/s"):
            table[f"{prefix}{name}"] = (factor, "FLOP/s")
    for name, factor in {"s": 1.0, "ms": 1e-3, "us": 1e-6, "ns": 1e-9}.items():
        table[name] = (factor, "s")
    return table


UNITS = _units()
_QUANTITY = re.compile(r"\s*([+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)\s*(\S*)\s*")


def parse(text: object, unit: str) -> float:
    """Read a quantity such as '450 GB/s' into the SI unit given.

    Raises:
        ValueError: not a finite number with a unit of that dimension; the message says which are.
    """
    allowed = [u for u, (_, base) in UNITS.items() if base == unit and u]
    number = str(text) if isinstance(text, (int, float)) and not isinstance(text, bool) else text
    match = _QUANTITY.fullmatch(number) if isinstance(number, str) else None
    wanted = f"a number with a unit: {', '.join(allowed)}" if unit != "1" else "a plain number"
    if not match:
        raise ValueError(f"{text!r} is not a quantity; expected {wanted}")
    value, name = float(match[1]), match[2]
    if name not in UNITS or UNITS[name][1] != unit:
        said = f"unit {name!r}" if name else "no unit"
        close = nearest(name, allowed) if name else None
        raise ValueError(f"{text!r} has {said}; expected {wanted}" + (f"; did you mean {close!r}?" if close else ""))
    result = value * UNITS[name][0]
    if not math.isfinite(result):
        raise ValueError(f"{text!r} is too large; expected a finite number")
    return result


def dimension(unit: str) -> Dimension:
    """The dimension of a unit such as 'FLOP/s' or 'B'."""
    result: Dimension = {}
    for place, part in enumerate(unit.split("/")):
        for base in part.split("*"):
            if base not in ("1", "", "FLOP"):
                result[base] = result.get(base, 0) + (1 if place == 0 else -1)
    return {base: power for base, power in result.items() if power}


class UnitError(TypeError):
    """An expression that adds or compares unlike quantities: a defect of a formula."""


def dimension_of(expr: sp.Expr, unit_of: dict[sp.Symbol, str]) -> Dimension | None:
    """The dimension of an expression; None for zero or infinity, which fit any.

    Raises:
        UnitError: terms of a sum, or arguments of a maximum, differ in dimension.
    """
    if expr.is_Symbol:
        return dimension(unit_of[expr])
    if expr.is_number:
        return None if expr.is_zero or expr.is_infinite else {}
    if expr.is_Mul:
        total: Dimension = {}
        for arg in expr.args:
            for base, power in (dimension_of(arg, unit_of) or {}).items():
                total[base] = total.get(base, 0) + power
        return {base: power for base, power in total.items() if power}
    if expr.is_Pow:
        found = dimension_of(expr.base, unit_of) or {}
        if any(not (power * expr.exp).is_Integer for power in found.values()):
            raise UnitError(f"power of a quantity with unit: {expr}")
        return {base: int(power * expr.exp) for base, power in found.items()}
    return _alike(expr, unit_of)


def _alike(expr: sp.Expr, unit_of: dict[sp.Symbol, str]) -> Dimension | None:
    """Of a sum, maximum, ceiling and the like: all arguments have one dimension, and so has it."""
    if isinstance(expr, (sp.exp, sp.log)):
        return {}
    args = [pair.expr for pair in expr.args] if isinstance(expr, sp.Piecewise) else getattr(expr, "alike", expr.args)
    found = [d for d in (dimension_of(a, unit_of) for a in args) if d is not None]
    if any(d != found[0] for d in found):
        raise UnitError(f"unlike units in {expr}: {found}")
    if getattr(expr, "dimensionless", False):
        return {}
    return found[0] if found else None
