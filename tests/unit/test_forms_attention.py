"""Attention's closed forms: monotone, exact at the roofline, affine in positions; and what the tables' reader counts."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import sympy as sp
from hypothesis import given, settings
from hypothesis import strategies as st

from costc.calibrate.kernels import cleaned
from costc.calibrate.kernels.attention import demands, pairs, rules
from costc.calibrate.numeric import seconds
from costc.latency.form import BANDWIDTH, PEAK, Constant, Form
from costc.latency.forms.attention import DECODE, FORMS, PREFILL

RATES = {"peak": 1e15, "bandwidth": 3e12}
SIZES = ("batch_size", "isl", "step", "num_heads", "num_key_value_heads", "head_dim", "window_size")
ROW = {"batch_size": 2, "isl": 256, "step": 0, "num_heads": 32, "num_key_value_heads": 8, "head_dim": 128, "window_size": 0}


def asked(form: Form, **sizes: int) -> dict[str, float]:
    """The form's demands at a shape."""
    frame = demands(pd.DataFrame([{**ROW, **sizes}]), form, "bf16", "bf16")
    return {d.name: float(frame[d.name].iloc[0]) for d in form.demands}


def neutral(form: Form) -> dict[str, float]:
    return {c.name: c.neutral for c in form.constants}


@st.composite
def constants(draw: st.DrawFn, form: Form) -> dict[str, float]:
    def drawn(c: Constant) -> float:
        share = draw(st.floats(0, 1))
        return float(c.low * (c.high / c.low) ** share) if c.log else c.low + share * (c.high - c.low)

    return {c.name: drawn(c) for c in form.constants}


@settings(max_examples=150, deadline=None)
@given(data=st.data(), grown=st.sampled_from(SIZES[:-1]), window=st.sampled_from([0, 64, 1024]))
def test_never_falls_as_a_size_grows(data: st.DataObject, grown: str, window: int) -> None:
    form = data.draw(st.sampled_from(FORMS))
    values = data.draw(constants(form))
    kv = data.draw(st.integers(1, 8))
    shape = {
        "batch_size": data.draw(st.integers(1, 256)),
        "isl": data.draw(st.integers(1, 4096)) if form is PREFILL else 1,
        "step": data.draw(st.integers(0, 65536)),
        "num_key_value_heads": kv,
        "num_heads": kv * data.draw(st.integers(1, 16)),
        "head_dim": data.draw(st.sampled_from([64, 80, 128, 192])),
        "window_size": window,
    }
    if form is DECODE and grown == "isl":
        grown = "step"
    if grown == "num_key_value_heads":
        more = {**shape, "num_key_value_heads": 2 * kv, "num_heads": 2 * shape["num_heads"]}
    else:
        more = {**shape, grown: shape[grown] + (kv if grown == "num_heads" else data.draw(st.integers(1, 300)))}
    low, high = (float(seconds(form, {**asked(form, **s), **values, **RATES})) for s in (shape, more))
    assert high >= low * (1 - 1e-12)


@pytest.mark.parametrize("form", FORMS, ids=lambda f: f.name)
@pytest.mark.parametrize("size", [1, 50, 3000])
def test_neutral_is_the_roofline(form: Form, size: int) -> None:
    own = asked(form, isl=size if form is PREFILL else 1, step=0 if form is PREFILL else size)
    expected = max(own["flop"] / RATES["peak"], own["byte"] / RATES["bandwidth"])
    assert float(seconds(form, {**own, **neutral(form), **RATES})) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("form", FORMS, ids=lambda f: f.name)
def test_pieces_are_affine_in_flop_and_byte(form: Form) -> None:
    """Both demands carry pairs and context; nothing else of the pieces does."""
    assert form.pieces is not None
    flop, byte = (sp.Symbol(n, nonnegative=True) for n in ("flop", "byte"))
    assert not form.pieces.fixed.has(flop, byte)
    assert not form.pieces.overlap.has(flop, byte)
    for piece in (form.pieces.compute, form.pieces.move):
        assert not sp.diff(piece, flop).has(flop, byte)
        assert not sp.diff(piece, byte).has(flop, byte)
    assert {PEAK, BANDWIDTH} <= form.time.free_symbols


