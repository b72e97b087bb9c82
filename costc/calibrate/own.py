"""A user's own kernel measurements into a profile: a profile that is there says what was known before."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path

from costc import dtypes
from costc.calibrate.fit import Fit, Priors, fit, halved, joined
from costc.calibrate.kernels import Table
from costc.calibrate.points import Flag
from costc.calibrate.profile import fitted_class
from costc.calibrate.tables import kernels
from costc.errors import CostcError
from costc.facts import Source
from costc.ir.platform import ANY, Efficiency, Hardware
from costc.latency.form import Form
from costc.latency.forms import FORMS

#: a profile's standard deviations are of one device and engine as they were measured; what is measured anew may be another
#: version or machine, so they are taken no smaller than this share of the form's own spread
SHARE = 0.25


@dataclass(frozen=True)
class Calibration:
    """A profile with the classes that were measured, the fits behind them, and rows that were not used."""

    profile: Efficiency
    fits: tuple[Fit, ...]
    flags: tuple[Flag, ...]


def calibrated(path: Path, device: Hardware, base: Efficiency, name: str, engine: str = "") -> Calibration:
    """The base profile with the classes of a CSV of kernels (`tables.kernels`) fitted anew.

    Raises:
        CostcError: what `tables.kernels` and `fit` raise, or a format or rate that the device lacks.
    """
    found, flags = kernels(path, FORMS, device.name, engine)
    groups: dict[tuple[str, str], list[Table]] = {}
    for table in found:
        own = any(c.per_dtype for c in FORMS[table.form].constants)
        groups.setdefault((table.form, table.dtype if own else ANY), []).append(table)
    fits = []
    for (form, dtype), tables in sorted(groups.items()):
        table = tables[0] if dtype != ANY else joined(tables)
        of = FORMS[form]
        fits.append(fit(of, halved(table, of), rates(of, dtype, device), priors(of, dtype, base)))
    source = Source(f"measurements of {path.name}, SHA-256 {hashlib.sha256(path.read_bytes()).hexdigest()[:16]}")
    classes = {**base.classes, **{(f.form, f.dtype): fitted_class(f, source) for f in fits}}
    title = f"{base.title}, with {path.name}"
    built = replace(base, name=name, title=title, classes=classes, device=device.name, engine=engine or base.engine, origin="")
    return Calibration(built, tuple(fits), flags)


def rates(form: Form, dtype: str, device: Hardware) -> dict[str, float]:
    """The datasheet's rates of a form: the peak of the format computed in, and the bandwidth of memory or of the form's link.

    Raises:
        CostcError: the device lacks the format and what stands in for it, or has no such link.
    """
    if form.name.endswith("_scale_up"):
        return {"bandwidth": device.scale_up.value}
    if form.name.endswith("_scale_out"):
        if device.scale_out is None:
            raise CostcError(f"{device.title} has no link beyond its domain, on which {form.name} was measured")
        return {"bandwidth": device.scale_out.value}
    return {"peak": _peak(form, dtype, device), "bandwidth": device.memory_bandwidth.value}


def _peak(form: Form, dtype: str, device: Hardware) -> float:
    """The peak of what a format computes in; bf16's where none is said."""
    name = "bf16" if dtype == ANY else dtype.split(":")[0]
    used = dtypes.computed_in(name, set(device.peak))
    if used is None:
        raise CostcError(f"{device.title} lacks {name} and what stands in for it, in which {form.name} was measured")
    return device.peak[dtypes.dtype(used).unit].value


def priors(form: Form, dtype: str, base: Efficiency) -> Priors:
    """What a profile says of a form's constants, as values and spreads."""
    known = base.fitted(form.name, dtype)
    found: dict[str, tuple[float, float]] = {}
    for constant in form.constants:
        fitted = known.constants.get(constant.name) if known else None
        if fitted is None:
            continue
        deviation = fitted.std / fitted.value if constant.log and fitted.value > 0 else fitted.std
        found[constant.name] = (fitted.value, min(max(deviation, SHARE * constant.spread), constant.spread))
    return found
