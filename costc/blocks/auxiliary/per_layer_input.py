"""A layer's own input for each token, let into the residual stream through a gate.

The inputs are made with the embedding (see blocks.stem). Source: transformers' Gemma3nTextDecoderLayer and
Gemma4TextDecoderLayer.
"""

from __future__ import annotations

from typing import ClassVar

from pydantic import PositiveInt

from costc.blocks import AUXILIARY
from costc.blocks.base import BATCH, SEQ, Block, Builder
from costc.blocks.widened import further
from costc.ir.types import Axis


class PerLayerInput(Block):
    """`hidden_size_per_layer_input` elements; the result is normed, and with `streams` added to all but the first of these."""

    group: ClassVar[str] = "ffn"

    hidden_size_per_layer_input: PositiveInt
    streams: PositiveInt = 1

    def build(self, b: Builder, x: str, phase: str) -> str:
        b.module = "embedding"
        hidden = b.tensors[x].axes[-1]
        size = b.dim("hidden_size_per_layer_input", self.hidden_size_per_layer_input, "elements of a layer's own input")
        own = Axis("per_layer", size)
        gate = b.project("per_layer_gate", x, (own,), (hidden,))
        gated = b.map("per_layer_act", (gate, b.input("per_layer_input", (BATCH, SEQ, own))), (BATCH, SEQ, own), work=5)
        y = b.norm("per_layer_norm", b.project("per_layer_proj", gated, (hidden,), (own,)), hidden, style=b.style)
        if self.streams == 1:
            return y
        axes = (BATCH, SEQ, further(b, self.streams), hidden)
        return b.map("per_layer_spread", (y, b.input("streams", axes)), axes)


AUXILIARY.add("per_layer_input", PerLayerInput)
