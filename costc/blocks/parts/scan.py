"""The scan of a linear recurrence with a decay for each head, in chunks or token by token.

The recurrence S <- decay S + v k^T, y = S q, holds one state of keys x values for each head. Prefill runs it in chunks, as
matrix products (state-space duality, Mamba-2, section 6, arXiv 2405.21060; lightning attention, arXiv 2405.17381):
scores q k^T over the pairs inside a chunk, their sum of values, the state that each chunk adds, and the product of the queries
with the state that entered the chunk. Decode updates the state by one token.
"""

from __future__ import annotations

from dataclasses import dataclass

import sympy as sp

from costc import dtypes
from costc.blocks.base import BATCH, SEQ, Axes, Builder
from costc.ir.reach import Recurrent
from costc.ir.types import Axis, Kind, Read


def state_byte(dtype: str | None) -> sp.Expr | None:
    """Bytes of a state's element; None, the activations' own, where no dtype is given."""
    return sp.nsimplify(dtypes.dtype(dtype).byte) if dtype else None


def chunks(b: Builder, size: int) -> Recurrent:
    """The law of a scan in chunks of `size` tokens."""
    symbol = b.dim("chunk_size", size, "tokens of a chunk of the scan")
    return Recurrent(str(symbol), symbol)


@dataclass(frozen=True)
class Scan:
    """A scan's axes: those that tell keys and queries apart, those of the heads that share one, elements of keys and values."""

    law: Recurrent
    keys: Axes
    group: Axes
    key: Axis
    value: Axis
    dtype: str | None = None

    @property
    def heads(self) -> Axes:
        """The axes that tell heads apart."""
        return (*self.keys, *self.group)

    def run(self, b: Builder, phase: str, q: str, k: str, v: str, decay: tuple[str, ...]) -> tuple[str, ...]:
        """The scan; `decay` is what the decays are made from. The parts of the output, which stay on chip, to be summed."""
        state = b.state("scan_state", (*self.heads, self.value, self.key), self.law, state_byte(self.dtype))
        return self._chunked(b, state, q, k, v, decay) if phase == "prefill" else self._step(b, state, q, k, v, decay)

    def _chunked(self, b: Builder, state: str, q: str, k: str, v: str, decay: tuple[str, ...]) -> tuple[str, ...]:
        pair, out = Axis("pair", self.law.pairs, self.law), (BATCH, SEQ, *self.heads, self.value)
        held = (BATCH, Axis("chunk", SEQ.size / self.law.chunk), *self.heads, self.value, self.key)
        core, product = "mixer_core", Kind.CONTRACT
        score = b.contract("scan_score", (q, k), (BATCH, pair, *self.keys), (self.key,), module=core)
        # decays between two tokens of a chunk: difference, exponential, product
        score = b.map("scan_decay", (score, *decay), (BATCH, pair, *self.heads), work=4)
        inside = b.op("scan_inside", product, (score, v), out, (BATCH, pair, *self.heads, self.value), module=core, on_chip=True)
        added = b.op("scan_added", product, (k, v, *decay), held, (*out, self.key), module=core, on_chip=True)
        states = b.map("scan_states", (added, state), held, work=2, on_chip=True)
        b.map("scan_store", (states,), Read(state), work=0, domain=b.tensors[state].axes)
        return inside, b.contract("scan_across", (q, states, *decay), out, (self.key,), module=core, on_chip=True)

    def _step(self, b: Builder, state: str, q: str, k: str, v: str, decay: tuple[str, ...]) -> tuple[str, ...]:
        axes = b.tensors[state].axes
        # the key times the value, decay of the state, sum
        new = b.map("scan_update", (k, v, *decay, state), axes, work=4, on_chip=True)
        b.map("scan_store", (new,), Read(state), work=0, domain=axes)
        out = (BATCH, SEQ, *self.heads, self.value)
        return (b.contract("scan_out", (q, new), out, (self.key,), module="mixer_core", on_chip=True),)
