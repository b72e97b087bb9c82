"""The ledger: programs cut where engine constants come in, folds that leave groups out, the digest and what counts as worse."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from costc.calibrate import ledger, validate
from costc.calibrate.ledger import FITTED, JUDGED, PRIORS, ROW, TIMES
from costc.calibrate.loops import Loops
from costc.calibrate.runs import DEFAULTS, SETTINGS
from costc.compiled import CostModel
from costc.errors import CostcError
from costc.ir.platform import Efficiency
from costc.serving.constants import CONSTANTS, SYMBOLS
from costc.spec.catalog import Catalog

CATALOG = Catalog()
PLACE = {
    "model": "llama-3.1-8b",
    "scheme": "bf16",
    "hardware": "h100-sxm",
    "engine": "vllm",
    "kv_cache": "",
    "dp": 1.0,
    "ep": 1.0,
}


def uniform(device: str, engine: str) -> Efficiency:
    return CATALOG.efficiency("uniform")


def runs(*changes: dict[str, Any]) -> pd.DataFrame:
    settings = {name: DEFAULTS[name] for name in SETTINGS}
    row = {**PLACE, **settings, "tp": 1.0, "batch": 16.0, "isl": 1000.0, "osl": 200.0, "max_num_seqs": 1024.0}
    return pd.DataFrame([row | change for change in changes])


RUNS = runs(
    {},
    {"batch": 64.0, "tp": 2.0},
    {"isl": 4000.0, "engine": "sglang"},
    {"hardware": "h200", "batch": 200.0, "length_spread": 0.2},
    {"scheme": "fp8", "kv_cache": "fp8", "max_num_seqs": 8.0},
    {"model": "llama-2-7b", "max_num_batched_tokens": 2048.0},
)


@pytest.fixture(scope="module")
def loops() -> Loops:
    return Loops.of(RUNS, uniform, CATALOG, FITTED)


@cache
def compiled(name: str) -> CostModel:
    return CostModel(CATALOG.model(name), CATALOG)


def whole(run: pd.Series, constants: dict[str, float]) -> tuple[float, float]:
    """Both times by the model's own evaluator, in one piece."""
    model = compiled(run["model"])
    values: dict[str, Any] = model.values(
        run["hardware"], run["scheme"], uniform("", ""), run["engine"], run["kv_cache"] or None
    ) | {"pp": 1, "microbatches": 1, "draft_tokens": 0, "acceptance": 0}
    values |= {name: run[name] for name in RUNS.columns if name not in ("model", "scheme", "hardware", "engine", "kv_cache")}
    values |= {SYMBOLS[c.name].name: c.prior for c in CONSTANTS} | {SYMBOLS[k].name: v for k, v in constants.items()}
    found = model.closed_loop.evaluator(values)
    return float(found["ttft"]), float(found["tpot"])


def test_a_program_in_two_parts_gives_the_same_times(loops: Loops) -> None:
    moved = {name: value * 1.3 for name, value in PRIORS.items()}
    for constants in (PRIORS, moved):
        ttft, tpot = loops(constants)
        for place, (_, run) in enumerate(RUNS.iterrows()):
            assert (ttft[place], tpot[place]) == pytest.approx(whole(run, constants), rel=1e-12)
    assert not np.allclose(loops(PRIORS)[1], loops(moved)[1], rtol=1e-3)


def test_picked_runs_keep_their_times(loops: Loops) -> None:
    keep = np.array([True, False, True, False, True, True])
    for part, every in zip(loops.pick(keep)(PRIORS), loops(PRIORS), strict=True):
        assert part.tolist() == every[keep].tolist()


# ---- folds


