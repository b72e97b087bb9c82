"""A user's measurements of serving: CSV tables and results of load generators, in any mixture."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from costc.calibrate.benchmarks import runs
from costc.calibrate.points import Flag, Measurements, Point, checked
from costc.calibrate.tables import serving_rows
from costc.errors import CostcError

JSON = (".json", ".jsonl")


def read(paths: Sequence[Path]) -> Measurements:
    """Points of all files, with the rows that are not used and why.

    Raises:
        CostcError: a file is of no known kind, or too few points are left of all.
    """
    points: list[Point] = []
    flags: list[Flag] = []
    for path in paths:
        if path.suffix not in (".csv", *JSON):
            raise CostcError(f"{path}: a table of measurements ends in .csv, a load generator's result in .json or .jsonl")
        own, bad = serving_rows(path) if path.suffix == ".csv" else runs(path)
        points += own
        flags += bad
    return checked(points, flags)
