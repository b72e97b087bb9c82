"""From the wheel's kernel tables to constants of a device and engine: every table there is, fitted on its half of the shapes.

found = measure(hardware, "vllm", "gemm", folder)         one family of tables
found = measured([(hardware, "vllm"), ...], folder, 2)    all families, on two processors
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path
from typing import Final

from costc import dtypes
from costc.calibrate import own
from costc.calibrate.fit import Fit, fit, joined
from costc.calibrate.kernels import Removed, Table, attention, collective, elementwise, gemm, mla, moe, scan, sparse
from costc.calibrate.words import CACHED, CACHES, computed, word
from costc.dtypes import computed_in
from costc.errors import CostcError
from costc.ir.platform import Hardware
from costc.latency.forms import FORMS
from costc.spec.profiles import ENGINES

#: NCCL's tables serve all engines
NCCL: Final = "nccl"
Key = tuple[str, str]
Reader = Callable[[Path, Hardware, str], Iterator[Table]]


@dataclass(frozen=True)
class Measured:
    """What the tables of a form in a format gave.

    Args:
        dtype: as programs ask for it (`words`).
        fit: None where the rules left no rows, or none that can be fitted.
        removed: what the rules took out.
        note: why there is no fit.
    """

    form: str
    dtype: str
    fit: Fit | None
    removed: tuple[Removed, ...] = ()
    note: str = ""

    @property
    def key(self) -> Key:
        return self.form, self.dtype


def rates(device: Hardware) -> dict[str, float]:
    """The datasheet's bandwidth and peaks by the format computed in, that of what stands in for it where the device lacks it."""
    units = set(device.peak)
    used = {name: dtypes.computed_in(name, units) for name in dtypes.DTYPES}
    peaks = {name: device.peak[dtypes.dtype(found).unit].value for name, found in used.items() if found}
    return {**peaks, "bandwidth": device.memory_bandwidth.value}


def _rated(module: object) -> Reader:
    def read(folder: Path, device: Hardware, engine: str) -> Iterator[Table]:
        found: Iterator[Table] = module.read(folder, device.name, engine, rates(device))  # type: ignore[attr-defined]
        return found

    return read


def _attention(folder: Path, device: Hardware, engine: str) -> Iterator[Table]:
    known = rates(device)
    return attention.read(folder, device.name, engine, known["bandwidth"], known)


#: what reads each family of tables; those that take longest first
READERS: Final[Mapping[str, Reader]] = {
    "moe": _rated(moe),
    "gemm": _rated(gemm),
    "attention": _attention,
    "mla": _rated(mla),
    "collective": lambda folder, device, engine: collective.read(folder, device.name, engine),
    "scan": _rated(scan),
    "sparse": _rated(sparse),
    "elementwise": _rated(elementwise),
}


def measured(where: Iterable[tuple[Hardware, str]], folder: Path, processes: int = 1) -> dict[tuple[str, str], list[Measured]]:
    """What all tables of devices and engines gave, by both names; NCCL's with every engine.

    Args:
        folder: of the wheel's devices.
    """
    pairs = list(where)
    devices = {device.name: device for device, _ in pairs}
    jobs = [(device, engine, family) for family in READERS for device, engine in pairs]
    jobs += [(device, NCCL, "collective") for device in devices.values()]
    if processes > 1:
        with ProcessPoolExecutor(processes) as pool:
            results = list(pool.map(measure, *zip(*jobs, strict=True), [folder] * len(jobs)))
    else:
        results = [measure(*job, folder) for job in jobs]
    found: dict[tuple[str, str], list[Measured]] = {(device.name, engine): [] for device, engine in pairs}
    for (device, engine, _), part in zip(jobs, results, strict=True):
        for to in ENGINES if engine == NCCL else (engine,):
            if (device.name, to) in found:
                found[device.name, to] += part
    return {pair: _once(parts) for pair, parts in found.items()}


def _once(parts: Sequence[Measured]) -> list[Measured]:
    """One for each form and format: NCCL's own where an engine calls it too."""
    found: dict[Key, Measured] = {}
    for part in parts:
        if part.key not in found or (part.fit and (part.fit.engine == NCCL or found[part.key].fit is None)):
            found[part.key] = part
    return [found[key] for key in sorted(found)]


def measure(device: Hardware, engine: str, family: str, folder: Path) -> list[Measured]:
    """What one family of an engine's tables gave on a device; nothing where it has none."""
    tables = sorted(READERS[family](folder, device, engine), key=lambda table: _key(table, device))
    found = []
    for key, group in groupby(tables, key=lambda table: _key(table, device)):
        found += [_fitted(device, *key, table) for table in _as_one(list(group))]
    return _with_caches(device, found, tables)


def _key(table: Table, device: Hardware) -> Key:
    return table.form, word(table.form, table.dtype, table.engine, device)


def _as_one(tables: Sequence[Table]) -> list[Table]:
    """Tables of one form and format as one: exchanges of several formats together, of several kernels that with most rows."""
    filled = [table for table in tables if len(table)]
    if len(filled) > 1 and tables[0].form.startswith(("dispatch", "combine")):
        return [joined(filled)]
    return [max(tables, key=len)]


def _fitted(device: Hardware, form: str, dtype: str, table: Table) -> Measured:
    if not len(table):
        return Measured(form, dtype, None, table.removed, "; ".join(r.reason for r in table.removed if r.rows))
    try:
        table = replace(table, dtype=dtype)
        return Measured(form, dtype, fit(FORMS[form], table, own.rates(FORMS[form], computed(dtype), device)), table.removed)
    except CostcError as error:
        return Measured(form, dtype, None, table.removed, str(error))


def _with_caches(device: Hardware, found: Sequence[Measured], tables: Sequence[Table]) -> list[Measured]:
    """With what was measured with a cache of fp8 under both words for it, unless each was measured."""
    if computed_in("fp8", set(device.peak)) != "fp8":
        return list(found)
    there = {one.key for one in found}
    added = [
        _fitted(device, table.form, other, table)
        for table in tables
        for dtype, other in (CACHES, CACHES[::-1])
        if table.form in CACHED
        and word(table.form, table.dtype, table.engine, device) == dtype
        and (table.form, other) not in there
        and len(table)
    ]
    return [*found, *added]
