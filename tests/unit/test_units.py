from __future__ import annotations

import pytest
import sympy as sp

from costc.program import BoundOf, Turn
from costc.units import UnitError, dimension, dimension_of, parse

BYTE, BANDWIDTH, SECOND, COUNT = (sp.Symbol(n, positive=True) for n in ("byte", "bandwidth", "second", "count"))
UNIT_OF = {BYTE: "B", BANDWIDTH: "B/s", SECOND: "s", COUNT: "1"}


@pytest.mark.parametrize(
    ("text", "unit", "value"),
    [
        ("450 GB/s", "B/s", 450e9),
        ("3.35TB/s", "B/s", 3.35e12),
        ("80 GB", "B", 80e9),
        ("3.14 GiB", "B", 3.14 * 2**30),
        ("2 TiB", "B", 2.0**41),
        ("989.4 TFLOP/s", "FLOP/s", 989.4e12),
        ("1978.9 TOP/s", "FLOP/s", 1978.9e12),
        ("1 PFLOP/s", "FLOP/s", 1e15),
        ("1.3 us", "s", 1.3e-6),
        ("0 s", "s", 0.0),
        ("0.5 kW", "W", 500.0),
        ("3.6 USD/h", "USD/s", 0.001),
        ("1e-3", "1", 1e-3),
        (" 7 ", "1", 7.0),
        (0.92, "1", 0.92),
        (16, "1", 16.0),
    ],
)
def test_quantities_are_read_into_si(text: object, unit: str, value: float) -> None:
    assert parse(text, unit) == pytest.approx(value, rel=1e-15, abs=0)


@pytest.mark.parametrize(
    ("text", "unit"),
    [
        ("450 GB", "B/s"), ("450", "B/s"), (450, "B/s"), ("450 gb/s", "B/s"), ("450 Gb/s", "B/s"), ("GB/s", "B/s"), ("1 s", "B"),
        ("1,5 GB", "B"), ("1 GB GB", "B"), ("nan B", "B"), ("inf B", "B"), ("1e999 B", "B"), (True, "1"), (None, "1"), ([1], "1"),
        ("1 B", "1"), ("", "1"), ("__import__('os')", "1"), (float("nan"), "1"), (float("inf"), "1"),
    ],
)  # fmt: skip
def test_other_text_is_refused(text: object, unit: str) -> None:
    with pytest.raises(ValueError, match=r"expected"):
        parse(text, unit)


@pytest.mark.parametrize(
    ("unit", "powers"),
    [
        ("B", {"B": 1}),
        ("FLOP/s", {"s": -1}),
        ("B/s", {"B": 1, "s": -1}),
        ("s/FLOP", {"s": 1}),
        ("1", {}),
        ("W*s", {"W": 1, "s": 1}),
        ("FLOP/B", {"B": -1}),
    ],
)
def test_a_unit_has_a_dimension(unit: str, powers: dict[str, int]) -> None:
    assert dimension(unit) == powers


@pytest.mark.parametrize(
    ("expr", "powers"),
    [
        (BYTE / BANDWIDTH, {"s": 1}),
        (BYTE / BANDWIDTH + SECOND, {"s": 1}),
        (sp.Max(BYTE / BANDWIDTH, SECOND), {"s": 1}),
        (BYTE**2 / BYTE, {"B": 1}),
        (COUNT * 3 + 1, {}),
        (sp.ceiling(COUNT) * BYTE, {"B": 1}),
        (sp.Rational(1, 2) ** COUNT * BYTE, {"B": 1}),
        (Turn(SECOND, 2 * SECOND, COUNT) * BYTE, {"B": 1}),
        (BoundOf(SECOND, 2 * SECOND), {}),
        (sp.Piecewise((BYTE, COUNT > 1), (0, True)), {"B": 1}),
        (sp.Integer(0), None),
    ],
)
def test_dimensions_of_expressions(expr: sp.Expr, powers: dict[str, int] | None) -> None:
    assert dimension_of(expr, UNIT_OF) == powers


@pytest.mark.parametrize(
    "expr",
    [
        BYTE + SECOND,
        BYTE + 1,
        sp.Max(BYTE, SECOND),
        sp.Min(BYTE, COUNT),
        BYTE * (SECOND + BANDWIDTH),
        Turn(SECOND, BYTE, COUNT),
        BoundOf(SECOND, BYTE),
        sp.Piecewise((BYTE, COUNT > 1), (SECOND, True)),
        sp.sqrt(BYTE),
        BYTE**COUNT,
    ],
    ids=str,
)
def test_unlike_units_do_not_add_or_compare(expr: sp.Expr) -> None:
    with pytest.raises(UnitError):
        dimension_of(expr, UNIT_OF)
