"""Mamba: a selective state-space layer with decays for every channel and state element (Gu and Dao 2023, arXiv 2312.00752).

Two projections make channels x and their gate z; x passes a short convolution; from x come a low-rank time step, B and C; the
scan holds a state [channels, state_size], and its output, with the skip D, is gated and projected back. Decays differ between
elements of a state, so the scan is no matrix product but for the sum over the state; one kernel runs it (selective_scan_fn).
"""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field, PositiveInt

from costc.blocks import MIXER
from costc.blocks.base import BATCH, SEQ, Block, Builder
from costc.blocks.parts.convolution import convolved
from costc.blocks.parts.scan import state_byte
from costc.ir.reach import Recurrent
from costc.ir.types import Axis, Kind, Read


class Mamba1(Block):
    """Fields as in MambaConfig; `use_bias` is on the first and last projections.

    `ssm_norm`: norms of time step, B and C, with scales (Jamba) or without (Falcon Mamba).
    `num_heads`: channels are divided among so many heads, each with its own time step, B and C (Zamba).
    """

    group: ClassVar[str] = "mixer"

    intermediate_size: PositiveInt
    state_size: PositiveInt
    time_step_rank: PositiveInt
    conv_kernel: int = Field(4, ge=2)
    num_heads: PositiveInt = 1
    use_bias: bool = False
    use_conv_bias: bool = True
    ssm_norm: Literal["learned", "plain"] | None = None
    state_dtype: str | None = None

    def build(self, b: Builder, x: str, phase: str) -> str:
        b.module = "mixer"
        hidden = b.tensors[x].axes[-1]
        inner = Axis("ffn", b.dim("mamba_intermediate_size", self.intermediate_size, "channels of the state-space layer"))
        x_in, gate = (b.project(name, x, (inner,), (hidden,), self.use_bias) for name in ("in_proj", "gate_proj"))
        law = Recurrent()
        x_in = convolved(b, "x", x_in, (inner,), self.conv_kernel, law, bias=self.use_conv_bias)
        y = self._scan(b, law, x_in, gate, inner)
        return b.project("out_proj", y, (hidden,), (inner,), self.use_bias)

    def _scan(self, b: Builder, law: Recurrent, x: str, gate: str, inner: Axis) -> str:
        state = Axis("state", b.dim("state_size", self.state_size, "elements of the state for each channel or element of a head"))
        rank = Axis("dt_rank", b.dim("time_step_rank", self.time_step_rank, "rank of the time step's projection"))
        made = Axis("ssm", rank.size + 2 * state.size)
        own = (Axis("mamba_head", b.dim("n_mamba_heads", self.num_heads, "state-space heads")),) if self.num_heads > 1 else ()
        weight = b.weight("x_proj_weight", (made,), (inner,))
        p = b.op("x_proj", Kind.CONTRACT, (x, weight), (BATCH, SEQ, *own, made), (BATCH, SEQ, made, inner))
        if self.ssm_norm:
            vectors = (("dt", rank), ("b", state), ("c", state)) if self.ssm_norm == "learned" else ()
            scales = tuple(b.weight(f"{name}_norm_weight", (axis,), module="norm") for name, axis in vectors)
            axes = b.tensors[p].axes
            p = b.op("ssm_norm", Kind.REDUCE, (p, *scales), axes, axes, work=4)
        weight = b.weight("dt_proj_weight", (inner,), (rank,))
        dt = b.contract("dt_proj", (Read(p, rank.size / made.size), weight), (BATCH, SEQ, inner), (rank,))
        held = b.state("scan_state", (inner, state), law, state_byte(self.state_dtype))
        keys, queries = (Read(p, state.size / made.size, part) for part in ("b", "c"))
        vectors_read = (b.weight("dt_proj_bias", (inner,)), b.weight("a_log", (inner, state)))
        # softplus and exponential, key times value, decay, sum
        new = b.map("scan", (x, dt, keys, held, *vectors_read), (BATCH, SEQ, inner, state), work=9, on_chip=True)
        b.map("scan_store", (new,), Read(held), work=0, domain=b.tensors[held].axes)
        y = b.contract("scan_out", (new, queries), (BATCH, SEQ, inner), (state,), module="mixer_core", on_chip=True)
        return b.map("gated", (y, x, gate, b.weight("d", (inner,))), (BATCH, SEQ, inner), work=7)


MIXER.add("mamba1", Mamba1)
