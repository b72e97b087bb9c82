"""A user's serving results into engine settings: what the engine adds to its operators, with what was known before as prior."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import numpy as np

from costc.calibrate import measurements
from costc.calibrate.cautious import FEW
from costc.calibrate.fit import Priors
from costc.calibrate.kernels import Mask
from costc.calibrate.ledger import FITTED, KNOWN, fitted
from costc.calibrate.loops import Loops, Profiles
from costc.calibrate.own import SHARE
from costc.calibrate.points import Flag, Point
from costc.calibrate.profile import ERROR, rounded, rounded_constant
from costc.calibrate.robust import replaced
from costc.calibrate.runs import SETTINGS
from costc.calibrate.serving import ServingFit, fit_serving
from costc.calibrate.split import HELD_OUT, side
from costc.closed import PROTOCOL
from costc.errors import CostcError
from costc.facts import Source
from costc.ir.platform import ANY, Efficiency, Engine, FittedClass, HeldOut
from costc.serving.constants import CONSTANTS, FORM
from costc.spec.catalog import Catalog
from costc.spec.profiles import efficiency_profile, engine_of

if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd

#: what a point must say, or the caller for all
NEEDED: Final = ("model", "device", "engine")
DEGREES: Final = ("tp", "dp", "ep")


@dataclass(frozen=True)
class Calibration:
    """Engine settings with fitted constants, the fit behind them, and rows that were not used."""

    engine: Engine
    fit: ServingFit
    flags: tuple[Flag, ...]


def calibrated(
    paths: Sequence[Path],
    catalog: Catalog,
    name: str | None,
    given: Mapping[str, str],
    degrees: Mapping[str, int],
    efficiency: str,
) -> Calibration:
    """Engine settings of that name (default: the engine's and `measured`) from serving results.

    Args:
        given: model, device, engine and quantization of all points that do not say them.
        degrees: parallel degrees of all points that do not say them.
        efficiency: the profile that gives the operators' times.

    Raises:
        CostcError: what reading raises, points of several engines, or points that lack a model, device or engine.
    """
    found = measurements.read(paths)
    points = [_labelled(point, given, degrees) for point in found.points]
    used = [point for point in points if point.concurrency is not None]
    flags = [Flag(p.source, p.line, "a rate without concurrency: a closed loop is fitted") for p in points if p not in used]
    if not used:
        raise CostcError(f"{', '.join(map(str, paths))}: no point says how many requests were in flight; a fit needs concurrency")
    engines = sorted({point.labels["engine"] for point in used})
    if len(engines) > 1:
        raise CostcError(f"points of {', '.join(engines)}: calibrate one engine at a time (--engine)")
    base = catalog.engine(engines[0])
    name = name or f"{base.name}-measured"
    if engine_of(name) != engine_of(base.name):
        raise CostcError(
            f"{name!r} would be taken for {engine_of(name)}'s: a name of {base.name}'s settings begins '{base.name}-'"
        )
    frame = _frame(used, base, catalog)
    constants = replaced(fitted(), priors(base))
    loops = Loops.of(frame, _profiles(catalog, base, efficiency), catalog, FITTED)
    ttft, tpot = (np.array([getattr(p, t) or np.nan for p in used], dtype=np.float64) for t in ("ttft", "tpot"))
    fit = fit_serving(constants, loops, ttft, tpot, _apart(used))
    title = f"measurements of {', '.join(path.name for path in paths)}, SHA-256 {_digest(paths)}"
    # where the points say less than what was known, that stands, with its source
    own = base.fitted if fit.note and base.fitted else _class(fit, title)
    built = replace(base, name=name, title=f"{base.title}, with {paths[0].name}", fitted=own, accuracy={}, origin="")
    return Calibration(built, fit, tuple(sorted((*found.flags, *flags), key=lambda f: (f.source, f.line))))


def priors(base: Engine) -> Priors:
    """What settings say of an engine's constants, as values and spreads."""
    known = base.fitted.constants if base.fitted else {}
    found: dict[str, tuple[float, float]] = {}
    for constant in CONSTANTS:
        if constant.name in known:
            one = known[constant.name]
            deviation = one.std / one.value if constant.log and one.value > 0 else one.std
            spread = 0.0 if constant.name in KNOWN else min(max(deviation, SHARE * constant.spread), constant.spread)
            found[constant.name] = (one.value, spread)
    return found


def _labelled(point: Point, given: Mapping[str, str], degrees: Mapping[str, int]) -> Point:
    """The point with what the caller says of all; what it says itself stands."""
    labels = {**given, **point.labels}
    for name in NEEDED:
        if not labels.get(name):
            raise CostcError(f"{point.source}:{point.line}: no {name}; name it in a column or with --{name}")
    return replace(point, labels=labels, degrees={**degrees, **point.degrees})


def _frame(points: Sequence[Point], engine: Engine, catalog: Catalog) -> pd.DataFrame:
    """What each point ran, as `Loops` takes it."""
    import pandas as pd

    settings = {name: engine.values[name].value for name in SETTINGS if name in engine.values}
    rows = [
        {
            **{name: PROTOCOL.get(name, 0.0) for name in SETTINGS},
            **settings,
            "model": point.labels["model"],
            "scheme": point.labels.get("quantization", ""),
            "hardware": catalog.hardware(point.labels["device"]).name,
            "engine": point.labels["engine"],
            "kv_cache": "",
            **{name: float(point.degrees.get(name, 1)) for name in DEGREES},
            "batch": float(point.concurrency or 1),
            "isl": max(1.0, float(round(point.isl))),
            "osl": max(2.0, float(round(point.osl))),
            "waves": max(1.0, point.requests / point.concurrency) if point.requests and point.concurrency else PROTOCOL["waves"],
            "length_spread": 1 - point.spread if point.spread else 0.0,
        }
        for point in points
    ]
    return pd.DataFrame(rows)


def _profiles(catalog: Catalog, engine: Engine, efficiency: str) -> Profiles:
    def of(device: str, _: str) -> Efficiency:
        return efficiency_profile(catalog, efficiency, catalog.hardware(device), engine)

    return of


def _apart(points: Sequence[Point]) -> Mask:
    """Points held out by the hash of their load, where there are enough for two halves."""
    if len(points) < 2 * FEW:
        return np.zeros(len(points), dtype=bool)
    return np.array([side(*p.configuration, *p.load) == HELD_OUT for p in points], dtype=bool)


def _digest(paths: Sequence[Path]) -> str:
    return hashlib.sha256(b"".join(path.read_bytes() for path in paths)).hexdigest()[:16]


def _class(fit: ServingFit, title: str) -> FittedClass:
    """The constants as settings hold them; errors are those of TPOT, or of TTFT where there is none."""
    error = fit.held_out_tpot or fit.held_out_ttft
    shown = HeldOut(error.n, rounded(error.mean, ERROR), rounded(error.median, ERROR)) if error else None
    constants = {name: rounded_constant(c) for name, c in fit.constants.items()}
    return FittedClass(FORM.name, ANY, constants, Source(title), fit.n, shown)
