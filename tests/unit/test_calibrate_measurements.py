"""A user's measurements: CSV tables and the results of three load generators, and the rows that are not used."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from costc.calibrate.measurements import read
from costc.calibrate.points import Measurements, far
from costc.calibrate.tables import kernels
from costc.errors import CostcError
from costc.latency.forms import FORMS

HEAD = "isl,osl,concurrency,ttft_ms,tpot_ms"
#: the fields of a result that vllm bench serve saves, without those that nothing here reads
VLLM: dict[str, Any] = {
    "date": "20260401-120000", "endpoint_type": "vllm", "backend": "vllm", "label": None, "model_id": "meta-llama/Llama-3.1-8B",
    "tokenizer_id": "t", "num_prompts": 80, "request_rate": "inf", "burstiness": 1.0, "max_concurrency": 8, "duration": 30.0,
    "completed": 80, "failed": 0, "total_input_tokens": 73728, "total_output_tokens": 18432, "request_throughput": 2.6,
    "mean_ttft_ms": 90.0, "median_ttft_ms": 70.0, "std_ttft_ms": 30.0, "p99_ttft_ms": 210.0, "mean_tpot_ms": 9.0,
    "median_tpot_ms": 9.1, "p99_tpot_ms": 11.0, "mean_itl_ms": 9.0, "mean_e2el_ms": 2151.0,
}  # fmt: skip
SGLANG: dict[str, Any] = {
    "tag": None, "backend": "sglang", "dataset_name": "random", "request_rate": 4.0, "max_concurrency": None,
    "random_input_len": 1024, "random_output_len": 256, "random_range_ratio": 0.8, "duration": 30.0, "completed": 100,
    "total_input_tokens": 92160, "total_output_tokens": 23040, "mean_e2e_latency_ms": 2500.0, "mean_ttft_ms": 200.0,
    "median_ttft_ms": 150.0, "p99_ttft_ms": 900.0, "mean_tpot_ms": 10.0, "p99_tpot_ms": 15.0, "concurrency": 9.7,
}  # fmt: skip
AIPERF: dict[str, Any] = {
    "schema_version": "1.5", "aiperf_version": "0.13.0", "was_cancelled": False,
    "input_config": {"endpoint": {"model_names": ["Qwen/Qwen3-32B"]}, "loadgen": {"concurrency": 32, "request_rate": None}},
    "request_count": {"unit": "requests", "avg": 320.0},
    "input_sequence_length": {"unit": "tokens", "avg": 2000.0}, "output_sequence_length": {"unit": "tokens", "avg": 200.0},
    "time_to_first_token": {"unit": "ms", "avg": 500.0, "p50": 450.0, "p99": 1500.0},
    "inter_token_latency": {"unit": "ms", "avg": 12.0, "p99": 20.0}, "request_latency": {"unit": "ms", "avg": 2888.0},
}  # fmt: skip


def table(folder: Path, *lines: str, name: str = "points.csv") -> Path:
    path = folder / name
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def result(folder: Path, *runs: dict[str, Any], name: str = "runs.json") -> Path:
    return table(folder, *(json.dumps(run) for run in runs), name=name)


def said(found: Measurements) -> list[tuple[int, str]]:
    return [(flag.line, flag.reason) for flag in found.flags]


# ---- CSV


def test_points_of_a_csv(tmp_path: Path) -> None:
    path = table(
        tmp_path,
        "model, device,engine,tp,isl,osl,concurrency,requests,ttft_us,tpot_s,ttft_p99_ms",
        "llama,h100-sxm,vllm,2,1024,128,4,40,50000,0.009,80",
        "",
        '"llama",h100-sxm,vllm,2,1024,128,8,80,90000,0.0095,',
    )
    first, second = read([path]).points
    assert (first.line, second.line) == (2, 4)
    assert (first.isl, first.osl, first.concurrency, first.rate, first.requests) == (1024, 128, 4, None, 40)
    assert (first.ttft, first.tpot) == pytest.approx((0.05, 0.009))
    assert first.percentiles == {"ttft_p99": pytest.approx(0.08)}
    assert second.percentiles == {}
    assert first.labels == {"model": "llama", "device": "h100-sxm", "engine": "vllm"}
    assert first.degrees == {"tp": 2}
    assert first.configuration == second.configuration


def test_a_bad_row_is_named_and_the_others_are_used(tmp_path: Path) -> None:
    rows = ["1024,256,1,40,8", "1024,256,2,-1,8.1", "1024,256,4,60,nan", "1024,,8,90,9", "1024,256,,99,9", "1024,256,16,,10"]
    path = table(tmp_path, HEAD, *rows)
    found = read([path])
    assert [p.line for p in found.points] == [2, 7]
    assert found.points[1].ttft is None
    assert said(found) == [
        (3, "ttft_ms is -1; expected more than 0"),
        (4, "tpot_ms is nan, not a finite number"),
        (5, "osl is empty"),
        (6, "neither concurrency nor rate_per_s is given"),
    ]


def test_a_cell_may_span_lines(tmp_path: Path) -> None:
    path = table(tmp_path, "model," + HEAD, '"a', 'b",1024,256,1,40,8', '"a', 'b",1024,256,2,41,8', "a,1024,256,2,-1,8")
    found = read([path])
    assert [p.line for p in found.points] == [2, 4]
    assert [line for line, _ in said(found)] == [6]


def test_rows_that_repeat_one_another_are_used_once(tmp_path: Path) -> None:
    path = table(tmp_path, HEAD, "1024,256,1,40,8", "1024,256,1,40,8", "1024,256,1,41,8", "1024.0,256,1,40.0,8.00")
    found = read([path])
    assert [p.line for p in found.points] == [2, 4]  # measured again is no repetition
    assert said(found) == [(3, "repeats line 2"), (5, "repeats line 2")]


def sweep(*, wrong: int, factor: float, column: int) -> list[str]:
    """A sweep over concurrency whose TTFT spans a factor of 300, with one cell of another unit.

    Outputs are short: behind long ones a TTFT of seconds may be a queue.
    """
    rows = [[1024, 8, 2**i, 30.0 * 1.75**i, 8.0 * 1.12**i] for i in range(11)]
    rows[wrong][column] *= factor
    return [",".join(f"{v:.10g}" for v in row) for row in rows]


@pytest.mark.parametrize("factor", [1000.0, 0.001])
@pytest.mark.parametrize("column", [3, 4])
@pytest.mark.parametrize("wrong", [0, 5, 10])
def test_microseconds_among_milliseconds_are_found(tmp_path: Path, wrong: int, column: int, factor: float) -> None:
    found = read([table(tmp_path, HEAD, *sweep(wrong=wrong, factor=factor, column=column))])
    assert [line for line, _ in said(found)] == [wrong + 2]
    assert "of its configuration have (another unit?)" in found.flags[0].reason
    assert len(found.points) == 10


def test_a_real_sweep_has_no_flags(tmp_path: Path) -> None:
    lines = [
        f"{isl},256,{c},{0.02 * isl * (1 + c / 2) + 15:.4f},{6 + c * isl / 20000:.4f}"
        for isl in (128, 1024, 8192, 65536) for c in (1, 4, 16, 64, 256, 1024)
    ]  # fmt: skip
    found = read([table(tmp_path, HEAD, *lines)])
    assert len(found.points) == 24
    assert not found.flags


def test_a_queue_is_no_fault(tmp_path: Path) -> None:
    """Memory holds 32 requests of these lengths; at 64 a new one waits for another's end."""
    lines = ["1024,8192,8,200,24", "1024,8192,16,300,25", "1024,8192,32,450,27", "1024,8192,64,80000,30"]
    assert not read([table(tmp_path, HEAD, *lines)]).flags
    short = [line.replace(",8192,", ",64,") for line in lines]
    assert [line for line, _ in said(read([table(tmp_path, HEAD, *short)]))] == [5]


