"""What a row of the sample ran: settings by rule, models, and rows that are not what they seem."""

from __future__ import annotations

from typing import Any

import pandas as pd
import pytest

from costc.calibrate.runs import MODELS, PLATFORM, POINT, SETTINGS, runs
from costc.calibrate.settings import DEFAULTS, RULES
from costc.calibrate.suspects import SUSPICIONS, suspects
from costc.errors import CostcError
from costc.spec.catalog import Catalog

ROW: dict[str, Any] = {
    "table": "main", "mode": "agg",
    "id": "x", "src": "2026-04-27", "date": "2026-04-22", "backend": "vllm", "backend_version": "0.19.0",
    "model_path": "MiniMaxAI/MiniMax-M2.5", "family": "minimax-m2", "system": "b200_sxm", "precision": "fp8", "is_moe": True,
    "gemm_quant_mode": "fp8_block", "isl": 1024, "osl": 1024, "conc": 64.0, "c_tp": 4.0, "c_adp": 1.0, "c_mtp": 1.0, "c_mep": 4.0,
    "c_bs": 64.0, "silicon_ttft_ms": 200.0, "silicon_tpot_ms": 10.0,
}  # fmt: skip
R1 = {"family": "deepseek-v3", "model_path": "deepseek-ai/DeepSeek-R1", "c_tp": 8.0, "c_mep": 1.0}
QWEN3 = {"family": "qwen3-dense", "model_path": "Qwen/Qwen3-32B", "is_moe": False, "c_mep": 1.0}
INTERNAL = {"src": "nv-internal", "date": None}


def table(*changes: dict[str, Any]) -> pd.DataFrame:
    return pd.DataFrame([ROW | change for change in changes])


def one(**changes: Any) -> pd.Series:
    return runs(table(changes)).iloc[0]


def test_a_public_run_has_lengths_of_0_8_to_1_and_the_script_s_settings() -> None:
    found = one()
    assert set(found.index) == {*PLATFORM, *POINT, *SETTINGS}
    assert (found["isl"], found["osl"], found["length_spread"], found["waves"]) == (922, 922, 0.2, 10)
    assert (found["kv_cache"], found["max_num_batched_tokens"], found["memory_utilization"]) == ("fp8", 2048, 0.9)
    assert (found["model"], found["scheme"], found["hardware"]) == ("minimax-m2.5", "", "b200")
    assert (found["tp"], found["dp"], found["ep"], found["batch"]) == (4, 1, 4, 64)


def test_scripts_changed_over_time() -> None:
    before = one(date="2026-03-28")
    assert (before["kv_cache"], before["max_num_batched_tokens"], before["memory_utilization"]) == ("", 8192, 0.95)
    r1 = {**R1, "backend": "trtllm", "conc": 4.0, "c_bs": 4.0}
    assert one(**r1, date="2025-11-02")["max_num_batched_tokens"] == 1152
    assert one(**r1, date="2026-02-03")["max_num_batched_tokens"] == 8192
    many = {**r1, "conc": 64.0, "c_bs": 64.0}
    assert [one(**many, date=day)["batch_wait"] for day in ("2025-12-15", "2026-01-29")] == [0, 40]


def test_an_internal_run_has_fixed_lengths_and_no_public_settings() -> None:
    found = one(**INTERNAL)
    assert (found["isl"], found["length_spread"], found["max_num_batched_tokens"]) == (
        1024,
        0,
        DEFAULTS["max_num_batched_tokens"],
    )
    assert one(**INTERNAL, **QWEN3, backend="trtllm")["kv_cache"] == "fp8"
    assert one(**INTERNAL, **QWEN3, backend="vllm")["kv_cache"] == ""


def test_intervals_of_the_scheduler_follow_the_concurrency() -> None:
    r1 = {**R1, "backend": "sglang", "precision": "fp4"}
    assert [one(**{**r1, "conc": c})["scheduler_interval"] for c in (8.0, 16.0)] == [10, 30]
    assert one(**{**r1, "precision": "fp8", "c_tp": 4.0})["scheduler_interval"] == 10


def test_several_replicas_share_the_requests_and_a_dense_model_has_no_expert_degree() -> None:
    found = one(**INTERNAL, **QWEN3, conc=256.0, c_bs=32.0, c_adp=2.0)
    assert (found["batch"], found["ep"]) == (64, 1)


