"""The closed form of latent attention and the reading of its tables."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import pandas as pd
import pytest
import sympy as sp
from hypothesis import given, settings
from hypothesis import strategies as st

from costc.calibrate.kernels import cleaned, mla, sparse
from costc.calibrate.numeric import seconds
from costc.latency.form import Form
from costc.latency.forms.mla import DECODE, INDEX, PREFILL, SPARSE_MLA

RATES = {"peak": 1e15, "bandwidth": 4e12}
FORMS = pytest.mark.parametrize("form", [PREFILL, DECODE], ids=lambda f: f.name)


@dataclass(frozen=True)
class Launch:
    """Sizes of a launch; absorbed, all heads share one cache."""

    batch: int
    new: int
    cached: int
    heads: int
    absorbed: bool

    def columns(self) -> dict[str, float]:
        """Demands, by the reader that fits use."""
        frame = pd.DataFrame({"batch_size": [self.batch], "isl": [self.new], "step": [self.cached], "num_heads": [self.heads]})
        asked = mla.demands(frame, "bf16", absorbed=self.absorbed)
        names = {d.name for form in (PREFILL, DECODE) for d in form.demands}
        return {name: float(asked[name].iloc[0]) for name in names}


SIZE = st.integers(1, 300)
LAUNCHES = st.builds(Launch, SIZE, SIZE, st.integers(0, 5000), st.integers(1, 200), st.booleans())


def constants(form: Form) -> st.SearchStrategy[dict[str, float]]:
    return st.fixed_dictionaries({c.name: st.floats(c.low, c.high) for c in form.constants})


def time(form: Form, launch: Launch, values: dict[str, float]) -> float:
    return float(seconds(form, {**RATES, **launch.columns(), **values}))


def resized(launch: Launch, size: str, value: int) -> Launch:
    sizes: dict[str, Any] = {size: value}
    return replace(launch, **sizes)


def either_binds(form: Form, data: st.DataObject) -> dict[str, float]:
    """Constants, and rates from bound by computing to bound by moving; nothing else, so that no size hides behind it."""
    values = data.draw(constants(form)) | {"launch_latency": 0.0, "peak": 10 ** data.draw(st.floats(12, 18))}
    return values | {name: 0.0 for name in ("block_latency", "row_latency") if name in values and data.draw(st.booleans())}


@FORMS
@settings(max_examples=300)
@given(data=st.data())
def test_no_size_makes_it_faster(form: Form, data: st.DataObject) -> None:
    values, launch = either_binds(form, data), data.draw(LAUNCHES)
    size = data.draw(st.sampled_from(["batch", "new", "cached", "heads"]))
    larger = resized(launch, size, getattr(launch, size) + data.draw(SIZE))
    assert time(form, larger, values) >= time(form, launch, values) * (1 - 1e-12)


@FORMS
@pytest.mark.parametrize("size", ["batch", "new", "heads"])
@pytest.mark.parametrize("peak", [1e12, 1e18])
@pytest.mark.parametrize("absorbed", [True, False])
def test_no_step_down_where_a_block_begins(form: Form, size: str, peak: float, absorbed: bool) -> None:
    deep = {c.name: c.high if c.name in ("depth", "activation_efficiency") else c.low for c in form.constants}
    values = deep | {"launch_latency": 0.0, "block_latency": 0.0, "overlap": 1.0, "peak": peak}
    for at in (1, 2, 127, 128, 256):
        launch = resized(Launch(1, 1, 5000, 1, absorbed), size, at)
        assert time(form, resized(launch, size, at + 1), values) >= time(form, launch, values) * (1 - 1e-12)


@FORMS
@given(launch=LAUNCHES)
def test_neutral_constants_give_the_roofline(form: Form, launch: Launch) -> None:
    asked = launch.columns()
    byte = asked["kv_byte"] + asked["activation_byte"]
    expected = max(asked["flop"] / RATES["peak"], byte / RATES["bandwidth"])
    assert time(form, launch, {c.name: c.neutral for c in form.constants}) == pytest.approx(expected)


def test_decode_by_hand() -> None:
    values = {"launch_latency": 1e-5, "block_latency": 1e-8, "depth": 2.0, "compute_efficiency": 0.5, "memory_efficiency": 0.8,
              "activation_efficiency": 0.4, "overlap": 0.75}  # fmt: skip
    launch = Launch(batch=8, new=1, cached=4095, heads=256, absorbed=True)
    compute = 2 * 8 * 4096 * 256 * 1088 * (1 + 2 / 16) / 0.5e15
    move = (8 * 4096 * 576 * 2 * (1 + 2 / 8) / 0.8 + 8 * 256 * 1088 * 2 / 0.4) / 4e12
    assert compute > move
    assert time(DECODE, launch, values) == pytest.approx(1e-5 + 16 * 1e-8 + compute + 0.25 * move)


def test_prefill_by_hand() -> None:
    values = {"launch_latency": 1e-5, "block_latency": 1e-8, "depth": 64.0, "compute_efficiency": 0.5, "memory_efficiency": 0.8,
              "overlap": 0.0}  # fmt: skip
    launch = Launch(batch=2, new=192, cached=64, heads=16, absorbed=False)
    pairs = 2 * sum(65 + i for i in range(192))
    compute = 2 * pairs * 16 * 320 * (1 + 64 / (32 * 1.5)) / 0.5e15
    move = (2 * 256 * 64 * 2 + 2 * 16 * (192 * 320 + 256 * 256) * 2) / 0.8 / 4e12
    assert time(PREFILL, launch, values) == pytest.approx(1e-5 + 64 * 1e-8 + compute + move)


@FORMS
def test_pieces_are_affine_where_positions_are_summed(form: Form) -> None:
    assert form.pieces is not None
    moving = [sp.Symbol(n, nonnegative=True) for n in ("flop", "byte", "kv_byte", "activation_byte")]
    for piece in (form.pieces.compute, form.pieces.move):
        assert all(sp.diff(piece, a, b) == 0 for a in moving for b in moving)
    for piece in (form.pieces.fixed, form.pieces.overlap):
        assert not piece.free_symbols & set(moving)


def frame(latency: list[float], step: list[int]) -> pd.DataFrame:
    rows = pd.DataFrame({"batch_size": 8, "isl": 1, "step": step, "num_heads": 16, "latency": latency})
    return mla.demands(rows, "bf16", absorbed=True)


def test_rules_remove_stalls_and_caches_that_stayed_on_the_chip() -> None:
    steps = [15, 4095, 16383, 65535]
    kept, removed = cleaned(frame([9.0, 0.02, 0.05, 0.2], steps), mla.rules(DECODE, "h200", "bf16"))
    assert kept["step"].tolist() == [16383, 65535]
    assert [(r.rule, r.rows) for r in removed] == [("stall", 1), ("on_chip", 1)]
    kept, removed = cleaned(frame([0.01, 0.02, 0.05, 0.2], steps), mla.rules(PREFILL, "h200", "bf16"))
    assert [(r.rule, r.rows) for r in removed] == [("stall", 0)]
    assert len(kept) == 4


READERS = {SPARSE_MLA.name: sparse.attention, INDEX.name: sparse.index}
CHOICE = pytest.mark.parametrize("form", [SPARSE_MLA, INDEX], ids=lambda f: f.name)


def chosen(form: Form, batch: int, new: int, cached: int) -> dict[str, float]:
    """Demands of a launch, by the reader that fits use."""
    rows = pd.DataFrame({"batch_size": [batch], "isl": [new], "step": [cached], "latency": 1.0, "latency_sort": 1.0})
    asked = READERS[form.name](rows)
    return {d.name: float(asked[d.name].iloc[0]) for d in form.demands}


@CHOICE
@settings(max_examples=300)
@given(data=st.data())
def test_no_size_makes_a_choice_faster(form: Form, data: st.DataObject) -> None:
    values, sizes = either_binds(form, data), data.draw(st.tuples(SIZE, SIZE, st.integers(0, 5000)))
    larger = tuple(n + data.draw(st.integers(0, 300)) for n in sizes)
    least, most = (float(seconds(form, {**RATES, **chosen(form, *at), **values})) for at in (sizes, larger))
    assert most >= least * (1 - 1e-12)


@CHOICE
def test_neutral_constants_give_the_roofline_of_a_choice(form: Form) -> None:
    asked = chosen(form, 4, 100, 9000)
    neutral = {c.name: c.neutral for c in form.constants}
    expected = max(asked["flop"] / RATES["peak"], asked["byte"] / RATES["bandwidth"])
    assert float(seconds(form, {**RATES, **asked, **neutral})) == pytest.approx(expected)


def test_choice_by_hand() -> None:
    values = {"launch_latency": 1e-5, "compute_efficiency": 0.5, "memory_efficiency": 0.8}
    asked = chosen(SPARSE_MLA, 8, 4, 5000)
    compute = 2 * 32 * 2048 * 64 * 1088 * 100 / 32 / 0.5e15
    assert float(seconds(SPARSE_MLA, {**RATES, **asked, **values, "slots": 100.0})) == pytest.approx(1e-5 + compute)
    asked = chosen(INDEX, 2, 1, 65535)
    move = (2 * 16384 * 132 + 2 * 64 * 128) / 0.8 / 4e12
    values |= {"row_latency": 1e-8, "depth": 1.0, "compute_efficiency": 1.0}
    assert float(seconds(INDEX, {**RATES, **asked, **values})) == pytest.approx(1e-5 + 2e-8 + move)
    asked = chosen(INDEX, 4, 2, 8190)
    compute = 2 * 8 * (8190 + 1.5) / 4 * 64 * 128 * (1 + 1 / 8) / 1e13
    values |= {"peak": 1e13}
    assert float(seconds(INDEX, {**RATES, **asked, **values})) == pytest.approx(1e-5 + 8e-8 + compute)
