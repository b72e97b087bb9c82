"""`costc calibrate` and `costc profile`, as a user meets them: what is written, what is said of rows, and mistakes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import costc
from costc.calibrate.numeric import seconds
from costc.calibrate.own import rates
from costc.closed import PROTOCOL
from costc.commands.calibrate import calibrate, profile
from costc.errors import CostcError
from costc.ir.platform import ANY
from costc.latency.forms import FORMS
from costc.spec.catalog import Catalog
from costc.spec.platform import efficiency, engine
from costc.spec.reader import parse, read

ROOT = Path(__file__).parents[2]
CASES = ROOT / "tests/errors/measurements"
KERNELS, SERVING = CASES / "kernels-valid.csv", CASES / "serving-valid.csv"
CATALOG = Catalog()
H100 = CATALOG.hardware("h100-sxm")
ELEMENTWISE = FORMS["elementwise"]
#: what the measurements of a serving run here were made with
OVERHEAD = 8e-3


def kernels(folder: Path, extra: str = "", rows: int = 60) -> Path:
    """A stream that reaches 0.5 of the bandwidth behind 9 us."""
    byte = np.geomspace(1e5, 1e10, rows)
    given = {"byte": byte, "launch_latency": 9e-6, "memory_efficiency": 0.5, **rates(ELEMENTWISE, ANY, H100)}
    times = 1e6 * seconds(ELEMENTWISE, given)
    lines = [f"elementwise,{b!r},{t!r}" for b, t in zip(byte.tolist(), times.tolist(), strict=True)]
    path = folder / "mine.csv"
    path.write_text("\n".join(["form,byte,time_us", *lines]) + f"\n{extra}")
    return path


def results(folder: Path, extra: str = "") -> Path:
    """Llama-3.1-8B on an engine like vLLM's but with OVERHEAD of a decode step, at forty loads."""
    model = costc.load("llama-3.1-8b")
    load = [(i, o, c) for i in (512, 1024, 2048, 4096) for o in (128, 1024) for c in (1.0, 4.0, 16.0, 48.0, 96.0)]
    isl, osl, batch = (np.array(column, dtype=np.float64) for column in zip(*load, strict=True))
    values: dict[str, Any] = {
        **model.values("h100-sxm", None, "fitted", "vllm"),
        **PROTOCOL,
        **dict.fromkeys(("tp", "pp", "ep", "dp"), 1),
    }
    values |= {"microbatches": 1, "isl": isl, "osl": osl, "batch": batch, "serving_step_overhead": OVERHEAD}
    found = model.closed_loop.evaluator(values)
    columns = (isl, osl, batch, 1e3 * found["ttft"], 1e3 * found["tpot"])
    lines = [",".join(map(repr, row)) for row in zip(*(np.broadcast_to(c, isl.shape).tolist() for c in columns), strict=True)]
    path = folder / "serving.csv"
    path.write_text("\n".join(["isl,osl,concurrency,ttft_ms,tpot_ms", *lines]) + f"\n{extra}")
    return path


