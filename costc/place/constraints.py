"""Saying which condition on sizes and degrees a point breaks."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from numbers import Real
from typing import Any

import sympy as sp

from costc.errors import DegreeError
from costc.ir.types import Constraint

#: whole numbers beyond this are not exact as float64
LARGEST = 2**53


def whole_number(name: str, value: Any) -> int:
    """A size or degree.

    Raises:
        DegreeError: it is none.
    """
    number = isinstance(value, Real) and not isinstance(value, bool) and math.isfinite(value)
    if not number or value != int(value) or value < 1:
        raise DegreeError(f"{name} must be a whole number of at least 1, not {value!r}")
    if value > LARGEST:
        raise DegreeError(f"{name} {value} is more than 2**53, beyond which whole numbers are not exact")
    return int(value)


def violation(constraint: Constraint, bindings: Mapping[sp.Symbol, sp.Integer], degrees: Mapping[str, int]) -> str | None:
    """The constraint's message with its values put in, or None where the degrees (1, where not given) keep it."""
    free = constraint.expr.free_symbols - set(bindings)
    at = {s: sp.Integer(degrees.get(s.name, 1)) for s in free}
    if constraint.expr.xreplace(dict(bindings)).xreplace(at) == 0:
        return None
    known = {str(k): int(v) for k, v in bindings.items()} | {s.name: degrees.get(s.name, 1) for s in free} | dict(degrees)
    return re.sub(r"{([^}]*)}", lambda found: str(_product(found[1], known)), constraint.message)


def _product(text: str, known: Mapping[str, int]) -> int:
    """The value of a name, or of a product of names such as 'moe_intermediate_size*n_shared_experts'."""
    value = 1
    for part in text.split("*"):
        value *= known[part] if part in known else int(part)
    return value
