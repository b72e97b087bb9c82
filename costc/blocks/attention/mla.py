"""Multi-head latent attention: one compressed latent per token is cached for all heads.

Non-absorbed in prefill (keys and values are expanded from the latents), absorbed in decode (the
up-projections are folded into query and output, so that attention runs on the latents).
Source: DeepSeek-V2, section 2.1 (arXiv 2405.04434); DeepSeek-V3 (arXiv 2412.19437).
"""

from __future__ import annotations

from typing import Literal

from pydantic import PositiveInt

from costc.blocks import ATTENTION
from costc.blocks.base import BATCH, SEQ, Block, Builder
from costc.ir.reach import reach
from costc.ir.types import Axis, Kind, Read

Form = Literal["expanded", "absorbed"]


class Mla(Block):
    """Fields as in DeepSeek's config; `prefill_form` and `decode_form` choose the form of each phase."""

    num_attention_heads: PositiveInt
    q_lora_rank: PositiveInt | None
    kv_lora_rank: PositiveInt
    qk_nope_head_dim: PositiveInt
    qk_rope_head_dim: PositiveInt
    v_head_dim: PositiveInt
    prefill_form: Form = "expanded"
    decode_form: Form = "absorbed"

    def build(self, b: Builder, x: str, phase: str) -> str:
        a = _Axes(self, b)
        hidden = b.tensors[x].axes[-1]
        q_in, q_axis = x, hidden
        if self.q_lora_rank:
            q_axis = Axis("q_lora", b.dim("q_lora_rank", self.q_lora_rank, "rank of the query compression"))
            q_in = b.norm("q_a_norm", b.project("q_a_proj", x, (q_axis,), (hidden,)), q_axis)
        latent = b.project("kv_a_proj", x, (a.latent,), (hidden,))
        # the norm covers the latent without its rotary part, which is too small to tell apart in bytes
        weight = b.weight("kv_a_norm_weight", (a.lora,), module="norm")
        axes = (BATCH, SEQ, a.latent)
        latent = b.op("kv_a_norm", Kind.REDUCE, (latent, weight), axes, (BATCH, SEQ, a.lora), work=4)
        b.cache("latent_cache", (BATCH, a.context, a.latent))
        b.map("latent_store", (latent,), Read("latent_cache", SEQ.size / a.context.size), 3, (BATCH, SEQ, a.rope))
        q = b.project("q_b_proj" if self.q_lora_rank else "q_proj", q_in, (a.head, a.qk), (q_axis,))
        q = b.map("q_rope", (q,), (BATCH, SEQ, a.head, a.qk), work=3)
        b.weight("kv_b_weight", (a.head, a.nope_v), (a.lora,))
        form = self.prefill_form if phase == "prefill" else self.decode_form
        o = self._absorbed(b, a, q) if form == "absorbed" else self._expanded(b, a, q)
        return b.contract("o_proj", (o, b.weight("o_proj_weight", (hidden,), (a.head, a.v))), (BATCH, SEQ, hidden), (a.head, a.v))

    def _expanded(self, b: Builder, a: _Axes, q: str) -> str:
        """Expand every attended latent to keys and values, then attend as MHA does."""
        latents = Read("latent_cache", a.lora.size / a.latent.size, "lora")
        kv = b.contract("kv_b_proj", (latents, "kv_b_weight"), (BATCH, a.context, a.head, a.nope_v), (a.lora,))
        s = b.contract(
            "score",
            (q, Read(kv, a.nope.size / a.nope_v.size, "k"), Read("latent_cache", a.rope.size / a.latent.size, "rope")),
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

    def _absorbed(self, b: Builder, a: _Axes, q: str) -> str:
        """Fold the key up-projection into the query and the value up-projection into the output."""
        key = Read("kv_b_weight", a.nope.size / a.nope_v.size, "k")
        value = Read("kv_b_weight", a.v.size / a.nope_v.size, "v")
        latent_q = b.op("q_absorb", Kind.CONTRACT, (q, key), (BATCH, SEQ, a.head, a.latent), (BATCH, SEQ, a.head, a.nope, a.lora))
        s = b.contract("score", (latent_q, "latent_cache"), (BATCH, a.pair, a.head), (a.latent,), module="attention_core")
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
        law = reach(None)
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
