"""Softmax attention with a KV cache: multi-head, grouped-query and multi-query, whole, within a window or in chunks.

MHA is `num_key_value_heads` = `num_attention_heads`, MQA is 1. Sources: Vaswani et al. 2017
(arXiv 1706.03762), Ainslie et al. 2023 (arXiv 2305.13245); sliding window: Mistral 7B (arXiv 2310.06825);
chunks: Llama 4; gated output: Qiu et al. 2025 (arXiv 2505.06708).
"""

from __future__ import annotations

from typing import Literal

from pydantic import PositiveInt, model_validator

from costc.blocks import ATTENTION
from costc.blocks.base import BATCH, SEQ, Block, Builder
from costc.blocks.parts.indexer import best_blocks
from costc.blocks.parts.softmax import Heads, attend, store
from costc.ir.compressed import TopBlocks
from costc.ir.model import Norm
from costc.ir.reach import Chunked, Reach, reach
from costc.ir.types import Axis


class Gqa(Block):
    """Fields as in Hugging Face configs.

    `attention_bias` is on q, k, v (`v_bias`, where given, decides for v), `o_bias` on the output.
    `qk_norm`: of queries and keys, with a scale over a head's elements ('head' or true), over all heads at once ('all'), one
    for each head ('per_head'), or without a scale ('plain'); `qk_norm_style` is the norm itself.
    `output_gate`: the output is multiplied by a sigmoid of its own projection, one value for each element or head.
    `v_norm`: values are normed too, without a scale. `k_equals_v`: values are the keys before their norm and rotation, with no
    projection of their own.
    `shared_kv`: reads another layer's cache, and has neither keys nor values of its own.
    `index_topk_blocks`: each query attends that many blocks of `index_block_size` positions, chosen by an indexer.
    """

    num_attention_heads: PositiveInt
    num_key_value_heads: PositiveInt
    head_dim: PositiveInt
    v_head_dim: PositiveInt | None = None
    attention_bias: bool = False
    v_bias: bool | None = None
    o_bias: bool = False
    qk_norm: bool | Literal["head", "all", "per_head", "plain"] = False
    qk_norm_style: Literal["rms", "layer", "layer_bias"] = "rms"
    sliding_window: PositiveInt | None = None
    chunk: PositiveInt | None = None
    sinks: bool = False
    rope: bool = True
    output_gate: Literal["element", "head"] | None = None
    v_norm: bool = False
    k_equals_v: bool = False
    shared_kv: bool = False
    index_topk_blocks: PositiveInt | None = None
    index_block_size: PositiveInt | None = None
    index_n_heads: PositiveInt | None = None
    index_head_dim: PositiveInt | None = None

    @model_validator(mode="after")
    def _heads(self) -> Gqa:
        if self.num_attention_heads % self.num_key_value_heads:
            raise ValueError(
                f"num_attention_heads {self.num_attention_heads} is not a multiple of "
                f"num_key_value_heads {self.num_key_value_heads}"
            )
        if bool(self.sliding_window) + bool(self.chunk) + bool(self.index_topk_blocks) > 1:
            raise ValueError("chunk, sliding_window and index_topk_blocks exclude each other")
        if self.index_topk_blocks and not (self.index_block_size and self.index_n_heads and self.index_head_dim):
            raise ValueError("index_topk_blocks needs index_block_size, index_n_heads and index_head_dim")
        return self

    def build(self, b: Builder, x: str, phase: str) -> str:
        hidden = b.tensors[x].axes[-1]
        heads, law = self._heads_of(b), self._law(b)
        q = b.project("q_proj", x, (*heads.query, heads.key), (hidden,), self.attention_bias)
        q = self._positioned(b, "q", self._normed(b, "q", q, heads), (*heads.query, heads.key))
        if self.shared_kv:
            for name, element in (("k_cache", heads.key), ("v_cache", heads.value)):
                b.cache(name, (BATCH, Axis("context", law.context, law), heads.kv, element), shared=True)
        else:
            self._keys(b, x, heads, law)
        indices: tuple[str, ...] = ()
        if self.index_topk_blocks and self.index_n_heads and self.index_head_dim:
            indices = (best_blocks(b, x, self.index_n_heads, self.index_head_dim, self.index_topk_blocks),)
        o = attend(b, heads, law, q, self.sinks, chosen=indices)
        if self.output_gate:
            o = self._gated(b, x, o, heads)
        return b.project("o_proj", o, (hidden,), (*heads.query, heads.value), self.o_bias)

    def _heads_of(self, b: Builder) -> Heads:
        n_q = b.dim("num_attention_heads", self.num_attention_heads, "query heads")
        n_kv = b.dim("num_key_value_heads", self.num_key_value_heads, "key and value heads")
        key = Axis("head_dim", b.dim("head_dim", self.head_dim, "elements of a head"))
        value = key
        if self.v_head_dim and self.v_head_dim != self.head_dim:
            value = Axis("v_dim", b.dim("v_head_dim", self.v_head_dim, "value elements of a head"))
        return Heads(Axis("kv_head", n_kv), Axis("group", n_q / n_kv), key, value)

    def _law(self, b: Builder) -> Reach:
        if self.chunk:
            size = b.dim("attention_chunk_size", self.chunk, "positions of a chunk")
            return Chunked(str(size), size)
        if self.index_topk_blocks and self.index_block_size:
            kept = b.dim("index_topk_blocks", self.index_topk_blocks, "blocks that a query attends")
            block = b.dim("index_block_size", self.index_block_size, "positions of a block")
            return TopBlocks(f"{kept}_{block}", block, kept)
        return reach(b.dim("sliding_window", self.sliding_window, "attended positions") if self.sliding_window else None)

    def _keys(self, b: Builder, x: str, heads: Heads, law: Reach) -> None:
        hidden = b.tensors[x].axes[-1]
        k = b.project("k_proj", x, (heads.kv, heads.key), (hidden,), self.attention_bias)
        v = k
        if not self.k_equals_v:
            bias = self.attention_bias if self.v_bias is None else self.v_bias
            v = b.project("v_proj", x, (heads.kv, heads.value), (hidden,), bias)
        if self.v_norm:
            v = b.norm("v_norm", v, heads.value, style=Norm(weight=False))
        k = self._positioned(b, "k", self._normed(b, "k", k, heads), (heads.kv, heads.key))
        store(b, heads, law, k, v)

    def _normed(self, b: Builder, name: str, x: str, heads: Heads) -> str:
        if not self.qk_norm:
            return x
        own = heads.query if name == "q" else (heads.kv,)
        kind: Literal["rms", "layer"] = "rms" if self.qk_norm_style == "rms" else "layer"
        style = Norm(kind, self.qk_norm != "plain", self.qk_norm_style == "layer_bias")
        over = (*own, heads.key) if self.qk_norm in ("all", "per_head") else (heads.key,)
        # one norm over all heads sums over every rank's
        return b.norm(f"{name}_norm", x, *over, style=style, across=own if self.qk_norm == "all" else ())

    def _positioned(self, b: Builder, name: str, x: str, axes: tuple[Axis, ...]) -> str:
        return b.map(f"{name}_rope", (x,), (BATCH, SEQ, *axes), work=3) if self.rope else x

    def _gated(self, b: Builder, x: str, o: str, heads: Heads) -> str:
        hidden = b.tensors[x].axes[-1]
        over = (*heads.query, heads.value) if self.output_gate == "element" else heads.query
        gate = b.project("gate_proj", x, over, (hidden,))
        return b.map("gate", (o, gate), (BATCH, SEQ, *heads.query, heads.value), work=5)


ATTENTION.add("gqa", Gqa)
