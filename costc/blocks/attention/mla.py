"""Multi-head latent attention: one compressed latent per token is cached for all heads.

Non-absorbed in prefill (keys and values are expanded from the latents), absorbed in decode (the
up-projections are folded into query and output, so that attention runs on the latents).
Source: DeepSeek-V2, section 2.1 (arXiv 2405.04434); DeepSeek-V3 (arXiv 2412.19437); with an indexer that chooses the
attended tokens, absorbed in both phases: DeepSeek-V3.2-Exp (arXiv 2512.02556).
"""

from __future__ import annotations

from typing import Literal

from pydantic import PositiveFloat, PositiveInt, model_validator

from costc.blocks import ATTENTION
from costc.blocks.base import BATCH, SEQ, Block, Builder
from costc.blocks.parts.indexer import INDEX_BYTE, chosen, index, projected, store_keys, summed_scores
from costc.ir.model import Norm
from costc.ir.reach import Reach, TopK, reach
from costc.ir.types import Axis, Kind, Read

Form = Literal["expanded", "absorbed"]


class Mla(Block):
    """Fields as in DeepSeek's config; `prefill_form` and `decode_form` choose the form of each phase.

    `attention_bias` is on the first projections and the output. `index_topk`: each query attends that many tokens, chosen by
    an indexer of the block's own, or, with `shared_index`, by the one of an earlier layer. `index_key_byte`: bytes of an
    element of the indexer's key cache, scales included, where it is not the KV cache's own (8-bit with a 4-byte scale for each
    128 in DeepSeek's kernels and in vLLM: 1.03125).
    `rope`: the rotary elements are rotated (Kimi Linear's are not). `output_gate`: the output is multiplied by a sigmoid of its
    own projection, one value for each element or head.
    """

    num_attention_heads: PositiveInt
    q_lora_rank: PositiveInt | None = None
    kv_lora_rank: PositiveInt
    qk_nope_head_dim: PositiveInt
    qk_rope_head_dim: PositiveInt
    v_head_dim: PositiveInt
    attention_bias: bool = False
    rope: bool = True
    output_gate: Literal["element", "head"] | None = None
    prefill_form: Form | None = None
    decode_form: Form = "absorbed"
    index_topk: PositiveInt | None = None
    index_n_heads: PositiveInt | None = None
    index_head_dim: PositiveInt | None = None
    index_key_byte: PositiveFloat | None = None
    shared_index: bool = False

    @model_validator(mode="after")
    def _indexed(self) -> Mla:
        if self.index_topk and not self.shared_index and not (self.index_n_heads and self.index_head_dim and self.q_lora_rank):
            raise ValueError("index_topk needs index_n_heads, index_head_dim and q_lora_rank, or shared_index")
        return self

    def build(self, b: Builder, x: str, phase: str) -> str:
        a = _Axes(self, b)
        hidden = b.tensors[x].axes[-1]
        q_in, q_axis = x, hidden
        if self.q_lora_rank:
            q_axis = Axis("q_lora", b.dim("q_lora_rank", self.q_lora_rank, "rank of the query compression"))
            q_in = b.norm("q_a_norm", b.project("q_a_proj", x, (q_axis,), (hidden,), self.attention_bias), q_axis)
        self._latents(b, a, x)
        indices = self._indices(b, x, q_in)
        q = b.project("q_b_proj" if self.q_lora_rank else "q_proj", q_in, (a.head, a.qk), (q_axis,))
        if self.rope:
            q = b.map("q_rope", (q,), (BATCH, SEQ, a.head, a.qk), work=3)
        b.weight("kv_b_weight", (a.head, a.nope_v), (a.lora,))
        form = (self.prefill_form or ("absorbed" if indices else "expanded")) if phase == "prefill" else self.decode_form
        o = self._absorbed(b, a, q, indices) if form == "absorbed" else self._expanded(b, a, q, indices)
        if self.output_gate:
            o = self._gated(b, a, x, o)
        return b.project("o_proj", o, (hidden,), (a.head, a.v), self.attention_bias)

    def _gated(self, b: Builder, a: _Axes, x: str, o: str) -> str:
        """The output times a sigmoid of a projection of the input: a value for each element, or for each head."""
        over = (a.head, a.v) if self.output_gate == "element" else (a.head,)
        gate = b.project("gate_proj", x, over, (b.tensors[x].axes[-1],))
        return b.map("gate", (o, gate), (BATCH, SEQ, a.head, a.v), work=5)

    def _latents(self, b: Builder, a: _Axes, x: str) -> None:
        """Compress each token to a latent, and append it to the cache."""
        latent = b.project("kv_a_proj", x, (a.latent,), (b.tensors[x].axes[-1],), self.attention_bias)
        # the norm covers the latent without its rotary part, which is too small to tell apart in bytes
        weight = b.weight("kv_a_norm_weight", (a.lora,), module="norm")
        axes = (BATCH, SEQ, a.latent)
        latent = b.op("kv_a_norm", Kind.REDUCE, (latent, weight), axes, (BATCH, SEQ, a.lora), work=4)
        b.cache("latent_cache", (BATCH, a.context, a.latent))
        b.map(
            "latent_store",
            (latent,),
            Read("latent_cache", SEQ.size / a.context.size),
            3 if self.rope else 0,
            (BATCH, SEQ, a.rope),
        )

    def _indices(self, b: Builder, x: str, q_in: str) -> tuple[str, ...]:
        """The indices of the attended tokens, where not all are."""
        if not self.index_topk:
            return ()
        kept = (Axis("index", b.dim("index_topk", self.index_topk, "tokens or entries that a query attends")),)
        if self.shared_index:
            return (b.input("index_topk", (BATCH, SEQ, *kept), element_byte=INDEX_BYTE),)
        assert self.index_n_heads
        assert self.index_head_dim
        i = index(b, self.index_n_heads, self.index_head_dim, reach(None))
        k = projected(b, i, "k", x, norm=Norm("layer", bias=True))
        cache = store_keys(b, i, k, self.index_key_byte)
        q = projected(b, i, "q", q_in, (i.head,))
        made = chosen(b, i, summed_scores(b, i, x, q, cache), kept)
        b.outputs.append(made)
        return (made,)

    def _expanded(self, b: Builder, a: _Axes, q: str, indices: tuple[str, ...]) -> str:
        """Expand every attended latent to keys and values, then attend as MHA does."""
        latents = Read("latent_cache", a.lora.size / a.latent.size, "lora")
        kv = b.contract("kv_b_proj", (latents, "kv_b_weight"), (BATCH, a.context, a.head, a.nope_v), (a.lora,))
        s = b.contract(
            "score",
            (q, Read(kv, a.nope.size / a.nope_v.size, "k"), Read("latent_cache", a.rope.size / a.latent.size, "rope"), *indices),
            (BATCH, a.pair, a.head),
            (a.qk,),
            module="attention_core",
        )
        p = b.op("softmax", Kind.REDUCE, (s,), (BATCH, a.pair, a.head), (BATCH, a.pair, a.head), work=5)
        return b.op(
            "attend",
            Kind.CONTRACT,
            (p, Read(kv, a.v.size / a.nope_v.size, "v")),
            (BATCH, SEQ, a.head, a.v),
            (BATCH, a.pair, a.head, a.v),
            module="attention_core",
        )

    def _absorbed(self, b: Builder, a: _Axes, q: str, indices: tuple[str, ...]) -> str:
        """Fold the key up-projection into the query and the value up-projection into the output."""
        key = Read("kv_b_weight", a.nope.size / a.nope_v.size, "k")
        value = Read("kv_b_weight", a.v.size / a.nope_v.size, "v")
        latent_q = b.op("q_absorb", Kind.CONTRACT, (q, key), (BATCH, SEQ, a.head, a.latent), (BATCH, SEQ, a.head, a.nope, a.lora))
        s = b.contract(
            "score", (latent_q, "latent_cache", *indices), (BATCH, a.pair, a.head), (a.latent,), module="attention_core"
        )
        p = b.op("softmax", Kind.REDUCE, (s,), (BATCH, a.pair, a.head), (BATCH, a.pair, a.head), work=5)
        latent_o = b.op(
            "attend",
            Kind.CONTRACT,
            (p, Read("latent_cache", a.lora.size / a.latent.size, "lora")),
            (BATCH, SEQ, a.head, a.lora),
            (BATCH, a.pair, a.head, a.lora),
            module="attention_core",
        )
        return b.contract("v_absorb", (latent_o, value), (BATCH, SEQ, a.head, a.v), (a.lora,))


