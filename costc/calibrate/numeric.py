"""A form as a numpy function, printed by the same printer that emits evaluators."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

import numpy as np
import sympy as sp

from costc.calibrate.kernels import Floats
from costc.emit import mangle
from costc.emit.targets.numpy import Printer, load
from costc.errors import CostcError, not_among
from costc.latency.form import Form


@lru_cache(maxsize=256)
def _function(expr: sp.Expr) -> tuple[tuple[str, ...], Callable[..., Any]]:
    """The names an expression needs, in order, and a function of them; what occurs twice is computed once."""
    printer = Printer()
    parts, (last,) = sp.cse(expr, symbols=sp.numbered_symbols("part_", real=True), order="canonical")
    names = tuple(sorted(s.name for s in expr.free_symbols))
    lines = [f"{mangle(symbol.name)} = {printer.doprint(part)}" for symbol, part in parts]
    body = "\n    ".join([*lines, f"return {printer.doprint(last)}"])
    text = f"import numpy as np\n\n\ndef seconds({', '.join(mangle(n) for n in names)}):\n    {body}\n"
    return names, load(text)["seconds"]  # type: ignore[return-value]


def seconds(form: Form, values: Mapping[str, object]) -> Floats:
    """The form's time at demands, constants and rates by name, which broadcast; shape of the broadcast.

    Raises:
        CostcError: a value that the form needs is not given.
    """
    names, function = _function(form.time)
    for name in names:
        if name not in values:
            raise CostcError(f"form {form.name} needs {name!r}, which is not given; {not_among('value', name, values)}")
    with np.errstate(all="ignore"):
        found = function(*(np.asarray(values[name], dtype=np.float64) for name in names))
    return np.asarray(found, dtype=np.float64)
