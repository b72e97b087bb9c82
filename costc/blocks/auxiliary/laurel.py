"""Learned augmented residual layer of low rank: a branch beside attention (LAuReL, arXiv 2411.07501; Gemma 3n)."""

from __future__ import annotations

from typing import ClassVar

from pydantic import PositiveInt

from costc.blocks import AUXILIARY
from costc.blocks.base import BATCH, SEQ, Block, Builder
from costc.ir.types import Axis


class Laurel(Block):
    """Down to `laurel_rank` and up again, normed, and added to what it read; then to what attention gave."""

    group: ClassVar[str] = "mixer"

    laurel_rank: PositiveInt

    def build(self, b: Builder, x: str, phase: str) -> str:
        hidden = b.tensors[x].axes[-1]
        b.module = "mixer"
        rank = Axis("laurel_rank", b.dim("laurel_rank", self.laurel_rank, "rank of the learned residual"))
        y = b.project("laurel_up", b.project("laurel_down", x, (rank,), (hidden,)), (hidden,), (rank,))
        y = b.norm("laurel_norm", y, hidden, style=b.style)
        return b.map("laurel_sum", (x, y, b.input("attended", (BATCH, SEQ, hidden))), (BATCH, SEQ, hidden), work=3)


AUXILIARY.add("laurel", Laurel)
