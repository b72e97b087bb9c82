"""Formats in which checkpoints store matrices, and a quantization_config as read: which weights get which of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from costc.huggingface.quantization.lists import Patterns
from costc.huggingface.quantization.names import Weight

#: modules whose weights are linear layers, which methods convert unless told otherwise
LINEAR = ("attention", "mixer", "ffn", "experts", "shared_experts")
#: where a weight stands: its layer or None, and its names there
Spot = tuple[int | None, tuple[str, ...]]


@dataclass(frozen=True)
class Stored:
    """How a matrix is stored, as in a spec's `weights`; `compute`: what it is multiplied in."""

    dtype: str
    compute: str
    block: tuple[int | None, int | None] = (None, None)
    scale_byte: float = 0
    tensor_byte: float = 0

    def mapping(self) -> dict[str, Any]:
        """As a spec's `weights`."""
        found: dict[str, Any] = {"dtype": self.dtype}
        if self.scale_byte:
            found |= {"block": list(self.block), "scale_byte": self.scale_byte}
        return found | ({"tensor_byte": self.tensor_byte} if self.tensor_byte else {})

    def words(self) -> str:
        """E.g. 'fp8 in blocks of 128 x 128'."""
        rows, columns = self.block
        if not self.scale_byte:
            return f"{self.dtype} with a scale a tensor" if self.tensor_byte else self.dtype
        if rows == 1:
            return f"{self.dtype} in groups of {columns}" if columns else f"{self.dtype} with a scale a row"
        return f"{self.dtype} in blocks of {rows} x {columns}"


@dataclass
class Scheme:
    """What a quantization_config says.

    Args:
        name: of the scheme.
        default: format by module, for weights that lists do not tell apart.
        skipped: lists of what is not converted, whatever else is said of it.
        named: lists of what is converted by name, with its format.
        only: of the default's weights, those that a list covers.
        changes: what other lists change about a default's format.
        kv_cache: format of the cache, None: not converted.
        notes: sentences about what is assumed.
    """

    name: str
    default: dict[str, Stored] = field(default_factory=dict)
    skipped: list[Patterns] = field(default_factory=list)
    named: list[tuple[Patterns, Stored]] = field(default_factory=list)
    only: Patterns | None = None
    changes: list[tuple[Patterns, Mapping[str, Any]]] = field(default_factory=list)
    kv_cache: str | None = None
    notes: list[str] = field(default_factory=list)

    def of(self, module: str, weight: Weight, spots: Sequence[Spot], like: Sequence[Spot] = ()) -> Stored | None:
        """How a weight is stored; None: not converted. `like`: another weight's spots; where that is skipped, this is."""

        def covered(patterns: Patterns, exact: bool = False) -> bool:
            return any(patterns.hits(layer, names, exact) for layer, names in spots)

        if any(covered(p) or any(p.hits(*spot) for spot in like) for p in self.skipped):
            return None
        for patterns, stored in self.named:
            if covered(patterns, exact=not weight.plain):
                return stored
        found = self.default.get(weight.like or module) if weight.plain else None
        if found is None or (self.only and not covered(self.only)):
            return None
        for patterns, change in self.changes:
            if covered(patterns):
                return replace(found, **change)
        return found

    def lists(self) -> tuple[Patterns, ...]:
        """All lists of names."""
        return (
            *self.skipped,
            *(p for p, _ in self.named),
            *((self.only,) if self.only else ()),
            *(p for p, _ in self.changes),
        )
