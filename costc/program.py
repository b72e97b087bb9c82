"""Program: a target-neutral straight-line computation in named steps, and the functions it may call."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import sympy as sp

from costc import units
from costc.minmax import Ceiling, Max, Min
from costc.symbols import VARS


class BoundOf(sp.Function):
    """Index (0, 1, ...) of the largest argument; the first of equals."""

    dimensionless = True

    def doit(self, **hints: Any) -> sp.Expr:
        largest = Max(*self.args)
        return sp.Piecewise(*((sp.Integer(i), sp.Eq(a, largest)) for i, a in enumerate(self.args)))

    def _eval_evalf(self, prec: int) -> sp.Expr:
        values = [a.evalf() for a in self.args]
        if all(v.is_number for v in values):
            return sp.Integer(values.index(max(values)))
        return self


class Turn(sp.Function):
    """Turn(gap, slope, n): terms of gap + k slope, k = 0 .. n-1, that lie before its change of sign; 0 or n without one."""

    dimensionless = True

    @classmethod
    def eval(cls, gap: sp.Expr, slope: sp.Expr, count: sp.Expr) -> sp.Expr | None:
        if not all(a.is_number for a in (gap, slope, count)):
            return None
        return sp.Integer(0) if slope.is_zero else Min(Max(Ceiling(-gap / slope), 0), count)

    @property
    def alike(self) -> tuple[sp.Expr, ...]:
        """Arguments that have one unit."""
        return tuple(self.args[:2])

    def doit(self, **hints: Any) -> sp.Expr:
        gap, slope, count = self.args
        if slope.is_zero:
            return sp.Integer(0)
        crossing = Min(Max(Ceiling(-gap / slope), 0), count)
        return sp.Piecewise((crossing, sp.Ne(slope, 0)), (sp.Integer(0), True))

    def _eval_evalf(self, prec: int) -> sp.Expr:
        return self.doit() if all(a.is_number for a in self.args) else self


@dataclass(frozen=True)
class Step:
    """`name` = `expr`, in `unit`; `comment` says what it is."""

    name: str
    expr: sp.Expr
    unit: str
    comment: str = ""

    @property
    def symbol(self) -> sp.Symbol:
        return step_symbol(self.name)


def step_symbol(name: str) -> sp.Symbol:
    """The symbol that later steps know a step by."""
    return sp.Symbol(name, real=True)


@dataclass(frozen=True)
class Output:
    """A published result: its name, the step that holds it, unit and meaning."""

    name: str
    step: str
    unit: str
    meaning: str


@dataclass(frozen=True)
class Program:
    """Inputs, steps in order, outputs. `valid` are expressions that must be zero for a point to make sense."""

    name: str
    inputs: tuple[sp.Symbol, ...]
    steps: tuple[Step, ...]
    outputs: tuple[Output, ...]
    valid: tuple[sp.Expr, ...] = ()

    def __iter__(self) -> Iterator[Step]:
        return iter(self.steps)

    def step(self, name: str) -> Step:
        return next(s for s in self.steps if s.name == name)

    def evolve(self, **changes: Any) -> Program:
        return replace(self, **changes)

    def expand(self, expr: sp.Expr) -> sp.Expr:
        """The expression in inputs alone: every step's symbol replaced by its definition."""
        known = {s.symbol: s.expr for s in self.steps}
        while True:
            found = {s: known[s] for s in expr.free_symbols if s in known}
            if not found:
                return expr
            expr = expr.xreplace(found)


class ProgramError(AssertionError):
    """A program that breaks an invariant: a defect of the compiler."""


def verify(program: Program) -> Program:
    """Return the program, or raise: a step defined twice or used before it is, an unlike unit, an unknown input."""
    known = set(program.inputs)
    unit_of = {v.symbol: v.unit for v in VARS.values()}
    for step in program.steps:
        unknown = step.expr.free_symbols - known
        if unknown:
            raise ProgramError(f"step {step.name} uses {sorted(map(str, unknown))} before definition")
        if step.symbol in known:
            raise ProgramError(f"step {step.name} is defined twice")
        found = units.dimension_of(step.expr, unit_of)
        if found is not None and found != units.dimension(step.unit):
            raise ProgramError(f"step {step.name} is declared {step.unit} but has {found}: {step.expr}")
        known.add(step.symbol)
        unit_of[step.symbol] = step.unit
    missing = [o.name for o in program.outputs if step_symbol(o.step) not in known]
    if missing:
        raise ProgramError(f"outputs without a step: {missing}")
    return program


class Steps:
    """Collects steps; an expression that has a name already keeps it."""

    def __init__(self) -> None:
        self.steps: list[Step] = []
        self._named: dict[tuple[sp.Expr, str], sp.Symbol] = {}

    def let(self, name: str, expr: sp.Expr, unit: str = "1", comment: str = "") -> sp.Symbol:
        """Name an expression; returns the symbol to use in later ones."""
        expr = sp.sympify(expr)
        key = (expr, unit)
        if key not in self._named:
            step = Step(name, expr, unit, comment)
            self.steps.append(step)
            self._named[key] = step.symbol
        return self._named[key]

    def fresh(self, name: str, expr: sp.Expr, unit: str = "1", comment: str = "") -> sp.Symbol:
        """Like `let`, but always under this very name (outputs)."""
        self.steps.append(Step(name, sp.sympify(expr), unit, comment))
        return self.steps[-1].symbol
