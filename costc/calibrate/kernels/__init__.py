"""Kernel tables of the wheel `aiconfigurator-core`, turned into columns of a form's demands.

Each reader beside this file knows one kind of table: the unit of its times, the order of a shape's sizes, and its
rules for rows that it leaves out. It gives one `Table` for each format, built by the functions here:

    path = newest(data, "h100-sxm", "gemm", "vllm", "gemm_perf")
    frame = median(opened(path, [...]), shape=["m", "n", "k"], by=["gemm_dtype"], value="latency")
    frame, removed = cleaned(frame, RULES)
    Table("gemm", device, engine, dtype, version(path), {"rows": floats(frame["m"]), ...}, seconds,
          held_out(frame, ["m", "n", "k"]), removed)
"""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from costc.calibrate.split import HELD_OUT, side
from costc.errors import CostcError, not_among

if TYPE_CHECKING:
    import pandas as pd

Floats = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]
#: the wheel's folder of a device that has another name here
FOLDERS = {"a100-80gb": "a100_sxm", "b200": "b200_sxm", "b300": "b300_sxm", "h200": "h200_sxm"}
WHEEL = "aiconfigurator_core"
_VERSION = re.compile(r"(\d+(?:\.\d+)*)(?:\.?(dev|a|b|rc|post)(\d+))?")
_STAGES = ("dev", "a", "b", "rc", "", "post")


@dataclass(frozen=True)
class Rule:
    """Rows to leave out because of how they were measured, never because of how well a form fits them.

    Args:
        reason: one sentence that a reader of the ledger understands.
        bad: which rows of a frame the rule removes.
    """

    name: str
    reason: str
    bad: Callable[[pd.DataFrame], pd.Series[bool]]


@dataclass(frozen=True)
class Removed:
    """How many rows a rule removed."""

    rule: str
    reason: str
    rows: int


@dataclass(frozen=True)
class Table:
    """Measurements of one operator class on one device by one engine in one format, one row a shape.

    Args:
        form: name of the form (`costc/latency/forms`).
        columns: the form's demands by name, in SI units (bytes, FLOP, counts), shape (n,).
        seconds: measured time of one launch, shape (n,).
        held_out: True where the row is for judging and not for fitting, shape (n,).
        removed: what the rules took out before.
    """

    form: str
    device: str
    engine: str
    dtype: str
    version: str
    columns: dict[str, Floats]
    seconds: Floats
    held_out: Mask
    removed: tuple[Removed, ...] = field(default=())

    def __post_init__(self) -> None:
        for name, column in [*self.columns.items(), ("held_out", self.held_out)]:
            if column.shape != self.seconds.shape:
                raise ValueError(f"{self.form} {self.device}: {name} has shape {column.shape}, seconds {self.seconds.shape}")

    def __len__(self) -> int:
        return len(self.seconds)


def wheel() -> Path:
    """The installed wheel's folder `systems` (found without importing it).

    Raises:
        CostcError: it is not installed.
    """
    found = importlib.util.find_spec(WHEEL)
    if found is None or not found.submodule_search_locations:
        raise CostcError(
            "aiconfigurator-core is not installed; its tables come by `pip install aiconfigurator-core==0.12.0 pyarrow`"
        )
    return Path(found.submodule_search_locations[0]) / "systems"


def data() -> Path:
    """The folder that holds one folder of tables for each device."""
    return wheel() / "data"


def folder_of(device: str) -> str:
    """The wheel's name of a device."""
    return FOLDERS.get(device, device.replace("-", "_"))


def version_key(text: str) -> tuple[tuple[int, ...], int, int]:
    """Orders versions: 1.3.0rc9 < 1.3.0rc20 < 1.3.0 < 1.3.0.post1."""
    found = _VERSION.fullmatch(text)
    if found is None:
        raise CostcError(f"{text!r} is not a version such as 0.24.0, 1.3.0rc20 or 0.5.6.post2")
    numbers, stage, count = found.groups()
    return tuple(int(n) for n in numbers.split(".")), _STAGES.index(stage or ""), int(count or 0)


def files(folder: Path, device: str, family: str, engine: str, table: str) -> list[Path]:
    """A table's files, one for each version of the engine, oldest first; none where it was not measured."""
    found = (folder / folder_of(device) / family / engine).glob(f"*/{table}.parquet")
    return sorted(found, key=lambda path: version_key(version(path)))


def newest(folder: Path, device: str, family: str, engine: str, table: str) -> Path | None:
    """A table's file of the engine's newest version, or None."""
    return next(reversed(files(folder, device, family, engine, table)), None)


def version(path: Path) -> str:
    """The engine's version that a table's file belongs to."""
    return path.parent.name


def opened(path: Path, columns: Sequence[str]) -> pd.DataFrame:
    """These columns of a table.

    Raises:
        CostcError: pyarrow is missing, or the table lacks a column.
    """
    try:
        import pyarrow.parquet as parquet
    except ImportError:
        raise CostcError("reading kernel tables needs pyarrow; `pip install pyarrow`") from None
    there = parquet.read_schema(path).names
    for name in columns:
        if name not in there:
            raise CostcError(f"{path}: {not_among('column', name, there)}")
    frame: pd.DataFrame = parquet.read_table(path, columns=list(columns)).to_pandas()
    return frame


def median(frame: pd.DataFrame, shape: Sequence[str], value: str, by: Iterable[str] = ()) -> pd.DataFrame:
    """One row for each shape (within `by`, such as the format): the median of its repetitions, shapes in sorted order."""
    keys = [*by, *shape]
    return frame.groupby(keys, sort=True, dropna=False)[[value]].median().reset_index()


def cleaned(frame: pd.DataFrame, rules: Iterable[Rule]) -> tuple[pd.DataFrame, tuple[Removed, ...]]:
    """The rows that no rule removes, and what each rule removed of those that the rules before it left."""
    removed = []
    for rule in rules:
        bad = rule.bad(frame).to_numpy(dtype=bool)
        removed.append(Removed(rule.name, rule.reason, int(bad.sum())))
        frame = frame[~bad]
    return frame.reset_index(drop=True), tuple(removed)


def held_out(frame: pd.DataFrame, shape: Sequence[str]) -> Mask:
    """Which rows are held out, by the hash of their sizes in the order of `shape` (whole numbers are written as such)."""
    rows = zip(*(_whole(frame[name].tolist()) for name in shape), strict=True)
    return np.fromiter((side(*row) == HELD_OUT for row in rows), dtype=bool, count=len(frame))


def _whole(values: list[object]) -> list[object]:
    return [int(v) if isinstance(v, float) and v.is_integer() else v for v in values]


def floats(values: object) -> Floats:
    """A column as float64."""
    return np.asarray(values, dtype=np.float64)