def test_rows_of_other_configurations_are_no_neighbours(tmp_path: Path) -> None:
    """A slow device beside a fast one is no mistake."""
    found = read(
        [
            table(
                tmp_path,
                "device," + HEAD,
                *(f"{d},1024,256,{c},{t},{t / 5}" for d, t in (("a", 10), ("b", 9000)) for c in (1, 2)),
            )
        ]
    )
    assert len(found.points) == 4


@settings(max_examples=60, deadline=None)
@given(st.lists(st.floats(0.5, 2.0), min_size=4, max_size=30), st.integers(0, 29), st.sampled_from([1000.0, 1e-3]))
def test_a_thousandfold_time_is_always_found_among_alike(scatter: list[float], place: int, factor: float) -> None:
    times = list(scatter)
    times[place % len(times)] *= factor
    assert set(far(times, [(1.0,)] * len(times))) == {place % len(times)}
    assert not far(scatter, [(1.0,)] * len(times))


def test_a_times_growth_with_size_is_no_fault() -> None:
    sizes = [(2.0**i, 2.0**i) for i in range(0, 20, 4)]
    assert not far([1e-6 * a * b for a, b in sizes], sizes)


# ---- CSV of kernels

KERNELS = "form,dtype,flop,byte,time_us"


def test_kernels_become_a_table_for_each_form_and_format(tmp_path: Path) -> None:
    path = table(
        tmp_path,
        KERNELS,
        "roofline,bf16,1e9,1e6,10",
        "roofline,fp8,1e9,5e5,7",
        "roofline,bf16,2e9,2e6,13",
        "roofline,fp8,2e9,1e6,-9",
    )
    found, flags = kernels(path, FORMS, "h100-sxm", "own")
    assert [(t.form, t.dtype, len(t), t.device, t.engine) for t in found] == [
        ("roofline", "bf16", 2, "h100-sxm", "own"),
        ("roofline", "fp8", 1, "h100-sxm", "own"),
    ]
    assert found[0].seconds.tolist() == pytest.approx([10e-6, 13e-6])
    assert found[0].columns["flop"].tolist() == [1e9, 2e9]
    assert not found[0].held_out.any()
    assert [str(flag) for flag in flags] == [f"{path}:5: time_us is -9; expected more than 0"]


