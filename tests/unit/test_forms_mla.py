"""The closed form of latent attention and the reading of its tables."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pandas as pd
import pytest
import sympy as sp
from hypothesis import given
from hypothesis import strategies as st

from costc.calibrate.kernels import cleaned, mla
from costc.calibrate.numeric import seconds
from costc.latency.form import Form
from costc.latency.forms.mla import DECODE, PREFILL

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
        return {d.name: float(asked[d.name].iloc[0]) for d in DECODE.demands}


SIZE = st.integers(1, 300)
LAUNCHES = st.builds(Launch, SIZE, SIZE, st.integers(0, 5000), st.integers(1, 200), st.booleans())


def constants(form: Form) -> st.SearchStrategy[dict[str, float]]:
    return st.fixed_dictionaries({c.name: st.floats(c.low, c.high) for c in form.constants})


def time(form: Form, launch: Launch, values: dict[str, float]) -> float:
    return float(seconds(form, {**RATES, **launch.columns(), **values}))


@FORMS
@given(data=st.data())
def test_no_size_makes_it_faster(form: Form, data: st.DataObject) -> None:
    values, launch = data.draw(constants(form)), data.draw(LAUNCHES)
    size = data.draw(st.sampled_from(["batch", "new", "cached", "heads"]))
    larger = replace(launch, **{size: getattr(launch, size) + data.draw(SIZE)})
    assert time(form, larger, values) >= time(form, launch, values) * (1 - 1e-12)


@FORMS
@given(launch=LAUNCHES)
def test_neutral_constants_give_the_roofline(form: Form, launch: Launch) -> None:
    asked = launch.columns()
    byte = asked["kv_byte"] + asked["activation_byte"]
    expected = max(asked["flop"] / RATES["peak"], byte / RATES["bandwidth"])
    assert time(form, launch, {c.name: c.neutral for c in form.constants}) == pytest.approx(expected)


def test_decode_by_hand() -> None:
    values = {"launch_latency": 1e-5, "tile_latency": 1e-8, "depth": 2.0, "compute_efficiency": 0.5, "memory_efficiency": 0.8,
              "activation_efficiency": 0.4, "overlap": 0.75}  # fmt: skip
    launch = Launch(batch=8, new=1, cached=4095, heads=256, absorbed=True)
    compute = 2 * 8 * 4096 * 256 * 1088 * (1 + 2 / 16) / 0.5e15
    move = (8 * 4096 * 576 * 2 * (1 + 2 / 8) / 0.8 + 8 * 256 * 1088 * 2 / 0.4) / 4e12
    assert compute > move
    assert time(DECODE, launch, values) == pytest.approx(1e-5 + 16 * 1e-8 + compute + 0.25 * move)


def test_prefill_by_hand() -> None:
    values = {"launch_latency": 1e-5, "tile_latency": 1e-8, "depth": 64.0, "compute_efficiency": 0.5, "memory_efficiency": 0.8,
              "activation_efficiency": 0.4, "overlap": 0.0}  # fmt: skip
    launch = Launch(batch=2, new=192, cached=64, heads=16, absorbed=False)
    pairs = 2 * sum(65 + i for i in range(192))
    compute = 2 * pairs * 16 * 320 * (1 + 64 / (32 * 1.5)) / 0.5e15
    move = (2 * 256 * 64 * 2 * (1 + 64 / 32) / 0.8 + 2 * 16 * (192 * 320 + 256 * 256) * 2 / 0.4) / 4e12
    assert time(PREFILL, launch, values) == pytest.approx(1e-5 + 64 * 1e-8 + compute + move)


@FORMS
def test_pieces_are_affine_where_positions_are_summed(form: Form) -> None:
    assert form.pieces is not None
    moving = [sp.Symbol(n, nonnegative=True) for n in ("flop", "kv_byte", "activation_byte")]
    for piece in (form.pieces.compute, form.pieces.move):
        assert all(sp.diff(piece, a, b) == 0 for a in moving for b in moving)
    for piece in (form.pieces.fixed, form.pieces.overlap):
        assert not piece.free_symbols & set(moving)


def frame(latency: list[float], step: list[int]) -> pd.DataFrame:
    rows = pd.DataFrame({"batch_size": 8, "isl": 1, "step": step, "num_heads": 16, "latency": latency})
    return mla.demands(rows, "bf16", absorbed=True)


def test_rules_remove_stalls_and_caches_that_stayed_on_the_chip() -> None:
    steps = [15, 4095, 16383, 65535]
    kept, removed = cleaned(frame([9.0, 0.02, 0.05, 0.2], steps), mla.rules(DECODE, mla.on_chip("h200")))
    assert kept["step"].tolist() == [16383, 65535]
    assert [(r.rule, r.rows) for r in removed] == [("stall", 1), ("warm", 1)]
    kept, removed = cleaned(frame([0.01, 0.02, 0.05, 0.2], steps), mla.rules(PREFILL, mla.on_chip("h200")))
    assert [(r.rule, r.rows) for r in removed] == [("stall", 0)]
    assert len(kept) == 4
