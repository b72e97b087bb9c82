"""Experts beside a dense FFN, each between norms of its own, summed: Gemma 4's layers with experts.

The router reads the residual stream itself, normed without learned weights and scaled by a vector; each expert's share is
scaled too. Source: transformers' Gemma4TextDecoderLayer and Gemma4TextRouter.
"""

from __future__ import annotations

from pydantic import PositiveInt

from costc.blocks import FFN
from costc.blocks.base import Builder
from costc.blocks.ffn.dense import feed_forward
from costc.blocks.ffn.moe import Moe
from costc.ir.model import Norm
from costc.ir.types import Axis, Read


class Beside(Moe):
    """`intermediate_size`: inner elements of the dense FFN; the other fields are those of the experts."""

    intermediate_size: PositiveInt

    def build(self, b: Builder, x: str, phase: str) -> str:
        hidden = b.tensors[x].axes[-1]
        inner = Axis("ffn", b.dim("intermediate_size", self.intermediate_size, "inner elements of the FFN"))
        b.module = "ffn"
        dense = feed_forward(b, b.norm("dense_norm", x, hidden, style=b.style), inner, gated=True, prefix="dense_")
        dense = b.norm("dense_post_norm", dense, hidden, style=b.style)
        sparse = self.mix(b, b.norm("experts_norm", x, hidden, style=b.style), x)
        sparse = b.norm("experts_post_norm", sparse, hidden, style=b.style)
        return b.map("both", (dense, sparse), b.tensors[x].axes)

    def _router(self, b: Builder, x: str, hidden: Axis, choice: Axis) -> None:
        b.module = "router"
        normed = b.norm("router_norm", x, hidden, style=Norm(weight=False))
        scaled = b.map("router_scaled", (normed, b.weight("router_scale", (hidden,))), b.tensors[x].axes)
        super()._router(b, scaled, hidden, choice)

    def _choosing(self, b: Builder, choice: Axis) -> tuple[str | Read, ...]:
        return (*super()._choosing(b, choice), b.weight("expert_scale", (choice,)))


FFN.add("moe_beside_dense", Beside)
