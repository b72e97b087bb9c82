"""The accuracy page: what the digest says, nothing else; stale or worse pages fail; without measurements the digest is read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from typer.testing import CliRunner

from costc import cli
from costc.calibrate import ledger, validate
from costc.report import validation
from costc.report.accuracy import files, percent
from costc.spec.catalog import Catalog
from tests.unit.test_calibrate_ledger import judged

RUNNER = CliRunner()
ERROR = {
    "type": "object",
    "required": ["n", "predicted", "mean", "median", "bias"],
    "properties": {"n": {"type": "integer"}, "predicted": {"type": "integer"}, "mean": {"type": ["number", "null"]}},
}
SCHEMA: dict[str, Any] = {
    "type": "object",
    "required": ["source", "fold", "summary", "rows"],
    "additionalProperties": False,
    "properties": {
        "source": {"type": "string"},
        "fold": {"enum": ["family", "device", "none", "inferred"]},
        "summary": {
            "type": "array",
            "items": {"required": ["by", "group", "fold", "ttft", "tpot"], "properties": {"ttft": ERROR, "tpot": ERROR}},
        },
        "rows": {"type": "array", "items": {"required": [*ledger.ROW, "ttft", "tpot_predicted", "tpot_error"]}},
    },
}


@pytest.fixture
def placed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a digest of four rows, its page and figures, where no measurements are installed."""
    monkeypatch.setattr(validation, "installed", lambda: False)
    text = validate.digest(judged())
    for name, content in {str(validate.DIGEST): text, **validation.pages(tmp_path, text)}.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(content, encoding="utf-8")
    return tmp_path


def run(*words: str) -> tuple[int, str]:
    found = RUNNER.invoke(cli.app, ["validate", *words])
    return found.exit_code, found.stdout if not found.exception or isinstance(found.exception, SystemExit) else repr(
        found.exception
    )


def test_the_page_is_made_from_the_digest_alone(placed: Path) -> None:
    page = (placed / "reports/accuracy.md").read_text(encoding="utf-8")
    assert "| **leave one family out** | 4 | 15.0 | 15.0 | +5.0 | 0.0 | 0.0 | +0.0 |" in page
    assert "figures/accuracy/tpot.svg" in page
    assert run("--check", "--out", str(placed)) == (0, "3 files are up to date\n")


@pytest.mark.parametrize("name", ["reports/accuracy.md", "reports/figures/accuracy/ttft.svg"])
def test_a_page_that_says_more_than_the_digest_is_stale(placed: Path, name: str) -> None:
    path = placed / name
    path.write_text(path.read_text(encoding="utf-8").replace("5", "4", 1), encoding="utf-8")
    assert run("--check", "--out", str(placed)) == (1, f"stale: {name}\n")


def test_a_digest_with_other_errors_makes_the_page_stale(placed: Path) -> None:
    worse = judged(tpot_family=[11.0, 16.0, 45.0, 40.0])
    (placed / validate.DIGEST).write_text(validate.digest(worse), encoding="utf-8")
    code, text = run("--check", "--out", str(placed))
    assert code == 1
    assert "stale: reports/accuracy.md" in text


@pytest.mark.parametrize(("tpot", "code"), [([11.0, 16.0, 39.0, 40.0], 0), ([11.0, 16.0, 45.0, 40.0], 1)])
def test_where_measurements_are_installed_a_worse_figure_fails(
    placed: Path, monkeypatch: pytest.MonkeyPatch, tpot: list[float], code: int
) -> None:
    anew = judged(tpot_family=tpot)
    monkeypatch.setattr(validation, "installed", lambda: True)
    monkeypatch.setattr(validation, "anew", lambda folds, more, say: anew)
    found, text = run("--check", "--out", str(placed))
    assert found == code
    assert ("TPOT of all all (fold family): mean error 20.00%, 15.00% before" in text) == bool(code)


def test_json_has_every_row_and_keeps_its_schema(placed: Path) -> None:
    code, text = run("--json", "--out", str(placed))
    assert code == 0
    found = json.loads(text)
    jsonschema.validate(found, SCHEMA)
    assert (len(found["rows"]), found["source"]) == (4, "reports/accuracy.csv")
    assert [round(row["tpot_error"], 4) for row in found["rows"]] == [0.1, -0.2, 0.3, 0]


def test_the_table_and_csv_print_percent(placed: Path) -> None:
    code, text = run("--csv", "--out", str(placed), "--fold", "device")
    assert code == 0
    assert text.splitlines()[1] == "all,all,4,4,15.0,15.0,5.0,0.0,0.0,0.0"
    assert run("--out", str(placed))[0] == 0


def test_mistakes_are_said(placed: Path, tmp_path: Path) -> None:
    assert "no such file; it is written by `costc validate --write`" in run("--out", str(tmp_path / "none"))[1]
    assert "exclude one another" in run("--json", "--write")[1]
    assert "the measurements are not installed" in run("--write", "--out", str(placed))[1]


def test_what_was_not_predicted_is_a_dash() -> None:
    assert [percent(None), percent(float("nan")), percent(0.1234), percent(0.05, True)] == ["-", "-", "12.3", "+5.0"]


def test_another_tool_is_judged_on_the_rows_that_it_predicts() -> None:
    found = judged()
    rows = "".join(f"{name},120,{tpot}\n" for name, tpot in zip(found["id"][:2], (20.0, 20.0), strict=True))
    page = files(found, f"# Tool 1.0, run on 2026-11-22\nid,aic_ttft_ms,aic_tpot_ms\n{rows}", Catalog())["reports/accuracy.md"]
    assert "| aggregated |  | all | 4 | 2 | 50.0 | 15.0 | 50.0 | 15.0 | 20.0 | 0.0 | 20.0 | 0.0 |" in page
    assert "Tool 1.0, run on 2026-11-22." in page
