"""The part of an efficiency profile that was fitted: constants of operator classes, and what they rest on.

classes:
  gemm:                          # a form's name
    bf16:                        # the format computed in (bf16:fp8: with a cache of another); any: formats without an entry
      source: tables
      n: 17824                   # rows fitted
      held_out: {n: 17918, mean: 0.081, median: 0.053}
      digest: bc7aa40b45cdbff4
      hull: {rows: [1, 32768], columns: [32, 65536], depth: [32, 65536]}
      constants:
        launch_latency: {value: 3.322e-06, std: 1.7e-08, unit: s, kind: fitted}
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated

from pydantic import AfterValidator, Field

from costc.errors import not_among
from costc.ir.platform import FittedClass, FittedConstant, HeldOut
from costc.latency.form import Constant, Form
from costc.latency.forms import FORMS
from costc.spec.reader import Document, KeyPath
from costc.spec.validate import SourceSpec, Strict

FITTED_KINDS = ("fitted", "assumed")
#: share of a bound by which rounding may pass it
ROUNDING = 1e-3
_DTYPE = re.compile(r"[a-z][a-z0-9_]*(:[a-z][a-z0-9_]*)?")
Number = Annotated[float, Field(allow_inf_nan=False)]
Count = Annotated[int, Field(ge=0)]
Share = Annotated[float, Field(ge=0, allow_inf_nan=False)]


def _kind(word: str) -> str:
    if word not in FITTED_KINDS:
        raise ValueError(not_among("kind", word, FITTED_KINDS))
    return word


def _dtype(word: str) -> str:
    if not _DTYPE.fullmatch(word):
        raise ValueError(f"{word!r} is not a format: such as bf16, fp8, bf16:fp8 (with a cache of another) or any")
    return word


class ConstantSpec(Strict):
    """A constant: value and standard deviation in its form's unit."""

    value: Number
    std: Share
    unit: str
    kind: Annotated[str, AfterValidator(_kind)]


class HeldOutSpec(Strict):
    """Absolute relative errors on rows that were not fitted."""

    n: Annotated[int, Field(gt=0)]
    mean: Share
    median: Share


class ClassSpec(Strict):
    """The constants of a form in one format."""

    source: str
    n: Count = 0
    held_out: HeldOutSpec | None = None
    digest: str = ""
    hull: dict[str, Annotated[list[Number], Field(min_length=2, max_length=2)]] = {}
    constants: Annotated[dict[str, ConstantSpec], Field(min_length=1)]


Classes = dict[str, dict[Annotated[str, AfterValidator(_dtype)], ClassSpec]]


def classes(
    document: Document, given: Classes, sources: Mapping[str, SourceSpec], forms: Mapping[str, Form] = FORMS
) -> dict[tuple[str, str], FittedClass]:
    """The classes of a profile by form and format, checked against the forms."""
    found = {}
    for name, formats in given.items():
        at: KeyPath = ("classes", name)
        if name not in forms:
            raise document.key_error(at, not_among("operator class", name, forms))
        for dtype, spec in formats.items():
            found[name, dtype] = _class(document, (*at, dtype), spec, forms[name], sources)
    return found


def _class(document: Document, at: KeyPath, spec: ClassSpec, form: Form, sources: Mapping[str, SourceSpec]) -> FittedClass:
    if spec.source not in sources:
        raise document.error((*at, "source"), not_among("source", spec.source, sources))
    demands, known = [d.name for d in form.demands], {c.name: c for c in form.constants}
    for name, (low, high) in spec.hull.items():
        if name not in demands:
            raise document.key_error((*at, "hull", name), not_among("demand", name, demands))
        if low > high:
            raise document.error((*at, "hull", name), f"from {low:g} to {high:g}: the lower end comes first")
    for name, constant in spec.constants.items():
        if name not in known:
            raise document.key_error((*at, "constants", name), not_among("constant", name, known))
        _within(document, (*at, "constants", name), constant, known[name])
    held_out = HeldOut(spec.held_out.n, spec.held_out.mean, spec.held_out.median) if spec.held_out else None
    return FittedClass(
        form.name,
        str(at[-1]),
        {name: FittedConstant(c.value, c.std, c.unit, c.kind) for name, c in spec.constants.items()},
        sources[spec.source].build(),
        spec.n,
        held_out,
        {name: (low, high) for name, (low, high) in spec.hull.items()},
        spec.digest,
    )


def _within(document: Document, at: KeyPath, given: ConstantSpec, constant: Constant) -> None:
    """The form stays monotone only within its constants' bounds."""
    if given.unit != constant.unit:
        raise document.error((*at, "unit"), f"{constant.name} is in {constant.unit!r}, not {given.unit!r}")
    low, high = constant.low - ROUNDING * abs(constant.low), constant.high + ROUNDING * abs(constant.high)
    if not low <= given.value <= high:
        unit = "" if constant.unit == "1" else f" {constant.unit}"
        raise document.error(
            (*at, "value"), f"{constant.name} is {given.value:g}; expected {constant.low:g} to {constant.high:g}{unit}"
        )