def test_a_kernel_time_of_another_unit_is_found(tmp_path: Path) -> None:
    rows = [f"roofline,bf16,{1e9 * 2**i},{1e6 * 2**i},{5 + 1.5 * 2**i * (1000 if i == 3 else 1)}" for i in range(8)]
    found, flags = kernels(table(tmp_path, KERNELS, *rows), FORMS, "h100-sxm")
    assert [flag.line for flag in flags] == [5]
    assert len(found[0]) == 7


# ---- load generators


def test_a_run_of_vllm(tmp_path: Path) -> None:
    first, second = read([result(tmp_path, VLLM, VLLM | {"request_rate": 3.5, "max_concurrency": None})]).points
    assert (first.isl, first.osl, first.concurrency, first.rate, first.requests) == (921.6, 230.4, 8, None, 80)
    assert (first.ttft, first.tpot) == pytest.approx((0.09, 0.009))
    assert first.percentiles == pytest.approx({"ttft_p50": 0.07, "ttft_p99": 0.21, "tpot_p50": 0.0091, "tpot_p99": 0.011})
    assert first.labels == {"engine": "vllm", "model": "meta-llama/Llama-3.1-8B"}
    assert (second.concurrency, second.rate, second.line) == (None, 3.5, 2)


def test_results_may_span_lines(tmp_path: Path) -> None:
    path = table(tmp_path, json.dumps(VLLM, indent=2), "", json.dumps(VLLM | {"request_rate": 3.5}), name="runs.json")
    first, second = read([path]).points
    assert (first.line, second.line) == (1, len(VLLM) + 4)


def test_a_run_of_sglang(tmp_path: Path) -> None:
    (first, _) = read([result(tmp_path, SGLANG, SGLANG | {"max_concurrency": 4}, name="runs.jsonl")]).points
    assert (first.isl, first.osl, first.concurrency, first.rate, first.spread) == (921.6, 230.4, None, 4.0, 0.8)
    assert (first.ttft, first.tpot) == pytest.approx((0.2, 0.01))
    assert first.labels == {"engine": "sglang"}


@pytest.mark.parametrize(
    "config",
    [
        {"loadgen": {"concurrency": 32, "request_rate": None}},
        {"phases": [{"name": "warmup", "concurrency": 1}, {"name": "profiling", "type": "concurrency", "concurrency": 32}]},
        {"phases": {"profiling": {"concurrency": 32}}},
    ],
    ids=["loadgen", "phases", "named-phases"],
)
def test_a_run_of_aiperf(tmp_path: Path, config: dict[str, Any]) -> None:
    seconds = AIPERF | {"time_to_first_token": {"unit": "sec", "avg": 0.52}, "input_config": config}
    runs = [result(tmp_path, AIPERF | {"input_config": config}, name="a.json"), result(tmp_path, seconds, name="b.json")]
    first, second = read(runs).points
    assert (first.isl, first.osl, first.concurrency, first.rate, first.requests) == (2000, 200, 32, None, 320)
    assert (first.ttft, first.tpot) == pytest.approx((0.5, 0.012))
    assert second.ttft == pytest.approx(0.52)  # the block's unit holds
    assert first.percentiles == pytest.approx({"ttft_p50": 0.45, "ttft_p99": 1.5, "tpot_p99": 0.02})


def test_runs_that_failed_or_contradict_themselves_are_named(tmp_path: Path) -> None:
    bad = [
        VLLM | {"failed": 4},
        VLLM | {"mean_ttft_ms": 90000.0},
        SGLANG | {"mean_tpot_ms": -1.0},
        AIPERF | {"was_cancelled": True},
    ]
    found = read([result(tmp_path, VLLM, SGLANG, *bad)])
    assert len(found.points) == 2
    assert [line for line, _ in said(found)] == [3, 4, 5, 6]
    assert said(found)[0][1] == "4 of 84 requests failed"
    assert "(another unit?)" in said(found)[1][1]


def test_one_output_token_has_no_time_per_token(tmp_path: Path) -> None:
    short = VLLM | {"total_output_tokens": 80, "mean_tpot_ms": 0.0, "mean_e2el_ms": 90.0}
    first, _ = read([result(tmp_path, short, VLLM)]).points
    assert first.tpot is None


def test_files_are_read_together(tmp_path: Path) -> None:
    one = table(tmp_path, HEAD, "1024,256,1,40,8")
    with pytest.raises(CostcError, match="1 row that can be used; a fit needs at least 2"):
        read([one])
    assert len(read([one, result(tmp_path, VLLM)]).points) == 2
