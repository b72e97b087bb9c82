"""Attention of many heads over one shared key-value head, of a window and of entries that each compress a run of tokens.

Keys are the values. Without `compress_rate` the window is all. With `index_topk` an indexer, with a compressor of its own,
chooses the entries that a query attends (compressed sparse attention); else it attends all (heavily compressed attention). The
window and the entries are one cache and one kernel. The output goes through a low rank for each group of heads.
Source: DeepSeek-V4 (transformers' deepseek_v4). The heads are told apart by group and place in it: tensor parallelism cuts
whole groups (axis `head`), as DeepSeek's own implementation does; the cache is the same for all.
"""

from __future__ import annotations

from pydantic import PositiveFloat, PositiveInt, model_validator

from costc.blocks import ATTENTION
from costc.blocks.base import BATCH, SEQ, Block, Builder
from costc.blocks.parts.compressor import Compressor, compress
from costc.blocks.parts.indexer import chosen, index, index_cache, projected, summed_scores
from costc.blocks.parts.softmax import Heads, attend
from costc.ir.compressed import Compressed as CompressedLaw
from costc.ir.model import Norm
from costc.ir.reach import Reach, reach
from costc.ir.types import Axis, Read


class Compressed(Block):
    """Fields as in transformers' DeepseekV4Config; `overlap`: an entry covers two runs (see blocks.parts.compressor).

    `index_key_byte`: bytes of an element of the indexer's key cache, scales included, where it is not the KV cache's own.
    """

    num_attention_heads: PositiveInt
    head_dim: PositiveInt
    q_lora_rank: PositiveInt
    o_groups: PositiveInt
    o_lora_rank: PositiveInt
    sliding_window: PositiveInt
    compress_rate: PositiveInt | None = None
    overlap: bool = False
    index_topk: PositiveInt | None = None
    index_n_heads: PositiveInt | None = None
    index_head_dim: PositiveInt | None = None
    index_key_byte: PositiveFloat | None = None

    @model_validator(mode="after")
    def _fits(self) -> Compressed:
        if self.num_attention_heads % self.o_groups:
            raise ValueError(f"num_attention_heads {self.num_attention_heads} is not a multiple of o_groups {self.o_groups}")
        if self.index_topk:
            if not (self.compress_rate and self.index_n_heads and self.index_head_dim):
                raise ValueError("index_topk needs compress_rate, index_n_heads and index_head_dim")
            if self.sliding_window > self.index_topk * self.compress_rate:
                raise ValueError(
                    f"sliding_window {self.sliding_window} is more than the {self.index_topk} x {self.compress_rate} positions "
                    "of the chosen entries, which is not modelled"
                )
        return self

    def build(self, b: Builder, x: str, phase: str) -> str:
        hidden, heads = b.tensors[x].axes[-1], self._heads(b)
        q_axis = Axis("q_lora", b.dim("q_lora_rank", self.q_lora_rank, "rank of the query compression"))
        low = b.norm("q_a_norm", b.project("q_a_proj", x, (q_axis,), (hidden,)), q_axis)
        q = b.project("q_b_proj", low, (*heads.query, heads.key), (q_axis,))
        q = b.norm("q_b_norm", q, heads.key, style=Norm(weight=False))
        q = b.map("q_rope", (q,), (BATCH, SEQ, *heads.query, heads.key), work=3)
        law = self._law(b)
        context = Axis("context", law.context, law)
        cache = b.cache("kv_cache", (BATCH, context, heads.key))
        kv = b.norm("kv_norm", b.project("kv_proj", x, (heads.key,), (hidden,)), heads.key)
        b.map("kv_store", (kv,), Read(cache, SEQ.size / context.size), work=3, domain=(BATCH, SEQ, heads.key))
        indices: tuple[str, ...] = ()
        if self.compress_rate:
            compress(b, self._compressor(b, heads.key), "compress", x, cache, phase)
            indices = self._indices(b, x, low, phase)
        o = attend(b, heads, law, q, sinks=True, k=cache, v=cache, chosen=indices)
        # the values were rotated with the keys: their sum is rotated back
        o = b.map("o_rope", (o,), (BATCH, SEQ, *heads.query, heads.value), work=3)
        return self._out(b, o, heads, hidden)

    def _heads(self, b: Builder) -> Heads:
        groups = b.dim("o_groups", self.o_groups, "groups of heads of the output projection")
        count = b.dim("num_attention_heads", self.num_attention_heads, "query heads")
        element = Axis("head_dim", b.dim("head_dim", self.head_dim, "elements of a head"))
        return Heads(Axis("head", groups), Axis("in_group", count / groups), element, element)

    def _law(self, b: Builder) -> Reach:
        window = b.dim("sliding_window", self.sliding_window, "attended positions")
        if not self.compress_rate:
            return reach(window)
        ratio = b.dim("compress_rate", self.compress_rate, "tokens that an entry stands for")
        if not self.index_topk:
            return CompressedLaw(f"{window}_{ratio}", ratio, window)
        kept = b.dim("index_topk", self.index_topk, "tokens or entries that a query attends")
        return CompressedLaw(f"{window}_{ratio}_{kept}", ratio, window, kept)

    def _compressor(self, b: Builder, element: Axis) -> Compressor:
        assert self.compress_rate
        return Compressor(
            b.dim("compress_rate", self.compress_rate, "tokens that an entry stands for"), 1 + self.overlap, element
        )

    def _indices(self, b: Builder, x: str, low: str, phase: str) -> tuple[str, ...]:
        """The indices of the attended entries, where not all are."""
        if not self.index_topk:
            return ()
        assert self.compress_rate
        assert self.index_n_heads
        assert self.index_head_dim
        ratio = b.dim("compress_rate", self.compress_rate, "tokens that an entry stands for")
        i = index(b, self.index_n_heads, self.index_head_dim, CompressedLaw(str(ratio), ratio))
        cache = index_cache(b, i, self.index_key_byte)
        compress(b, self._compressor(b, i.element), "index_compress", x, cache, phase)
        q = projected(b, i, "q", low, (i.head,))
        kept = Axis("index", b.dim("index_topk", self.index_topk, "tokens or entries that a query attends"))
        return (chosen(b, i, summed_scores(b, i, x, q, cache), (kept,)),)

    def _out(self, b: Builder, o: str, heads: Heads, hidden: Axis) -> str:
        rank = Axis("o_lora", b.dim("o_lora_rank", self.o_lora_rank, "rank of a group's output projection"))
        weight = b.weight("o_a_proj_weight", (rank,), (heads.group, heads.value), stack=(heads.kv,))
        low = b.contract("o_a_proj", (o, weight), (BATCH, SEQ, heads.kv, rank), (heads.group, heads.value))
        return b.project("o_b_proj", low, (hidden,), (heads.kv, rank))


ATTENTION.add("compressed", Compressed)
