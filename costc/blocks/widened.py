"""Further residual streams as projections of the embedded tokens, and their way back to one before the head.

AltUp (arXiv 2301.13310) as in Gemma 3n: transformers' Gemma3nTextModel. The layers' part is blocks/auxiliary/altup.py.
"""

from __future__ import annotations

import sympy as sp

from costc.blocks.base import BATCH, SEQ, Builder, Dimensions
from costc.ir.types import Axis, Section


def further(b: Builder, streams: int) -> Axis:
    """The axis that tells the streams beside the first apart."""
    return Axis("further", b.dim("altup_num_inputs", streams, "residual streams") - 1)


def widen(b: Builder, x: str, streams: int) -> None:
    """Each further stream is a projection of the first, brought to its magnitude."""
    hidden, more = b.tensors[x].axes[-1], further(b, streams)
    out = Axis("stream_hidden", hidden.size)
    weight = b.weight("widen_weight", (out,), (hidden,), (more,))
    y = b.contract("widen", (x, weight), (BATCH, SEQ, more, out), (hidden,))
    b.outputs.append(b.map("widen_scale", (x, y), (BATCH, SEQ, more, out), work=5))


def narrow(dimensions: Dimensions, hidden: Axis, streams: int) -> Section:
    """The further streams projected back, brought to the magnitude of the first, and averaged with it."""
    b = Builder("narrow", "head", dimensions)
    b.module = "embedding"
    more, in_ = further(b, streams), Axis("stream_hidden", hidden.size)
    weight = b.weight("narrow_weight", (hidden,), (in_,), (more,))
    y = b.contract("narrow", (b.input("streams", (BATCH, SEQ, more, in_)), weight), (BATCH, SEQ, more, hidden), (in_,))
    first = b.input("x", (BATCH, SEQ, hidden))
    b.outputs.append(b.map("narrow_mean", (first, y), (BATCH, SEQ, hidden), work=6, domain=(BATCH, SEQ, more, hidden)))
    return b.section(sp.Integer(1), sp.Integer(1))
