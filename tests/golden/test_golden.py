"""Golden text guards against drift; it proves nothing. Update with `python3 tasks.py golden` and read the difference."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

import pytest

import costc
from costc.results import result
from costc.tables import clean

EXPECTED = Path(__file__).parent / "expected"
POINTS = {
    "r1-h200": ("deepseek-r1", {"hardware": "h200", "tp": 8, "ep": 8, "batch": 64}),
    "r1-gb200-dp": ("deepseek-r1", {"hardware": "gb200", "quantization": "nvfp4", "dp": 16, "ep": 16, "batch": 512, "isl": 8192}),
    "gpt-oss-h100": ("gpt-oss-120b", {"hardware": "h100-sxm", "tp": 2, "batch": 32}),
    "llama-70b-pipeline": ("llama-3.1-70b", {"hardware": "a100-80gb", "tp": 4, "pp": 2, "batch": 16, "quantization": "int8"}),
}
FORMULAS = {
    "deepseek-r1": ("decode.flop", "prefill.flop", "generation.kv_byte", "decode.weight_byte"),
    "gpt-oss-120b": ("decode.flop", "prefill.attention.sliding.flop", "decode.kv_byte"),
}


@cache
def load(name: str) -> costc.CostModel:
    return costc.load(name)


def rounded(value: object) -> object:
    """Figures to 12 digits, so that processors agree."""
    if isinstance(value, dict):
        return {k: rounded(v) for k, v in value.items()}
    return float(f"{value:.12g}") if isinstance(value, float) else value


def compare(name: str, text: str, update: bool) -> None:
    path = EXPECTED / name
    if update:
        path.write_text(text)
    assert path.exists(), f"{path} is missing; run the golden task"
    assert text == path.read_text()


@pytest.mark.parametrize("name", POINTS)
def test_points(name: str, update_golden: bool) -> None:
    model, given = POINTS[name]
    found = result(load(model), given["hardware"], **{k: v for k, v in given.items() if k != "hardware"})
    compare(f"{name}.json", json.dumps(rounded(clean(found)), indent=1) + "\n", update_golden)


@pytest.mark.parametrize("model", FORMULAS)
def test_formulas(model: str, update_golden: bool) -> None:
    lines = [f"{name} = {load(model).formula(name)}" for name in FORMULAS[model]]
    compare(f"{model}.formulas.txt", "\n".join(lines) + "\n", update_golden)


@pytest.mark.parametrize("phase", ["prefill", "decode"])
def test_show(phase: str, update_golden: bool) -> None:
    compare(f"deepseek-r1.{phase}.txt", load("deepseek-r1").show(phase) + "\n", update_golden)
