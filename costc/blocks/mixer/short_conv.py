"""A gated short convolution: y = C (conv(B x)) with B, C and x projected from the input (LFM2, arXiv 2511.23404)."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from costc.blocks import MIXER
from costc.blocks.base import BATCH, SEQ, Block, Builder
from costc.blocks.parts.convolution import convolved
from costc.ir.reach import Recurrent
from costc.ir.types import Axis


class ShortConv(Block):
    """`conv_L_cache` tokens are covered; `conv_bias` is on both projections and the convolution."""

    group: ClassVar[str] = "mixer"

    conv_L_cache: int = Field(ge=2)
    conv_bias: bool = False

    def build(self, b: Builder, x: str, phase: str) -> str:
        b.module = "mixer"
        hidden = b.tensors[x].axes[-1]
        channel = Axis("ffn", hidden.size)
        inner = (BATCH, SEQ, channel)
        before, after, x = (b.project(name, x, (channel,), (hidden,), self.conv_bias) for name in ("b_proj", "c_proj", "x_proj"))
        y = b.map("gated_in", (before, x), inner)
        y = convolved(b, "x", y, (channel,), self.conv_L_cache, Recurrent(), bias=self.conv_bias, act=False)
        y = b.map("gated_out", (after, y), inner)
        return b.project("out_proj", y, (hidden,), (channel,), self.conv_bias)


MIXER.add("short_conv", ShortConv)
