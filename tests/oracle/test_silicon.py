"""The cleaned silicon sample against the reference table, row for row."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pandas as pd
import pytest

from costc.calibrate.silicon import sample

REFERENCE = Path(__file__).resolve().parents[3] / "shared" / "reference" / "silicon_clean.csv"
WHEEL = importlib.util.find_spec("aiconfigurator_core")
pytestmark = pytest.mark.skipif(WHEEL is None, reason="aiconfigurator-core, which holds the sample, is not installed")


def test_the_tables_have_the_sizes_that_the_ledger_states() -> None:
    found = sample()
    assert len(found) == 5221
    assert found["meas_id"].nunique() == 3780
    assert found["table"].value_counts().to_dict() == {"main": 2523, "disagg": 274}
    assert found["fix"].value_counts().to_dict() == {
        "tp=tp*ep": 284,
        "vllm ep->adp (TEP)": 84,
        "adp=tp*ep": 45,
        "moe width != tp*dp": 19,
        "vllm ep->adp (dp-attn)": 11,
        "vllm ambiguous dp-attn": 2,
    }


@pytest.mark.skipif(not REFERENCE.exists(), reason="the reference table is not beside this checkout")
def test_every_column_of_the_reference_is_the_same() -> None:
    found, expected = sample(), pd.read_csv(REFERENCE)
    for name in expected.columns.drop("meas_id"):
        ours, theirs = found[name], expected[name]
        unlike = ~((ours == theirs) | (ours.isna() & theirs.isna()))
        assert not unlike.any(), f"{name}: {unlike.sum()} rows, first {found[unlike].iloc[0]['id']}"
    groups = pd.DataFrame({"ours": found["meas_id"], "theirs": expected["meas_id"]}).drop_duplicates()
    assert len(groups) == groups["ours"].nunique() == groups["theirs"].nunique()