def test_kernels_become_a_profile(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = kernels(tmp_path, "elementwise,1e9,-3\n")
    calibrate([path], device="h100-sxm", engine="vllm", name="mine", out=tmp_path)
    said = capsys.readouterr()
    assert said.out == f"{tmp_path / 'mine.yaml'}\n"
    assert f"not used: {path}:62: time_us is -3" in said.err
    assert "elementwise any: " in said.err
    assert "mean error held out" in said.err
    found, _ = efficiency(read(tmp_path / "mine.yaml"))
    assert (found.name, found.device, found.engine) == ("mine", "h100-sxm", "vllm")
    own, base = found.classes["elementwise", ANY], CATALOG.efficiency("h100-sxm-vllm")
    assert own.constants["memory_efficiency"].value == pytest.approx(0.5, rel=0.05)
    assert own.constants["launch_latency"].value == pytest.approx(9e-6, rel=0.1)
    assert own.source.title.startswith("measurements of mine.csv, SHA-256 ")
    assert {k: v for k, v in found.classes.items() if k[0] != "elementwise"} == {
        k: v for k, v in base.classes.items() if k[0] != "elementwise"
    }


def test_without_a_folder_the_profile_is_printed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    calibrate([kernels(tmp_path)], device="mi300x")
    found, _ = efficiency(parse(capsys.readouterr().out, "stdout"))
    assert (found.name, found.device) == ("measured", "mi300x")
    assert found.classes["gemm", ANY].n == 0  # the defaults of a device without tables


def test_serving_results_become_engine_settings(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = results(tmp_path, "1024,128,,50,9\n")
    calibrate([path], model="llama-3.1-8b", device="h100-sxm", engine="vllm", out=tmp_path)
    said = capsys.readouterr()
    assert "not used" in said.err
    assert f"{path}:42: neither concurrency nor rate_per_s is given" in said.err
    assert "TTFT: 40 points" in said.err
    found, _ = engine(read(tmp_path / "vllm-measured.yaml"))
    assert found.name == "vllm-measured"
    assert found.fitted is not None
    overhead = found.fitted.constants["step_overhead"]
    assert overhead.value == pytest.approx(OVERHEAD, rel=0.25)
    assert found.fitted.constants["kept_output"].value == CATALOG.engine("vllm").fitted.constants["kept_output"].value  # type: ignore[union-attr]
    assert found.fitted.constants["kept_output"].std == 0  # a setting, which is not fitted
    values = costc.load("llama-3.1-8b").values("h100-sxm", engine=found)
    assert values["serving_step_overhead"] == overhead.value


def test_few_points_that_say_little_leave_what_was_known(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "few.csv"
    path.write_text("isl,osl,concurrency,tpot_ms\n1024,512,1,8\n1024,512,4,40\n1024,512,8,7\n")
    calibrate([path], model="llama-3.1-8b", device="h100-sxm", engine="vllm")
    said = capsys.readouterr()
    assert "with the default constants, which stand" in said.err
    found, _ = engine(parse(said.out, "stdout"))
    assert found.fitted == CATALOG.engine("vllm").fitted


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({}, "name --device and --engine, or --all"),
        ({"device": "h100-sxm"}, "name --device and --engine, or --all"),
        ({"device": "h100-sxm", "engine": "vlm"}, "unknown engine 'vlm'; allowed: sglang, trtllm, vllm; did you mean 'vllm'?"),
        ({"device": "h10", "engine": "vllm"}, "unknown hardware 'h10'; .*did you mean"),
        ({"device": "mi300x", "engine": "vllm"}, "no kernel tables of mi300x; there are those of: a100-80gb, b200"),
        ({"all_": True}, "--all takes --out"),
        ({"name": "x", "device": "h100-sxm", "engine": "vllm"}, "--name goes with measurements of your own"),
        ({"engines": True, "device": "h100-sxm"}, "--engines fits all engines .* does not go with --device"),
        ({"device": "h100-sxm", "engine": "vllm", "processes": 0}, "--processes must be at least 1, not 0"),
        ({"measurements": [Path("none.csv")]}, "none.csv: No such file"),
        ({"measurements": [KERNELS]}, "name the device on which the kernels were measured"),
        ({"measurements": [KERNELS], "device": "h100-sxm", "out": Path("/nowhere")}, "/nowhere: not a folder"),
        ({"measurements": [KERNELS], "device": "h100-sxm", "all_": True}, "--all takes no measurements of your own"),
        ({"measurements": [KERNELS, SERVING], "device": "h100-sxm"}, "fitted one after the other"),
        ({"measurements": [SERVING]}, r"serving-valid.csv:2: no model; name it in a column or with --model"),
        ({"measurements": [SERVING], "model": "llama-3.1-8b", "device": "h100-sxm"}, "no engine; name it .* --engine"),
        (
            {"measurements": [SERVING], "model": "llama-3.1-8b", "device": "h100-sxm", "engine": "sglang", "name": "mine"},
            "'mine' would be taken for vllm's: a name of sglang's settings begins 'sglang-'",
        ),
        ({"measurements": [SERVING], "model": "llama-3.1-8c", "device": "h100-sxm", "engine": "vllm"}, "unknown model"),
        ({"measurements": [Path("a.txt")]}, "a.txt: a table of measurements ends in .csv"),
    ],
)  # fmt: skip
def test_mistakes(given: dict[str, Any], message: str) -> None:
    with pytest.raises(CostcError, match=message):
        calibrate(**given)


def test_points_at_a_rate_alone_are_flagged(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "rates.csv"
    path.write_text("isl,osl,rate_per_s,concurrency,tpot_ms\n1024,512,,1,8\n1024,512,,4,8.5\n1024,512,8,,12\n1024,512,,8,9\n")
    calibrate([path], model="llama-3.1-8b", device="h100-sxm", engine="vllm")
    assert f"not used: {path}:4: a rate without concurrency" in capsys.readouterr().err
    path.write_text("isl,osl,rate_per_s,tpot_ms\n1024,512,1,8\n1024,512,4,9\n1024,512,8,12\n")
    with pytest.raises(CostcError, match="no point says how many requests were in flight"):
        calibrate([path], model="llama-3.1-8b", device="h100-sxm", engine="vllm")


def test_a_mistake_is_one_line_and_exits_with_2() -> None:
    words = [sys.executable, "-m", "costc", "calibrate", "--device", "h100-sxm", "--engine", "vlm"]
    found = subprocess.run(words, capture_output=True, text=True, cwd=ROOT, check=False)
    assert found.returncode == 2
    assert found.stderr.startswith("error: unknown engine 'vlm'")
    assert found.stderr.count("\n") == 1


def test_profiles_are_shown(capsys: pytest.CaptureFixture[str]) -> None:
    profile("b200-sglang", as_json=True)
    rows = json.loads(capsys.readouterr().out)
    assert {r["class"] for r in rows} >= {"gemm", "grouped_gemm", "decode_mla", "all_reduce_scale_up"}
    profile("b200-sglang")
    assert "decode_mla" in capsys.readouterr().out
    with pytest.raises(CostcError, match=r"unknown efficiency 'b200-sglan'; .*did you mean 'b200-sglang'"):
        profile("b200-sglan")


def test_the_command_line_starts_without_what_only_commands_need() -> None:
    words = (
        "import sys, costc.cli; print([m for m in ('sympy', 'pandas', 'numpy', 'scipy', 'yaml', 'jinja2') if m in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", words], capture_output=True, text=True, cwd=ROOT, check=False)
    assert found.stdout == "[]\n"
