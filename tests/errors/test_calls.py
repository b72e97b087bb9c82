"""Mistakes in calls: degrees that a model cannot take, sizes that are none, names of nothing."""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest

import costc
from costc.api import CostModel
from costc.errors import CostcError, DegreeError, nearest, not_among


@cache
def compiled(name: str) -> CostModel:
    return costc.load(name)


def said(
    name: str, error: type[Exception] = DegreeError, hardware: Any = "h100-sxm", quantization: Any = None, **given: Any
) -> str:
    with pytest.raises(error) as caught:
        compiled(name).point(hardware, quantization, **given)
    assert type(caught.value) is error
    return str(caught.value)


R1, LLAMA = "deepseek-r1", "llama-3.1-8b"


@pytest.mark.parametrize(
    ("model", "plan", "message"),
    [
        (R1, {"tp": 3}, "128 heads are not divisible by tp 3"),
        (LLAMA, {"tp": 5}, "32 query heads are not divisible by tp 5"),
        (LLAMA, {"tp": 64}, "32 query heads are not divisible by tp 64"),
        ("mistral-7b", {"tp": 64}, "32 query heads are not divisible by tp 64"),
        (R1, {"tp": 8, "ep": 16}, "ep 16 does not divide tp x dp = 8 x 1"),
        (R1, {"tp": 8, "ep": 3}, "ep 3 does not divide tp x dp = 8 x 1"),
        (R1, {"tp": 4, "dp": 3, "ep": 12}, "256 experts are not divisible by ep 12"),
        (R1, {"tp": 1, "dp": 3}, "expert width 2048 is not divisible by etp = tp x dp / ep = 1 x 3 / 1"),
        (R1, {"tp": 128, "dp": 32}, "expert width 2048 is not divisible by etp = tp x dp / ep = 128 x 32 / 1"),
        (R1, {"pp": 62}, "pp 62 is more than the 61 layers"),
        (LLAMA, {"pp": 33}, "pp 33 is more than the 32 layers"),
        (LLAMA, {"tp": 8, "ep": 8}, "a model without experts takes ep 1, not 8"),
    ],
)
def test_degrees(model: str, plan: dict[str, int], message: str) -> None:
    assert said(model, **plan) == f"{model}: {message}"


@pytest.mark.parametrize("name", ["tp", "pp", "ep", "dp", "batch", "isl", "osl", "microbatches", "max_num_batched_tokens"])
@pytest.mark.parametrize("value", [0, -1, 1.5, "2", True, None, [1, 2], float("nan"), float("inf"), -float("inf")])
def test_sizes(name: str, value: Any) -> None:
    assert said(LLAMA, **{name: value}) == f"{name} must be a whole number of at least 1, not {value!r}"


@pytest.mark.parametrize(
    ("plan", "devices"), [({"tp": 8, "ep": 8}, 8), ({"tp": 4, "dp": 4, "ep": 16}, 16), ({"pp": 61}, 61), ({"tp": 128}, 128)]
)
def test_the_nearest_valid_degrees_are_taken(plan: dict[str, int], devices: int) -> None:
    assert compiled(R1).point("h100-sxm", **plan)["devices"] == devices


def test_columns_say_nan_where_a_point_would_raise() -> None:
    """`evaluate` and `point` agree on what is valid."""
    plans = [(1, 1), (3, 1), (8, 1), (8, 3), (8, 8), (8, 16)]
    frame = compiled(R1).evaluate("h100-sxm", tp=[tp for tp, _ in plans], ep=[ep for _, ep in plans])
    for (tp, ep), ttft in zip(plans, frame["ttft"], strict=True):
        try:
            assert compiled(R1).point("h100-sxm", tp=tp, ep=ep)["ttft"] == ttft
        except DegreeError:
            assert ttft != ttft


@pytest.mark.parametrize(
    ("given", "kind", "word", "close"),
    [
        ({"hardware": "h100-sxn"}, "hardware", "h100-sxn", "h100-sxm"),
        ({"hardware": "H200 "}, "hardware", "H200 ", "h200"),
        ({"quantization": "fp9"}, "quantization", "fp9", "fp8"),
        ({"quantization": "fp8_block"}, "quantization", "fp8_block", "fp8-block"),
        ({"efficiency": "unform"}, "efficiency", "unform", "uniform"),
        ({"efficiency": "idael"}, "efficiency", "idael", "ideal"),
        ({"engine": "defualt"}, "engine", "defualt", "default"),
    ],
)
def test_names_in_a_call(given: dict[str, str], kind: str, word: str, close: str) -> None:
    message = said(LLAMA, CostcError, **given)
    assert message == not_among(kind, word, compiled(LLAMA).catalog.choices(kind))
    assert message.startswith(f"unknown {kind} {word!r}; allowed: ")
    assert message.endswith(f"; did you mean {close!r}?")


