"""Compressing a run of tokens to one cached entry: a sum weighed by a softmax of gates, element by element, over the run.

With `series` 2 each token has two sets of elements, one for its own run's entry and one for the next run's, so that an entry
covers two runs. What has not yet been compressed waits in a state. DeepSeek-V4 (transformers' deepseek_v4).
"""

from __future__ import annotations

from dataclasses import dataclass

import sympy as sp

from costc.blocks.base import BATCH, SEQ, Builder
from costc.ir.reach import Recurrent
from costc.ir.types import ONE, Axis, Kind, Read

#: values and gates that wait are kept in 32 bits, as DeepSeek's own implementation does
WAITING_BYTE = sp.Integer(4)


@dataclass(frozen=True)
class Compressor:
    """`ratio` tokens to one entry of the elements `element`."""

    ratio: sp.Expr
    series: int
    element: Axis

    @property
    def waiting(self) -> sp.Expr:
        """Tokens in the state."""
        return self.ratio * self.series


def compress(b: Builder, c: Compressor, name: str, x: str, cache: str, phase: str) -> None:
    """Append the entries of the step's tokens to the cache; a decode step completes one in `ratio` of them."""
    hidden, context = b.tensors[x].axes[-1], b.tensors[cache].axes[1]
    out = (Axis("series", sp.Integer(c.series)), c.element) if c.series > 1 else (c.element,)
    made = tuple(b.project(f"{name}_{part}_proj", x, out, (hidden,)) for part in ("kv", "gate"))
    bias = b.weight(f"{name}_position_bias", (Axis("run", c.ratio), *out))
    scale = b.weight(f"{name}_norm_weight", (c.element,), module="norm")
    rows = Axis("waiting", c.waiting)
    law = Recurrent(f"{c.ratio}_waiting")
    state = b.state(f"{name}_state", (rows, Axis("pair_of", sp.Integer(2)), *out), law, WAITING_BYTE)
    # a prompt's piece takes the state and leaves one; a decode step writes a row, and every `ratio` steps reads them all
    read, written = (ONE, ONE) if phase == "prefill" else (1 / c.ratio, 1 / c.waiting)
    b.op(
        name,
        Kind.REDUCE,
        (*made, bias, scale, Read(state, read)),
        Read(cache, SEQ.size / c.ratio / context.size),
        (BATCH, SEQ, *out),
        # softmax, product and sum; the norm and rotation of an entry are shared out over its tokens
        work=7,
    )
    b.map(f"{name}_wait", made, Read(state, written), work=0, domain=(BATCH, SEQ, *out))
