"""Disaggregated rows of the ledger: pools as the row says, constants that have not seen the row's group, flags."""

from __future__ import annotations

from typing import Any

import pandas as pd
import pytest

from costc.calibrate.ledger import PRIORS, ROW
from costc.calibrate.runs import POOL_TOKENS, pools
from costc.calibrate.suspects import APART, suspects
from costc.loads.ledger import disaggregated
from costc.spec.catalog import Catalog

SIDE: dict[str, Any] = {"tp_size": 2.0, "attention_dp_size": 1.0, "moe_ep_size": 1.0, "num_workers": 1.0, "batch_size": 8.0}
ROWS: dict[str, Any] = {
    "id": "x", "table": "disagg", "mode": "disagg",
    "src": "nv-internal", "date": None, "backend": "vllm", "backend_version": None,
    "model_path": "meta-llama/Llama-3.1-8B-Instruct", "family": "llama-3.1", "system": "h100_sxm", "precision": None,
    "is_moe": False, "gemm_quant_mode": None, "isl": 1000, "osl": 200, "conc": 16.0, "c_tp": None, "c_adp": None, "c_mep": None,
    "c_bs": None, "silicon_ttft_ms": 200.0, "silicon_tpot_ms": 10.0,
    **{f"prefill_{k}": v for k, v in SIDE.items()}, **{f"decode_{k}": v for k, v in SIDE.items()},
}  # fmt: skip


def table(*changes: dict[str, Any]) -> pd.DataFrame:
    return pd.DataFrame([ROWS | change for change in changes])


def test_each_phase_has_workers_and_a_plan_of_its_own() -> None:
    deepseek = {"family": "deepseek-v3", "model_path": "deepseek-ai/DeepSeek-R1", "precision": "fp8", "is_moe": True}
    found = pools(table(deepseek | {"decode_attention_dp_size": 8.0, "decode_tp_size": 1.0, "prefill_num_workers": 3.0}))
    before, after = found["prefill"].iloc[0], found["decode"].iloc[0]
    assert (before["tp"], before["dp"], before["ep"], before["workers"]) == (2, 1, 1, 3)
    assert (after["tp"], after["dp"], after["ep"], after["workers"]) == (1, 8, 8, 1)
    assert before["max_num_batched_tokens"] == POOL_TOKENS
    assert before["batch"] == after["batch"] == 16


def test_without_a_concurrency_the_decode_workers_hold_their_batches() -> None:
    found = pools(table({"conc": float("nan"), "decode_num_workers": 3.0, "decode_attention_dp_size": 2.0}))
    assert found["decode"]["batch"].tolist() == [48]


@pytest.mark.parametrize("group", ["", "llama-3.1"])
def test_constants_of_the_row_s_group_are_those_that_have_not_seen_it(group: str) -> None:
    slow = {name: 3 * value if name == "decode_slowdown" else value for name, value in PRIORS.items()}
    every = {("vllm", ""): PRIORS}
    one, two = (disaggregated(table({}), Catalog(), {"family": every | {("vllm", group): used}}) for used in (PRIORS, slow))
    assert set(one.columns) == {*ROW, "ttft", "tpot", "ttft_family", "tpot_family"}
    assert two["tpot_family"].iloc[0] > 1.5 * one["tpot_family"].iloc[0]


def test_pools_that_cannot_hold_the_model_have_no_prediction() -> None:
    big = {"family": "deepseek-v3", "model_path": "deepseek-ai/DeepSeek-R1", "precision": "fp8", "is_moe": True}
    found = disaggregated(table(big), Catalog(), {"none": {("vllm", ""): PRIORS}})
    assert found[["ttft_none", "tpot_none"]].isna().all(axis=None)


def test_each_suspicion_finds_its_rows() -> None:
    late = {"backend": "trtllm", "family": "deepseek-v3"}
    found = suspects(table({}, late, {"backend": "sglang", "silicon_tpot_ms": 300.0}))
    assert found.tolist() == ["", *(s.name for s in APART)]
