"""Mamba-2: a gated state-space layer whose decays are one number for each head (Dao and Gu 2024, arXiv 2405.21060).

One projection makes gate, values x, keys B, queries C and time steps dt; x, B and C pass a short convolution; the scan of
blocks/scan.py; skip D; a norm gated by z within each group; projection back. B and C are shared by the heads of a group as keys
are in grouped-query attention, and tensor parallelism cuts them alike
(vLLM's MambaMixer2 replicates groups where ranks are more).
"""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field, PositiveInt, model_validator

from costc.blocks import MIXER
from costc.blocks.base import BATCH, SEQ, Axes, Block, Builder
from costc.blocks.parts.convolution import convolved
from costc.blocks.parts.scan import Scan, chunks
from costc.ir.types import Axis, Kind


class Mamba2(Block):
    """Fields as in Mamba2Config and its like; `use_bias` is on the first projection, `out_bias` on the last.

    `gated_norm`: the norm before the last projection; without it the output is only gated.
    `state_dtype`: of the recurrent state (`mamba_ssm_cache_dtype`), e.g. fp32; by default the activations'.
    """

    group: ClassVar[str] = "mixer"

    num_heads: PositiveInt
    head_dim: PositiveInt
    state_size: PositiveInt
    n_groups: PositiveInt = 1
    conv_kernel: int = Field(4, ge=2)
    chunk_size: PositiveInt = 256
    use_bias: bool = False
    out_bias: bool = False
    use_conv_bias: bool = True
    gated_norm: bool = True
    state_dtype: str | None = None

    @model_validator(mode="after")
    def _heads(self) -> Mamba2:
        if self.num_heads % self.n_groups:
            raise ValueError(f"num_heads {self.num_heads} is not a multiple of n_groups {self.n_groups}")
        return self

    def build(self, b: Builder, x: str, phase: str) -> str:
        b.module = "mixer"
        hidden, law = b.tensors[x].axes[-1], chunks(b, self.chunk_size)
        group = Axis("kv_head", b.dim("n_groups", self.n_groups, "groups of heads that share B and C"))
        member = Axis("group", b.dim("mamba_num_heads", self.num_heads, "heads of the state-space layer") / group.size)
        value = Axis("ssm_dim", b.dim("mamba_head_dim", self.head_dim, "elements of a state-space head"))
        key = Axis("state", b.dim("state_size", self.state_size, "elements of the state for each channel or element of a head"))
        inner, heads = (group, member, value), (group, member)
        gate = b.project("gate_proj", x, inner, (hidden,), self.use_bias)
        axes = {"x": inner, "b": (group, key), "c": (group, key)}
        made = {n: b.project(f"{n}_proj", x, own, (hidden,), self.use_bias) for n, own in axes.items()}
        dt = b.project("dt_proj", x, heads, (hidden,), self.use_bias)
        v, k, q = (convolved(b, n, y, axes[n], self.conv_kernel, law, bias=self.use_conv_bias) for n, y in made.items())
        decay = self._decay(b, dt, heads)
        parts = Scan(law, (group,), (member,), key, value, self.state_dtype).run(b, phase, q, k, v, decay)
        skip = b.weight("d", heads)
        y = b.map("scan_sum", (*parts, v, skip), (BATCH, SEQ, *inner), work=3)
        y = self._gated(b, y, gate, inner)
        return b.project("out_proj", y, (hidden,), inner, self.out_bias)

    def _gated(self, b: Builder, y: str, gate: str, inner: Axes) -> str:
        """The product with SiLU of the gate, and the norm within each group, whose sums ranks exchange where they share one."""
        axes = (BATCH, SEQ, *inner)
        if not self.gated_norm:
            return b.map("gated", (y, gate), axes, work=5)
        scale = b.weight("gated_norm_weight", inner, module="norm")
        return b.op("gated_norm", Kind.REDUCE, (y, gate, scale), axes, axes, work=9, across=inner[1:])

    def _decay(self, b: Builder, dt: str, heads: Axes) -> tuple[str, ...]:
        """Time steps after their softplus, and sums of the logarithms of the decays."""
        reads = (dt, b.weight("dt_bias", heads), b.weight("a_log", heads))
        return (b.map("decay", reads, (BATCH, SEQ, *heads), work=8, on_chip=True),)


MIXER.add("mamba2", Mamba2)
