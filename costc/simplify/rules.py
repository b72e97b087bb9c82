"""The rules. Each takes a program and gives one of equal value; none changes an output's name.

Blanket `sympy.simplify` is slow and finds little; these rules know what the formulas look like.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import count

import sympy as sp

from costc.program import Program, Step, step_symbol
from costc.symbols import VARS

#: functions that cost more than what is saved by repeating them
COSTLY = (sp.Max, sp.Min, sp.floor, sp.ceiling, sp.Piecewise)


@dataclass(frozen=True)
class Report:
    """The program before all rules ('start') and after each; counting its operations takes a while, so only who asks does."""

    stages: tuple[tuple[str, Program], ...]

    @property
    def operations(self) -> tuple[tuple[str, int], ...]:
        """Operations of the program at each stage."""
        return tuple((name, operations(program)) for name, program in self.stages)

    def __str__(self) -> str:
        return ", ".join(f"{name}: {n}" for name, n in self.operations)


def simplify(program: Program, names: tuple[str, ...] | None = None) -> tuple[Program, Report]:
    """Apply the rules (all, or those named) in order; the simplified program and its report."""
    stages = [("start", program)]
    for name, rule in RULES.items():
        if names is None or name in names:
            program = rule(program)
            stages.append((name, program))
    return program, Report(tuple(stages))


def operations(program: Program) -> int:
    """Operations of all steps, as sympy counts them."""
    return int(sum(step.expr.count_ops() for step in program.steps))


def drop_dead(program: Program) -> Program:
    """Leave out steps that no output needs."""
    needed = {step_symbol(o.step) for o in program.outputs}
    kept: list[Step] = []
    for step in reversed(program.steps):
        if step.symbol in needed:
            kept.append(step)
            needed |= step.expr.free_symbols
    return program.evolve(steps=tuple(reversed(kept)))


def inline_once(program: Program) -> Program:
    """Put a step that one other uses into it, unless it is an output or holds a costly function."""
    uses = Counter(s for step in program.steps for s in step.expr.free_symbols)
    outputs = {step_symbol(o.step) for o in program.outputs}
    known: dict[sp.Symbol, sp.Expr] = {}
    kept = []
    for step in program.steps:
        expr = step.expr.xreplace(known)
        alone = uses[step.symbol] == 1 and not expr.has(*COSTLY)
        if step.symbol not in outputs and (alone or expr.is_Symbol):
            known[step.symbol] = expr
        else:
            kept.append(replace(step, expr=expr))
    return program.evolve(steps=tuple(kept))


def take_out_factors(program: Program) -> Program:
    """Take common factors out of sums: a x + b x -> x (a + b). (sympy's factor_terms finds fewer, in ten times the time.)"""
    known: dict[sp.Expr, sp.Expr] = {}
    return program.evolve(steps=tuple(replace(s, expr=factored(s.expr, known)) for s in program.steps))


def factored(expr: sp.Expr, known: dict[sp.Expr, sp.Expr] | None = None) -> sp.Expr:
    """The expression with each sum's common factors before it, from the inside out; `known` keeps what was found."""
    known = {} if known is None else known
    if expr.args and expr not in known:
        args = [factored(a, known) for a in expr.args]
        same = all(a is b for a, b in zip(args, expr.args, strict=True))
        known[expr] = _outside(expr if same else expr.func(*args))
    return known.get(expr, expr)


def _outside(expr: sp.Expr) -> sp.Expr:
    """A sum's common factors, times the rest."""
    if not isinstance(expr, sp.Add):
        return expr
    products = [sp.Mul.make_args(term) for term in expr.args]
    common = {f for f in set(products[0]).intersection(*products[1:]) if not f.is_Number}
    if not common:
        return expr
    return sp.Mul(*common, sp.Add(*(sp.Mul(*(f for f in p if f not in common)) for p in products)))


def invert_once(program: Program) -> Program:
    """Divide once by what is a divisor in many places, then multiply."""
    rounded = _rounded(program)
    within = {s.name: set() if s.symbol in rounded else {p for p in _divisions(s) if p.base.is_Symbol} for s in program.steps}
    powers = Counter(p for found in within.values() for p in found)
    inverse = {p: step_symbol(f"inverse.{p.base}") for p, n in powers.items() if n > 1}
    defined = {p.base: Step(s.name, p, _inverse_unit(program, p.base), f"1 / {p.base}") for p, s in inverse.items()}
    steps = [defined.pop(x) for x in program.inputs if x in defined]
    for step in program.steps:
        steps.append(replace(step, expr=step.expr.xreplace(inverse)) if within[step.name] & set(inverse) else step)
        if step.symbol in defined:
            steps.append(defined.pop(step.symbol))
    return program.evolve(steps=tuple(steps))


def _divisions(step: Step) -> set[sp.Expr]:
    return {p for p in step.expr.atoms(sp.Pow) if p.exp is sp.S.NegativeOne}


def _rounded(program: Program) -> set[sp.Symbol]:
    """Steps that are rounded to whole numbers. They keep their divisions: n / m is a whole number where m divides n, but
    n x (1 / m) may come out above it."""
    found: set[sp.Symbol] = set()
    for step in program.steps:
        for function in step.expr.atoms(sp.floor, sp.ceiling):
            found |= {step.symbol, *function.free_symbols}
    return found


def _inverse_unit(program: Program, symbol: sp.Symbol) -> str:
    units = {s.symbol: s.unit for s in program.steps}
    unit = units.get(symbol) or VARS[symbol.name].unit
    above, _, below = unit.partition("/")
    return f"{below or '1'}/{above}"


def share(program: Program) -> Program:
    """Name subexpressions that stand in several places."""
    names = (step_symbol(f"shared.{i}") for i in count())
    rounded = _rounded(program)
    divisions = sorted({p for s in program.steps if s.symbol in rounded for p in _divisions(s)}, key=str)
    apart = {p: step_symbol(f"apart.{i}") for i, p in enumerate(divisions)}
    whole = {symbol: p for p, symbol in apart.items()}
    exprs = [s.expr.xreplace(apart) if s.symbol in rounded else s.expr for s in program.steps]
    replacements, reduced = sp.cse(exprs, symbols=names, order="none", list=True)
    parts, reduced = {s: e.xreplace(whole) for s, e in replacements}, [e.xreplace(whole) for e in reduced]
    known: set[sp.Symbol] = set(program.inputs)
    steps: list[Step] = []

    def define(expr: sp.Expr) -> Iterator[Step]:
        for symbol in sorted(expr.free_symbols - known, key=lambda s: s.name):
            if symbol in parts and symbol not in known:
                yield from define(parts[symbol])
                known.add(symbol)
                yield Step(symbol.name, parts[symbol], "?")

    for step, expr in zip(program.steps, reduced, strict=True):
        steps += [*define(expr), replace(step, expr=expr)]
        known.add(step.symbol)
    return program.evolve(steps=tuple(steps))


RULES: dict[str, Callable[[Program], Program]] = {
    "drop_dead": drop_dead,
    "inline_once": inline_once,
    "take_out_factors": take_out_factors,
    "invert_once": invert_once,
    "share": share,
}
