"""The command line as a user meets it: real processes, real exit codes."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import jsonschema
import numpy as np
import pytest

from costc.report.words import dollars, second

ROOT = Path(__file__).parents[2]
MODELS = "models: [guide-7b, deepseek-r1-distill-qwen-7b, deepseek-r1-distill-qwen-32b, deepseek-r1]"
R1 = ("eval", "deepseek-r1", "--hardware", "h200", "--tp", "8", "--batch", "16")


def costc(*words: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "costc", *words]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(command, capture_output=True, text=True, cwd=cwd or ROOT, env=environment, check=False)


def test_eval_json_keeps_its_published_schema() -> None:
    schema = json.loads(costc("schema").stdout)
    jsonschema.Draft202012Validator.check_schema(schema)
    for extra in ((), ("--debug",), ("--osl", "1"), ("--quantization", "int4"), ("--efficiency", "ideal")):
        found = costc(*R1, *extra, "--json")
        assert found.returncode == 0, found.stderr
        jsonschema.validate(json.loads(found.stdout), schema)


def test_tpot_is_null_for_one_output_token() -> None:
    assert json.loads(costc(*R1, "--osl", "1", "--json").stdout)["tpot"] is None


def test_operator_times_add_up_to_the_phase() -> None:
    found = json.loads(costc(*R1, "--debug", "--json", "--efficiency", "ideal").stdout)
    for phase, seconds in (("prefill", found["ttft"]), ("decode", found["tpot"] * (found["workload"]["osl"] - 1))):
        assert sum(row["time"] for row in found["operators"] if row["phase"] == phase) == pytest.approx(seconds, rel=1e-9)


def test_efficiency_as_a_number_scales_what_a_rate_bounds() -> None:
    half, full = (json.loads(costc(*R1, "--efficiency", e, "--json").stdout) for e in ("0.5", "1"))
    latencies = full["prefill"]["share"]["launch"]
    assert half["ttft"] > 1.5 * full["ttft"] * (1 - latencies)


@pytest.mark.parametrize("kind", ["models", "hardware", "quantization"])
def test_list(kind: str) -> None:
    rows = json.loads(costc("list", kind, "--json").stdout)
    assert all(row["name"] for row in rows)
    assert len(costc("list", kind, "--csv").stdout.splitlines()) == len(rows) + 1
    assert rows[0]["name"] in costc("list", kind).stdout


def test_list_models_gives_parameters() -> None:
    found = {row["name"]: row["parameters"] for row in json.loads(costc("list", "models", "--json").stdout)}
    assert found["deepseek-r1"] == 671_026_404_352


def test_sweep_counts_what_it_leaves_out() -> None:
    found = costc("sweep", "llama-3.1-8b", "--hardware", "h100-sxm,a100-80gb", "--tp", "1,2,3", "--batch", "1,8", "--json")
    assert len(json.loads(found.stdout)) == 8
    assert "4 points have a size or degree that the model cannot take" in found.stderr


def test_formula_with_symbols() -> None:
    found = json.loads(costc("formulas", "deepseek-r1", "decode.kv_byte", "--json").stdout)
    assert found["unit"] == "B"
    assert {row["symbol"] for row in found["symbols"]} == {"batch", "context", "kv_byte", "dp"}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("eval", "deepsek-r1", "--hardware", "h200"), "did you mean 'deepseek-r1'?"),
        (("eval", "deepseek-r1", "--hardware", "h2000"), "did you mean 'h200'?"),
        (("eval", "deepseek-r1", "--hardware", "h200", "--tp", "3"), "128 heads are not divisible by tp 3"),
        (("eval", "deepseek-r1", "--hardware", "h200", "--ep", "5"), "ep 5 does not divide"),
        (("eval", "llama-3.1-8b", "--hardware", "h200", "--ep", "2"), "without experts"),
        (("eval", "deepseek-r1", "--hardware", "h200", "--batch", "0"), "whole number of at least 1"),
        (("eval", "deepseek-r1", "--hardware", "h200", "--batch", "-4"), "whole number of at least 1"),
        (("eval", "deepseek-r1", "--hardware", "h200", "--efficiency", "1.5"), "at most 1"),
        (("eval", "deepseek-r1", "--hardware", "h200", "--efficiency", "idael"), "did you mean 'ideal'?"),
        (("eval", "deepseek-r1", "--hardware", "h200", "--kv-cache-dtype", "fp9"), "did you mean 'fp8'?"),
        (("sweep", "deepseek-r1", "--hardware", "h200", "--tp", "1,x"), "whole numbers"),
        (("sweep", "deepseek-r1", "--hardware", "h200", "--sort", "tpo"), "did you mean 'tpot'?"),
        (("formulas", "deepseek-r1", "decode.flops"), "did you mean 'decode.flop'?"),
        (("compile", "nowhere.yaml"), "nowhere.yaml: No such file"),
        (("eval", "x.yaml", "--hardware", "h200"), "x.yaml: No such file"),
        (("list", "model"), "'models'"),
    ],
)
def test_a_mistake_is_one_message_and_exit_code_2(words: tuple[str, ...], said: str) -> None:
    found = costc(*words)
    assert found.returncode == 2
    assert said in found.stderr
    assert "Traceback" not in found.stderr
    assert not found.stdout


def test_compile_check_and_stale(tmp_path: Path) -> None:
    study = (ROOT / "specs/deepseek_r1.yaml").read_text()
    small = study.replace(MODELS, "models: [deepseek-r1]")
    (tmp_path / "deepseek_r1.yaml").write_text(small)
    made = costc("compile", "deepseek_r1.yaml", cwd=tmp_path)
    assert made.returncode == 0, made.stderr
    assert costc("compile", "deepseek_r1.yaml", cwd=tmp_path).stdout.startswith("nothing changed")
    assert costc("compile", "deepseek_r1.yaml", "--check", cwd=tmp_path).returncode == 0
    module = tmp_path / "generated/deepseek_r1/deepseek_r1/evaluator.py"
    module.write_text(module.read_text() + "#\n")
    stale = costc("compile", "deepseek_r1.yaml", "--check", cwd=tmp_path)
    assert stale.returncode == 1
    assert "stale: generated/deepseek_r1/deepseek_r1/evaluator.py" in stale.stdout
    assert costc("compile", "deepseek_r1.yaml", cwd=tmp_path).stdout.startswith("wrote")
    assert costc("compile", "deepseek_r1.yaml", "--check", cwd=tmp_path).returncode == 0


def test_a_study_in_which_nothing_fits_says_what_is_short(tmp_path: Path) -> None:
    study = (ROOT / "specs/deepseek_r1.yaml").read_text()
    lines = [line for line in study.splitlines() if not line.startswith("  - ") or line.strip() == "- l40s"]
    text = "\n".join(
        lines[: lines.index("  - l40s") + 1] + lines[next(i for i, t in enumerate(lines) if t.startswith("quantization:")) :]
    )
    text = text.replace(MODELS, "models: [deepseek-r1]")
    text = text.replace("max_devices: 32", "max_devices: 2").replace("notes:", "notes: []")
    (tmp_path / "small.yaml").write_text(text)
    found = costc("compile", "small.yaml", cwd=tmp_path)
    assert found.returncode == 1, found.stderr
    assert "nothing meets the limits" in found.stdout
    report = (tmp_path / "reports/deepseek_r1.md").read_text()
    assert "nothing fits: the nearest" in report
    assert "too much" in report
    assert costc("compile", "small.yaml", cwd=tmp_path).returncode == 1


def test_a_bad_study_writes_nothing(tmp_path: Path) -> None:
    study = (ROOT / "specs/deepseek_r1.yaml").read_text()
    (tmp_path / "bad.yaml").write_text(study.replace("efficiency: fitted", "efficiency: fited"))
    found = costc("compile", "bad.yaml", cwd=tmp_path)
    assert found.returncode == 2
    assert "bad.yaml:" in found.stderr
    assert sorted(p.name for p in tmp_path.iterdir()) == ["bad.yaml"]


def test_generated_module_stands_alone() -> None:
    path = ROOT / "generated/deepseek_r1/deepseek_r1/evaluator.py"
    imports = [line for line in path.read_text().splitlines() if line.startswith(("import", "from"))]
    assert imports == ["import numpy as np"]
    spec = importlib.util.spec_from_file_location("evaluator", path)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    inputs = dict.fromkeys(module.INPUTS, 1.0)
    found = module.evaluate(**inputs | {"batch": np.array([1, 2, 3]), "isl": 4, "osl": 5})
    assert found["ttft"].shape == (3,)
    assert np.all(np.isfinite(found["ttft"]))


@pytest.mark.parametrize("blocked", ["reports", "reports/deepseek_r1.md"])
def test_an_unwritable_place_is_one_message_and_changes_nothing(tmp_path: Path, blocked: str) -> None:
    study = (ROOT / "specs/deepseek_r1.yaml").read_text().replace(MODELS, "models: [deepseek-r1-distill-qwen-7b]")
    (tmp_path / "study.yaml").write_text(study)
    place = tmp_path / "out" / blocked
    if blocked == "reports":
        place.parent.mkdir()
        place.write_text("in the way")
    else:
        place.mkdir(parents=True)
    before = sorted(tmp_path.rglob("*"))
    found = costc("compile", "study.yaml", "--out", "out", cwd=tmp_path)
    assert found.returncode == 2
    assert "Traceback" not in found.stderr
    assert sorted(tmp_path.rglob("*")) == before


def test_a_reported_command_gives_the_reported_figures() -> None:
    """The committed report's commands, run as printed: TTFT, TPOT and cost to the digits printed."""
    report = (ROOT / "reports/deepseek_r1.md").read_text()
    commands = [line for line in report.splitlines() if line.startswith("costc serving ")]
    claims = [line for line in report.splitlines() if line.startswith("**Deploy ")]
    assert len(commands) == len(claims) == 4
    command, claim = commands[2], claims[2]
    (found,) = json.loads(costc(*command.split()[1:], "--json").stdout)["points"]
    # the error that was seen in serving stands behind each time
    assert f"TTFT {second(found['ttft'])} ±" in claim
    assert f"TPOT {second(found['tpot'])} ±" in claim
    assert f"{dollars(found['cost_per_million_tokens'])} per million output tokens" in claim
