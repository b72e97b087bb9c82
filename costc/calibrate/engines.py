"""An engine's spec with its fitted constants and its errors by device: what follows `MARK` in its file is written here."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from costc.calibrate.ledger import ROW, TIMES, constants
from costc.calibrate.loops import Loops
from costc.calibrate.serving import ServingFit
from costc.ir.platform import OTHER
from costc.serving.constants import CONSTANTS, FORM

if TYPE_CHECKING:
    import pandas as pd

    Frame = pd.DataFrame

MARK: Final = "# fitted: written by `costc calibrate --engines`"
#: key of the measurements among the sources of the file
SOURCE: Final = "silicon"


def written(path: Path, engine: str, ledger: Frame, loops: Loops) -> str:
    """The file's text with the constants of an engine fitted to all rows, and errors of the folds that leave out."""
    head = path.read_text().partition(MARK)[0].rstrip("\n")
    own = ledger[ledger["engine"] == engine]
    fit = constants(ledger, loops, engine, np.zeros(len(ledger), dtype=bool))
    assert fit is not None
    return "\n".join([head, MARK, *_constants(fit, own), *_accuracy(own), ""])


def _constants(fit: ServingFit, own: Frame) -> list[str]:
    off = _off(own, "tpot", "family")
    rows = own[[*ROW, *TIMES]].to_csv(index=False, lineterminator="\n", float_format="%.10g")
    lines = ["classes:", f"  {FORM.name}:", "    any:", f"      source: {SOURCE}", f"      n: {fit.n}"]
    lines += [
        f"      held_out: {off}",
        f"      digest: {hashlib.sha256(rows.encode()).hexdigest()[:16]}",
        "      constants:",
    ]
    for c in CONSTANTS:
        found = fit.constants[c.name]
        said = f"value: {found.value:.4g}, std: {found.std:.2g}, unit: {_unit(found.unit)}, kind: {found.kind}"
        lines.append(f"        {c.name}: {{{said}}}")
    return lines


def _unit(unit: str) -> str:
    return f"'{unit}'" if unit.isdigit() else unit


def _accuracy(own: Frame) -> list[str]:
    """Errors on each device without the model's family, and on devices without any row of theirs."""
    lines = ["accuracy:"]
    for device, rows in own.groupby("hardware"):
        both = ", ".join(f"{name}: {_off(rows, name, 'family')}" for name in TIMES)
        lines.append(f"  {device}: {{{both}}}")
    both = ", ".join(f"{name}: {_off(own, name, 'device')}" for name in TIMES)
    return [*lines, f"  {OTHER}: {{{both}}}"]


def _off(rows: Frame, name: str, fold: str) -> str:
    errors = np.abs(rows[f"{name}_{fold}"] / rows[name] - 1)
    return f"{{n: {len(rows)}, mean: {errors.mean():.3f}, median: {errors.median():.3f}}}"