def test_model_name() -> None:
    with pytest.raises(CostcError, match=r"unknown model 'deepseek-r2'; allowed: .*; did you mean 'deepseek-r1'\?"):
        costc.load("deepseek-r2")


@pytest.mark.parametrize(
    "name", ["", "../specs", "a\0b", "x" * 300, "nowhere/..", "/", "a/b/c", "model.yaml", "/etc/passwd", "x.yml"]
)
def test_strange_model_names(name: str) -> None:
    with pytest.raises(CostcError):
        costc.load(name)


def test_argument_name() -> None:
    assert said(LLAMA, CostcError, tpp=2).endswith("; did you mean 'tp'?")
    assert said(LLAMA, CostcError, batch_size=2).endswith("; did you mean 'batch'?")


def test_cache_format() -> None:
    assert said(LLAMA, CostcError, kv_cache_dtype="fp-8").endswith("; did you mean 'fp8'?")


@pytest.mark.parametrize("value", [0, -0.5, 1.01, float("nan"), float("inf"), "2"])
def test_efficiency_as_a_number(value: Any) -> None:
    assert said(LLAMA, CostcError, efficiency=value) == f"an efficiency is more than 0 and at most 1, not {value}"


@pytest.mark.parametrize(
    "given", [{"hardware": None}, {"hardware": 3}, {"efficiency": None}, {"quantization": 4}, {"engine": None}]
)
def test_values_of_a_wrong_type(given: dict[str, Any]) -> None:
    said(LLAMA, CostcError, **given)


def test_columns_of_unlike_length() -> None:
    with pytest.raises(CostcError, match="has 2 values where others have 3"):
        compiled(LLAMA).evaluate("h100-sxm", batch=[1, 2, 3], isl=[100, 200])


@pytest.mark.parametrize(
    "given",
    [
        {"tp": ["a"]},
        {"tp": "2"},
        {"batch": []},
        {"hardware": []},
        {"hardware": [None]},
        {"isl": [None]},
        {"batch": [[1, 2], [3, 4]]},
    ],
)
def test_columns_that_are_none(given: dict[str, Any]) -> None:
    with pytest.raises(CostcError):
        compiled(LLAMA).evaluate(**{"hardware": "h100-sxm", **given})


def test_columns_of_things_instead_of_names() -> None:
    """What `point` takes, `evaluate` takes."""
    model = compiled(LLAMA)
    device, scheme, profile = model.catalog.hardware("h200"), model.catalog.quantization("fp8"), model.catalog.efficiency("ideal")
    frame = model.evaluate([device, "h200"], scheme, profile, batch=[1, 1])
    assert frame["ttft"].tolist() == [model.point(device, scheme, efficiency=profile)["ttft"]] * 2


def test_formula_name() -> None:
    with pytest.raises(CostcError, match=r"unknown formula 'decode.flops'; allowed: .*; did you mean 'decode.flop'\?"):
        compiled(LLAMA).formula("decode.flops")


def test_phase_name() -> None:
    with pytest.raises(CostcError, match=r"unknown phase 'prefil'; allowed: decode, prefill; did you mean 'prefill'\?"):
        compiled(LLAMA).show("prefil")


# ---- the words of a hint


@pytest.mark.parametrize(
    ("word", "allowed", "close"),
    [
        ("h100", ["h20", "h200", "h100-sxm", "h100-pcie"], "h100-pcie"),  # a beginning counts before a likeness
        ("tbps", ["B/s", "GB/s", "TB/s"], "TB/s"),
        ("gb", ["B", "GB", "GiB"], "GB"),
        ("FP8", ["fp8", "fp16"], "fp8"),
        ("zzz", ["fp8", "fp16"], None),
        ("", ["fp8", "fp16"], None),
        ("x", [], None),
    ],
)
def test_nearest(word: str, allowed: list[str], close: str | None) -> None:
    assert nearest(word, allowed) == close


def test_long_lists_are_cut_and_long_words_too() -> None:
    message = not_among("thing", "y" * 10_000, [f"x{i:03}" for i in range(1000)])
    assert len(message) < 250
    assert "... (1000 in all)" in message


def test_no_words_allowed() -> None:
    assert not_among("block", "x", []) == "unknown block 'x'; allowed: none"
