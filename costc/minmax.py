"""Maximum and minimum that stay as they are written, and quotients of whole numbers that are safe in floating point.

sympy's own compare all arguments pairwise under assumptions when they are built, which took more than
half of the compile time and hardly ever found an order. These compare numbers alone; all else is sympy's.
"""

from __future__ import annotations

from typing import Any

import sympy as sp


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


class Max(_Plain, sp.Max):
    """The largest argument."""


class Min(_Plain, sp.Min):
    """The smallest argument."""


def quotient(n: sp.Expr, m: sp.Expr) -> sp.Expr:
    """floor(n / m) of whole numbers.

    The argument is half a step away from where the floor changes: sympy spreads 1 / m over the terms of n, and their floating
    point sum may come out beside a whole number.
    """
    return sp.floor((2 * n + 1) / (2 * m))


def quotient_up(n: sp.Expr, m: sp.Expr) -> sp.Expr:
    """ceil(n / m) of whole numbers, as safe."""
    return sp.ceiling((2 * n - 1) / (2 * m))
