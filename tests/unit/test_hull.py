"""What a point's time rests on: demands counted by hand, what lies outside of what was fitted, what is assumed."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import Any

import pytest

import costc
from costc import results
from costc.api import CostModel
from costc.insight import hull
from costc.ir.platform import ANY, Efficiency
from costc.latency.forms import FORMS
from costc.spec.catalog import Catalog
from costc.spec.profiles import efficiency_profile

CATALOG = Catalog()
H100 = CATALOG.hardware("h100-sxm")
POINT = {"batch": 16, "isl": 1000, "osl": 200}


@cache
def model(name: str = "llama-3.1-8b") -> CostModel:
    return costc.load(name)


def asked(name: str = "llama-3.1-8b", quantization: str | None = None, **plan: Any) -> list[tuple[hull.Key, str, float]]:
    inputs = model(name).values(H100, quantization, "fitted")
    return hull.demands(model(name), {**inputs, **model(name)._plan({**POINT, **plan}, inputs)})


def values(found: list[tuple[hull.Key, str, float]], form: str, demand: str) -> set[float]:
    return {round(value, 6) for key, name, value in found if (key.form, name) == (form, demand)}


def test_demands_of_products_are_those_of_the_steps() -> None:
    """Llama-3.1-8B: hidden 4096, 32 query and 8 KV heads of 128, FFN 14336, vocabulary 128256."""
    found = asked(tp=2)
    # a full prefill step has the engine's 8192 tokens, of which it completes 16 / 2 sequences; decode has one of each
    assert values(found, "gemm", "rows") == {8192, 8, 16}
    assert values(found, "gemm", "columns") == {(32 + 16) * 128 / 2, 4096, 14336, 128256 / 2}
    assert values(found, "gemm", "depth") == {4096, 2048, 14336 / 2}
    assert values(found, "gemm", "flop") >= {2 * 8192 * 3072 * 4096, 2 * 16 * 3072 * 4096}


def test_attention_is_asked_at_the_last_piece_and_at_both_ends_of_the_decode() -> None:
    found = asked()
    assert values(found, "prefill_attention", "seq") == {1000}
    assert values(found, "prefill_attention", "flop") == {4 * 8.192 * 500_500 * 4096}
    assert values(found, "decode_attention", "flop") == {4 * 16 * context * 4096 for context in (1001, 1200)}
    assert values(found, "decode_attention", "kv_heads") == {8}


def test_long_prompts_are_cut_where_a_step_ends() -> None:
    found = asked(batch=1, isl=20_000)
    piece, past = 8192, 20_000 - 8192
    assert values(found, "prefill_attention", "flop") == {4 * (piece * past + piece * (piece + 1) / 2) * 4096}


def test_collectives_count_where_something_is_sent() -> None:
    one, four = asked(), asked(tp=4)
    assert not any(key.form.startswith("all_reduce") for key, *_ in one)
    assert values(four, "all_reduce_scale_up", "ranks") == {4}
    assert values(four, "all_reduce_scale_up", "message") == {8192 * 4096 * 2, 16 * 4096 * 2}
    assert not any(key.form.endswith("scale_out") for key, *_ in four)


def test_routed_experts() -> None:
    found = asked("mixtral-8x7b", tp=2)
    assert values(found, "grouped_gemm", "selections") == {2 * 8192, 2 * 16}
    assert max(values(found, "grouped_gemm", "touched")) == pytest.approx(8)


# ---- notes


def narrowed(demand: str, high: float, **changes: Any) -> Efficiency:
    profile = efficiency_profile(CATALOG, "fitted", H100)
    one = profile.classes["gemm", "bf16"]
    one = replace(one, hull={**one.hull, demand: (32.0, high)}, **changes)
    return replace(profile, classes={**profile.classes, ("gemm", "bf16"): one})


def said(profile: Efficiency | str, name: str = "llama-3.1-8b", **plan: Any) -> list[str]:
    notes: list[str] = results.result(model(name), H100, efficiency=profile, **{**POINT, **plan})["notes"]
    return [note for note in notes if "fitted" in note or "measure" in note]


def test_a_class_outside_of_what_was_fitted_has_one_sentence() -> None:
    (note,) = said(narrowed("columns", 6000.0))
    assert note == "Matrix product in bf16 lies outside of what was fitted: columns 1.283e+05, fitted 32 to 6000"


def test_the_furthest_comes_first_and_a_hair_is_no_distance() -> None:
    profile = narrowed("depth", 14336 / 1.005)
    assert not [note for note in said(profile) if "depth" in note]
    assert [note for note in said(narrowed("depth", 14336 / 1.02)) if "depth 1.434e+04" in note]
    both = narrowed("columns", 6000.0)
    one = both.classes["gemm", "bf16"]
    rows = replace(one, hull={**one.hull, "rows": (1.0, 8.0)})
    (note,) = said(replace(both, classes={**both.classes, ("gemm", "bf16"): rows}))
    assert note.index("rows 8192") < note.index("columns")


def test_what_rests_on_assumed_constants_is_named() -> None:
    profile = efficiency_profile(CATALOG, "fitted", H100)
    lent = replace(profile.classes["decode_attention", "bf16"], n=0)
    default = replace(lent, form="prefill_attention", hull={})
    given = replace(
        profile, classes={**profile.classes, ("decode_attention", "bf16"): lent, ("prefill_attention", "bf16"): default}
    )
    notes = said(given)
    assert "no measurements of this engine and format; another table's constants stand in: Attention, decode in bf16" in notes
    assert "no measurements; times rest on assumed defaults of the class: Attention, prefill in bf16" in notes


def test_profiles_without_classes_say_nothing_and_defaults_are_named_once() -> None:
    assert said("uniform") == said("ideal") == []
    (note,) = said("assumed")
    assert note.startswith("no measurements; times rest on assumed defaults of the class: Attention, decode, Elementwise")
    assert note.count("Matrix product") == 1


def test_every_class_of_a_point_is_known() -> None:
    for key, *_ in asked("deepseek-r1", tp=8, ep=8):
        assert key.form in FORMS
        assert efficiency_profile(CATALOG, "fitted", H100).fitted(key.form, ANY)
