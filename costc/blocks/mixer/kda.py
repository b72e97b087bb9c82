"""Kimi Delta Attention: the gated delta rule with a decay for each head, token and key element.

Queries, keys and values pass a short convolution; queries and keys are normed to length 1; the output is normed and gated.
Sources: Kimi Linear (arXiv 2510.26692); transformers' KimiLinearDeltaAttention and BailingHybridDeltaAttention.
"""

from __future__ import annotations

from typing import ClassVar

from pydantic import PositiveInt, field_validator

from costc.blocks import MIXER
from costc.blocks.base import BATCH, SEQ, Axes, Block, Builder
from costc.blocks.parts.convolution import convolved
from costc.blocks.parts.delta import Scan, recurrent, scanned, unit_length
from costc.blocks.parts.scan import state_byte
from costc.dtypes import dtype
from costc.ir.types import Axis


class Kda(Block):
    """Fields as in Kimi Linear's `linear_attn_config`.

    `forget_rank`, `gate_rank`: the decay and the output gate are projected through so many elements; None: directly.
    """

    group: ClassVar[str] = "mixer"

    linear_num_heads: PositiveInt
    linear_head_dim: PositiveInt
    short_conv_kernel_size: PositiveInt = 4
    forget_rank: PositiveInt | None = None
    gate_rank: PositiveInt | None = None
    state_dtype: str = "fp32"

    @field_validator("state_dtype")
    @classmethod
    def _format(cls, value: str) -> str:
        return dtype(value).name

    def build(self, b: Builder, x: str, phase: str) -> str:
        b.module = "mixer"
        hidden = b.tensors[x].axes[-1]
        heads = (Axis("head", b.dim("linear_num_heads", self.linear_num_heads, "heads of the mixer")),)
        size = b.dim("linear_head_dim", self.linear_head_dim, "elements of a head of the mixer")
        key, value = Axis("key_dim", size), Axis("value_dim", size)
        law = recurrent(b)
        axes = {"q": (*heads, key), "k": (*heads, key), "v": (*heads, value)}
        made = {name: b.project(f"{name}_proj", x, out, (hidden,)) for name, out in axes.items()}
        beta = b.project("b_proj", x, heads, (hidden,))
        decay = self._through(b, "f", x, (*heads, key), self.forget_rank)
        made = {name: convolved(b, name, y, axes[name], self.short_conv_kernel_size, law) for name, y in made.items()}
        q, k = (unit_length(b, name, made[name]) for name in "qk")
        # -exp(A_log) softplus(f + dt_bias), or a bounded sigmoid of the same
        vectors = (b.weight("A_log", heads), b.weight("dt_bias", (*heads, key)))
        decay = b.map("log_decay", (decay, *vectors), (BATCH, SEQ, *heads, key), work=6)
        scan = Scan(heads, key, value, (*heads, key), law)
        o = scanned(b, scan, phase, q, k, made["v"], decay, beta, state_byte(self.state_dtype))
        o = b.norm("o_norm", o, value)
        z = self._through(b, "g", x, (*heads, value), self.gate_rank)
        o = b.map("gate", (o, z), (BATCH, SEQ, *heads, value), work=5)
        return b.project("o_proj", o, (hidden,), (*heads, value))

    def _through(self, b: Builder, name: str, x: str, out: Axes, rank: int | None) -> str:
        """A projection of `x`, in one step or through `rank` elements."""
        hidden = b.tensors[x].axes[-1]
        if rank is None:
            return b.project(f"{name}_proj", x, out, (hidden,))
        inner = Axis(f"{name}_rank", b.dim(f"{name}_rank", rank, "elements of a gate's first projection"))
        return b.project(f"{name}_b_proj", b.project(f"{name}_a_proj", x, (inner,), (hidden,)), out, (inner,))


MIXER.add("kda", Kda)
