"""`costc validate`."""

from __future__ import annotations

import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer


class Fold(StrEnum):
    """What the constants that predict a row have not seen."""

    family = "family"
    device = "device"
    none = "none"
    inferred = "inferred"


def _say(text: str) -> None:
    """What is being done, where somebody looks: all of it takes two minutes."""
    if sys.stderr.isatty():
        print(text, file=sys.stderr)


def validate(
    fold: Annotated[
        Fold,
        typer.Option(
            help="what the constants that predict a row have not seen; inferred: family, with settings found in the times"
        ),
    ] = Fold.family,
    out: Annotated[Path, typer.Option(help="folder in which reports/ lies")] = Path(),
    write: Annotated[bool, typer.Option("--write", help="write digest, page and figures into reports/")] = False,
    check: Annotated[bool, typer.Option("--check", help="exit 1 where the page is stale or a figure is worse")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="print JSON, with every row")] = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="print the summary as CSV")] = False,
) -> None:
    """Predict every measured serving run anew and print the errors, in percent, by device, engine, family and model.

    Measurements come with the wheel aiconfigurator-core 0.12.0; without it, reports/accuracy.csv is read.
    """
    from costc import tables
    from costc.errors import CostcError
    from costc.loads.ledger import disaggregated
    from costc.report import validation

    if sum((as_json, as_csv, write, check)) > 1:
        raise CostcError("--json, --csv, --write and --check exclude one another")
    if write or check:
        outcome = (validation.write if write else validation.check)(out, disaggregated, _say)
        for line in outcome.lines:
            print(line)
        raise typer.Exit(outcome.code)
    rows, source = validation.found(out, (fold.value,), disaggregated, _say)
    if as_json:
        tables.print_json(validation.as_json(rows, fold.value, source))
        return
    title = f"errors in percent, fold {fold.value}, {len(rows)} rows of {source}"
    tables.print_rows(validation.lines(rows, fold.value), False, as_csv, title)
