"""The model type: named blocks, and the layers that they stand in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import sympy as sp

from costc.minmax import Max, Min


class Block(Protocol):
    """What the model needs of a block: its kind, and building itself (see blocks.base.Block)."""

    kind: str


@dataclass(frozen=True)
class LayerRun:
    """`pattern` (attention and FFN block of each layer), `repeat` times."""

    repeat: int
    pattern: tuple[tuple[str, str], ...]

    @property
    def layers(self) -> int:
        return self.repeat * len(self.pattern)


@dataclass(frozen=True)
class Model:
    """A decoder-only transformer, top to bottom: embedding, layers, final norm, head."""

    name: str
    title: str
    hidden_size: int
    vocab_size: int
    max_position_embeddings: int
    tie_word_embeddings: bool
    attention: Mapping[str, Block]
    ffn: Mapping[str, Block]
    runs: tuple[LayerRun, ...]
    quantization: str
    modules_to_not_convert: tuple[str, ...]

    @property
    def num_hidden_layers(self) -> int:
        return sum(run.layers for run in self.runs)

    def occurrences(self, part: int, name: str) -> int:
        """Layers whose attention (part 0) or FFN (part 1) is the block of that name."""
        return sum(run.repeat * sum(entry[part] == name for entry in run.pattern) for run in self.runs)

    def after(self, part: int, name: str, first: sp.Expr) -> sp.Expr:
        """Of these layers, how many lie at position `first` or later: a closed form in `first`."""
        total, start = sp.Integer(0), 0
        for run in self.runs:
            period = len(run.pattern)
            for offset, entry in enumerate(run.pattern):
                if entry[part] == name:
                    before = sp.ceiling((first - start - offset) / sp.Integer(period))
                    total += run.repeat - Min(Max(before, 0), run.repeat)
            start += run.layers
        return total
