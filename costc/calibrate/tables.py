"""A user's CSV: serving points, or times of kernels. The header says the unit of every time.

Serving:  isl, osl, concurrency or rate_per_s, ttft_ms and tpot_ms (or _ns, _us, _s; one of the two is enough); and, as far as
          known, requests, ttft_p99_ms and the like, model, device, engine, engine_version, quantization, tp, dp, pp, ep.
Kernels:  form, dtype, the form's demands by name (in bytes, FLOP and counts), and one of time_ns, time_us, time_ms, time_s.
"""

from __future__ import annotations

import csv
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from costc.calibrate.kernels import Table, floats
from costc.calibrate.points import FEWEST, Flag, Point, far, too_few, unlike
from costc.errors import CostcError, Position, SpecError, not_among
from costc.ir.platform import ANY
from costc.latency.form import Form

SECONDS = {"ns": 1e-9, "us": 1e-6, "ms": 1e-3, "s": 1.0}
LABELS = ("model", "device", "engine", "engine_version", "quantization")
DEGREES = ("tp", "dp", "pp", "ep")
SIZES = ("isl", "osl", "concurrency", "rate_per_s", "requests")
MAX_BYTES = 100_000_000
_TIME = re.compile(r"(ttft|tpot|e2e|time)(_p\d{1,2})?_(ns|us|ms|s)")
_BARE = re.compile(r"(ttft|tpot|e2e|time|latency)(_p\d{1,2})?")


@dataclass(frozen=True)
class Row:
    """A row's cells by column."""

    line: int
    cells: Mapping[str, str]


class BadCell(Exception):
    """A cell that is not what its column holds."""


def serving_rows(path: Path) -> tuple[list[Point], list[Flag]]:
    """Serving points of a CSV, and rows that cannot be read.

    Raises:
        CostcError: it cannot be read, or a column is unknown or has no unit.
    """
    columns, rows = _read(path)
    for needed in ("isl", "osl"):
        _need(path, columns, needed)
    if not {"concurrency", "rate_per_s"} & set(columns):
        raise SpecError(Position(str(path), 1, 1), "no column concurrency or rate_per_s: a point needs its load")
    times = _times(path, columns, ("ttft", "tpot", "e2e"))
    if not {"ttft", "tpot"} & set(times):
        raise SpecError(Position(str(path), 1, 1), "no times: give ttft_ms or tpot_ms, or both")
    _known(path, columns, (*SIZES, *LABELS, *DEGREES, *(c for c, _ in times.values())))
    points: list[Point] = []
    flags: list[Flag] = []
    for row in rows:
        try:
            points.append(_point(str(path), row, times))
        except BadCell as bad:
            flags.append(Flag(str(path), row.line, str(bad)))
    return points, flags


def _point(source: str, row: Row, times: Mapping[str, tuple[str, float]]) -> Point:
    sizes = {name: _number(row, name) for name in SIZES if row.cells.get(name)}
    for name in ("isl", "osl"):
        if name not in sizes:
            raise BadCell(f"{name} is empty")
    if "concurrency" not in sizes and "rate_per_s" not in sizes:
        raise BadCell("neither concurrency nor rate_per_s is given")
    found = {name: _number(row, column) * factor for name, (column, factor) in times.items() if row.cells.get(column)}
    if not {"ttft", "tpot"} & set(found):
        raise BadCell("no time is given")
    degrees = {}
    for name in DEGREES:
        if row.cells.get(name):
            value = _number(row, name)
            if not value.is_integer():
                raise BadCell(f"{name} is {row.cells[name]}; a degree is a whole number")
            degrees[name] = int(value)
    return Point(
        source,
        row.line,
        sizes["isl"],
        sizes["osl"],
        sizes.get("concurrency"),
        sizes.get("rate_per_s"),
        found.pop("ttft", None),
        found.pop("tpot", None),
        sizes.get("requests"),
        percentiles=found,
        labels={name: row.cells[name] for name in LABELS if row.cells.get(name)},
        degrees=degrees,
    )


def kernels(path: Path, forms: Mapping[str, Form], device: str, engine: str = "") -> tuple[list[Table], tuple[Flag, ...]]:
    """Times of kernels from a CSV: a table for each form and format, none of whose rows is held out.

    Raises:
        CostcError: it cannot be read, a form or column is unknown, a demand is missing, or too few rows are left.
    """
    columns, rows = _read(path)
    _need(path, columns, "form")
    time, factor = _times(path, columns, ("time",)).get("time", ("", 0.0))
    if not time:
        raise SpecError(Position(str(path), 1, 1), "no times: give one of time_ns, time_us, time_ms, time_s")
    demands = {d.name for form in forms.values() for d in form.demands}
    _need_demands(path, columns, rows, forms)
    _known(path, columns, ("form", "dtype", time, *sorted(demands)))
    groups: dict[tuple[str, str], list[tuple[int, dict[str, float], float]]] = {}
    flags: list[Flag] = []
    for row in rows:
        name, dtype = row.cells["form"], row.cells.get("dtype") or ANY
        try:
            sizes = {d.name: _number(row, d.name, least=0.0) for d in forms[name].demands}
            measured = (row.line, sizes, _number(row, time) * factor)
            groups.setdefault((name, dtype), []).append(measured)
        except BadCell as bad:
            flags.append(Flag(str(path), row.line, str(bad)))
    tables = [_table(path, key, group, device, engine, flags) for key, group in sorted(groups.items())]
    used = [t for t in tables if len(t)]
    flags.sort(key=lambda f: f.line)
    if sum(map(len, used)) < FEWEST:
        raise CostcError(too_few(str(path), sum(map(len, used)), flags))
    return used, tuple(flags)


