"""Mixture of experts: a router sends each token to k of E gated experts; shared experts see every token.

Distinct experts touched by t tokens are E (1 - (1 - k/E)^(t/skew)) in expectation under uniform
routing (skew 1). Sources: Shazeer et al. 2017 (arXiv 1701.06538); shared experts: DeepSeekMoE (arXiv 2401.06066).
"""

from __future__ import annotations

from typing import ClassVar

from pydantic import NonNegativeInt, PositiveInt, model_validator

from costc import symbols as S
from costc.blocks import FFN
from costc.blocks.base import BATCH, SEQ, Block, Builder
from costc.blocks.ffn.dense import feed_forward
from costc.ir.types import Axis, Kind, Read


class Moe(Block):
    """Fields as in DeepSeek's and Qwen's configs; `router_correction_bias` is DeepSeek-V3's, kept out of parameter counts."""

    group: ClassVar[str] = "experts"

    n_routed_experts: PositiveInt
    num_experts_per_tok: PositiveInt
    moe_intermediate_size: PositiveInt
    n_shared_experts: NonNegativeInt = 0
    hidden_act: str = "silu"
    mlp_bias: bool = False
    router_bias: bool = False
    router_correction_bias: bool = False

    @model_validator(mode="after")
    def _routing(self) -> Moe:
        if self.num_experts_per_tok > self.n_routed_experts:
            raise ValueError(
                f"num_experts_per_tok {self.num_experts_per_tok} is more than n_routed_experts {self.n_routed_experts}"
            )
        return self

    def build(self, b: Builder, x: str, phase: str) -> str:
        hidden = b.tensors[x].axes[-1]
        count = b.dim("n_routed_experts", self.n_routed_experts, "routed experts of a layer")
        chosen = b.dim("num_experts_per_tok", self.num_experts_per_tok, "routed experts a token visits")
        size = b.dim("moe_intermediate_size", self.moe_intermediate_size, "inner elements of an expert")
        self._router(b, x, hidden, Axis("choice", count))
        expert, inner = Axis("expert", count), Axis("expert_ffn", size)
        # every token fills `chosen` slots, spread evenly over the experts
        slot = Axis("slot", S.batch * S.seq * chosen / count)
        b.module = "experts"
        slots = (expert, slot, hidden)
        sent = b.op("dispatch", Kind.ROUTE, (x, "route"), slots, slots, work=0, fanout=chosen)
        touched = 1 - (1 - chosen / count) ** (S.batch * S.seq / S.expert_skew)
        made = [self._expert(b, n, sent, (expert, slot), (inner,), (hidden,), touched) for n in ("gate", "up")]
        y = b.map("act", tuple(made), (expert, slot, inner), work=5)
        y = self._expert(b, "down", y, (expert, slot), (hidden,), (inner,), touched)
        out = (BATCH, SEQ, hidden)
        y = b.op("combine", Kind.ROUTE, (y, "route"), out, slots, work=2, fanout=chosen)
        return self._shared(b, x, y, size) if self.n_shared_experts else y

    def _router(self, b: Builder, x: str, hidden: Axis, choice: Axis) -> None:
        b.module = "router"
        logits = b.project("router", x, (choice,), (hidden,), self.router_bias)
        reads: tuple[str, ...] = (logits,)
        if self.router_correction_bias:
            reads += (b.weight("correction_bias", (choice,), trained=False),)
        # sigmoid or softmax and top-k: taken as 5 FLOP a score
        b.op("route", Kind.REDUCE, reads, (BATCH, SEQ, choice), (BATCH, SEQ, choice), work=5)

    def _expert(
        self, b: Builder, name: str, x: str, rows: tuple[Axis, ...], out: tuple[Axis, ...], in_: tuple[Axis, ...], touched: object
    ) -> str:
        expert = rows[0]
        reads: tuple[Read, ...] = (Read(x), Read(b.weight(f"{name}_proj_weight", out, in_, (expert,)), touched))
        if self.mlp_bias:
            reads += (Read(b.weight(f"{name}_proj_bias", out, (), (expert,)), touched),)
        return b.contract(f"{name}_proj", reads, (*rows, *out), in_)

    def _shared(self, b: Builder, x: str, routed: str, size: object) -> str:
        b.module = "shared_experts"
        shared = b.dim("n_shared_experts", self.n_shared_experts, "shared experts of a layer")
        y = feed_forward(b, x, Axis("ffn", shared * size), gated=True, prefix="shared_")
        return b.map("shared_add", (routed, y), b.tensors[routed].axes, linear=True)


FFN.add("moe", Moe)
