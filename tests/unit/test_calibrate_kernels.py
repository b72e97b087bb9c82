"""The contract of kernel readers: versions, medians of repetitions, rules that count, the split."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from costc.calibrate import kernels
from costc.calibrate.kernels import Rule, Table, cleaned, files, held_out, median, newest, opened, version, version_key
from costc.calibrate.split import HELD_OUT, side
from costc.errors import CostcError


def test_versions_are_ordered_as_releases_are() -> None:
    words = [
        "0.1.dev19262",
        "0.5.6.post2",
        "0.5.9",
        "0.5.10",
        "1.2.0rc5",
        "1.3.0rc9",
        "1.3.0rc20",
        "1.3.0",
        "1.3.0.post1",
        "2.27.3",
    ]
    assert sorted([*words[4:], *words[:4]], key=version_key) == words


def test_a_word_that_is_no_version_is_refused() -> None:
    with pytest.raises(CostcError, match=r"'main' is not a version such as"):
        version_key("main")


def test_newest_is_the_newest_that_has_the_table(tmp_path: Path) -> None:
    for release, table in (("0.5.9", "gemm"), ("0.5.10", "gemm"), ("0.5.14", "moe")):
        folder = tmp_path / "h100_sxm" / "gemm" / "sglang" / release
        folder.mkdir(parents=True)
        (folder / f"{table}.parquet").touch()
    found = newest(tmp_path, "h100-sxm", "gemm", "sglang", "gemm")
    assert found is not None
    assert version(found) == "0.5.10"
    assert [version(p) for p in files(tmp_path, "h100-sxm", "gemm", "sglang", "gemm")] == ["0.5.9", "0.5.10"]
    assert newest(tmp_path, "h100-sxm", "gemm", "vllm", "gemm") is None


def test_repetitions_become_their_median_within_a_format() -> None:
    frame = pd.DataFrame({"m": [2, 1, 1, 1, 1], "dtype": ["a", "a", "a", "a", "b"], "latency": [5.0, 1.0, 9.0, 2.0, 7.0]})
    reduced = median(frame, ["m"], "latency", ["dtype"])
    assert reduced.to_dict("list") == {"dtype": ["a", "a", "b"], "m": [1, 2, 1], "latency": [2.0, 5.0, 7.0]}


def test_rules_remove_in_order_and_count_what_they_remove() -> None:
    frame = pd.DataFrame({"m": [1, 2, 3, 4], "latency": [1.0, -1.0, 50.0, -2.0]})
    slow = Rule("slow", "slower than 10 ms", lambda f: f["latency"] > 10)
    negative = Rule("negative", "a time below zero", lambda f: f["latency"] < 0)
    even = Rule("even", "an even size", lambda f: f["m"] % 2 == 0)
    kept, removed = cleaned(frame, [slow, negative, even])
    assert kept["m"].tolist() == [1]
    assert [(r.rule, r.rows) for r in removed] == [("slow", 1), ("negative", 2), ("even", 0)]
    assert removed[0].reason == "slower than 10 ms"


def test_the_split_is_that_of_the_protocol_whatever_the_column_type() -> None:
    frame = pd.DataFrame({"m": [1, 2, 3, 4096], "n": [8.0, 16.0, 32.0, 64.0], "kind": ["a", "b", "c", "d"]})
    mask = held_out(frame, ["m", "n", "kind"])
    assert mask.tolist() == [side(1, 8, "a") == HELD_OUT, side(2, 16, "b") == HELD_OUT, side(3, 32, "c") == HELD_OUT,
                             side(4096, 64, "d") == HELD_OUT]  # fmt: skip


def test_a_table_whose_columns_differ_in_length_is_a_defect() -> None:
    with pytest.raises(ValueError, match="rows has shape"):
        Table("gemm", "x", "y", "bf16", "1", {"rows": np.ones(3)}, np.ones(2), np.zeros(2, dtype=bool))


def test_a_missing_wheel_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernels, "WHEEL", "no_such_wheel")
    with pytest.raises(CostcError, match="aiconfigurator-core is not installed"):
        kernels.data()


def test_an_unknown_column_is_named(tmp_path: Path) -> None:
    pytest.importorskip("pyarrow", reason="tables are parquet files")
    path = tmp_path / "gemm.parquet"
    pd.DataFrame({"m": [1], "latency": [1.0]}).to_parquet(path)
    assert opened(path, ["m"])["m"].tolist() == [1]
    with pytest.raises(CostcError, match="unknown column 'latencyy'; allowed: latency, m; did you mean 'latency'"):
        opened(path, ["latencyy"])
