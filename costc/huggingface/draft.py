"""A model spec in the making: blocks by part and name, and the layers that hold them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import count
from typing import Any

PARTS = ("attention", "mixer", "ffn", "auxiliary")
Names = str | Sequence[str] | None
Layer = tuple[tuple[str, tuple[str, ...]], ...]


class Draft:
    """Collects what a builder finds; `spec` gives the mapping that a model spec's YAML holds."""

    def __init__(self) -> None:
        self.blocks: dict[str, dict[str, dict[str, Any]]] = {part: {} for part in PARTS}
        self.layers: list[Layer] = []
        self.norm: dict[str, Any] = {}
        self.stem: dict[str, Any] = {}
        self.fields: dict[str, Any] = {}
        self.mtp: dict[str, Any] | None = None
        #: parameters of towers beside the text model, by name
        self.towers: dict[str, int] = {}
        #: sentences about what was left out or assumed
        self.notes: list[str] = []

    def block(self, part: str, name: str, kind: str, **fields: Any) -> str:
        """The name of a block with these fields; None fields are left out. Unlike blocks of one name are numbered."""
        block = {"kind": kind, **{k: v for k, v in fields.items() if v is not None}}
        known = self.blocks[part]
        number, free = 1, name
        while free in known and known[free] != block:
            number += 1
            free = f"{name}_{number}"
        known[free] = block
        return free

    def layer(self, attention: Names = None, mixer: Names = None, ffn: Names = None, auxiliary: Names = None) -> None:
        """The next layer, by the names of its blocks."""
        given = (attention, mixer, ffn, auxiliary)
        self.layers.append(tuple((p, (n,) if isinstance(n, str) else tuple(n)) for p, n in zip(PARTS, given, strict=True) if n))

    def draft_layers(self, count: int, own_embedding: bool = False, own_head: bool = False, **blocks: Names) -> None:
        """Layers that predict further tokens."""
        if count:
            layer = {part: _plain(names) for part, names in blocks.items() if names}
            extra = {k: True for k, v in (("own_embedding", own_embedding), ("own_head", own_head)) if v}
            self.mtp = {"count": count, "layer": layer, **extra}

    def split(self, part: str, name: str, layers: Iterable[int]) -> str:
        """The name of a copy of a block that takes its place in these layers."""
        known = self.blocks[part]
        own = next(free for number in count(2) if (free := f"{name}_{number}") not in known)
        known[own] = dict(known[name])
        for i in layers:
            self.layers[i] = tuple(
                (p, tuple(own if p == part and n == name else n for n in names)) for p, names in self.layers[i]
            )
        return own

    def spec(self) -> dict[str, Any]:
        """The parts of a model spec that the builder decides."""
        found: dict[str, Any] = dict(self.fields)
        for name, value in (("norm", self.norm), ("stem", self.stem)):
            if value:
                found[name] = value
        found |= {part: blocks for part, blocks in self.blocks.items() if blocks}
        found["layers"] = [
            {"repeat": repeat, "pattern": [{part: _plain(names) for part, names in layer} for layer in pattern]}
            for repeat, pattern in runs(self.layers)
        ]
        if self.mtp:
            found["mtp"] = self.mtp
        if self.towers:
            found["towers"] = self.towers
        if self.notes:
            found["note"] = " ".join(self.notes)
        return found


def _plain(names: Names) -> Any:
    if isinstance(names, str) or names is None:
        return names
    return names[0] if len(names) == 1 else list(names)


def runs(layers: Sequence[Layer]) -> list[tuple[int, list[Layer]]]:
    """The layers as runs of a repeated pattern, greedily: at each place the pattern that covers most, the shortest of these."""
    found: list[tuple[int, list[Layer]]] = []
    at = 0
    while at < len(layers):
        best = (1, 1)
        for period in range(1, min(MAX_PERIOD, (len(layers) - at) // 2) + 1):
            times = 1
            while layers[at + times * period : at + (times + 1) * period] == layers[at : at + period]:
                times += 1
            if times > 1 and times * period > best[0] * best[1]:
                best = (times, period)
        times, period = best
        found.append((times, list(layers[at : at + period])))
        at += times * period
    return _joined(found)


#: longest pattern looked for
MAX_PERIOD = 16


def _joined(found: list[tuple[int, list[Layer]]]) -> list[tuple[int, list[Layer]]]:
    """Neighbouring runs of one pattern each, as one run."""
    result: list[tuple[int, list[Layer]]] = []
    for repeat, pattern in found:
        if repeat == 1 and result and result[-1][0] == 1:
            result[-1] = (1, result[-1][1] + pattern)
        else:
            result.append((repeat, pattern))
    return result