def _need_demands(path: Path, columns: list[str], rows: list[Row], forms: Mapping[str, Form]) -> None:
    """Every row names a form, and the header has a column for each of its demands."""
    for row in rows:
        name = row.cells["form"]
        at = _at(path, row.line, list(row.cells.values()), columns.index("form"))
        if name not in forms:
            raise SpecError(at, not_among("form", name, forms))
        for demand in forms[name].demands:
            if demand.name not in columns:
                unit = f" ({demand.unit})" if demand.unit != "1" else ""
                raise SpecError(at, f"form {name} needs {demand.name}{unit}; the header has no such column")


def _at(path: Path, line: int, cells: list[str], place: int) -> Position:
    """Where a cell begins on its line, where no cell before it stands in quotes."""
    return Position(str(path), line, 1 + sum(len(cell) + 1 for cell in cells[:place]))


def _table(
    path: Path,
    key: tuple[str, str],
    group: list[tuple[int, dict[str, float], float]],
    device: str,
    engine: str,
    flags: list[Flag],
) -> Table:
    """A table of the rows that neither repeat another nor lie far from their neighbours; the others go to `flags`."""
    seen: dict[tuple[float, ...], int] = {}
    kept = []
    for line, sizes, time in group:
        first = seen.setdefault((*sizes.values(), time), line)
        if first == line:
            kept.append((line, sizes, time))
        else:
            flags.append(Flag(str(path), line, f"repeats line {first}"))
    bad = far([time for _, _, time in kept], [tuple(sizes.values()) for _, sizes, _ in kept])
    flags += [Flag(str(path), kept[i][0], unlike("time", kept[i][2], ratio)) for i, ratio in bad.items()]
    good = [row for i, row in enumerate(kept) if i not in bad]
    columns = {name: floats([sizes[name] for _, sizes, _ in good]) for name in group[0][1]}
    none = np.zeros(len(good), dtype=bool)
    return Table(key[0], device, engine, key[1], "", columns, floats([time for _, _, time in good]), none)


def _read(path: Path) -> tuple[list[str], list[Row]]:
    """The header's words and the rows, with the line on which each begins."""
    try:
        if path.stat().st_size > MAX_BYTES:
            raise CostcError(f"{path}: {path.stat().st_size} bytes; a table of measurements has at most {MAX_BYTES}")
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise CostcError(f"{path}: {error.strerror or error}") from None
    except UnicodeDecodeError as error:
        raise CostcError(f"{path}: byte {error.start} is not UTF-8; a table is UTF-8 text") from None
    try:
        lines = list(_lines(text))
    except csv.Error as error:
        raise CostcError(f"{path}: not a CSV table: {error}") from None
    if not lines:
        raise CostcError(f"{path}: empty; the first line names the columns, such as isl,osl,concurrency,ttft_ms,tpot_ms")
    columns = [word.strip() for word in lines[0][1]]
    twice = next((i for i, c in enumerate(columns) if c in columns[:i]), None)
    if twice is not None:
        raise SpecError(_at(path, lines[0][0], columns, twice), f"column {columns[twice]!r} stands twice")
    for line, cells in lines[1:]:
        if len(cells) != len(columns):
            raise SpecError(Position(str(path), line, 1), f"{len(cells)} cells; the header names {len(columns)} columns")
    if len(lines) == 1:
        raise CostcError(f"{path}: a header and no rows")
    return columns, [Row(n, {c: v.strip() for c, v in zip(columns, cells, strict=True)}) for n, cells in lines[1:]]


def _lines(text: str) -> Iterator[tuple[int, list[str]]]:
    """(line, cells) of each row that is not blank."""
    reader = csv.reader(text.splitlines(keepends=True), strict=True)
    begun = 1
    for cells in reader:
        if any(cell.strip() for cell in cells):
            yield begun, cells
        begun = reader.line_num + 1


def _need(path: Path, columns: list[str], name: str) -> None:
    if name not in columns:
        raise SpecError(Position(str(path), 1, 1), f"no column {name!r}; the header has: {', '.join(columns)}")


def _times(path: Path, columns: list[str], kinds: tuple[str, ...]) -> dict[str, tuple[str, float]]:
    """Column and factor to seconds of each time, by its name without the unit."""
    found: dict[str, tuple[str, float]] = {}
    for place, column in enumerate(columns):
        at = _at(path, 1, columns, place)
        if _BARE.fullmatch(column):
            raise SpecError(at, f"column {column!r} has no unit; write {column}_ms, or _ns, _us, _s")
        match = _TIME.fullmatch(column)
        if match is None or match[1] not in kinds:
            continue
        name = match[1] + (match[2] or "")
        if name in found:
            raise SpecError(at, f"columns {found[name][0]!r} and {column!r} give {name} in two units; keep one")
        found[name] = (column, SECONDS[match[3]])
    return found


def _known(path: Path, columns: list[str], allowed: tuple[str, ...]) -> None:
    for place, column in enumerate(columns):
        if column not in allowed:
            raise SpecError(_at(path, 1, columns, place), not_among("column", column, allowed))


def _number(row: Row, column: str, least: float | None = None) -> float:
    """A cell's number: more than 0, or at least `least`."""
    cell = row.cells.get(column, "")
    if not cell:
        raise BadCell(f"{column} is empty")
    try:
        value = float(cell)
    except ValueError:
        hint = "; the unit stands in the header" if re.fullmatch(r"[-+.\deE]+\s*[a-zµ]+", cell) else ""
        raise BadCell(f"{column} is {cell!r}, not a number{hint}") from None
    if not math.isfinite(value):
        raise BadCell(f"{column} is {cell}, not a finite number")
    if value < 0 or (value == 0 and least is None):
        raise BadCell(f"{column} is {cell}; expected {'more than 0' if least is None else '0 or more'}")
    return value
