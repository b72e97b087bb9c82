"""What streams through memory: the form grows, is the roofline without constants, and its tables are read rightly."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from costc.calibrate.kernels import Table, elementwise
from costc.calibrate.numeric import seconds
from costc.latency.forms.elementwise import CONSTANTS, FORM

RATES = {"bandwidth": 4e12}
VALUES = st.fixed_dictionaries({c.name: st.floats(c.low, c.high) for c in CONSTANTS})


@given(VALUES, st.floats(0, 1e12), st.floats(0, 1e12))
def test_grows_with_bytes(values: dict[str, float], byte: float, more: float) -> None:
    few = seconds(FORM, {**values, **RATES, "byte": byte})
    assert seconds(FORM, {**values, **RATES, "byte": byte + more}) >= few


def test_by_hand_and_without_constants() -> None:
    values = {"launch_latency": 3e-6, "memory_efficiency": 0.8, "byte": 3.2e7}
    assert seconds(FORM, {**values, **RATES}) == pytest.approx(1.3e-5)
    neutral = {c.name: c.neutral for c in CONSTANTS}
    assert seconds(FORM, {**neutral, **RATES, "byte": 4e6}) == pytest.approx(1e-6)


def read(monkeypatch: pytest.MonkeyPatch, name: str, frame: pd.DataFrame) -> list[Table]:
    monkeypatch.setattr(elementwise, "newest", lambda *where: Path("1.0/t") if where[-1] == name else None)
    monkeypatch.setattr(elementwise, "opened", lambda path, columns: frame[list(columns)].copy())
    return list(elementwise.read(Path(), "h200", "vllm", {"bandwidth": 4.8e12}))


def test_quantizing_reads_two_bytes_and_writes_one(monkeypatch: pytest.MonkeyPatch) -> None:
    frame = pd.DataFrame([(4, 1024, 0.002), (4096, 4096, 0.001)], columns=["m", "k", "latency"])
    (table,) = read(monkeypatch, "scale_matrix_perf", frame)
    assert table.dtype == "quantize"
    assert table.columns["byte"].tolist() == [3 * 4096]
    assert table.seconds.tolist() == pytest.approx([2e-6])
    assert [(r.rule, r.rows) for r in table.removed] == [("unfused", 0), ("impossible", 0), ("cached", 1)]


def test_unfused_quantizing_has_no_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    frame = pd.DataFrame([(4, 1024, 0.005), (8, 1024, 0.006)], columns=["m", "k", "latency"])
    (table,) = read(monkeypatch, "scale_matrix_perf", frame)
    assert (len(table), table.removed[0].rows) == (0, 2)


def test_streams_are_timed_for_several_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [("pre", 8, 4096, 4, 2, 0.02), ("post", 8, 4096, 4, 2, 0.01)]
    names = ["op_name", "num_tokens", "hidden_size", "hc_mult", "num_sites", "latency"]
    mix, merge = read(monkeypatch, "mhc_module_perf", pd.DataFrame(rows, columns=names))
    assert (mix.dtype, merge.dtype) == ("stream_mix", "stream_merge")
    assert mix.columns["byte"].tolist() == [2 * 8 * 4096 * 9]
    assert merge.columns["byte"].tolist() == [2 * 8 * 4096 * 5]
    assert mix.seconds.tolist() == pytest.approx([5e-6])
