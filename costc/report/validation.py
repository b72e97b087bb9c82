"""`costc validate`: the ledger made anew or read from its digest, printed, written, or compared with what lies there."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from costc.calibrate import ledger, validate
from costc.calibrate.kernels import WHEEL
from costc.calibrate.ledger import FOLDS, INFERRED, JUDGED, ROW, TIMES, Fits
from costc.calibrate.silicon import FILE, sample
from costc.calibrate.validate import DIGEST, Line, summary
from costc.errors import CostcError, not_among
from costc.report.accuracy import files
from costc.report.compile import Outcome, Say, checked, write_all
from costc.spec.catalog import Catalog

if TYPE_CHECKING:
    import pandas as pd

    Frame = pd.DataFrame

#: predicts the rows whose phases have pools of their own, with constants by fold; it lies above this room
More = Callable[["Frame", Catalog, Mapping[str, Fits]], "Frame"]
#: AIConfigurator's predictions of the same rows, which `tests/bench` writes
BESIDE: Final = Path("reports/accuracy_aiconfigurator.csv")


def installed() -> bool:
    """Whether the wheel with the measurements is installed."""
    return importlib.util.find_spec(WHEEL) is not None


def found(out: Path, folds: tuple[str, ...], more: More, say: Say) -> tuple[Frame, str]:
    """The ledger with predictions of some folds, and where it comes from: the measurements where they are installed, else the
    digest under `out`.
    """
    for fold in folds:
        if fold not in JUDGED:
            raise CostcError(not_among("fold", fold, JUDGED))
    if installed():
        return anew(folds, more, say), FILE
    return validate.read(out / DIGEST), str(DIGEST)


def anew(folds: tuple[str, ...], more: More, say: Say) -> Frame:
    """The ledger of both tables from the installed measurements."""
    import pandas as pd

    say("reading the measurements")
    catalog, cleaned = Catalog(), sample()
    say("evaluating the programs")
    rows, loops = ledger.unpredicted(catalog, cleaned)
    constants: dict[str, Fits] = {}
    for fold in (*(f for f in FOLDS if f in folds), "none"):
        if fold not in constants:
            say(f"fitting, fold {fold}")
            constants[fold] = ledger.fits(rows, loops, fold)
    rows = ledger.applied(rows, loops, {fold: constants[fold] for fold in folds if fold in FOLDS})
    if INFERRED in folds:
        say("fitting with inferred settings")
        other, _ = ledger.build(catalog, ("family",), inferred=True)
        rows = rows.assign(**{f"{time}_{INFERRED}": other[f"{time}_family"] for time in TIMES})
    say("predicting disaggregated serving")
    every = constants["none"]
    apart = more(cleaned, catalog, {fold: every | constants[fold] for fold in folds if fold in FOLDS})
    return pd.concat([rows, apart], ignore_index=True)


def lines(rows: Frame, fold: str) -> list[dict[str, Any]]:
    """The summary as records for printing: percent."""

    def shown(line: Line) -> dict[str, Any]:
        cells: dict[str, Any] = {"by": line.by, "group": line.group, "rows": line.tpot.n, "predicted": line.tpot.predicted}
        for time in TIMES[::-1]:
            error = getattr(line, time)
            cells |= {f"{time} {name}": _percent(getattr(error, name)) for name in ("mean", "median", "bias")}
        return cells

    return [shown(line) for line in summary(rows, fold)]


def _percent(share: float | None) -> float | None:
    return None if share is None else round(100 * share, 1)


def as_json(rows: Frame, fold: str, source: str) -> dict[str, Any]:
    """The whole ledger: a summary by group, and every row with what was measured (ms), predicted and the errors (shares)."""
    kept = rows[[*ROW, *TIMES, *(f"{time}_{fold}" for time in TIMES)]]
    kept = kept.rename(columns={f"{time}_{fold}": f"{time}_predicted" for time in TIMES})
    kept = kept.assign(**{f"{time}_error": validate.error(rows, time, fold) for time in TIMES})
    return {
        "source": source,
        "fold": fold,
        "summary": [asdict(line) for line in summary(rows, fold)],
        "rows": [{str(k): v for k, v in row.items()} for row in kept.to_dict("records")],
    }


def pages(out: Path, digest: str) -> dict[str, str]:
    """The page and its figures from a digest's text, by path under `out`."""
    beside = out / BESIDE
    theirs = beside.read_text(encoding="utf-8") if beside.is_file() else None
    return files(validate.parse(digest, str(DIGEST)), theirs, Catalog())


def write(out: Path, more: More, say: Say) -> Outcome:
    """Make the ledger anew and write digest, page and figures.

    Raises:
        CostcError: the measurements are not installed.
    """
    if not installed():
        raise CostcError("the measurements are not installed; they come by `pip install aiconfigurator-core==0.12.0`")
    rows, _ = found(out, JUDGED, more, say)
    digest = validate.digest(rows)
    made = {str(DIGEST): digest, **pages(out, digest)}
    write_all({out / name: text for name, text in made.items()})
    return Outcome((f"wrote {len(made)} files under {out / 'reports'}",), 0)


def check(out: Path, more: More, say: Say) -> Outcome:
    """Whether the page is what the digest says and, where the measurements are installed, whether no figure is worse."""
    path = out / DIGEST
    known = validate.read(path)
    outcome = checked(pages(out, path.read_text(encoding="utf-8")), out, [])
    if not installed():
        return outcome
    rows, _ = found(out, JUDGED, more, say)
    worse = [x for fold in JUDGED for x in validate.worse(summary(rows, fold), summary(known, fold))]
    return Outcome((*outcome.lines, *worse), int(bool(outcome.code or worse)))
