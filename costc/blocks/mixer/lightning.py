"""Lightning attention: linear attention with a fixed decay for each head (Qin et al. 2024, arXiv 2405.17381).

As in MiniMax-01 (arXiv 2501.08313): queries, keys and values pass SiLU; the scan of blocks/scan.py with a state
[head_dim, head_dim] for each head; an RMS norm over all heads, a sigmoid gate from the input, and the projection back.
"""

from __future__ import annotations

from typing import ClassVar

from pydantic import PositiveInt

from costc.blocks import MIXER
from costc.blocks.base import BATCH, SEQ, Block, Builder
from costc.blocks.scan import Scan, chunks
from costc.ir.model import Norm
from costc.ir.types import Axis


class Lightning(Block):
    """`block_size`: tokens of a chunk; `state_dtype`: of the state, by default the activations'."""

    group: ClassVar[str] = "mixer"

    num_attention_heads: PositiveInt
    head_dim: PositiveInt
    block_size: PositiveInt = 256
    state_dtype: str | None = None

    def build(self, b: Builder, x: str, phase: str) -> str:
        b.module = "mixer"
        hidden, law = b.tensors[x].axes[-1], chunks(b, self.block_size)
        head = Axis("head", b.dim("num_attention_heads", self.num_attention_heads, "query heads"))
        size = b.dim("head_dim", self.head_dim, "elements of a head")
        key, value = Axis("head_dim", size), Axis("v_dim", size)
        projected = {n: b.project(f"{n}_proj", x, (head, e), (hidden,)) for n, e in (("q", key), ("k", key), ("v", value))}
        q, k, v = (b.map(f"{n}_act", (p,), b.tensors[p].axes, work=4) for n, p in projected.items())
        parts = Scan(law, (head,), (), key, value, self.state_dtype).run(b, phase, q, k, v, ())
        inner = (BATCH, SEQ, head, value)
        y = b.map("scan_sum", parts, inner)
        # over all heads: where they are cut, each rank's sum of squares also travels: 4 bytes a token, left out
        y = b.norm("norm_out", y, head, value, style=Norm())
        gate = b.project("output_gate", x, (head, value), (hidden,))
        y = b.map("gated", (y, gate), inner, work=5)
        return b.project("out_proj", y, (hidden,), (head, value))


MIXER.add("lightning", Lightning)
