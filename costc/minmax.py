"""Maximum and minimum that stay as they are written.

sympy's own compare all arguments pairwise under assumptions when they are built, which took a third of
the compile time and hardly ever found an order. These compare numbers alone; all else is sympy's.
"""

from __future__ import annotations

from typing import Any

import sympy as sp


class _Plain:
    """Leaves out sympy's pairwise comparison and argument collapsing."""

    @classmethod
    def _is_connected(cls, x: sp.Expr, y: sp.Expr) -> Any:
        return super()._is_connected(x, y) if x.is_Number and y.is_Number else False  # type: ignore[misc]

    @classmethod
    def _collapse_arguments(cls, args: Any, **assumptions: Any) -> Any:
        return args


class Max(_Plain, sp.Max):  # type: ignore[misc]
    """The largest argument."""


class Min(_Plain, sp.Min):  # type: ignore[misc]
    """The smallest argument."""
