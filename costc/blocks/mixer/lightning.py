"""Lightning attention: linear attention with a fixed decay for each head (Qin et al. 2024, arXiv 2405.17381).

As in MiniMax-01 (arXiv 2501.08313): queries, keys and values pass SiLU; the scan of blocks/scan.py with a state
[head_dim, head_dim] for each head; an RMS norm over all heads, a sigmoid gate from the input, and the projection back.
"""

from __future__ import annotations

from typing import ClassVar

from pydantic import PositiveInt

from costc.blocks import MIXER
from costc.blocks.base import BATCH, SEQ, Block, Builder
from costc.blocks.parts.scan import Scan, chunks
from costc.ir.model import Norm
from costc.ir.types import Axis


class Lightning(Block):
    """`block_size`: tokens of a chunk; `state_dtype`: of the state, by default the activations'.

    `qk_norm`: queries and keys are normed over a head's elements and rotated, and nothing passes SiLU (Ling 2.5, Ring-linear).
    """

    group: ClassVar[str] = "mixer"

    num_attention_heads: PositiveInt
    head_dim: PositiveInt
    block_size: PositiveInt = 256
    state_dtype: str | None = None
    qk_norm: bool = False

    def build(self, b: Builder, x: str, phase: str) -> str:
        b.module = "mixer"
        hidden, law = b.tensors[x].axes[-1], chunks(b, self.block_size)
        head = Axis("head", b.dim("num_attention_heads", self.num_attention_heads, "query heads"))
        size = b.dim("head_dim", self.head_dim, "elements of a head")
        key, value = Axis("head_dim", size), Axis("v_dim", size)
        projected = {n: b.project(f"{n}_proj", x, (head, e), (hidden,)) for n, e in (("q", key), ("k", key), ("v", value))}
        q, k, v = self._normed(b, projected, key) if self.qk_norm else self._activated(b, projected)
        parts = Scan(law, (head,), (), key, value, self.state_dtype).run(b, phase, q, k, v, ())
        inner = (BATCH, SEQ, head, value)
        y = b.map("scan_sum", parts, inner)
        y = b.norm("norm_out", y, head, value, style=Norm(), across=(head, value))
        gate = b.project("output_gate", x, (head, value), (hidden,))
        y = b.map("gated", (y, gate), inner, work=5)
        return b.project("out_proj", y, (hidden,), (head, value))

    def _activated(self, b: Builder, made: dict[str, str]) -> tuple[str, ...]:
        return tuple(b.map(f"{n}_act", (p,), b.tensors[p].axes, work=4) for n, p in made.items())

    def _normed(self, b: Builder, made: dict[str, str], key: Axis) -> tuple[str, ...]:
        q, k = (b.norm(f"{n}_norm", made[n], key, style=Norm()) for n in "qk")
        q, k = (b.map(f"{n}_rope", (each,), b.tensors[each].axes, work=3) for n, each in (("q", q), ("k", k)))
        return q, k, made["v"]


MIXER.add("lightning", Lightning)
