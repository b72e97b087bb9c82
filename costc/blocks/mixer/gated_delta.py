"""Gated DeltaNet: linear attention by the delta rule, with one decay for each head and token.

Queries, keys and values pass a short convolution; queries and keys are normed to length 1; the output is normed and gated.
Sources: Yang et al. 2024 (arXiv 2412.06464); transformers' Qwen3NextGatedDeltaNet.
"""

from __future__ import annotations

from typing import ClassVar

from pydantic import PositiveInt, model_validator

from costc.blocks import MIXER
from costc.blocks.base import BATCH, SEQ, Block, Builder
from costc.blocks.parts.convolution import convolved
from costc.blocks.parts.delta import Scan, recurrent, scanned, unit_length
from costc.blocks.parts.scan import state_byte
from costc.dtypes import dtype
from costc.ir.types import Axis


class GatedDelta(Block):
    """Fields as in Qwen3-Next's config; `state_dtype` is the format of the recurrent state (`mamba_ssm_dtype`).

    Each key head serves linear_num_value_heads / linear_num_key_heads value heads, each with a state of its own.
    """

    group: ClassVar[str] = "mixer"

    linear_num_key_heads: PositiveInt
    linear_num_value_heads: PositiveInt
    linear_key_head_dim: PositiveInt
    linear_value_head_dim: PositiveInt
    linear_conv_kernel_dim: PositiveInt = 4
    state_dtype: str = "fp32"

    @model_validator(mode="after")
    def _sizes(self) -> GatedDelta:
        keys, values = self.linear_num_key_heads, self.linear_num_value_heads
        if values % keys:
            raise ValueError(f"linear_num_value_heads {values} is not a multiple of linear_num_key_heads {keys}")
        dtype(self.state_dtype)
        return self

    def build(self, b: Builder, x: str, phase: str) -> str:
        b.module = "mixer"
        hidden = b.tensors[x].axes[-1]
        n_k = b.dim("linear_num_key_heads", self.linear_num_key_heads, "key heads of the mixer")
        n_v = b.dim("linear_num_value_heads", self.linear_num_value_heads, "value heads of the mixer")
        keys, values = (Axis("kv_head", n_k),), (Axis("kv_head", n_k), Axis("group", n_v / n_k))
        key = Axis("key_dim", b.dim("linear_key_head_dim", self.linear_key_head_dim, "key elements of a head of the mixer"))
        value = Axis("value_dim", b.dim("linear_value_head_dim", self.linear_value_head_dim, "value elements of its head"))
        law = recurrent(b)
        made = {}
        for name, axes in (("q", (*keys, key)), ("k", (*keys, key)), ("v", (*values, value))):
            made[name] = b.project(f"{name}_proj", x, axes, (hidden,))
        z = b.project("z_proj", x, (*values, value), (hidden,))
        beta, a = (b.project(f"{name}_proj", x, values, (hidden,)) for name in ("b", "a"))
        for name, axes in (("q", (*keys, key)), ("k", (*keys, key)), ("v", (*values, value))):
            made[name] = convolved(b, name, made[name], axes, self.linear_conv_kernel_dim, law)
        q, k = (unit_length(b, name, made[name]) for name in "qk")
        # -exp(A_log) softplus(a + dt_bias)
        vectors = (b.weight("A_log", values), b.weight("dt_bias", values))
        decay = b.map("log_decay", (a, *vectors), (BATCH, SEQ, *values), work=6)
        scan = Scan(values, key, value, values, law)
        o = scanned(b, scan, phase, q, k, made["v"], decay, beta, state_byte(self.state_dtype))
        o = b.norm("o_norm", o, value)
        o = b.map("gate", (o, z), (BATCH, SEQ, *values, value), work=5)
        return b.project("o_proj", o, (hidden,), (*values, value))


MIXER.add("gated_delta", GatedDelta)
