"""Disaggregated rows of the ledger: predicted by pools of workers with the constants that aggregated rows gave.

An engine's constants are those of its aggregated rows, without the row's family or device. Of disaggregated rows comes only the
prior of `handover_steps`, which is the same whichever family it is taken from.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from costc.calibrate.ledger import ROW, TIMES, Fits, profiles
from costc.calibrate.loops import FREE_SHARE
from costc.calibrate.runs import PHASES, SETTINGS, pools
from costc.calibrate.suspects import suspects
from costc.compiled import CostModel
from costc.errors import CostcError
from costc.loads.ask import Platform, Worker
from costc.loads.pools import Pools, in_flight
from costc.place.mesh import STRATEGIES
from costc.serving.constants import POOL_CONSTANTS, SYMBOLS
from costc.spec.catalog import Catalog

if TYPE_CHECKING:
    import pandas as pd

    Frame = pd.DataFrame

TABLE: Final = "disagg"
#: the form of the experts' kernels
EXPERTS: Final = "grouped_gemm"
#: group of a fold by the column that it leaves out
COLUMNS: Final = {"family": "family", "device": "hardware", "none": ""}


def disaggregated(cleaned: Frame, catalog: Catalog, found: Mapping[str, Fits]) -> Frame:
    """Disaggregated rows as the ledger has them, with predictions of the folds whose constants are given."""
    rows = cleaned[cleaned["table"] == TABLE]
    sides = pools(rows)
    told = {"id": "id", "table": "table", "src": "source", "backend_version": "version", "family": "family"}
    ledger = rows[list(told)].rename(columns=told).join(sides["decode"])
    ledger = ledger.assign(ttft=rows["silicon_ttft_ms"], tpot=rows["silicon_tpot_ms"], flags=suspects(rows))
    ledger["version"] = ledger["version"].fillna("")
    models = {name: CostModel(catalog.model(name), catalog) for name in sorted(set(ledger["model"]))}
    for fold, constants in found.items():
        times = [_times(place, ledger, sides, models, catalog, constants, COLUMNS[fold]) for place in ledger.index]
        for which, name in enumerate(TIMES):
            ledger[f"{name}_{fold}"] = [1e3 * time[which] for time in times]
    return ledger[[*ROW, *TIMES, *(f"{name}_{fold}" for name in TIMES for fold in found)]].reset_index(drop=True)


def _times(
    place: Any, ledger: Frame, sides: Mapping[str, Frame], models: Mapping[str, CostModel], catalog: Catalog, fits: Fits, by: str
) -> tuple[float, float]:
    """Seconds of both times of a row; not a number where the pools cannot be."""
    row = ledger.loc[place]
    engine = str(row["engine"])
    # a group without aggregated rows of the engine: constants of all of them have not seen it either
    values = fits.get((engine, str(row[by]) if by else "")) or fits[engine, ""]
    runs = [sides[phase].loc[place] for phase in PHASES]
    before, after = (_worker(run, models[row["model"]], catalog, values) for run in runs)
    try:
        found = in_flight(Pools(before, after, *(int(run["workers"]) for run in runs)), [float(row["batch"])])
    except CostcError:
        return np.nan, np.nan
    return float(found["ttft"][0]), float(found["tpot"][0])


def _worker(run: Any, model: CostModel, catalog: Catalog, constants: Mapping[str, float]) -> Worker:
    engine, device = catalog.engine(run["engine"]), catalog.hardware(run["hardware"])
    scheme = model.scheme(run["scheme"] or None, run["kv_cache"] or None)
    profile = profiles(catalog)(device.name, engine.name)
    plan = {**dict.fromkeys(STRATEGIES, 1), **{name: int(run[name]) for name in ("tp", "dp", "ep")}}
    values = model.values(device, scheme, profile, engine)
    values |= {name: float(run[name]) for name in ("isl", "osl", *SETTINGS)} | plan | {"microbatches": 1.0}
    values |= {SYMBOLS[name].name: value for name, value in constants.items()}
    values |= _experts(values, str(run["experts"]))
    if engine.pools is None:
        values |= {f"serving_{c.name}": c.prior for c in POOL_CONSTANTS}
    if engine.name in FREE_SHARE:
        values |= dict.fromkeys(("memory_weight_share", "memory_reserved_share"), values["memory_utilization"])
    return Worker(model, Platform(device, scheme, profile, engine, plan), values)


def _experts(values: Mapping[str, float], kernels: str) -> dict[str, float]:
    """Constants of the routed experts: of the kernels behind an all-to-all, which are of the same form, where a run had these."""
    behind = f"{EXPERTS}_{kernels}_"
    return {name.replace(behind, f"{EXPERTS}_"): value for name, value in values.items() if kernels and name.startswith(behind)}
