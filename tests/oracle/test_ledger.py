"""The whole ledger against its digest, where the measurements are installed."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pandas as pd
import pytest

from costc.calibrate import validate
from costc.calibrate.ledger import JUDGED, TIMES
from costc.calibrate.runs import runs
from costc.calibrate.settings import INFERRED, RULES
from costc.calibrate.silicon import sample
from costc.calibrate.suspects import APART, SUSPICIONS, suspects
from costc.loads.ledger import disaggregated
from costc.report.validation import anew

ROOT = Path(__file__).resolve().parents[2]
WHEEL = importlib.util.find_spec("aiconfigurator_core")
pytestmark = pytest.mark.skipif(WHEEL is None, reason="aiconfigurator-core, which holds the sample, is not installed")
#: rows by suspicion, as counted by looking at every series of the sample
COUNTS = {
    "replicas": 24, "compilation": 21, "jump": 6, "seat short": 108, "not admitted": 12, "mislabelled": 9, "warm-up": 54,
    "too fast": 5, "broken run": 3, "slow prefill": 14, "slow decode": 32, "late start": 8, "thrashing": 3,
}  # fmt: skip


@pytest.fixture(scope="module")
def rows() -> dict[str, pd.DataFrame]:
    cleaned = sample()
    return {kind: cleaned[cleaned["table"] == kind] for kind in ("main", "disagg")}


@pytest.fixture(scope="module")
def made() -> pd.DataFrame:
    return anew(JUDGED, disaggregated, lambda text: None)


@pytest.fixture(scope="module")
def kept() -> pd.DataFrame:
    return validate.read(ROOT / validate.DIGEST)


def test_no_figure_is_worse_than_the_page_says(made: pd.DataFrame, kept: pd.DataFrame) -> None:
    for fold in JUDGED:
        assert validate.worse(validate.summary(made, fold), validate.summary(kept, fold)) == []


def test_every_row_is_predicted_as_the_digest_says(made: pd.DataFrame, kept: pd.DataFrame) -> None:
    assert made["id"].tolist() == kept["id"].tolist()
    assert made["table"].value_counts().to_dict() == {"main": 2523, "disagg": 274}
    for time in TIMES:
        assert made[time].tolist() == pytest.approx(kept[time].tolist(), rel=1e-3), "measured times follow from the digest"
        for fold in JUDGED:
            new, old = made[f"{time}_{fold}"], kept[f"{time}_{fold}"]
            assert new.notna().tolist() == old.notna().tolist()
            assert new.dropna().tolist() == pytest.approx(old.dropna().tolist(), rel=5e-3)
    assert made[made["table"] == "main"][[f"{t}_{f}" for t in TIMES for f in JUDGED]].notna().all(axis=None)


def test_every_rule_is_about_some_row_and_is_not_overruled_whole(rows: dict[str, pd.DataFrame]) -> None:
    table = rows["main"]
    frame = table.assign(
        precision=table["precision"].fillna(""), date=table["date"].fillna(""), public=table["src"] != "nv-internal"
    )
    found = runs(table, inferred=True)
    for rule in (*RULES, *INFERRED):
        own = rule.rows(frame)
        assert own.any(), rule
        for setting in set(rule.set) & set(found.columns):
            value = rule.set[setting]
            wanted = value(frame[own]) if callable(value) else value
            assert (found.loc[own, setting] == wanted).any(), f"{setting} of {rule.source}"


def test_suspicions_find_the_rows_that_were_found_by_looking(rows: dict[str, pd.DataFrame]) -> None:
    found = pd.concat([suspects(table) for table in rows.values()]).str.split("; ").explode().value_counts()
    assert {name: int(found.get(name, 0)) for name in COUNTS} == COUNTS
    assert {s.name for s in (*SUSPICIONS, *APART)} == {*COUNTS, "overload"}
