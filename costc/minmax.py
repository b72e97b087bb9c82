"""Maximum, minimum, floor and ceiling that stay as they are written, and quotients that are safe in floating point.

sympy's own compare all arguments pairwise under assumptions when they are built, which took more than
half of the compile time and hardly ever found an order. These compare numbers alone; all else is sympy's.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import sympy as sp
from sympy.core.operations import ShortCircuit


class _Plain:
    """Leaves out sympy's pairwise comparison and argument collapsing."""

    @classmethod
    def _is_connected(cls, x: sp.Expr, y: sp.Expr) -> Any:
        if not (x.is_Number and y.is_Number):
            return False
        found = super()._is_connected(x, y)  # type: ignore[misc]
        # sympy answers with its own classes and compares the answer with ours
        return {sp.Max: Max, sp.Min: Min}.get(found, found)

    @classmethod
    def _collapse_arguments(cls, args: Any, **assumptions: Any) -> Any:
        return args

    @classmethod
    def _new_args_filter(cls, arg_sequence: Iterable[sp.Expr]) -> Iterator[sp.Expr]:
        # without sympy's question whether each argument is real, which asks every symbol under it
        for arg in arg_sequence:
            if arg == cls.zero:  # type: ignore[attr-defined]
                raise ShortCircuit(arg)
            if arg.func == cls:
                yield from arg.args
            elif arg != cls.identity:  # type: ignore[attr-defined]
                yield arg


class _Unsplit:
    """Evaluates numbers alone: sympy's own asks assumptions of every term to take whole ones out."""

    @classmethod
    def eval(cls, arg: sp.Expr) -> Any:
        return super().eval(arg) if arg.is_Number else None  # type: ignore[misc]


class floor(_Unsplit, sp.floor):
    """The largest whole number that is not larger. Named as sympy's, which is how printers know it."""


class ceiling(_Unsplit, sp.ceiling):
    """The smallest whole number that is not smaller."""


Floor, Ceiling = floor, ceiling


class Max(_Plain, sp.Max):
    """The largest argument."""


class Min(_Plain, sp.Min):
    """The smallest argument."""


def quotient(n: sp.Expr, m: sp.Expr) -> sp.Expr:
    """floor(n / m) of whole numbers.

    The argument is half a step away from where the floor changes: sympy spreads 1 / m over the terms of n, and their floating
    point sum may come out beside a whole number.
    """
    return Floor((2 * n + 1) / (2 * m))


def quotient_up(n: sp.Expr, m: sp.Expr) -> sp.Expr:
    """ceil(n / m) of whole numbers, as safe."""
    return Ceiling((2 * n - 1) / (2 * m))
