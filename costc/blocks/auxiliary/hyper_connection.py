"""A hyper-connection around a block: merges the residual streams to what the block reads, and mixes its output back into them.

Three sets of weights come from the streams: merging them, spreading the block's output, and mixing the streams, the last made
doubly stochastic by Sinkhorn-Knopp iterations. Two kernels, before and after the block, much as section 4.3 of mHC fuses them.
Sources: hyper-connections (arXiv 2409.19606), mHC (arXiv 2512.24880), DeepSeek-V4 (transformers' deepseek_v4).
"""

from __future__ import annotations

from typing import ClassVar

from pydantic import PositiveInt

from costc.blocks import AUXILIARY
from costc.blocks.base import BATCH, SEQ, Block, Builder
from costc.blocks.streams import CORE, MODULE, coefficients, merged
from costc.ir.types import Axis, Kind


class HyperConnection(Block):
    """`hc_mult` streams; `hc_sinkhorn_iters` iterations, each a normalisation of rows and one of columns."""

    group: ClassVar[str] = "mixer"

    hc_mult: PositiveInt
    hc_sinkhorn_iters: PositiveInt = 20

    def build(self, b: Builder, x: str, phase: str) -> str:
        count, tokens = b.dim("hc_mult", self.hc_mult, "residual streams"), (BATCH, SEQ)
        stream, into, hidden = Axis("stream", count), Axis("into", count), b.tensors[x].axes[-1]
        streams = b.input("streams", (*tokens, stream, hidden))
        found = coefficients(b, streams, tokens, count * (count + 2), scales=3)
        b.outputs.append(merged(b, streams, tokens, found))
        b.module = MODULE
        post = b.map("stream_post", found, (*tokens, into), work=6)
        # softmax, and for each normalisation a sum and a division
        comb = b.map("stream_comb", found, (*tokens, stream, into), work=5 + 2 * (2 * self.hc_sinkhorn_iters - 1))
        mixed = b.contract("stream_mix", (comb, streams), (*tokens, into, hidden), (stream,), module=CORE, on_chip=True)
        return b.op("spread", Kind.MAP, (mixed, post, x), (*tokens, into, hidden), (*tokens, into, hidden), work=2)


AUXILIARY.add("hyper_connection", HyperConnection)
