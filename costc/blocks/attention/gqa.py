"""Softmax attention with a KV cache: multi-head, grouped-query and multi-query, with an optional window.

MHA is `num_key_value_heads` = `num_attention_heads`, MQA is 1. Sources: Vaswani et al. 2017
(arXiv 1706.03762), Ainslie et al. 2023 (arXiv 2305.13245); sliding window: Mistral 7B (arXiv 2310.06825).
"""

from __future__ import annotations

from pydantic import PositiveInt, model_validator

from costc.blocks import ATTENTION
from costc.blocks.base import BATCH, SEQ, Block, Builder
from costc.ir.reach import reach
from costc.ir.types import Axis, Kind, Read


class Gqa(Block):
    """Fields as in Hugging Face configs; `attention_bias` is on q, k, v, `o_bias` on the output."""

    num_attention_heads: PositiveInt
    num_key_value_heads: PositiveInt
    head_dim: PositiveInt
    attention_bias: bool = False
    o_bias: bool = False
    qk_norm: bool = False
    sliding_window: PositiveInt | None = None
    sinks: bool = False

    @model_validator(mode="after")
    def _heads(self) -> Gqa:
        if self.num_attention_heads % self.num_key_value_heads:
            raise ValueError(
                f"num_attention_heads {self.num_attention_heads} is not a multiple of "
                f"num_key_value_heads {self.num_key_value_heads}"
            )
        return self

    def build(self, b: Builder, x: str, phase: str) -> str:
        hidden = b.tensors[x].axes[-1]
        n_q = b.dim("num_attention_heads", self.num_attention_heads, "query heads")
        n_kv = b.dim("num_key_value_heads", self.num_key_value_heads, "key and value heads")
        kv_head, group = Axis("kv_head", n_kv), Axis("group", n_q / n_kv)
        head_dim = Axis("head_dim", b.dim("head_dim", self.head_dim, "elements of a head"))
        heads = (kv_head, group)
        q = b.project("q_proj", x, (*heads, head_dim), (hidden,), self.attention_bias)
        k = b.project("k_proj", x, (kv_head, head_dim), (hidden,), self.attention_bias)
        v = b.project("v_proj", x, (kv_head, head_dim), (hidden,), self.attention_bias)
        if self.qk_norm:
            q, k = b.norm("q_norm", q, head_dim), b.norm("k_norm", k, head_dim)
        q = b.map("q_rope", (q,), (BATCH, SEQ, *heads, head_dim), work=3)
        k = b.map("k_rope", (k,), (BATCH, SEQ, kv_head, head_dim), work=3)
        o = self._core(b, q, k, v, heads, head_dim)
        return b.contract(
            "o_proj",
            (o, b.weight("o_proj_weight", (hidden,), (*heads, head_dim)))
            + ((b.weight("o_proj_bias", (hidden,)),) if self.o_bias else ()),
            (BATCH, SEQ, hidden),
            (*heads, head_dim),
        )

    def _core(self, b: Builder, q: str, k: str, v: str, heads: tuple[Axis, ...], head_dim: Axis) -> str:
        """Scores, softmax and weighted sum over the attended pairs; the cache is stored, then read."""
        window = b.dim("sliding_window", self.sliding_window, "attended positions") if self.sliding_window else None
        law = reach(window)
        pair, context = Axis("pair", law.pairs, law), Axis("context", law.context, law)
        kv_head = heads[0]
        for name, new in (("k_cache", k), ("v_cache", v)):
            b.cache(name, (BATCH, context, kv_head, head_dim))
            stored = Read(name, SEQ.size / context.size)
            b.map(f"{name}_store", (new,), stored, work=0, domain=(BATCH, SEQ, kv_head, head_dim))
        reads: tuple[str, ...] = (q, "k_cache")
        if self.sinks:
            reads += (b.weight("sinks", heads),)
        s = b.contract("score", reads, (BATCH, pair, *heads), (head_dim,), module="attention_core")
        p = b.op("softmax", Kind.REDUCE, (s,), (BATCH, pair, *heads), (BATCH, pair, *heads), work=5)
        return b.op(
            "attend",
            Kind.CONTRACT,
            (p, "v_cache"),
            (BATCH, SEQ, *heads, head_dim),
            (BATCH, pair, *heads, head_dim),
            module="attention_core",
        )


ATTENTION.add("gqa", Gqa)
