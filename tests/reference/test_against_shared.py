"""Our specs beside the reference tables that lie next to the checkout, where they do."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from costc.ir.platform import Hardware
from costc.spec.catalog import Catalog
from tests.property.compiled import model

FOLDER = Path(__file__).resolve().parents[3] / "shared" / "reference"
pytestmark = pytest.mark.skipif(not FOLDER.is_dir(), reason=f"no reference data in {FOLDER}")

NAMES = {
    "a100-40gb": "A100-SXM-40GB", "a100-80gb": "A100-SXM-80GB", "b200": "B200-SXM (HGX)", "b300": "B300-SXM (HGX)",
    "gaudi3": "Gaudi 3 (HL-325L OAM)",
    "gb200": "GB200 (per GPU, NVL72)", "gb300": "GB300 (per GPU, NVL72)",
    "gh200": "GH200-144GB", "h100-pcie": "H100-PCIe-80GB", "h100-sxm": "H100-SXM-80GB",
    "h20": "H20-96GB", "h200": "H200-SXM-141GB", "l40s": "L40S", "mi300x": "MI300X", "mi325x": "MI325X", "tpu-v4": "TPU v4",
    "tpu-v5e": "TPU v5e", "tpu-v5p": "TPU v5p", "tpu-v6e": "TPU v6e (Trillium)",
}  # fmt: skip
#: disagreements that the folder's README or the row's own note tells of: (device, figure) -> what else is said
KNOWN = {
    ("gaudi3", "scale_up"): 525e9,  # 21 of 24 ports stay in the box; the table counts all 24
    ("gb200", "peak.fp4"): 9_000e12,  # 10,000 and 9,000 are both printed
    ("gaudi3", "peak.bf16"): 1835e12,  # 1,678 and 1,835
}
COLUMNS = {
    "memory": ("mem_GB", 1e9), "memory_bandwidth": ("mem_bw_GBps", 1e9), "peak.bf16": ("bf16_dense_TFLOPS", 1e12),
    "peak.fp8": ("fp8_dense_TFLOPS", 1e12), "peak.fp16": ("fp16_dense_TFLOPS", 1e12), "peak.int8": ("int8_dense_TOPS", 1e12),
    "peak.fp4": ("fp4_dense_TFLOPS", 1e12), "scale_up": ("scaleup_GBps_per_direction", 1e9), "tdp": ("tdp_W", 1.0),
}  # fmt: skip
#: columns without which a device is not checked at all
NEEDED = {"memory_bandwidth", "peak.bf16", "scale_up"}


def _table(name: str) -> list[dict[str, str]]:
    with (FOLDER / name).open(newline="") as text:
        return list(csv.DictReader(text))


@pytest.mark.parametrize("name", Catalog().names("hardware"))
def test_hardware_agrees_within_three_percent(name: str) -> None:
    assert name in NAMES, f"say in NAMES which row {name} is, or None"
    row = next(r for r in _table("hardware.csv") if r["name"] == NAMES[name])
    device: Hardware = Catalog().hardware(name)
    ours = {k: f.value for k, f in device.facts().items()}
    compared = set()
    for figure, (column, unit) in COLUMNS.items():
        try:
            theirs = float(row[column]) * unit
        except ValueError:  # blank, or a range
            continue
        if figure in ours:
            allowed = [theirs, *([KNOWN[name, figure]] if (name, figure) in KNOWN else [])]
            # printed sizes are GiB where they are named GB: ours are what drivers report
            allowed += [theirs / unit * 2**30] if figure == "memory" else []
            assert any(abs(ours[figure] / a - 1) <= 0.03 for a in allowed), (figure, ours[figure], allowed)
            compared.add(figure)
    assert compared >= NEEDED


#: hf_id -> what the listed total counts that ours leaves out
BESIDE = {
    "meta-llama/Llama-2-7b-hf": 2_048,  # rotary inv_freq buffers
    "deepseek-ai/DeepSeek-R1": 684_531_386_000 - 671_026_404_352,  # MTP module, correction biases, fp8 scales
    # correction biases, vision tower; of 60 x 384 x 3 matrices the scale of 32 elements and the 16 that stand for the shape
    "moonshotai/Kimi-K2.5": 60 * 384 + 471_143_920 + 60 * 384 * 3 * (7168 * 2048 // 32 + 16),
    "Qwen/Qwen3.5-397B-A17B": 456_010_480 + 6_595_568_128,  # vision tower, MTP module
}


def test_parameter_counts_are_those_listed() -> None:
    listed = {r["hf_id"]: int(r["total_params_exact"]) for r in _table("param_counts.csv") if r["total_params_exact"].isdigit()}
    compared = []
    for name in Catalog().names("models"):
        entry = model(name).entry
        for alias in entry.aliases:
            if alias in listed:
                assert model(name).parameters + BESIDE.get(alias, 0) == listed[alias], alias
                compared.append(name)
    # a model that is published in several formats is listed once
    own = {name for name in Catalog().names("models") if not name.endswith(("-nvfp4", "-fp8"))}
    assert set(compared) >= own - {"guide-7b", "minimax-m2.5"}
