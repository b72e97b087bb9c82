"""Arguments as columns: one value or a sequence each, spread to one length."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from numbers import Real
from typing import Any

import numpy as np

from costc.errors import CostcError


def is_column(value: Any) -> bool:
    """Whether a value is a sequence of values (text and mappings are not)."""
    return isinstance(value, Iterable) and not isinstance(value, (str, bytes, Mapping))


def values_of(name: str, value: Any) -> list[Any]:
    """The values of an argument; at least one."""
    found = list(value) if is_column(value) else [value]
    if not found:
        raise CostcError(f"{name} has no values")
    return found


def spread(given: Mapping[str, Any]) -> dict[str, list[Any]]:
    """All arguments as columns of one length; single values are repeated.

    Raises:
        CostcError: an empty column, or two of unlike lengths.
    """
    columns = {name: values_of(name, value) for name, value in given.items()}
    length = max(len(v) for v in columns.values())
    for name, v in columns.items():
        if len(v) not in (1, length):
            raise CostcError(f"{name} has {len(v)} values where others have {length}")
    return {name: v * length if len(v) == 1 else v for name, v in columns.items()}


def numbers(name: str, values: list[Any]) -> np.ndarray:
    """A column of numbers as float64."""
    for value in values:
        if isinstance(value, (bool, np.bool_)) or not isinstance(value, Real):
            raise CostcError(f"{name} takes numbers, not {value!r}")
    return np.array(values, dtype=np.float64)
