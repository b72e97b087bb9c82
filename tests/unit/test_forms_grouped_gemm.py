"""Routed experts' closed form, how the tables' collector routes, and what their reader counts and leaves out."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
import pytest
import sympy as sp
from hypothesis import given
from hypothesis import strategies as st

from costc.calibrate.kernels import cleaned, moe, routing
from costc.calibrate.numeric import seconds
from costc.latency.form import BANDWIDTH, PEAK
from costc.latency.forms.grouped_gemm import CONSTANTS, DEMANDS, FORM, FORMS

RATES = {"peak": 1e15, "bandwidth": 4e12}
NEUTRAL = {c.name: c.neutral for c in CONSTANTS}
DRAWN = st.fixed_dictionaries({c.name: st.floats(c.low, c.high) for c in CONSTANTS})
SIZES = {
    "flop": 1e15,
    "weight_byte": 1e11,
    "row_byte": 1e10,
    "selected_byte": 1e11,
    "selections": 1e6,
    "touched": 512,
    "depth": 1e5,
}
ASKED = st.fixed_dictionaries({name: st.floats(1, largest) for name, largest in SIZES.items()})
#: DeepSeek-V3 on 8 ranks
ROW = {"num_tokens": 64, "hidden_size": 7168, "inter_size": 2048, "topk": 8, "num_experts": 256, "moe_tp_size": 1,
       "moe_ep_size": 8, "distribution": "balanced", "kernel_source": "engine_triton", "latency": 1.0}  # fmt: skip


def time(asked: Mapping[str, float], values: Mapping[str, float]) -> float:
    return float(seconds(FORM, {**RATES, **asked, **values}))


def frame(*changes: Mapping[str, object]) -> pd.DataFrame:
    return pd.DataFrame([{**ROW, **change} for change in changes])


@given(asked=ASKED, values=DRAWN, name=st.sampled_from(sorted(SIZES)), more=st.floats(1, 100))
def test_no_size_makes_it_faster(asked: dict[str, float], values: dict[str, float], name: str, more: float) -> None:
    assert time({**asked, name: asked[name] * more}, values) >= time(asked, values) * (1 - 1e-12)


@given(values=DRAWN, tokens=st.integers(1, 4000), more=st.integers(1, 4000), name=st.sampled_from(["num_tokens", "hidden_size"]))
def test_no_size_of_a_layer_makes_it_faster(values: dict[str, float], tokens: int, more: int, name: str) -> None:
    rows = frame({"num_tokens": tokens, name: 8 * tokens}, {"num_tokens": tokens, name: 8 * (tokens + more)})
    asked = moe.demands(rows.assign(distribution="uniform"), moe.FORMATS["bfloat16"])
    first, second = ({k: float(v[i]) for k, v in asked.items()} for i in (0, 1))
    assert time(second, values) >= time(first, values) * (1 - 1e-12)


@given(asked=ASKED)
def test_neutral_is_the_roofline(asked: dict[str, float]) -> None:
    byte = asked["weight_byte"] + asked["row_byte"]
    assert time(asked, NEUTRAL) == pytest.approx(max(asked["flop"] / 1e15, byte / 4e12), rel=1e-12)


def test_forms_name_all_that_they_need() -> None:
    names = {d.name for d in DEMANDS} | {c.name for c in CONSTANTS}
    for form in FORMS:
        assert {s.name for s in form.time.free_symbols} == names | {PEAK.name, BANDWIDTH.name}
        assert all(c.low <= c.prior <= c.high and c.spread > 0 for c in form.constants)
        assert not form.time.has(sp.Piecewise, sp.log, sp.exp)
    assert len({form.name for form in FORMS}) == len(FORMS)


def test_by_hand() -> None:
    """64 tokens of DeepSeek-V3, balanced, on one of 8 ranks: 2 pairs for each of its 32 experts."""
    asked = {k: float(v[0]) for k, v in moe.demands(frame({}), moe.FORMATS["bfloat16"]).items()}
    weights = 3 * 7168 * 2048
    assert asked == {
        "flop": 2 * weights * 64, "weight_byte": 32 * weights * 2, "row_byte": 64 * 4 * 9216, "selected_byte": 512 * 4 * 9216,
        "selections": 512, "touched": 32, "depth": 9216,
    }  # fmt: skip
    values = {
        "launch_latency": 1e-5, "sort_latency": 9e-6, "expert_latency": 1e-7, "step_latency": 1e-9, "compute_efficiency": 0.5,
        "memory_efficiency": 0.8, "row_passes": 2.0, "selected_passes": 0.25, "overlap": 0.4,
    }  # fmt: skip
    compute = 2 * weights * 64 / 0.5e15
    move = (64 * weights / 0.8 + 2 * 64 * 4 * 9216 + 0.25 * 512 * 4 * 9216) / 4e12
    fixed = 1e-5 + 9e-6 * 2 / 3 + 1e-7 * 32 + 1e-9 * 9216
    assert time(asked, values) == pytest.approx(fixed + move + 0.6 * compute, rel=1e-12)


def test_behind_an_all_to_all_the_launch_sees_its_own_pairs() -> None:
    asked = moe.demands(frame({"moe_tp_size": 2}), moe.FORMATS["fp8"], own=True)
    assert asked["selections"][0] == 64
    assert asked["selected_byte"][0] == asked["row_byte"][0] == 64 * 4 * (7168 + 1024)


@given(
    tokens=st.integers(2, 3000),
    groups=st.integers(1, 16),
    topk=st.integers(1, 8),
    ranks=st.sampled_from([1, 2, 8]),
    seed=st.integers(0, 9),
)
def test_every_token_goes_to_so_many_experts(tokens: int, groups: int, topk: int, ranks: int, seed: int) -> None:
    experts = 8 * groups
    for counts in (
        routing.power_law(tokens, experts, topk, ranks, 1.2, np.random.default_rng(seed)),
        routing.balanced(tokens, experts, topk),
    ):
        assert counts.sum() == tokens * topk
        assert counts.min() >= 0
        assert counts.max() <= tokens


@given(counts=st.lists(st.integers(-9, 50), min_size=1, max_size=20), units=st.integers(0, 200))
def test_filling_raises_the_least_one_by_one(counts: list[int], units: int) -> None:
    one_by_one = np.array(counts)
    for _ in range(units):
        one_by_one[one_by_one.argmin()] += 1
    assert sorted(routing.filled(np.array(counts), units)) == sorted(one_by_one)


def test_skew_loads_the_busiest_rank_and_leaves_experts_alone() -> None:
    even, skewed = (routing.seen(4096, 256, 8, 8, name) for name in ("balanced", "power_law_1.2"))
    assert even == (4096, 32)
    assert skewed[0] > 1.2 * even[0]
    assert routing.seen(16, 256, 8, 1, "power_law_1.2")[1] < routing.seen(16, 256, 8, 1, "balanced")[1]
    assert routing.seen(4, 256, 8, 32, "uniform") == (1, 1)


def test_a_launch_slower_than_a_larger_one_is_left_out() -> None:
    rows = frame(*({"num_tokens": t, "latency": s} for t, s in [(16, 0.5), (32, 1.25), (64, 1.4), (128, 1.0), (256, 1.1)]))
    kept, (removed,) = cleaned(rows, (moe.FALLING,))
    assert (removed.rows, list(kept["num_tokens"])) == (1, [16, 32, 128, 256])


def test_a_launch_far_slower_than_otherwise_routed_is_left_out() -> None:
    rows = frame(
        {"latency": 1.0, "ideal": 1.0},
        {"latency": 2.5, "ideal": 1.0, "distribution": "power_law_1.2"},
        {"latency": 2.5, "ideal": 2.0, "distribution": "power_law_1.01"},
    )
    kept, (removed,) = cleaned(rows, (moe.MISTUNED,))
    assert (removed.rows, list(kept["distribution"])) == (1, ["balanced", "power_law_1.01"])


def test_weights_left_in_the_cache_are_left_out() -> None:
    """Of 40 MB the cache holds 50: at 3 TB/s they take 13 us, more than half of a launch of 20 us."""
    rows = frame({"latency": 0.02}, {"latency": 0.02}, {"latency": 0.04}).assign(weight_byte=[1e6, 40e6, 80e6])
    kept, (removed,) = cleaned(rows.assign(read=rows["weight_byte"] / 3e12), (moe.cached("h100-sxm"),))
    assert (removed.rows, list(kept["weight_byte"])) == (1, [1e6, 80e6])


def test_kernels_that_do_not_serve_are_left_out() -> None:
    rows = frame(
        {"kernel_source": "sglang_flashinfer_trtllm_moe"},
        {"kernel_source": "sglang_flashinfer_trtllm_moe"},
        {"kernel_source": "sglang_fused_moe_triton"},
        {"kernel_source": "sglang_marlin_moe_situ_as_silu"},
        {"kernel_source": "sglang_flashinfer_trtllm_moe", "hidden_size": 2688, "inter_size": 1856},
    )
    kept, removed = cleaned(rows, (moe.UNGATED_ROWS, moe.STAND_IN, moe.FEW))
    assert [r.rows for r in removed] == [1, 1, 1]
    assert set(kept["kernel_source"]) == {"sglang_flashinfer_trtllm_moe"}


def test_rows_whose_routing_was_ties_are_left_out() -> None:
    kept, (removed,) = cleaned(frame({}, {"num_experts": 384}), (moe.GROUPED_ROWS,))
    assert (removed.rows, list(kept["num_experts"])) == (1, [384])


@pytest.mark.parametrize(
    ("device", "engine", "name", "unfit"), [
    ("b200", "trtllm", "w4a16_mxfp4", True), ("b200", "vllm", "w4a16_mxfp4", False), ("h100-sxm", "trtllm", "fp8_block", False),
])  # fmt: skip
def test_slow_tables_are_given_without_rows(device: str, engine: str, name: str, unfit: bool) -> None:
    form = moe.FORMATS[name]
    kept, _ = cleaned(frame({}, {}), (moe.slow(device, engine, "1.3.0rc20", form),))
    assert len(kept) == (0 if unfit else 2)
