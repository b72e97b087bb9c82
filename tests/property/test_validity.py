from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from costc.errors import CostcError, DegreeError
from tests.property.compiled import FAMILIES, PLANS, degrees, model, platform, run

quick = settings(derandomize=True, deadline=None, max_examples=40)
#: (model, plan, why it is not valid)
INVALID: list[tuple[str, dict[str, Any]]] = [
    ("llama-3.1-8b", {"tp": 3}),  # 32 heads
    ("llama-3.1-8b", {"tp": 64}),  # more than the query heads
    ("llama-3.1-8b", {"pp": 33}),  # more than the layers
    ("llama-3.1-8b", {"ep": 2, "tp": 2}),  # no experts
    ("mixtral-8x7b", {"ep": 4, "tp": 2}),  # ep does not divide tp x dp
    ("mixtral-8x7b", {"ep": 16, "dp": 16}),  # 8 experts
    ("gpt-oss-120b", {"tp": 128}),  # 64 heads
    ("deepseek-r1", {"tp": 5}),  # 128 heads
    ("deepseek-r1", {"dp": 3, "ep": 3}),  # 256 experts
    *(("deepseek-r1", {size: bad}) for size in ("batch", "isl", "osl", "microbatches") for bad in (0, -1, 1.5)),
    *(("deepseek-r1", {degree: bad}) for degree in ("tp", "pp", "dp", "ep") for bad in (0, -2, 0.5)),
]


@pytest.mark.parametrize(("name", "plan"), INVALID)
def test_an_invalid_point_is_nan_in_every_output_and_leaves_its_neighbours_alone(name: str, plan: dict[str, Any]) -> None:
    good = {"batch": 4, "isl": 100, "osl": 10, **degrees((1, 1, 1, 1)), "microbatches": 1}
    columns = {k: np.array([v, plan.get(k, v), v], dtype=float) for k, v in good.items()}
    found, alone = run(name, columns), run(name, good)
    for output, values in found.items():
        assert math.isnan(values[1]), output
        assert values[0] == values[2] == alone[output], output


@pytest.mark.parametrize(("name", "plan"), INVALID)
def test_an_invalid_point_alone_raises(name: str, plan: dict[str, Any]) -> None:
    with pytest.raises(DegreeError, match=r"\d"):
        model(name).point("h100-sxm", **plan)


def test_a_degree_error_names_the_model_and_the_numbers() -> None:
    with pytest.raises(DegreeError, match=r"llama-3\.1-8b: 32 query heads are not divisible by tp 3"):
        model("llama-3.1-8b").point("h100-sxm", tp=3)
    with pytest.raises(DegreeError, match=r"mixtral-8x7b: ep 4 does not divide tp x dp = 2 x 1"):
        model("mixtral-8x7b").point("h100-sxm", tp=2, ep=4)


def test_unknown_arguments_are_told_with_the_nearest() -> None:
    with pytest.raises(CostcError, match="did you mean 'batch'"):
        model("llama-3.1-8b").point("h100-sxm", bach=3)


def test_a_sweep_counts_what_it_leaves_out() -> None:
    compiled = model("llama-3.1-8b")
    frame, invalid = compiled.sweep(hardware=["h100-sxm", "a100-80gb"], tp=[1, 2, 3, 5, 8], batch=[1, 7], pp=[1, 33])
    assert invalid == 2 * 2 * (5 + 5) - 2 * 2 * 3
    assert sorted(set(frame["tp"])) == [1, 2, 8]
    assert len(frame) == 2 * 2 * 3
    assert frame["ttft"].notna().all()
    one = compiled.point("a100-80gb", tp=8, batch=7)
    row = frame[(frame["hardware"] == "a100-80gb") & (frame["tp"] == 8) & (frame["batch"] == 7)].iloc[0]
    assert all(row[k] == v for k, v in one.items() if v is not None)


def test_a_sweep_of_bad_points_alone_is_empty() -> None:
    frame, invalid = model("llama-3.1-8b").sweep(hardware="h100-sxm", tp=[3, 5, 6])
    assert (len(frame), invalid) == (0, 3)


budgets = st.sampled_from([64, 2048, 8192])
#: shares of weights, and of activations and framework, that engines charge to their fraction of the memory
divisions = st.sampled_from([(1, 1), (1, 0), (0.92, 0.92)])


@quick
@given(st.sampled_from(FAMILIES), st.integers(0, 10), st.integers(1, 20000), st.integers(1, 5000), budgets, divisions)
def test_the_largest_batch_fits_and_a_larger_one_does_not(
    name: str, which: int, isl: int, osl: int, budget: int, shares: tuple[float, float]
) -> None:
    plan = degrees(PLANS[name][which % len(PLANS[name])])
    for hardware in ("h100-sxm", "mi325x", "b200"):
        engine = dict(zip(("memory_weight_share", "memory_reserved_share"), shares, strict=True))
        work = {**platform(name, hardware), **engine, **plan, "isl": isl, "osl": osl, "max_num_batched_tokens": budget}
        most = float(run(name, {**work, "batch": 1})["max_batch"])
        assert most % plan["dp"] == 0
        larger = run(name, {**work, "batch": most + plan["dp"]})
        assert larger["fits"] == 0
        assert larger["memory_total"] > larger["memory_limit"]
        if most >= 1:
            full = run(name, {**work, "batch": most})
            assert full["fits"] == 1
            assert full["memory_total"] <= full["memory_limit"]


@pytest.mark.parametrize(("hardware", "fits"), [("h100-sxm", False), ("mi325x", True)])
def test_r1_fits_eight_devices_of_256_gb_but_not_of_80(hardware: str, fits: bool) -> None:
    name = "deepseek-r1"
    found = run(name, {**platform(name, hardware), **degrees((8, 1, 1, 8)), "batch": 1, "isl": 4000, "osl": 1000})
    assert (found["max_batch"] >= 1) == fits == bool(found["fits"])
