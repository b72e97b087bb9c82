"""`fitted` is the profile of the device and engine wherever an efficiency is named; and figures of what the profiles record."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import costc
from costc.api import classes_of, listing
from costc.calibrate.figures import by_device, figures, of
from costc.errors import CostcError, SpecError
from costc.ir.platform import ANY, Format
from costc.search.grid import by_pair
from costc.spec.catalog import Catalog
from costc.spec.profiles import efficiency_profile, engine_of
from costc.spec.study import study
from costc.spec.values import constants, formats

ROOT = Path(__file__).parents[2]
CATALOG = Catalog()
MODEL = costc.load("llama-3.1-8b")


@pytest.mark.parametrize(
    ("device", "engine", "expected"),
    [
        ("h100-sxm", "default", "h100-sxm-vllm"),
        ("H100_GPU", "sglang", "h100-sxm-sglang"),
        ("b200", "trtllm", "b200-trtllm"),
        ("mi300x", "default", "assumed"),
        ("tpu-v6e", "vllm", "assumed"),
        ("h20", "sglang", "assumed"),
    ],
)
def test_device_and_engine_decide(device: str, engine: str, expected: str) -> None:
    found = efficiency_profile(CATALOG, "fitted", CATALOG.hardware(device), CATALOG.engine(engine))
    assert found.name == expected


def test_settings_of_a_users_own_are_of_the_engine_that_their_name_begins_with() -> None:
    assert [engine_of(n) for n in ("sglang-0.5.14", "trtllm", "vllm-measured", "mine", "")] == [
        "sglang", "trtllm", "vllm", "vllm", "vllm",
    ]  # fmt: skip


def test_values_are_those_of_the_profile_by_format() -> None:
    values = MODEL.values("h100-sxm", "fp8", "fitted", "sglang", "fp8")
    profile = CATALOG.efficiency("h100-sxm-sglang")
    for name, form, dtype, constant in (
        ("gemm_launch_latency_ffn", "gemm", "fp8", "launch_latency"),
        ("gemm_launch_latency_head", "gemm", "bf16", "launch_latency"),
        ("prefill_attention_depth_attention_core", "prefill_attention", "bf16:fp8", "depth"),
        ("all_reduce_scale_up_hop_latency", "all_reduce_scale_up", ANY, "hop_latency"),
    ):
        assert values[name] == profile.classes[form, dtype].constants[constant].value, name


def test_a_column_of_devices_takes_each_ones_profile() -> None:
    frame = MODEL.evaluate(["h100-sxm", "mi300x"], efficiency="fitted", batch=8)
    for row, profile in enumerate(("h100-sxm-vllm", "assumed")):
        device = ("h100-sxm", "mi300x")[row]
        assert frame["tpot"][row] == MODEL.point(device, efficiency=profile, batch=8)["tpot"]


def test_a_study_takes_each_devices_profile() -> None:
    found = study(ROOT / "specs/deepseek_r1.yaml")
    engine = engine_of(found.engine.name)
    named = [f"{device.name}-{engine}" for device in found.hardware]
    known = CATALOG.names("efficiency")
    assert [p.name for p in found.profiles] == [name if name in known else "assumed" for name in named]
    assert len({p.name for p in found.profiles}) > 2
    assert found.efficiency.name == "fitted"
    pairs = by_pair(found, MODEL.model, MODEL.evaluator)
    for place, device in enumerate(found.hardware):
        own = constants(MODEL.model, found.quantization[0], device, found.profiles[place])
        assert (
            np.broadcast_to(pairs["elementwise_launch_latency"], (len(named), len(found.quantization)))[place, 0]
            == (own["elementwise_launch_latency"])
        )


def test_a_word_that_is_nearly_it_is_helped(tmp_path: Path) -> None:
    with pytest.raises(CostcError, match=r"unknown efficiency 'fited'; .*did you mean 'fitted'"):
        MODEL.point("h100-sxm", efficiency="fited")
    bad = tmp_path / "bad.yaml"
    text = (ROOT / "specs/deepseek_r1.yaml").read_text()
    bad.write_text(text.replace("efficiency: fitted", "efficiency: fited"))
    with pytest.raises(SpecError, match=r"bad\.yaml:\d+:13: unknown efficiency 'fited'.*did you mean 'fitted'"):
        study(bad)


def test_formats_say_how_weights_are_stored() -> None:
    device = CATALOG.hardware("h100-sxm")
    for scheme, expected in {
        "bf16": "bf16", "fp8": "fp8:static", "fp8-block": "fp8:block", "int8": "int8", "int4": "bf16:int4", "mxfp4": "bf16:mxfp4",
    }.items():  # fmt: skip
        assert formats(MODEL.model, CATALOG.quantization(scheme), device)["ffn"] == expected
    channel = replace(CATALOG.quantization("fp8"), weights=Format("fp8", (1, None), 4.0))
    assert formats(MODEL.model, channel, device)["ffn"] == "fp8"
    narrow = replace(CATALOG.quantization("fp8"), kv_cache="fp8")
    assert formats(MODEL.model, narrow, device)["attention_core"] == "bf16:fp8"
    assert formats(MODEL.model, replace(narrow, attention_compute="fp8"), device)["attention_core"] == "fp8"


def test_a_per_tensor_format_falls_back_to_the_format() -> None:
    profile = CATALOG.efficiency("h100-sxm-sglang")
    assert ("gemm", "fp8:static") not in profile.classes
    assert profile.fitted("gemm", "fp8:static") is profile.classes["gemm", "fp8"]


# ---- reading profiles


def test_profiles_are_listed_with_what_they_rest_on() -> None:
    rows = {row["name"]: row for row in listing("efficiency")}
    assert rows["h100-sxm-vllm"]["device"] == "h100-sxm"
    assert rows["h100-sxm-vllm"]["fitted"] > 20
    assert 0.05 < rows["h100-sxm-vllm"]["mean_error"] < 0.15
    assert (rows["assumed"]["fitted"], rows["assumed"]["mean_error"]) == (0, None)
    assert rows["ideal"]["classes"] == 0


def test_a_profile_is_shown_by_class_or_constant() -> None:
    (gemm,) = [r for r in classes_of("h100-sxm-vllm") if (r["class"], r["format"]) == ("gemm", "bf16")]
    assert gemm["rows"] > 10_000
    assert gemm["mean_error"] > gemm["median_error"]
    (launch,) = [
        r for r in classes_of("h100-sxm-vllm", constants=True)
        if (r["class"], r["format"], r["constant"]) == ("gemm", "bf16", "launch_latency")
    ]  # fmt: skip
    assert (launch["unit"], launch["kind"]) == ("s", "fitted")
    assert {r["value"] for r in classes_of("ideal")} >= {"compute_efficiency", "launch_latency"}


def test_figures_hold_every_table_and_what_stands_in() -> None:
    found = {(f.form, f.dtype): f for f in of(CATALOG.efficiency("h100-sxm-vllm"))}
    own, eager, mla = found["gemm", "bf16"], found["gemm", "fp8:block"], found["decode_mla", "bf16"]
    assert own.stands_in == ""
    assert own.held_out > 10_000
    assert (eager.n, eager.mean) == (0, None)
    assert [(rule, rows) for rule, _, rows in eager.removed if rows > 10_000]
    assert eager.stands_in.startswith("h100-sxm, sglang")
    assert mla.stands_in.startswith("h100-sxm, trtllm")
    assert ("roofline", ANY) not in found  # a default, no measurement
    assert ("elementwise", "kda_convolution_prefill") in found  # left out whole: only its rows are told


def test_means_count_a_table_once_though_two_words_name_it() -> None:
    every = figures(CATALOG)
    (one,) = [s for s in by_device(every) if (s.form, s.device) == ("prefill_mla", "h100-sxm")]
    tables = {(f.source, f.mean) for f in every if (f.form, f.device) == ("prefill_mla", "h100-sxm") and f.mean is not None}
    assert one.tables == len(tables) < 8
    assert one.mean == pytest.approx(sum(m for _, m in tables) / len(tables))
    assert one.worst == max(m for _, m in tables)
