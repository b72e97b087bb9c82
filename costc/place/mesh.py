"""Strategies and the device mesh: the degrees in order, their strides, and how a group lies in scale-up domains."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import sympy as sp

from costc import symbols as S
from costc.ir.types import ONE, Constraint
from costc.minmax import Ceiling, Floor, Max, Min
from costc.registry import Registry

#: sizes of the axes of a section (or of the whole model, for constraints), by name
Sizes = Mapping[str, sp.Expr]


def _none(sizes: Sizes) -> tuple[Constraint, ...]:
    return ()


@dataclass(frozen=True)
class Strategy:
    """A parallelism with one degree.

    Args:
        name: the degree's name in a plan.
        degree: its symbol.
        cuts: from axis sizes to the divisor of each axis that it cuts.
        place: position in the mesh, smallest innermost; None where it lies over the devices of `over`.
        over: strategies whose devices it shares out anew.
        needs: axis without which a search leaves the degree at 1 (a dense model's replicas are counted, not placed).
        constraints: conditions on the degree, given all axis sizes of the model.
    """

    name: str
    title: str
    degree: sp.Symbol
    cuts: Callable[[Sizes], Mapping[str, sp.Expr]]
    place: int | None = None
    over: tuple[str, ...] = ()
    needs: str | None = None
    constraints: Callable[[Sizes], tuple[Constraint, ...]] = _none


STRATEGIES: Registry[Strategy] = Registry("parallelism", "costc.place.strategies")


@dataclass(frozen=True)
class Group:
    """Devices that take part in a collective: `size` of them, `stride` apart in the mesh."""

    size: sp.Expr
    stride: sp.Expr

    @property
    def inside(self) -> sp.Expr:
        """Members within one scale-up domain."""
        if self.stride == ONE:
            return Min(self.size, S.domain)
        return Max(1, Min(self.size, Floor(S.domain / self.stride)))

    @property
    def domains(self) -> sp.Expr:
        """Scale-up domains that the group spans."""
        return Ceiling(self.size / self.inside)


@dataclass(frozen=True)
class Mesh:
    """The strategies in use."""

    strategies: tuple[Strategy, ...]

    def placed(self) -> tuple[Strategy, ...]:
        """Strategies that multiply devices, innermost first."""
        return tuple(sorted((s for s in self.strategies if s.place is not None), key=lambda s: s.place or 0))

    @property
    def devices(self) -> sp.Expr:
        return sp.Mul(*(s.degree for s in self.placed()))

    @property
    def ranks(self) -> sp.Expr:
        """Devices of one pipeline stage."""
        return sp.Mul(*(s.degree for s in self.placed() if s.name != "pp"))

    def group(self, name: str) -> Group:
        inner = [s.degree for s in self.placed()]
        names = [s.name for s in self.placed()]
        at = names.index(name)
        return Group(inner[at], sp.Mul(*inner[:at]))

    def base(self, names: frozenset[str]) -> frozenset[str]:
        """The strategies with devices of their own behind these names."""
        return frozenset(b for n in names for b in (self[n].over or (n,)))

    def __getitem__(self, name: str) -> Strategy:
        return next(s for s in self.strategies if s.name == name)


def mesh() -> Mesh:
    """All registered strategies; those of degree 1 cut nothing."""
    return Mesh(tuple(STRATEGIES.values()))
