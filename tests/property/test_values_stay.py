from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest
import sympy as sp

from costc.emit.evaluator import Evaluator
from costc.program import Program
from tests.property.compiled import FAMILIES, PLANS, degrees, model, random_platform

DIGITS = 60


def _points(name: str, count: int, seed: int = 0) -> list[dict[str, Any]]:
    rng = random.Random(f"{name} {seed}")
    found = []
    for _ in range(count):
        plan = degrees(rng.choice(PLANS[name]))
        found.append({
            **random_platform(name, rng), **plan, "microbatches": rng.randint(1, 4), "batch": rng.randint(1, 300),
            "isl": rng.randint(1, 5000), "osl": rng.randint(2, 2000), "max_num_batched_tokens": rng.choice((1, 37, 512, 8192)),
        })  # fmt: skip
    return found


def _columns(points: list[dict[str, Any]]) -> dict[str, np.ndarray]:
    return {k: np.array([p[k] for p in points], dtype=float) for k in points[0]}


@pytest.mark.parametrize("name", FAMILIES)
def test_simplification_preserves_every_output(name: str) -> None:
    points = _columns(_points(name, 200))
    before, after = Evaluator(model(name).program)(points), model(name).evaluator(points)
    assert list(before) == list(after)
    for output in before:
        np.testing.assert_allclose(after[output], before[output], rtol=1e-12, atol=0, err_msg=output)


def _short(value: sp.Expr) -> sp.Expr:
    """The value, exact while its digits are few."""
    if value.is_Rational and max(abs(value.p), value.q) < 10**DIGITS:
        return value
    return sp.Float(value, DIGITS) if value.is_number else value


def _powers(expr: sp.Expr, known: dict[sp.Symbol, sp.Expr]) -> dict[sp.Expr, sp.Expr]:
    """Powers of a number as floats of many digits: exact they would have thousands."""
    powers = (p for p in expr.atoms(sp.Pow) if p.base.is_number and not p.exp.is_number)
    return {p: sp.Float(p.base, DIGITS) ** p.exp.xreplace(known) for p in powers}


def exact(program: Program, point: dict[str, Any]) -> dict[str, sp.Expr]:
    """All outputs by sympy, from inputs taken as the exact rationals that the floats are."""
    known = {s: sp.Rational(float(point[s.name])) for s in program.inputs}
    for step in program.steps:
        known[step.symbol] = _short(step.expr.xreplace({**known, **_powers(step.expr, known)}).doit())
    named = {s.name: v for s, v in known.items()}
    return {o.name: named[o.step] for o in program.outputs}


@pytest.mark.parametrize("name", FAMILIES)
def test_emitted_numpy_equals_exact_arithmetic(name: str) -> None:
    compiled = model(name)
    for point in _points(name, 12, seed=1):
        found, wanted = compiled.evaluator(point), exact(compiled.program, point)
        assert found.keys() == wanted.keys()
        for output, value in wanted.items():
            assert float(found[output]) == pytest.approx(float(value), rel=1e-12, abs=0), output


@pytest.mark.parametrize("microbatches", [3, 7])
def test_simplification_never_rounds_up_a_whole_number(microbatches: int) -> None:
    # n x (1 / m) lies above n / m for some n: one round more, and a third more time
    name = "llama-3.1-8b"
    points = {**_points(name, 1)[0], **degrees((1, 1, 1, 1)), "microbatches": microbatches, "batch": np.arange(1.0, 20001)}
    before, after = Evaluator(model(name).program)(points), model(name).evaluator(points)
    for output in ("ttft", "tpot"):
        np.testing.assert_allclose(after[output], before[output], rtol=1e-12, atol=0, err_msg=output)
