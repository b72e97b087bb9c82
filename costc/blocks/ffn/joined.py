"""The FFN of a transformer block that several layers share, and the layer's own projection of what the block makes.

Zamba (arXiv 2405.16712); with a low-rank adapter of its own for each use, Zamba2 (arXiv 2411.15242). It reads the attention's
output, and its own output is added to the input of the mixer that follows.
"""

from __future__ import annotations

from typing import ClassVar

from pydantic import PositiveInt

from costc.blocks import FFN
from costc.blocks.base import BATCH, SEQ, Block, Builder, NormPlace
from costc.ir.types import Axis


class JoinedFfn(Block):
    """`shared_weights`: another layer's weights, which counts them; the adapter and the last projection are the layer's own."""

    group: ClassVar[str] = "ffn"

    norm: NormPlace = "shared"
    intermediate_size: PositiveInt
    hidden_act: str = "gelu"
    mlp_bias: bool = False
    adapter_rank: PositiveInt | None = None
    shared_weights: bool = False

    def build(self, b: Builder, x: str, phase: str) -> str:
        b.module, b.shared = "ffn", self.shared_weights
        hidden = b.tensors[x].axes[-1]
        inner = Axis("ffn", b.dim("intermediate_size", self.intermediate_size, "inner elements of the FFN"))
        x = b.norm("norm_in", x, hidden, style=b.style)
        made = {name: b.project(f"{name}_proj", x, (inner,), (hidden,), self.mlp_bias) for name in ("gate", "up")}
        if self.adapter_rank:
            made = self._adapted(b, x, made, inner)
        y = b.map("act", tuple(made.values()), (BATCH, SEQ, inner), work=5)
        between = Axis("block_hidden", hidden.size)
        y = b.project("down_proj", y, (between,), (inner,), self.mlp_bias)
        b.shared = False
        return b.project("linear", y, (hidden,), (between,))

    def _adapted(self, b: Builder, x: str, made: dict[str, str], inner: Axis) -> dict[str, str]:
        """Gate and up with the layer's own adapter, whose first matrix they share."""
        rank = Axis("rank", b.dim("adapter_rank", self.adapter_rank or 1, "rank of a layer's own adapters"))
        b.shared = False
        small = b.project("adapter_down", x, (rank,), (b.tensors[x].axes[-1],))
        found = {}
        for name, y in made.items():
            weight = b.weight(f"{name}_up_weight", (inner,), (rank,))
            found[name] = b.contract(f"{name}_up", (small, weight, y), (BATCH, SEQ, inner), (rank,))
        b.shared = self.shared_weights
        return found


FFN.add("joined", JoinedFfn)
