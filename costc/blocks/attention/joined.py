"""Attention of a transformer block that several layers share: it reads the residual stream joined with the embedded tokens.

Zamba (arXiv 2405.16712) and, with a low-rank adapter of its own for each use, Zamba2 (arXiv 2411.15242). Its output goes to the
block's FFN, not to the residual stream.
"""

from __future__ import annotations

from pydantic import PositiveInt, model_validator

from costc.blocks import ATTENTION
from costc.blocks.base import BATCH, SEQ, Axes, Block, Builder, NormPlace
from costc.blocks.parts.softmax import Heads, attend, store
from costc.ir.reach import Reach
from costc.ir.types import Axis


class Joined(Block):
    """`shared_weights`: another layer's weights, which counts them; adapters of rank `adapter_rank` are the layer's own."""

    norm: NormPlace = "none"
    num_attention_heads: PositiveInt
    num_key_value_heads: PositiveInt
    head_dim: PositiveInt
    rope: bool = True
    adapter_rank: PositiveInt | None = None
    shared_weights: bool = False

    @model_validator(mode="after")
    def _heads(self) -> Joined:
        if self.num_attention_heads % self.num_key_value_heads:
            raise ValueError(
                f"num_attention_heads {self.num_attention_heads} is not a multiple of "
                f"num_key_value_heads {self.num_key_value_heads}"
            )
        return self

    def build(self, b: Builder, x: str, phase: str) -> str:
        hidden, law = b.tensors[x].axes[-1], Reach()
        n_kv = b.dim("num_key_value_heads", self.num_key_value_heads, "key and value heads")
        group = b.dim("num_attention_heads", self.num_attention_heads, "query heads") / n_kv
        element = Axis("head_dim", b.dim("head_dim", self.head_dim, "elements of a head"))
        heads = Heads(Axis("kv_head", n_kv), Axis("group", group), element, element)
        b.shared = self.shared_weights
        both = Axis("joined", 2 * hidden.size)
        x = b.map("join", (x, b.input("embedded", b.tensors[x].axes)), (BATCH, SEQ, both), work=0)
        x = b.norm("norm_in", x, both, style=b.style)
        q = self._projected(b, "q", x, (*heads.query, element))
        k, v = (self._projected(b, name, x, (heads.kv, element)) for name in ("k", "v"))
        if self.rope:
            q, k = (b.map(f"{n}_rope", (y,), b.tensors[y].axes, work=3) for n, y in (("q", q), ("k", k)))
        store(b, heads, law, k, v)
        o = attend(b, heads, law, q)
        return b.project("o_proj", o, (hidden,), (*heads.query, element))

    def _projected(self, b: Builder, name: str, x: str, out: Axes) -> str:
        """A projection, with the layer's own adapter added to it."""
        joined = b.tensors[x].axes[-1]
        y = b.project(f"{name}_proj", x, out, (joined,))
        if not self.adapter_rank:
            return y
        rank = Axis("rank", b.dim("adapter_rank", self.adapter_rank, "rank of a layer's own adapters"))
        b.shared = False
        small = b.project(f"{name}_down", x, (rank,), (joined,))
        y = b.contract(f"{name}_up", (small, b.weight(f"{name}_up_weight", out, (rank,)), y), (BATCH, SEQ, *out), (rank,))
        b.shared = self.shared_weights
        return y


ATTENTION.add("joined", Joined)
