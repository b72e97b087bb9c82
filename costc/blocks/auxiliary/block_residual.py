"""Attention residuals: what a layer reads is a weighted sum over the running sum and the sums of earlier blocks of layers.

Each source is normed and scored by a learned query; softmax over the sources (Attention Residuals in blocks, arXiv 2603.15031;
Kimi K3, arXiv 2607.24653, section 2.2).
"""

from __future__ import annotations

import sympy as sp
from pydantic import NonNegativeInt

from costc.blocks import AUXILIARY
from costc.blocks.base import BATCH, SEQ, Block, Builder
from costc.ir.types import Axis, Kind


class BlockResidual(Block):
    """`sources`: sums of earlier blocks that are read beside the running one; with none, only the weights are there."""

    sources: NonNegativeInt

    def build(self, b: Builder, x: str, phase: str) -> str:
        hidden = b.tensors[x].axes[-1]
        scale, query = (b.weight(name, (hidden,), module="norm") for name in ("norm_weight", "query_weight"))
        if not self.sources:
            return x
        source, axes = Axis("source", sp.Integer(self.sources + 1)), (BATCH, SEQ, hidden)
        earlier = b.input("blocks", (BATCH, SEQ, Axis("earlier", sp.Integer(self.sources)), hidden))
        each = (BATCH, SEQ, source, hidden)
        normed = b.op("source_norm", Kind.REDUCE, (x, earlier, scale), each, each, work=4, on_chip=True)
        s = b.contract("source_score", (normed, query), (BATCH, SEQ, source), (hidden,), on_chip=True)
        p = b.op("source_softmax", Kind.REDUCE, (s,), (BATCH, SEQ, source), (BATCH, SEQ, source), work=5, on_chip=True)
        return b.contract("source_sum", (p, x, earlier), axes, (source,))


AUXILIARY.add("block_residual", BlockResidual)
