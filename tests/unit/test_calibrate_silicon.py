"""The rules that make the silicon sample's configurations canonical, each on rows of our own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from costc.calibrate.silicon import FILE, MODELS, REPAIRS, sample
from costc.calibrate.split import FAMILIES
from costc.errors import CostcError

POOL = ("batch_size", "num_workers", "tp_size", "pp_size", "attention_dp_size", "moe_tp_size", "moe_ep_size")
EMPTY = {f"{pool}_{name}": None for pool in ("prefill", "decode") for name in POOL}


def row(**changes: Any) -> dict[str, Any]:
    """A row of the newest dump: MiniMax on four devices, 64 requests in flight, as it should be written."""
    source = {
        "dump": "db-dump/2026-04-27", "config_id": 1, "silicon_concurrency": 64, "measured": "2026-04-01T00:00:00Z",
        "workflow_run_id": 10,
    } | changes.pop("source", {})  # fmt: skip
    words = [
        f"{k}={v}" if k not in ("dump", "source_file") else (v if k == "dump" else f"source_file={v}")
        for k, v in source.items()
        if v
    ]
    return {
        "id": "x", "silicon_data_source": "; ".join(words), "backend": "vllm", "backend_version": "0.19.0",
        "model_path": "MiniMaxAI/MiniMax-M2.5", "system": "b200_sxm", "precision": "fp8", "mode": "agg", "isl": 1024, "osl": 1024,
        "gemm_quant_mode": "fp8", "moe_quant_mode": "fp8", "batch_size": 64, "tp_size": 4, "pp_size": 1, "attention_dp_size": 1,
        "moe_tp_size": 4, "moe_ep_size": 1, **EMPTY, "silicon_ttft_ms": 100.0, "silicon_tpot_ms": 10.0,
    } | changes  # fmt: skip


def cleaned(tmp_path: Path, *rows: dict[str, Any]) -> pd.DataFrame:
    path = tmp_path / FILE
    pd.DataFrame(rows).to_csv(path, index=False)
    return sample(path)


def written(tp: int | None, adp: int | None, mtp: int, mep: int, **changes: Any) -> dict[str, Any]:
    return row(tp_size=tp, attention_dp_size=adp, moe_tp_size=mtp, moe_ep_size=mep, **changes)


def canonical(frame: pd.DataFrame, place: int = 0) -> tuple[Any, ...]:
    one = frame.iloc[place]
    fix = "" if pd.isna(one["fix"]) else one["fix"]
    return (*(int(one[c]) for c in ("c_tp", "c_adp", "c_mtp", "c_mep", "n_gpu")), float(one["c_bs"]), fix)


SGLANG = {"backend": "sglang", "model_path": "deepseek-ai/DeepSeek-V3"}
INTERNAL = {"source": {"dump": "", "source_file": "/home/x/data/h100/a.csv", "config_id": "", "workflow_run_id": ""}}


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (row(), (4, 1, 4, 1, 4, 64.0, "")),
        (written(16, 1, 4, 4, **SGLANG), (4, 1, 1, 4, 4, 64.0, "tp=tp*ep")),
        (written(1, 16, 4, 4, batch_size=4, **SGLANG), (1, 4, 1, 4, 4, 16.0, "adp=tp*ep")),
        (written(4, 4, 1, 16, batch_size=16), (4, 1, 1, 4, 4, 64.0, "vllm ep->adp (TEP)")),
        (written(4, 4, 1, 16, batch_size=16, **SGLANG), (4, 4, 1, 16, 16, 16.0, "")),
        (written(4, None, 2, 2, **INTERNAL), (4, 1, 2, 2, 4, 64.0, "")),
        (written(1, None, 4, 1, **INTERNAL), (1, 1, 4, 1, 1, 64.0, "moe width != tp*dp")),
        (written(4, 0, 0, 0, model_path="Qwen/Qwen3-32B"), (4, 1, 1, 1, 4, 64.0, "")),
        (written(4, 1, 4, 1, model_path="meta-llama/Llama-3.1-70B"), (4, 1, 1, 1, 4, 64.0, "")),
    ],
    ids=["right", "product-tp", "product-adp", "vllm-experts", "not-vllm", "both-degrees-inside", "width", "blank", "dense"],
)
def test_degrees(tmp_path: Path, given: dict[str, Any], expected: tuple[Any, ...]) -> None:
    assert canonical(cleaned(tmp_path, given)) == expected


def square(config: int, concurrency: int, workflow: int) -> dict[str, Any]:
    """Two devices with experts over both, as vLLM's rows write them."""
    source = {"config_id": config, "silicon_concurrency": concurrency, "workflow_run_id": workflow}
    return written(2, 2, 1, 4, batch_size=concurrency // 2, source=source, silicon_ttft_ms=100.0 + config + concurrency)


def test_a_second_configuration_of_equal_degrees_has_data_parallel_attention(tmp_path: Path) -> None:
    found = cleaned(tmp_path, square(7, 128, 1), square(7, 256, 1), square(8, 256, 2), square(8, 512, 2))
    plain, parallel = (2, 1, 1, 2, 2), (1, 2, 1, 2, 2)
    assert canonical(found, 0) == (*plain, 128.0, "vllm ep->adp (TEP)")
    assert canonical(found, 1) == (*parallel, 128.0, "vllm ep->adp (dp-attn)")  # listed for the second since
    assert canonical(found, 2) == (*parallel, 128.0, "vllm ep->adp (dp-attn)")
    assert canonical(found, 3) == (*parallel, 256.0, "vllm ep->adp (dp-attn)")


def test_two_configurations_in_one_workflow_cannot_be_told_apart(tmp_path: Path) -> None:
    found = cleaned(tmp_path, square(7, 256, 1), square(8, 256, 1))
    assert canonical(found, 0) == canonical(found, 1) == (2, 1, 1, 2, 2, 256.0, "vllm ambiguous dp-attn")


def test_copies_are_one_measurement_whatever_they_are_called_and_rounded_to(tmp_path: Path) -> None:
    r1 = {"source": {"dump": "", "source_file": "2026-04-06.csv"}, "model_path": "deepseek-ai/DeepSeek-R1"}
    rows = [
        row(silicon_ttft_ms=100.12345, **SGLANG), row(silicon_ttft_ms=100.12, **r1), row(silicon_ttft_ms=100.13),
        row(silicon_ttft_ms=100.12345, silicon_tpot_ms=10.5),
    ]  # fmt: skip
    assert cleaned(tmp_path, *rows)["meas_id"].tolist() == [0, 0, 1, 2]


def test_what_may_have_drafted_is_unknown(tmp_path: Path) -> None:
    dump = {"source": {"dump": "", "source_file": "2026-04-06.csv"}}
    r1 = {"model_path": "deepseek-ai/DeepSeek-R1"}
    rows = [
        row(silicon_ttft_ms=1.0, **r1, **dump), row(silicon_ttft_ms=2.0, **r1, **dump), row(silicon_ttft_ms=2.0, **SGLANG),
        row(silicon_ttft_ms=3.0, **dump), row(silicon_ttft_ms=4.0, **r1, **INTERNAL),
        row(silicon_ttft_ms=5.0, model_path="Qwen/Qwen3.5-397B-A17B", source={"dump": "", "source_file": "q-gap-analysis.csv"}),
    ]  # fmt: skip
    found = cleaned(tmp_path, *rows)
    assert found["mtp_status"].tolist() == ["unknown", "stp", "stp", "stp", "stp", "stp"]
    assert found["src"].tolist() == ["2026-04-06"] * 2 + ["2026-04-27", "2026-04-06", "nv-internal", "q-gap-analysis"]


def test_the_main_table_has_the_first_complete_row_of_each_measurement(tmp_path: Path) -> None:
    rows = [
        row(), row(), row(silicon_ttft_ms=7.0, source={"silicon_concurrency": ""}), row(silicon_ttft_ms=8.0, batch_size=None),
        written(1, None, 4, 1, silicon_ttft_ms=9.0, **INTERNAL),
    ]  # fmt: skip
    found = cleaned(tmp_path, *rows)
    assert found["table"].fillna("").tolist() == ["main", "", "", "", ""]


def test_disaggregated_rows_need_their_workers(tmp_path: Path) -> None:
    pools = {"prefill_num_workers": 2, "prefill_tp_size": 4, "prefill_pp_size": 1, "prefill_attention_dp_size": 1,
             "decode_num_workers": 1, "decode_tp_size": 1, "decode_pp_size": 1, "decode_attention_dp_size": 8}  # fmt: skip
    none = {"batch_size": None, "tp_size": None, "attention_dp_size": None, "moe_tp_size": None, "moe_ep_size": None}
    whole, part = (
        row(mode="disagg", **none, **pools),
        row(mode="disagg", silicon_ttft_ms=3.0, **none, **(pools | {"decode_num_workers": None})),
    )
    found = cleaned(tmp_path, whole, part)
    assert found["table"].fillna("").tolist() == ["disagg", ""]
    assert found["n_gpu"].tolist()[0] == 16
    assert found[["c_tp", "c_adp", "c_mtp", "c_mep", "c_bs"]].isna().all(axis=None)


def test_every_family_has_a_model_and_every_repair_a_reason() -> None:
    assert set(FAMILIES) | {"glm-5"} == {family for family, _ in MODELS.values()}
    assert all(len(repair.reason) > 20 for repair in REPAIRS)


def test_other_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(CostcError, match=r"silicon_sample\.csv of aiconfigurator-core 0\.12\.0"):
        sample(tmp_path / "absent.csv")
    with pytest.raises(CostcError, match="unknown model 'new/Model-9'; allowed: deepseek"):
        cleaned(tmp_path, row(model_path="new/Model-9"))
    other = tmp_path / "other.csv"
    other.write_text("a,b\n1,2\n")
    with pytest.raises(CostcError, match="unknown column 'silicon_data_source'; allowed: a, b"):
        sample(other)