def rows(count: int = 72) -> pd.DataFrame:
    """A ledger of two families on two devices, enough of each that fits need not prove themselves row by row."""
    kept = dict.fromkeys(("id", "table", "source", "version", "flags"), "")
    changes = [
        {"model": model, "hardware": device, "batch": float(batch), "isl": 500.0 + 100 * n}
        for n in range(count // 12)
        for model in ("llama-3.1-8b", "llama-2-7b")
        for device in ("h100-sxm", "h200")
        for batch in (4, 16, 32)
    ]
    found = runs(*changes).assign(**kept)
    return found.assign(family=found["model"], id=[f"row {n}" for n in range(len(found))], table="main")


@pytest.fixture(scope="module")
def measured() -> tuple[pd.DataFrame, Loops]:
    """Rows that were measured with constants of their own, one family off by a third."""
    found = rows()
    loops = Loops.of(found, uniform, CATALOG, FITTED)
    truth = PRIORS | {"decode_slowdown": 1.1, "request_overhead": 0.05}
    off = np.where(found["family"] == "llama-2-7b", 1.3, 1.0)
    ttft, tpot = (1e3 * time for time in loops(truth))
    return found.assign(ttft=ttft, tpot=tpot * off), loops


def test_a_fold_has_not_seen_the_group_that_it_predicts(measured: tuple[pd.DataFrame, Loops]) -> None:
    found, loops = measured
    there = (found["family"] == "llama-2-7b").to_numpy()
    before = ledger.predicted(found, loops, ("family", "none"))
    changed = found.assign(tpot=np.where(there, 5 * found["tpot"], found["tpot"]))
    after = ledger.predicted(changed, loops, ("family", "none"))
    assert before["tpot_family"][there].tolist() == after["tpot_family"][there].tolist(), "its own rows moved its prediction"
    assert not np.allclose(before["tpot_none"][there], after["tpot_none"][there], rtol=1e-3), "fitted to all rows, they must"
    assert not np.allclose(before["tpot_family"][~there], after["tpot_family"][~there], rtol=1e-3)


def test_what_is_fitted_to_all_rows_is_closer(measured: tuple[pd.DataFrame, Loops]) -> None:
    found = ledger.predicted(*measured, ("family", "none"))
    alone, everything = (validate.line(found, fold).tpot.mean for fold in ("family", "none"))
    assert alone is not None
    assert everything is not None
    assert everything < alone < 0.35


def test_an_engine_with_one_group_alone_takes_the_priors(measured: tuple[pd.DataFrame, Loops]) -> None:
    found, loops = measured
    one = (found["family"] == "llama-2-7b").to_numpy()
    part, programs = found[one].reset_index(drop=True), loops.pick(one)
    predicted = ledger.predicted(part, programs, ("family",))
    assert predicted["tpot_family"].tolist() == (1e3 * programs(PRIORS)[1]).tolist()


def test_an_unknown_fold_is_refused(measured: tuple[pd.DataFrame, Loops]) -> None:
    with pytest.raises(CostcError, match="unknown fold 'familly'; allowed: device, family, none; did you mean 'family'"):
        ledger.predicted(*measured, ("familly",))


# ---- errors, digest, worse


def judged(**columns: Any) -> pd.DataFrame:
    """Four rows with errors of TPOT of 10, -20, 30 and 0 percent in every fold, and TTFT right."""
    found = rows().head(4).assign(ttft=[100.0] * 4, tpot=[10.0, 20.0, 30.0, 40.0])
    tpot = [11.0, 16.0, 39.0, 40.0]
    predictions = {f"{t}_{f}": tpot if t == "tpot" else 100.0 for t in TIMES for f in JUDGED}
    return found.assign(**(predictions | columns))


def test_errors_are_relative_to_what_was_measured() -> None:
    found = validate.line(judged(), "family")
    assert (found.tpot.n, found.tpot.predicted) == (4, 4)
    assert (found.tpot.mean, found.tpot.median, found.tpot.bias) == pytest.approx((0.15, 0.15, 0.05))
    assert found.ttft.mean == 0


def test_rows_without_a_prediction_are_counted() -> None:
    found = validate.line(judged(tpot_family=[11.0, np.nan, np.nan, np.nan]), "family").tpot
    assert (found.n, found.predicted, found.mean) == (4, 1, pytest.approx(0.1))
    assert validate.line(judged(tpot_family=np.nan), "family").tpot.mean is None


def test_the_summary_goes_by_group_and_sets_implausible_rows_apart() -> None:
    found = {(x.by, x.group): x.tpot for x in validate.summary(judged(flags=["", "overload", "jump; overload", ""]), "family")}
    assert found["rows", "implausible"].n == 1
    assert found["rows", "not implausible"].mean == pytest.approx(0.1)
    assert found["device", "h100-sxm"].n + found["device", "h200"].n == 4
    with pytest.raises(CostcError, match="unknown fold"):
        validate.summary(judged(), "model")


def test_the_digest_says_all_but_what_was_measured() -> None:
    before = judged(flags=["", "overload", "jump", ""], version=["0.19.0", "1.10", "", "nightly"])
    text = validate.digest(before)
    head = text.splitlines()[0].split(",")
    assert set(ROW) < set(head)
    assert not {*TIMES} & set(head)
    after = validate.parse(text, "x")
    assert after[list(ROW)].to_dict("list") == before[list(ROW)].to_dict("list")
    for time in TIMES:
        assert after[time].tolist() == pytest.approx(before[time].tolist(), rel=1e-4)
    assert validate.summary(after, "family")[0].tpot.mean == pytest.approx(0.15)
    assert validate.digest(after) == text


def test_a_digest_that_is_not_one_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CostcError, match=r"accuracy\.csv: no such file; it is written by `costc validate --write`"):
        validate.read(tmp_path / "accuracy.csv")
    cut = validate.digest(judged()).replace("tpot_device", "tpot_devices")
    with pytest.raises(CostcError, match="unknown column 'tpot_device'"):
        validate.parse(cut, "x")


def test_a_figure_that_is_worse_is_named_and_one_that_is_better_is_not() -> None:
    before = validate.summary(judged(), "family")
    assert validate.worse(before, before) == []
    assert validate.worse(validate.summary(judged(tpot_family=[10.5, 18.0, 33.0, 40.0]), "family"), before) == []
    found = validate.worse(validate.summary(judged(tpot_family=[11.0, 16.0, 45.0, 40.0]), "family"), before)
    assert "TPOT of all all (fold family): mean error 20.00%, 15.00% before" in found
    lost = validate.worse(validate.summary(judged(tpot_family=[11.0, 16.0, np.nan, 40.0]), "family"), before)
    assert "TPOT of all all (fold family): 3 of 4 rows predicted, 4 of 4 before" in lost