def test_prefill_by_hand() -> None:
    """2 sequences of 256 tokens, 32 heads: 128 blocks; 2 x 32,896 pairs."""
    values = {
        "launch_latency": 1e-5, "compute_efficiency": 0.5, "memory_efficiency": 0.8, "block_latency": 1e-8, "depth": 64.0,
        "overlap": 0.25, "softmax": 32.0, "passes": 2.0,
    }  # fmt: skip
    compute = 4 * 2 * 32896 * 32 * 128 / 0.5e15 * (1 + 32 / 128) * (1 + 64 / 128) + 1e-8 * 2 * 32 * 2
    query, cache = 2 * 256 * 32 * 128 * 4, 2 * 2 * 256 * 2 * 8 * 128 * 2
    move = (2 * query + cache) / (0.8 * 3e12)
    expected = 1e-5 + max(compute, move) + 0.75 * min(compute, move)
    assert float(seconds(PREFILL, {**asked(PREFILL), **values, **RATES})) == pytest.approx(expected, rel=1e-12)


def test_decode_by_hand() -> None:
    """64 sequences over 1,024 tokens each, 8 KV heads: 512 streams."""
    values = {
        "launch_latency": 1e-5, "compute_efficiency": 0.25, "memory_efficiency": 0.9, "block_latency": 2e-8, "depth": 2.0,
        "overlap": 0.5,
    }  # fmt: skip
    compute = 4 * 64 * 1024 * 32 * 128 / 0.25e15 * (1 + 2 / 512) + 2e-8 * 512
    move = (64 * 32 * 128 * 4 + 64 * 2 * 8 * 128 * 2 * (1024 + 1)) / (0.9 * 3e12)
    expected = 1e-5 + max(compute, move) + 0.5 * min(compute, move)
    own = asked(DECODE, batch_size=64, isl=1, step=1023)
    assert float(seconds(DECODE, {**own, **values, **RATES})) == pytest.approx(expected, rel=1e-12)


@given(new=st.integers(1, 60), step=st.integers(0, 60), window=st.sampled_from([0, 1, 7, 40]))
def test_pairs_are_those_counted_one_by_one(new: int, step: int, window: int) -> None:
    counted = sum(min(p + 1, window) if window else p + 1 for p in range(step, step + new))
    assert pairs(*(np.array([float(v)]) for v in (new, step, window)))[0] == counted


@given(first=st.integers(1, 500), second=st.integers(1, 500), window=st.sampled_from([0, 128]))
def test_pieces_of_a_prompt_have_the_pairs_of_the_whole(first: int, second: int, window: int) -> None:
    def of(new: int, step: int) -> float:
        return float(pairs(*(np.array([float(v)]) for v in (new, step, window)))[0])

    assert of(first, 0) + of(second, first) == of(first + second, 0)


def test_rules_count_what_they_remove() -> None:
    """One row each: kept, of another kernel, with its cache on chip (16.8 MB), faster than memory."""
    shapes = [{"step": 65535}, {"step": 65535, "head_dim": 64}, {"step": 4095}, {"step": 65535, "batch_size": 4}]
    rows = pd.DataFrame([{**ROW, "isl": 1, "batch_size": 1, **s} for s in shapes])
    rows["kernel_source"], rows["latency"] = ["a", "b", "a", "a"], [1.0, 1.0, 1.0, 1e-3]
    frame = demands(rows, DECODE, "bf16", "bf16")
    kept, removed = cleaned(frame, rules(DECODE, "h100-sxm", 3.35e12, 989e12))
    assert {r.rule: r.rows for r in removed} == {"other_kernel": 1, "on_chip": 1, "above_datasheet": 1}
    assert kept["step"].tolist() == [65535]
    assert "on_chip" not in {r.name for r in rules(PREFILL, "h100-sxm", 3.35e12, 989e12)}
