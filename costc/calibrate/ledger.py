"""The ledger: every judged row of the silicon sample with what was predicted for it by constants that had not seen it.

    rows = measured(sample())             what they ran, what was measured
    loops = Loops.of(rows, ...)           their programs
    ledger = predicted(rows, loops)       with predictions of each fold; all three: build(catalog)

Constants of kernels come from kernel tables alone (`specs/efficiency`); only an engine's own constants are fitted here, one set
for each engine, to the rows of the other families (fold `family`), of the other devices (`device`), or to all (`none`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from costc.calibrate.kernels import Floats, Mask
from costc.calibrate.loops import Loops, Profiles
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
    columns: dict[str, Floats] = {}
    for fold in folds:
        if fold not in FOLDS:
            raise CostcError(not_among("fold", fold, FOLDS))
        times = _of_fold(ledger, loops, FOLDS[fold])
        columns |= {f"{name}_{fold}": 1e3 * time for name, time in zip(TIMES, times, strict=True)}
    return ledger.assign(**columns)


def _of_fold(ledger: Frame, loops: Loops, column: str) -> tuple[Floats, Floats]:
    """Seconds of both times, each predicted by the constants of its engine that have not seen its group."""
    found = np.full((len(TIMES), len(ledger)), np.nan)
    engines = ledger["engine"].to_numpy()
    groups = ledger[column].to_numpy() if column else np.full(len(ledger), "")
    for engine in sorted(set(engines)):
        own = engines == engine
        part = loops.pick(own)
        for group in sorted(set(groups[own])):
            left_out = own & (groups == group) if column else np.zeros(len(ledger), dtype=bool)
            fit = constants(ledger, loops, engine, left_out)
            values = fit.values if fit else PRIORS
            judged = left_out[own] if column else np.ones(int(own.sum()), dtype=bool)
            places = np.flatnonzero(own)[judged]
            found[:, places] = np.array(part(values))[:, judged]
    return found[0], found[1]


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
    rows = measured(sample(path), inferred=inferred)
    loops = Loops.of(rows, profiles(catalog), catalog, FITTED)
    return predicted(rows, loops, folds), loops
