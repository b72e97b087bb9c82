"""What the ledger says: errors by group, its digest in reports/, and whether a new ledger is worse than the digest.

Error: predicted over measured less one. `mean` and `median` are of its absolute value, `bias` is the median of the error itself.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from costc.calibrate.kernels import Floats
from costc.calibrate.ledger import INFERRED, JUDGED, ROW, TIMES
from costc.errors import CostcError, not_among

if TYPE_CHECKING:
    import pandas as pd

    Frame = pd.DataFrame

#: the digest: what was run, what was predicted, and the fold `family` over what was measured
DIGEST: Final = Path("reports/accuracy.csv")
#: of the digest's predictions and ratios; a measurement repeats within a percent
DIGITS: Final = 5
#: columns that errors are grouped by, with what a reader calls them
GROUPS: Final = {"device": "hardware", "engine": "engine", "family": "family", "model": "model"}

SLACK: Final = 0.005


@dataclass(frozen=True)
class Error:
    """Absolute relative errors of one time over rows; `bias`: the median of the signed ones; None where no row was predicted."""

    n: int
    predicted: int
    mean: float | None
    median: float | None
    bias: float | None

    @classmethod
    def of(cls, errors: Floats) -> Error:
        """Of signed relative errors, NaN where nothing was predicted."""
        known = errors[np.isfinite(errors)]
        if not len(known):
            return cls(len(errors), 0, None, None, None)
        off = np.abs(known)
        return cls(len(errors), len(known), float(np.mean(off)), float(np.median(off)), float(np.median(known)))


@dataclass(frozen=True)
class Line:
    """The errors of one group of rows."""

    by: str
    group: str
    fold: str
    ttft: Error
    tpot: Error


def error(ledger: Frame, time: str, fold: str) -> Floats:
    """Relative errors of a time in a fold, shape (rows,)."""
    found: Floats = (ledger[f"{time}_{fold}"] / ledger[time] - 1).to_numpy(dtype=np.float64)
    return found


def line(ledger: Frame, fold: str, by: str = "all", group: str = "all") -> Line:
    """Errors over all rows given."""
    return Line(by, group, fold, *(Error.of(error(ledger, time, fold)) for time in TIMES))


def summary(ledger: Frame, fold: str, groups: Iterable[str] = tuple(GROUPS)) -> list[Line]:
    """Errors over all aggregated rows, then by group in order of the names, then over the disaggregated ones."""
    if fold not in JUDGED:
        raise CostcError(not_among("fold", fold, JUDGED))
    main, apart = ledger[ledger["table"] == "main"], ledger[ledger["table"] != "main"]
    found = [line(main, fold)]
    for by in groups:
        found += [line(rows, fold, by, str(name)) for name, rows in main.groupby(GROUPS[by], sort=True)]
    odd = implausible(main)
    found += [line(main[~odd], fold, "rows", "not implausible"), line(main[odd], fold, "rows", "implausible")]
    if len(apart) and fold != INFERRED:
        found.append(line(apart, fold, "disaggregated", "all"))
        for by in ("device", "engine"):
            found += [line(rows, fold, f"disaggregated, {by}", str(name)) for name, rows in apart.groupby(GROUPS[by], sort=True)]
    return found


def implausible(ledger: Frame) -> pd.Series[bool]:
    """Rows that their flags say are not what they seem."""
    from costc.calibrate.suspects import APART, IMPLAUSIBLE, SUSPICIONS

    names = {s.name for s in (*SUSPICIONS, *APART) if s.kind == IMPLAUSIBLE}
    return ledger["flags"].map(lambda flags: bool(names & set(flags.split("; ")))).astype(bool)


# ---- the digest


def digest(ledger: Frame) -> str:
    """The ledger as CSV, without the measured times: those are the wheel's."""
    found = ledger[list(ROW)].copy()
    for time in TIMES:
        for fold in JUDGED:
            found[f"{time}_{fold}"] = ledger[f"{time}_{fold}"].map(_short)
        found[f"{time}_ratio"] = [_short(1 + e) for e in error(ledger, time, "family")]
    for name in found.select_dtypes("number").columns:
        found[name] = found[name].map(lambda value: f"{value:.10g}")
    text: str = found.to_csv(index=False, lineterminator="\n")
    return text


def _short(value: float) -> str:
    return f"{value:.{DIGITS}g}" if np.isfinite(value) else ""


def read(path: Path) -> Frame:
    """The ledger of a digest; measured times follow from predictions and ratios.

    Raises:
        CostcError: no such file, or a column is missing.
    """
    if not path.is_file():
        raise CostcError(f"{path}: no such file; it is written by `costc validate --write` where the measurements are installed")
    return parse(path.read_text(encoding="utf-8"), str(path))


def parse(text: str, path: str) -> Frame:
    """The ledger of a digest's text; `path` is for messages."""
    import pandas as pd

    words = dict.fromkeys((*ROW[:10], "flags"), str)
    ledger = pd.read_csv(io.StringIO(text), dtype=words, keep_default_na=False, na_values={})
    for name in (*ROW, *_columns()):
        if name not in ledger.columns:
            raise CostcError(f"{path}: {not_among('column', name, ledger.columns)}")
    for name in (*(c for c in ROW if c not in words), *_columns()):
        ledger[name] = pd.to_numeric(ledger[name], errors="coerce")
    for time in TIMES:
        ledger[time] = ledger[f"{time}_family"] / ledger[f"{time}_ratio"]
    return ledger


def _columns() -> Iterator[str]:
    for time in TIMES:
        yield from (f"{time}_{fold}" for fold in JUDGED)
        yield f"{time}_ratio"


# ---- is it worse?


def worse(now: Sequence[Line], before: Sequence[Line]) -> list[str]:
    """A sentence for each figure that exceeds the one before by more than SLACK, or that has fewer rows."""
    known = {(x.by, x.group, x.fold): x for x in before}
    found = []
    for new in now:
        old = known.get((new.by, new.group, new.fold))
        if old is None:
            continue
        for time in TIMES:
            a, b = getattr(new, time), getattr(old, time)
            where = f"{time.upper()} of {new.by} {new.group} (fold {new.fold})"
            if a.predicted < b.predicted or a.n != b.n:
                found.append(f"{where}: {a.predicted} of {a.n} rows predicted, {b.predicted} of {b.n} before")
            for name in ("mean", "median"):
                x, y = getattr(a, name), getattr(b, name)
                if x is not None and y is not None and x > y * (1 + SLACK) + 5e-5:
                    found.append(f"{where}: {name} error {x:.2%}, {y:.2%} before")
    return found
