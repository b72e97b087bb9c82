"""Matrix products: the form grows with every size, is the roofline without constants, and reads its tables rightly."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from costc.calibrate.kernels import gemm
from costc.calibrate.numeric import seconds
from costc.latency.form import Form
from costc.latency.forms.gemm import FORMS, PLAIN

pd = pytest.importorskip("pandas")

RATES = {"peak": 1e15, "bandwidth": 4e12}
#: as often small as large
SIZE = st.integers(0, 17).map(lambda power: 2**power)


def asked(rows: float, columns: float, depth: float, groups: float = 1, name: str = "fp8") -> dict[str, float]:
    """The form's demands as the reader counts them."""
    frame = pd.DataFrame({"m": [rows], "n": [columns], "k": [depth], "num_heads": [groups]})
    return {k: float(v[0]) for k, v in gemm.demands(frame, gemm.FORMATS[name]).items()}


@st.composite
def constants(draw: st.DrawFn) -> dict[str, float]:
    """Constants anywhere between their bounds, in the logarithm where they are scales."""
    found = {}
    for c in PLAIN.constants:
        low = max(c.low, 1e-6 * c.high)
        share = draw(st.floats(0, 1))
        found[c.name] = low * (c.high / low) ** share if c.log else c.low + share * (c.high - c.low)
    return found


@settings(max_examples=300, deadline=None)
@given(constants(), SIZE, SIZE, SIZE, st.integers(1, 128), st.sampled_from(list(gemm.FORMATS)), st.data())
def test_grows_with_every_size(
    values: dict[str, float], rows: int, columns: int, depth: int, groups: int, name: str, data: st.DataObject
) -> None:
    more = [0, 0, 0, 0]
    more[data.draw(st.integers(0, 3))] = data.draw(SIZE)
    few = seconds(PLAIN, {**values, **RATES, **asked(rows, columns, depth, groups, name)})
    larger = asked(rows + more[0], columns + more[1], depth + more[2], groups + more[3], name)
    many = seconds(PLAIN, {**values, **RATES, **larger})
    assert many >= few * (1 - 1e-12)


@settings(max_examples=50, deadline=None)
@given(constants(), SIZE, SIZE, SIZE, st.sampled_from([d.name for d in PLAIN.demands]))
def test_grows_with_every_demand(values: dict[str, float], rows: int, columns: int, depth: int, name: str) -> None:
    demands = asked(rows, columns, depth)
    few = seconds(PLAIN, {**values, **RATES, **demands})
    assert seconds(PLAIN, {**values, **RATES, **demands, name: 2 * demands[name]}) >= few * (1 - 1e-12)


@pytest.mark.parametrize("form", FORMS, ids=lambda f: f.name)
@given(SIZE, SIZE, SIZE, st.integers(1, 128))
def test_neutral_is_the_roofline(form: Form, rows: int, columns: int, depth: int, groups: int) -> None:
    demands = asked(rows, columns, depth, groups)
    values = {c.name: c.neutral for c in form.constants}
    assert seconds(form, {**values, **RATES, **demands}) == pytest.approx(
        max(demands["flop"] / RATES["peak"], demands["byte"] / RATES["bandwidth"])
    )


@pytest.mark.parametrize("form", FORMS, ids=lambda f: f.name)
def test_constants_lie_within_their_bounds(form: Form) -> None:
    for c in form.constants:
        assert c.low <= c.prior <= c.high
        assert c.low <= c.neutral <= c.high or c.name == "launch_latency"


VALUES = {
    "launch_latency": 2e-6,
    "compute_efficiency": 0.8,
    "memory_efficiency": 0.9,
    "overlap": 0.75,
    "loop": 1e-9,
    "split": 2000.0,
    "tall": 0.5,
    "edge": 100.0,
    "row": 1e-9,
    "move": 3.0,
}


def test_by_hand_few_rows() -> None:
    # 16 x 4096 x 8192 in bf16: C = 2 x 16 x 4096 x (8192 + 100) / 0.8e15 + 2000 ns (1 + 16 / 512) = 3.421061 us,
    # M = 2 (16 x 8192 + 4096 x 8192 + 16 x 4096) / 3.6e12 = 18.750578 us; 2 + M + C / 4
    taken = seconds(PLAIN, {**VALUES, **RATES, **asked(16, 4096, 8192, name="bfloat16")})
    assert taken == pytest.approx(2e-6 + 18.750578e-6 + 3.421061e-6 / 4, rel=1e-7)


