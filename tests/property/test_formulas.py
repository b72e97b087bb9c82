from __future__ import annotations

from collections.abc import Callable
from functools import cache

import pytest
import sympy as sp

from costc.symbols import VARS
from tests.property.compiled import FAMILIES, degrees, model, platform, run

POINTS = ((1, 2), (7, 13), (120, 20), (127, 3), (128, 30), (500, 40))


@cache
def _number(name: str, formula: str) -> tuple[tuple[str, ...], Callable[..., float]]:
    expr = model(name).formula(formula)
    symbols = sorted(expr.free_symbols, key=lambda s: s.name)
    return tuple(s.name for s in symbols), sp.lambdify(symbols, expr, "math")


def _at(name: str, formula: str, **values: float) -> float:
    """A formula's value; plan and quantization, where it holds them, at fixed odd numbers."""
    names, function = _number(name, formula)
    fixed = {"batch": 6.0, "tp": 2.0, "pp": 2.0, "dp": 2.0, "ep": 2.0, "domain": 2.0, "expert_skew": 1.0, **values}
    return float(function(*(fixed.get(n, 1.5) for n in names)))


@pytest.mark.parametrize("name", FAMILIES)
def test_generation_is_the_sum_of_decode_over_its_positions(name: str) -> None:
    generations = [f for f in model(name).formulas() if f.startswith("generation.")]
    assert len(generations) > 50
    for formula in generations:
        decode = formula.replace("generation.", "decode.", 1)
        for isl, osl in POINTS:
            summed = sum(_at(name, decode, context=isl + j) for j in range(1, osl))
            assert _at(name, formula, isl=isl, osl=osl) == pytest.approx(summed, rel=1e-12), formula


def _pairs(seq: int, window: int | None) -> int:
    return sum(min(position + 1, window or seq) for position in range(seq))


@pytest.mark.parametrize(
    ("name", "section", "per_pair", "layers", "window"),
    [
        # heads x (score + attend) over head_dim, at tp 2 and dp 2: 2 FLOP a multiply-add
        ("gpt-oss-120b", "attention.sliding", 2 * 64 * (64 + 64), 18, 128),
        ("gpt-oss-120b", "attention.full", 2 * 64 * (64 + 64), 18, None),
        ("llama-3.1-8b", "attention.full", 2 * 32 * (128 + 128), 32, None),
        ("deepseek-r1", "attention.mla", 2 * 128 * (192 + 128), 61, None),
    ],
)
def test_prefill_attends_the_causal_pairs_in_the_window(
    name: str, section: str, per_pair: int, layers: int, window: int | None
) -> None:
    formula = f"prefill.{section}.score_to_attend.flop"
    for seq in (1, 2, 127, 128, 129, 1000):
        found = _at(name, formula, seq=seq, batch=6.0, tp=2.0, dp=2.0)
        assert found == pytest.approx(6 / (2 * 2) * layers * per_pair * _pairs(seq, window), rel=1e-14)


@pytest.mark.parametrize("name", FAMILIES)
def test_scopes_add_up_to_their_phase(name: str) -> None:
    sections = [s.name for s in model(name).lowered["decode"].graph]
    formulas = model(name).formulas()
    for phase, at in (("prefill", {"seq": 300.0}), ("decode", {"context": 300.0}), ("generation", {"isl": 300.0, "osl": 9.0})):
        for resource in ("flop", "memory_byte", "link_byte", "launches", "vector_flop"):
            parts = [f"{phase}.{s}.{resource}" for s in sections if f"{phase}.{s}.{resource}" in formulas]
            assert parts
            summed = sum(_at(name, part, **at) for part in parts)
            assert _at(name, f"{phase}.{resource}", **at) == pytest.approx(summed, rel=1e-12), (phase, resource)


@pytest.mark.parametrize("name", FAMILIES)
def test_every_symbol_of_a_formula_is_defined(name: str) -> None:
    totals = [f for f in model(name).formulas() if f.count(".") == 1 and not f.startswith("draft.")]
    assert len(totals) == 30
    for formula in (*totals, "ttft", "memory_kv"):
        for bound in (True, False):
            assert {s.name for s in model(name).formula(formula, bound).free_symbols} <= set(VARS), formula


def test_an_output_s_formula_evaluates_to_the_output() -> None:
    name = "llama-3.1-8b"
    values = {**platform(name), **degrees((2, 2, 2, 1)), "microbatches": 2, "batch": 9, "isl": 300, "osl": 40}
    found = run(name, values)
    for output in ("ttft", "tpot", "memory_kv", "memory_total", "max_batch", "output_throughput", "flop_decode"):
        closed = model(name).formula(output)
        at = {s: sp.Rational(float(values[s.name])) for s in closed.free_symbols}
        assert float(closed.xreplace(at).doit()) == pytest.approx(float(found[output]), rel=1e-12), output
