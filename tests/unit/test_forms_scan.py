"""Scans: their forms grow with every size, are the roofline without constants, and their tables are read rightly."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import sympy as sp
from hypothesis import given, settings
from hypothesis import strategies as st

from costc.calibrate.kernels import Table, scan
from costc.calibrate.numeric import seconds
from costc.latency.form import Form
from costc.latency.forms.scan import DECODE_FORM, FORMS, PREFILL_FORM

RATES = {"peak": 1e15, "bandwidth": 4e12}
SIZE = st.integers(1, 5000)


@st.composite
def constants(draw: st.DrawFn, form: Form) -> dict[str, float]:
    """Constants anywhere between their bounds, in the logarithm where they are scales."""
    found = {}
    for c in form.constants:
        share = draw(st.floats(0, 1))
        found[c.name] = c.low * (c.high / c.low) ** share if c.log else c.low + share * (c.high - c.low)
    return found


def asked(batch: int, seq: int, keys: int, values: int, op: str = "gdn") -> dict[str, float]:
    """The demands as the reader counts them."""
    frame = pd.DataFrame([(batch, seq, keys, values, 128, 128)], columns=scan.SHAPE)
    made = scan._demands(frame, op)
    return {d.name: float(made[d.name].iloc[0]) for d in PREFILL_FORM.demands}


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(FORMS), st.tuples(SIZE, SIZE, SIZE, SIZE), st.integers(0, 3), SIZE, st.data())
def test_grows_with_every_size(form: Form, sizes: tuple[int, int, int, int], which: int, more: int, data: st.DataObject) -> None:
    values = {**data.draw(constants(form)), **RATES}
    larger = list(sizes)
    larger[which] += more
    few, many = (seconds(form, {**values, **asked(*s)}) for s in (sizes, larger))
    assert many >= few * (1 - 1e-12)


@pytest.mark.parametrize("form", FORMS, ids=lambda f: f.name)
@pytest.mark.parametrize("seq", [1, 4096])
@pytest.mark.parametrize("peak", [1e14, 1e16])
def test_neutral_constants_give_the_roofline(form: Form, seq: int, peak: float) -> None:
    neutral, demands = {c.name: c.neutral for c in form.constants}, asked(3, seq, 4, 8)
    flop = demands["flop"] if form is PREFILL_FORM else 0
    expected = max(flop / peak, demands["byte"] / 4e12)
    assert seconds(form, {**neutral, **RATES, "peak": peak, **demands}) == pytest.approx(expected)


@pytest.mark.parametrize("form", FORMS, ids=lambda f: f.name)
def test_computing_and_moving_are_affine_in_flop_and_byte(form: Form) -> None:
    pieces = form.pieces
    assert pieces is not None
    for piece in (pieces.compute, pieces.move):
        for amount in (sp.Symbol("flop", nonnegative=True), sp.Symbol("byte", nonnegative=True)):
            assert sp.diff(piece, amount, 2) == 0
        assert not pieces.fixed.has(amount)


def test_prefill_by_hand() -> None:
    values = {"launch_latency": 2e-5, "chain": 1e-8, "chains": 64.0, "compute_efficiency": 0.1, "memory_efficiency": 0.5,
              "overlap": 0.25}  # fmt: skip
    demands = {"flop": 4e9, "byte": 1e8, "sequences": 2, "heads": 8}
    compute, move = 4 * 4e9 / 1e14, 1e8 / 2e12
    assert compute > move
    found = seconds(PREFILL_FORM, {**values, **RATES, **demands})
    assert found == pytest.approx(2e-5 + 16e-8 + compute + 0.75 * move)


def test_decode_by_hand() -> None:
    values = {"launch_latency": 4e-6, "memory_efficiency": 0.8, "byte": 3.2e8}
    assert seconds(DECODE_FORM, {**values, **RATES}) == pytest.approx(1.04e-4)


def test_demands_of_one_chunk() -> None:
    got = asked(1, 64, 1, 2)
    pairs, solved = 64 * 65 / 2, 63 * 62 / (3 * 65)
    assert got["flop"] == pytest.approx(2 * 2 * (pairs * (5 * 128 + solved) + 3 * 64 * 128**2))
    assert got["byte"] == 2 * 64 * (2 * 128 + 2 * 2 * 128 + 2 * 2) + 2 * 4 * 2 * 128**2
    assert asked(1, 64, 2, 2, "kda")["byte"] - asked(1, 64, 2, 2)["byte"] == 2 * 64 * 2 * 127


COLUMNS = ["kernel_source", "phase", *scan.SHAPE, "latency"]


def read(monkeypatch: pytest.MonkeyPatch, rows: list[tuple[object, ...]], engine: str = "vllm") -> dict[str, Table]:
    """What the reader makes of a table of gated delta rules, by form and format."""
    frame = pd.DataFrame(rows, columns=COLUMNS)
    monkeypatch.setattr(scan, "newest", lambda *where: Path("1.0/t") if where[-1] == "gdn_perf" else None)
    monkeypatch.setattr(scan, "opened", lambda path, columns: frame[list(columns)].copy())
    return {f"{t.form} {t.dtype}": t for t in scan.read(Path(), "h200", engine, {"bandwidth": 4.8e12})}


def row(kernel: str, phase: str, batch: int, seq: int, latency: float) -> tuple[object, ...]:
    return (kernel, phase, batch, seq, 16, 32, 128, 128, latency)


def test_kernels_go_to_their_forms(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [row("causal_conv1d_fn", "context", 1, 100, 0.005), row("chunk_gated_delta_rule", "context", 2, 100, 0.05),
            row("causal_conv1d_update", "generation", 1, 1, 0.002), row("fused_recurrent", "generation", 4, 1, 0.01),
            row("kda_fused_decode", "generation", 4, 1, 0.01), row("fused_recurrent", "verify", 4, 4, 0.01)]  # fmt: skip
    found = read(monkeypatch, rows)
    assert list(found) == ["elementwise gdn_convolution_decode", "elementwise gdn_convolution_prefill", "scan_decode gdn",
                           "scan_prefill gdn"]  # fmt: skip
    assert found["scan_prefill gdn"].columns["sequences"].tolist() == [2]
    assert found["scan_decode gdn"].seconds.tolist() == pytest.approx([1e-5])
    convolved = found["elementwise gdn_convolution_prefill"].columns["byte"].tolist()
    assert convolved == [2 * 2 * (2 * 16 + 32) * 128 * 103]


@pytest.mark.parametrize(
    ("rule", "engine", "rows"),
    [
        ("smaller", "trtllm", [row("causal_conv1d_fn", "context", 1, 100, 0.005)]),
        ("eager", "vllm", [row("causal_conv1d_fn", "context", 1, n, 0.4) for n in (1, 100)]),
        ("disagreeing", "vllm", [row("causal_conv1d_fn", "context", 1, 100, t) for t in (0.004, 0.008)]),
        ("impossible", "vllm", [row("causal_conv1d_fn", "context", 64, n, 0.02) for n in (1, 4096)]),
    ],
)
def test_a_bad_table_has_no_rows(monkeypatch: pytest.MonkeyPatch, rule: str, engine: str, rows: list[tuple[object, ...]]) -> None:
    (table,) = read(monkeypatch, rows, engine).values()
    assert len(table) == 0
    assert [r.rule for r in table.removed if r.rows] == [rule]


def test_rows_out_of_the_cache_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    (table,) = read(monkeypatch, [row("causal_conv1d_fn", "context", 1, n, 0.003) for n in (10, 1000)]).values()
    assert np.all(table.columns["byte"] < 4.8e12 * table.seconds)
    assert (len(table), [r.rule for r in table.removed if r.rows]) == (1, ["cached"])