def test_by_hand_many_rows() -> None:
    # 8192 x 4096 x 1024 in fp8: conversion 8192 (1 ns + 3 x 1024 / 4e12 s) = 14.483456 us,
    # C = 2 x 8192 x 4096 x (1024 + 100) / 0.8e15 + 1.5 x 1024 ns = 95.823954 us,
    # M = (4096 x 1024 + 8192 x 1024 + 2 x 8192 x 4096) / 3.6e12 = 22.136604 us; 2 + conversion + C + M / 4
    taken = seconds(PLAIN, {**VALUES, **RATES, **asked(8192, 4096, 1024)})
    assert taken == pytest.approx(2e-6 + 14.483456e-6 + 95.823954e-6 + 22.136604e-6 / 4, rel=1e-7)


def test_groups_are_products_side_by_side() -> None:
    one, many = asked(8, 512, 128, name="bfloat16"), asked(8, 512, 128, 64, name="bfloat16")
    assert many["flop"] == 64 * one["flop"]
    assert many["byte"] == 64 * one["byte"]
    assert many["converted"] == one["converted"] == 0


def test_bytes_hold_the_scales() -> None:
    assert asked(128, 256, 512, name="fp8_block")["byte"] == 128 * (512 + 4 * 4) + 256 * 512 + 2 * 4 * 4 + 2 * 128 * 256
    assert asked(128, 256, 512, name="nvfp4")["byte"] == (128 + 256) * (512 / 2 + 512 / 16) + 2 * 128 * 256


def test_rates_above_the_datasheet_are_left_out() -> None:
    frame = pd.DataFrame({"m": [1, 1, 4096], "n": [4096] * 3, "k": [4096] * 3, "latency": [4e-3, 5e-3, 0.1]})
    rule = gemm.above(gemm.FORMATS["bfloat16"], {"bandwidth": 8e12, "bf16": 1e15})
    assert rule.bad(frame).tolist() == [True, False, True]
    assert not gemm.above(gemm.FORMATS["bfloat16"], {}).bad(frame).any()


def test_a_table_timed_eagerly_is_left_out_whole() -> None:
    frame = pd.DataFrame({"latency": np.linspace(0.15, 3.0, 50)})
    assert gemm.eager(0.004).bad(frame).all()
    assert not gemm.eager(0.04).bad(frame).any()
    assert not gemm.eager(math.inf).bad(frame).any()


def _parquet(path: Path, columns: Mapping[str, object]) -> None:
    path.parent.mkdir(parents=True)
    pd.DataFrame(dict(columns)).to_parquet(path)


def test_reads_what_the_wheel_holds(tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    own = tmp_path / "h100_sxm"
    layer: dict[str, object] = {
        "gemm_dtype": ["fp8"] * 3,
        "m": [1, 1, 2],
        "n": [64] * 3,
        "k": [32] * 3,
        "latency": [0.012, 0.014, 0.02],
    }
    _parquet(own / "gemm/trtllm/1.3.0rc20/gemm_perf.parquet", layer)
    _parquet(own / "quantize/trtllm/1.3.0rc20/computescale_perf.parquet", {"m": [1, 2], "k": [32, 32], "latency": [0.007, 0.03]})
    heads: dict[str, object] = {"op_name": ["mla_gen_pre", "mla_gen_post"], "bmm_dtype": ["bfloat16"] * 2, "num_tokens": [4, 4]}
    _parquet(own / "mla_bmm/trtllm/1.3.0rc20/mla_bmm_perf.parquet", {**heads, "num_heads": [16, 16], "latency": [0.004, 0.005]})
    fp8, static, heads_of = gemm.read(tmp_path, "h100-sxm", "trtllm")
    assert (fp8.form, fp8.dtype, fp8.seconds.tolist()) == ("gemm", "fp8", pytest.approx([13e-6, 20e-6]))
    assert (static.dtype, static.seconds.tolist()) == ("fp8_static", pytest.approx([6e-6]))
    assert {r.rule: r.rows for r in static.removed} == {"slower": 1, "above": 0}
    assert heads_of.form == "batched_gemm"
    assert sorted(zip(heads_of.columns["columns"], heads_of.columns["depth"], strict=True)) == [(128, 512), (512, 128)]