def test_every_model_and_setting_named_exists() -> None:
    catalog = Catalog()
    for model, scheme in MODELS.values():
        assert model in catalog.names("models")
        assert not scheme or scheme in catalog.names("quantization")
    for rule in RULES:
        assert set(rule.set) <= set(DEFAULTS)
        assert rule.source
    assert {"vllm", "sglang", "trtllm"} <= set(catalog.names("engine"))


def test_an_unknown_model_or_device_is_refused() -> None:
    with pytest.raises(CostcError, match=r"no model spec for MiniMaxAI/MiniMax-M2\.5 in int8"):
        one(precision="int8")
    with pytest.raises(CostcError, match=r"no device for \['mi300x'\]"):
        one(system="mi300x")


# ---- rows that are not what they seem


def flags(*changes: dict[str, Any]) -> list[str]:
    return suspects(table(*changes)).tolist()


def test_a_sound_row_has_no_flag() -> None:
    assert flags({}) == [""]


LLAMA_8B = {"family": "llama-3.1", "model_path": "meta-llama/Llama-3.1-8B-Instruct", "is_moe": False, "c_mep": 1.0, "c_tp": 1.0}
SUSPECTS: dict[str, dict[str, Any]] = {
    "replicas": INTERNAL | QWEN3 | {"backend": "trtllm", "backend_version": "1.3.0rc1", "conc": 128.0},
    "compilation": R1 | {"backend": "sglang", "date": "2025-11-10", "silicon_ttft_ms": 7000.0, "silicon_tpot_ms": 60.0},
    "jump": R1 | {"backend": "sglang", "date": "2025-11-18", "isl": 8192, "conc": 8.0, "c_bs": 8.0},
    "seat short": INTERNAL
    | LLAMA_8B
    | {"backend": "trtllm", "precision": None, "conc": 16.0, "c_bs": 16.0, "system": "h100_sxm"},
    "not admitted": INTERNAL
    | LLAMA_8B
    | {"backend": "trtllm", "precision": None, "conc": 128.0, "c_bs": 128.0, "system": "h100_sxm", "silicon_ttft_ms": 6000.0},
    "mislabelled": {"family": "gpt-oss", "model_path": "openai/gpt-oss-120b", "precision": "fp4", "system": "h100_sxm"}
    | {"conc": 512.0, "c_bs": 512.0, "date": "2025-12-08"},
    "warm-up": INTERNAL
    | {"family": "qwen3-moe", "model_path": "Qwen/Qwen3-235B-A22B-FP8", "backend": "trtllm", "isl": 128, "system": "h100_sxm"},
    "too fast": INTERNAL | LLAMA_8B | {"isl": 2000, "osl": 100, "silicon_ttft_ms": 120.0, "silicon_tpot_ms": 9.7},
    "slow prefill": R1 | {"backend": "sglang", "system": "b300_sxm", "isl": 8192, "date": "2026-04-17"},
    "slow decode": INTERNAL | {"family": "qwen3-moe", "model_path": "Qwen/Qwen3-235B-A22B-FP8", "system": "h200_sxm"},
    "overload": {"silicon_ttft_ms": 9000.0},
}


@pytest.mark.parametrize("name", SUSPECTS)
def test_each_suspicion_finds_its_rows(name: str) -> None:
    assert name in flags(SUSPECTS[name])[0].split("; ")


def test_a_broken_run_is_one_that_another_contradicts() -> None:
    slow = {"silicon_tpot_ms": 40.0}
    assert flags(slow) == [""]
    assert flags(slow, {}) == ["broken run", ""], "the same point, measured again"
    assert flags(slow, {"conc": 128.0, "c_bs": 128.0}) == ["broken run", ""], "more requests, less time"
    assert flags(slow, {"conc": 32.0, "c_bs": 32.0}) == ["", ""], "fewer requests say nothing"
    assert flags(slow, {"isl": 512}) == ["", ""], "another length says nothing"


def test_every_suspicion_has_a_case() -> None:
    assert {s.name for s in SUSPICIONS} == {*SUSPECTS, "broken run"}
