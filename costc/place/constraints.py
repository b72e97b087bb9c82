"""Saying which condition on the degrees a point breaks."""

from __future__ import annotations

import re
from collections.abc import Mapping

import sympy as sp

from costc.ir.types import Constraint


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
