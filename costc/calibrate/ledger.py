"""The ledger: every judged row of the silicon sample with what was predicted for it by constants that had not seen it.

    rows = measured(sample())             what they ran, what was measured
    loops = Loops.of(rows, ...)           their programs
    ledger = predicted(rows, loops)       with predictions of each fold; all three: build(catalog)

Constants of kernels come from kernel tables alone (`specs/efficiency`); only an engine's own constants are fitted here, one set
for each engine, to the rows of the other families (fold `family`), of the other devices (`device`), or to all (`none`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from costc.calibrate.kernels import Floats, Mask
from costc.calibrate.loops import Loops, Profiles
from costc.calibrate.robust import Values
from costc.calibrate.runs import PLATFORM, POINT, SETTINGS, runs
from costc.calibrate.serving import ALIKE, ServingFit, fit_serving
from costc.calibrate.silicon import sample
from costc.calibrate.suspects import suspects
from costc.errors import CostcError, not_among
from costc.ir.platform import Efficiency
from costc.latency.form import Constant
from costc.serving.constants import CONSTANTS
from costc.spec.catalog import Catalog

if TYPE_CHECKING:
    import pandas as pd

    Frame = pd.DataFrame

#: what is left out when constants are fitted that predict a row: the rows of its group in a column of the ledger
FOLDS: Final = {"family": "family", "device": "hardware", "none": ""}
#: the fold `family` once more, with settings of runs that were found by looking at their times
INFERRED: Final = "inferred"
#: what there are predictions of
JUDGED: Final = (*FOLDS, INFERRED)
#: an engine's constants by engine and group left out
Fits = dict[tuple[str, str], Values]
#: settings of the engines' schedulers that are known and not fitted
KNOWN: Final = ("kept_output",)
FITTED: Final = tuple(c.name for c in CONSTANTS if c.name not in KNOWN)
PRIORS: Final = {c.name: c.prior for c in CONSTANTS if c.name not in KNOWN}
#: milliseconds of a time, by what it is; predictions are `<time>_<fold>`
TIMES: Final = ("ttft", "tpot")
ROW: Final = ("id", "table", "source", "version", "family", *PLATFORM, *POINT, *SETTINGS, "flags")


def measured(cleaned: Frame, table: str = "main", inferred: bool = False) -> Frame:
    """Rows of a table of the cleaned sample as the ledger has them: ROW, and `ttft`, `tpot` as measured, in milliseconds."""
    rows = cleaned[cleaned["table"] == table]
    told = {"id": "id", "table": "table", "src": "source", "backend_version": "version", "family": "family"}
    found = rows[list(told)].rename(columns=told).join(runs(rows, inferred))
    found["version"] = found["version"].fillna("")
    found["flags"] = suspects(rows)
    found = found.assign(ttft=rows["silicon_ttft_ms"], tpot=rows["silicon_tpot_ms"])
    return found[[*ROW, *TIMES]].reset_index(drop=True)


def predicted(ledger: Frame, loops: Loops, folds: Sequence[str] = tuple(FOLDS)) -> Frame:
    """The ledger with predictions of TTFT and TPOT, in milliseconds, of the folds named."""
    return applied(ledger, loops, {fold: fits(ledger, loops, fold) for fold in folds})


def fits(ledger: Frame, loops: Loops, fold: str) -> Fits:
    """Constants of each engine for each group of a fold, without that group's rows; under group '' those of all rows."""
    if fold not in FOLDS:
        raise CostcError(not_among("fold", fold, FOLDS))
    found: Fits = {}
    for engine, own in ledger.groupby("engine"):
        for group in sorted(set(own[FOLDS[fold]])) if FOLDS[fold] else [""]:
            left_out = (ledger[FOLDS[fold]] == group).to_numpy() if group else np.zeros(len(ledger), dtype=bool)
            fit = constants(ledger, loops, str(engine), left_out)
            found[str(engine), group] = fit.values if fit else PRIORS
    return found


def applied(ledger: Frame, loops: Loops, found: Mapping[str, Fits]) -> Frame:
    """The ledger with predictions of each fold by its constants."""
    columns: dict[str, Floats] = {}
    for fold, of in found.items():
        times = np.full((len(TIMES), len(ledger)), np.nan)
        for (engine, group), values in of.items():
            rows = ledger["engine"] == engine
            rows &= ledger[FOLDS[fold]] == group if group else rows
            if rows.any():
                times[:, rows] = loops.pick(rows.to_numpy())(values)
        columns |= {f"{name}_{fold}": 1e3 * time for name, time in zip(TIMES, times, strict=True)}
    return ledger.assign(**columns)


def constants(ledger: Frame, loops: Loops, engine: str, left_out: Mask) -> ServingFit | None:
    """An engine's constants from its rows that are not left out; None where all are, so that the priors stand."""
    own = (ledger["engine"] == engine).to_numpy()
    ttft, tpot = (1e-3 * ledger.loc[own, name].to_numpy() for name in TIMES)
    if np.all(left_out[own]):
        return None
    return fit_serving(fitted(), loops.pick(own), ttft, tpot, left_out[own], ALIKE)


def fitted() -> tuple[Constant, ...]:
    """The engine constants as they are fitted: what is known of a scheduler stays."""
    return tuple(replace(c, spread=0.0) if c.name in KNOWN else c for c in CONSTANTS)


def profiles(catalog: Catalog) -> Profiles:
    """The catalogue's fitted profile of a device and engine, each read once."""

    @cache
    def found(device: str, engine: str) -> Efficiency:
        return catalog.efficiency(f"{device}-{engine}")

    return found


def build(
    catalog: Catalog, folds: Sequence[str] = tuple(FOLDS), path: Path | None = None, inferred: bool = False
) -> tuple[Frame, Loops]:
    """The whole ledger, from the sample of the installed wheel (or `path`), and its programs.

    `inferred`: with the settings of runs that were found by looking at their times.

    Raises:
        CostcError: the wheel is not installed, or a spec is missing.
    """
    rows, loops = unpredicted(catalog, sample(path), inferred)
    return predicted(rows, loops, folds), loops


def unpredicted(catalog: Catalog, cleaned: Frame, inferred: bool = False) -> tuple[Frame, Loops]:
    """Rows of the main table, and their programs."""
    rows = measured(cleaned, inferred=inferred)
    return rows, Loops.of(rows, profiles(catalog), catalog, FITTED)