class _Axes:
    """The axes of the block, named once."""

    def __init__(self, block: Mla, b: Builder) -> None:
        lora = b.dim("kv_lora_rank", block.kv_lora_rank, "rank of the KV compression: latent elements without the rotary part")
        nope = b.dim("qk_nope_head_dim", block.qk_nope_head_dim, "query-key elements of a head without rotary embedding")
        rope = b.dim("qk_rope_head_dim", block.qk_rope_head_dim, "query-key elements of a head with rotary embedding")
        v = b.dim("v_head_dim", block.v_head_dim, "value elements of a head")
        heads = b.dim("num_attention_heads", block.num_attention_heads, "query heads")
        law: Reach = reach(None)
        if block.index_topk:
            kept = b.dim("index_topk", block.index_topk, "tokens or entries that a query attends")
            law = TopK(str(kept), kept)
        self.head, self.lora, self.nope, self.rope = (
            Axis("head", heads),
            Axis("kv_lora", lora),
            Axis("nope", nope),
            Axis("rope", rope),
        )
        self.v, self.latent = Axis("v_dim", v), Axis("latent", lora + rope)
        self.qk, self.nope_v = Axis("qk_dim", nope + rope), Axis("nope_v", nope + v)
        self.pair, self.context = Axis("pair", law.pairs, law), Axis("context", law.context, law)


ATTENTION.add("mla", Mla)
