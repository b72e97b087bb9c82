"""Splitting an amount into a constant and a coefficient per variable."""

from __future__ import annotations

import sympy as sp

from costc.program import Steps

Variables = tuple[sp.Symbol, ...]
#: sequences of a step, to which all that grows with a prompt's positions is proportional
SEQUENCES = sp.Symbol("sequences", real=True)
#: tokens of a rank in a step
TOKENS = sp.Symbol("tokens", real=True)


def affine(expr: sp.Expr, variables: Variables) -> tuple[sp.Expr, tuple[sp.Expr, ...]]:
    """(constant, coefficients) with expr = constant + sum of coefficient x variable.

    Raises:
        ValueError: the expression is not affine in the variables.
    """
    coefficients = tuple(sp.diff(expr, v) for v in variables)
    if any(c.has(*variables) for c in coefficients):
        raise ValueError(f"not affine in {variables}: {expr}")
    return expr.xreplace(dict.fromkeys(variables, sp.Integer(0))), coefficients


def in_coefficients(expr: sp.Expr, variables: Variables, where: str, steps: Steps, unit: str) -> sp.Expr:
    """The expression with its constant and coefficients named as steps.

    Powers of a variable (the experts that t tokens touch) count as variables of their own.
    """
    powers = sorted((p for p in expr.atoms(sp.Pow) if p.exp.has(*variables)), key=str)
    stand_in = {p: sp.Dummy(f"touched{i}") for i, p in enumerate(powers)}
    constant, coefficients = affine(expr.xreplace(stand_in), (*variables, *stand_in.values()))
    total = steps.let(f"{where}.fixed", constant, unit, "whatever the size of the step") if not constant.is_number else constant
    for variable, coefficient in zip((*variables, *powers), coefficients, strict=True):
        if coefficient != 0:
            tail = variable.name.split("_")[0] if variable.is_Symbol else "untouched"
            each = sp.diff(coefficient, SEQUENCES)
            times, each = (SEQUENCES, each) if each != 0 else (sp.Integer(1), coefficient)
            if not each.is_number:
                each = steps.let(f"{where}.per_{tail}", each, unit, f"for each of {tail}")
            total += variable * times * each
    return total
