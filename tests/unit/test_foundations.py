"""Formats, registries, error messages, names, and the plain maximum and minimum."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import sympy as sp

from costc.dtypes import DTYPES, computed_in, dtype
from costc.emit import mangle
from costc.errors import CostcError, nearest, not_among
from costc.minmax import Max, Min
from costc.program import BoundOf, Turn
from costc.registry import Registry


@pytest.mark.parametrize(
    ("name", "units", "used"),
    [
        ("fp8", {"fp8", "bf16"}, "fp8"),
        ("fp8", {"bf16", "fp32"}, "bf16"),
        ("fp8", {"int8", "fp32"}, "fp32"),
        ("mxfp4", {"fp8", "bf16"}, "bf16"),
        ("nvfp4", {"fp4", "bf16"}, "nvfp4"),
        ("int8", {"fp8", "bf16"}, "bf16"),
        ("int4", {"int8", "bf16"}, "bf16"),
        ("fp16", {"bf16"}, None),
        ("bf16", {"fp32"}, "fp32"),
        ("fp32", {"tf32", "bf16"}, None),
        ("bf16", set(), None),
    ],
)
def test_a_lacking_format_falls_back(name: str, units: set[str], used: str | None) -> None:
    assert computed_in(name, units) == used


@pytest.mark.parametrize("name", DTYPES)
def test_no_format_falls_back_from_float_to_integer(name: str) -> None:
    if not name.startswith("int"):
        assert computed_in(name, {"int8", "int4", "int2"}) is None


def test_bytes_of_elements() -> None:
    assert {n: dtype(n).byte for n in ("fp32", "bf16", "fp8", "int4", "mxfp4", "int2")} == {
        "fp32": 4, "bf16": 2, "fp8": 1, "int4": 0.5, "mxfp4": 0.5, "int2": 0.25,
    }  # fmt: skip


def test_an_unknown_format_is_told_with_the_nearest() -> None:
    with pytest.raises(CostcError, match=r"unknown dtype 'bf61'; allowed: .*; did you mean 'bf16'"):
        dtype("bf61")


def test_a_registry_loads_its_package_once_and_lists_names_in_order() -> None:
    found: Registry[object] = Registry("attention kind", "costc.blocks.attention")
    assert list(found) == []  # the modules are imported already, and have registered elsewhere
    found.add("b", 2)
    found.add("a", 1)
    assert list(found) == ["a", "b"]
    assert found.values() == [1, 2]
    assert found["b"] == 2
    assert "b" in found
    found.remove("b")
    assert "b" not in found


def test_a_registry_refuses_a_second_thing_of_a_name_and_an_unknown_name() -> None:
    found: Registry[int] = Registry("target", "costc.emit.targets")
    found.add("numpy", 1)
    with pytest.raises(ValueError, match="'numpy' is registered already"):
        found.add("numpy", 2)
    with pytest.raises(CostcError, match="unknown target 'nunpy'; allowed: numpy; did you mean 'numpy'"):
        found["nunpy"]
    assert found["numpy"] == 1


@pytest.mark.parametrize(
    ("word", "close"), [("lama-3", "llama-3"), ("LLAMA-3", "llama-3"), ("zzz", None), ("", None), (None, None), (7, None)]
)
def test_the_nearest_word(word: object, close: str | None) -> None:
    assert nearest(word, ["llama-3", "mixtral"]) == close


def test_a_long_list_of_allowed_words_is_cut() -> None:
    said = not_among("thing", "w5x", [f"w{i}" for i in range(40)])
    assert "... (40 in all)" in said
    assert said.count(", ") == 12


def test_nothing_allowed_is_said_so() -> None:
    assert not_among("thing", "x", []) == "unknown thing 'x'; allowed: none"


@pytest.mark.parametrize(("name", "python"), [("decode.ffn.work", "decode_ffn_work"), ("a-b c", "a_b_c"), ("ttft", "ttft")])
def test_names_of_steps_become_identifiers(name: str, python: str) -> None:
    assert mangle(name) == python
    assert python.isidentifier()


x, y = sp.symbols("x y", positive=True)
PLAIN: list[tuple[Callable[..., sp.Expr], Callable[..., int]]] = [(Max, max), (Min, min)]


@pytest.mark.parametrize(("plain", "python"), PLAIN, ids=["Max", "Min"])
@pytest.mark.parametrize("values", [(1, 0), (0, 1), (3, 3), (-1, 2), (5, 1, 3), (10**9 + 1, 128), (128, 10**9)])
def test_plain_max_and_min_of_numbers_are_right(
    plain: Callable[..., sp.Expr], python: Callable[..., int], values: tuple[int, ...]
) -> None:
    numbers = [sp.Integer(v) for v in values]
    assert plain(*numbers) == python(values)
    symbols = sp.symbols(f"v:{len(values)}", integer=True)
    later = plain(*symbols)
    assert later.xreplace(dict(zip(symbols, numbers, strict=True))) == python(values)
    assert later.subs(dict(zip(symbols, numbers, strict=True))).doit() == python(values)


def test_plain_max_and_min_take_fractions_and_nest() -> None:
    assert Min(Max(x, sp.Rational(1, 3)), 2).xreplace({x: sp.Rational(1, 2)}) == sp.Rational(1, 2)
    assert Max(0, Min(x, y)).xreplace({x: sp.Integer(4), y: sp.Integer(3)}) == 3
    assert Max(sp.Float(0.5), sp.Rational(1, 4)) == sp.Float(0.5)


@pytest.mark.parametrize(
    ("gap", "slope", "count", "turn"),
    [(-5, 2, 10, 3), (5, -2, 10, 3), (-5, 2, 2, 2), (5, 2, 10, 0), (-4, 2, 10, 2), (-5, 0, 10, 0), (0, 0, 10, 0), (5, -1, 0, 0)],
)
def test_turn_counts_the_terms_before_the_change_of_sign(gap: int, slope: int, count: int, turn: int) -> None:
    numbers = [sp.Integer(v) for v in (gap, slope, count)]
    assert Turn(*numbers).doit() == turn
    symbols = sp.symbols("gap slope count", real=True)
    assert Turn(*symbols).xreplace(dict(zip(symbols, numbers, strict=True))).doit() == turn


@pytest.mark.parametrize(("values", "index"), [((1, 2, 3), 2), ((3, 2, 1), 0), ((2, 3, 3), 1), ((0, 0, 0), 0)])
def test_bound_of_is_the_first_of_the_largest(values: tuple[int, ...], index: int) -> None:
    assert BoundOf(*map(sp.Integer, values)).doit() == index
    assert int(BoundOf(*map(sp.Integer, values)).evalf()) == index
