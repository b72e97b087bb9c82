"""Mixture of experts: a router sends each token to k of E gated experts; shared experts see every token.

Distinct experts touched by t tokens are E (1 - (1 - k/E)^(t/skew)) in expectation under uniform
routing (skew 1). Sources: Shazeer et al. 2017 (arXiv 1701.06538); shared experts: DeepSeekMoE (arXiv 2401.06066).
"""

from __future__ import annotations

from typing import ClassVar

import sympy as sp
from pydantic import NonNegativeInt, PositiveInt, model_validator

from costc import symbols as S
from costc.blocks import FFN
from costc.blocks.base import BATCH, SEQ, Block, Builder
from costc.blocks.ffn.dense import feed_forward
from costc.ir.types import Axis, Kind, Read


class Moe(Block):
    """Fields as in DeepSeek's and Qwen's configs; `router_correction_bias` is DeepSeek-V3's, kept out of parameter counts.

    `gated`: experts have gate and up projections, else one. `shared_expert_intermediate_size`: width of all shared experts
    together, where it is not `n_shared_experts` x `moe_intermediate_size`; `shared_expert_gate`: their output is weighed by a
    gate. `moe_latent_size`: experts work in a latent space, with a projection to it and back (Nemotron 3, arXiv 2512.20856);
    `moe_latent_norm`: their sum is normed before the way back (Kimi K3, arXiv 2607.24653).
    `shared_bias`: of shared experts and of the projections to and from the latent space, where `mlp_bias` is the routed experts'.
    `zero_expert_num`: further experts that hand a token through, chosen as the others are (LongCat-Flash, arXiv 2509.01322).
    `hash_vocab_size`: which experts a token visits stands in a table with a row for each token of the vocabulary; the router
    only weighs them (DeepSeek-V4's first layers; Hash Layers, arXiv 2106.04426).
    """

    group: ClassVar[str] = "experts"

    n_routed_experts: PositiveInt
    num_experts_per_tok: PositiveInt
    moe_intermediate_size: PositiveInt
    n_shared_experts: NonNegativeInt = 0
    shared_expert_intermediate_size: PositiveInt | None = None
    shared_expert_gate: bool = False
    moe_latent_size: PositiveInt | None = None
    moe_latent_norm: bool = False
    gated: bool = True
    hidden_act: str = "silu"
    mlp_bias: bool = False
    shared_bias: bool = False
    router_bias: bool = False
    router_correction_bias: bool = False
    zero_expert_num: NonNegativeInt = 0
    hash_vocab_size: PositiveInt | None = None

    @model_validator(mode="after")
    def _routing(self) -> Moe:
        if self.num_experts_per_tok > self.n_routed_experts:
            raise ValueError(
                f"num_experts_per_tok {self.num_experts_per_tok} is more than n_routed_experts {self.n_routed_experts}"
            )
        return self

    def build(self, b: Builder, x: str, phase: str) -> str:
        return self.mix(b, x, x)

    def mix(self, b: Builder, x: str, judged: str) -> str:
        """The experts on `x`, chosen by what the router makes of `judged`."""
        hidden = b.tensors[x].axes[-1]
        count = b.dim("n_routed_experts", self.n_routed_experts, "routed experts of a layer")
        chosen = b.dim("num_experts_per_tok", self.num_experts_per_tok, "routed experts a token visits")
        size = b.dim("moe_intermediate_size", self.moe_intermediate_size, "inner elements of an expert")
        choices = count
        if self.zero_expert_num:
            choices += b.dim("zero_expert_num", self.zero_expert_num, "experts that hand a token through")
        self._router(b, judged, hidden, Axis("choice", choices))
        expert, inner = Axis("expert", count), Axis("expert_ffn", size)
        # every token fills `chosen` slots, spread evenly over the experts, those that hand it through among them
        slot, fanout = Axis("slot", S.batch * S.seq * chosen / choices), chosen * count / choices
        b.module = "experts"
        sent, width = x, hidden
        if self.moe_latent_size:
            width = Axis("moe_latent", b.dim("moe_latent_size", self.moe_latent_size, "elements of the experts' latent space"))
            sent = b.project("latent_in", x, (width,), (hidden,), self.shared_bias, module="ffn")
        slots = (expert, slot, width)
        sent = b.op("dispatch", Kind.ROUTE, (sent, "route"), slots, slots, work=0, fanout=fanout)
        touched = 1 - (1 - chosen / choices) ** (S.batch * S.seq / S.expert_skew)
        names = ("gate", "up") if self.gated else ("up",)
        made = [self._expert(b, n, sent, (expert, slot), (inner,), (width,), touched) for n in names]
        y = b.map("act", tuple(made), (expert, slot, inner), work=5 if self.gated else 4)
        y = self._expert(b, "down", y, (expert, slot), (width,), (inner,), touched)
        y = b.op("combine", Kind.ROUTE, (y, "route"), (BATCH, SEQ, width), slots, work=2, fanout=fanout)
        if self.moe_latent_norm:
            y = b.norm("latent_norm", y, width)
        if self.moe_latent_size:
            y = b.project("latent_out", y, (hidden,), (width,), self.shared_bias, module="ffn")
        return self._shared(b, x, y, size) if self.n_shared_experts or self.shared_expert_intermediate_size else y

    def _router(self, b: Builder, x: str, hidden: Axis, choice: Axis) -> None:
        b.module = "router"
        logits = b.project("router", x, (choice,), (hidden,), self.router_bias)
        # sigmoid or softmax and top-k: taken as 5 FLOP a score
        reads = (logits, *self._choosing(b, choice))
        b.op("route", Kind.REDUCE, reads, (BATCH, SEQ, choice), (BATCH, SEQ, choice), work=5)

    def _choosing(self, b: Builder, choice: Axis) -> tuple[str | Read, ...]:
        """What choosing experts reads beside the router's scores."""
        reads: tuple[str | Read, ...] = ()
        if self.hash_vocab_size:
            rows = Axis("hashed", b.dim("hash_vocab_size", self.hash_vocab_size, "rows of the table of experts"))
            slot = Axis("slot_of", b.dim("num_experts_per_tok", self.num_experts_per_tok, "routed experts a token visits"))
            reads += (Read(b.weight("hash_table", (rows, slot), trained=False), S.batch * S.seq / rows.size),)
        if self.router_correction_bias:
            reads += (b.weight("correction_bias", (choice,), trained=False),)
        return reads

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
        if self.shared_expert_intermediate_size:
            width = b.dim(
                "shared_expert_intermediate_size", self.shared_expert_intermediate_size, "inner elements of the shared experts"
            )
        else:
            width = b.dim("n_shared_experts", self.n_shared_experts, "shared experts of a layer") * size
        gate = ""
        if self.shared_expert_gate:
            gate = b.project("shared_gate", x, (Axis("gate", sp.Integer(1)),), (b.tensors[x].axes[-1],))
        y = feed_forward(b, x, Axis("ffn", width), self.gated, self.shared_bias, prefix="shared_", weight=gate)
        return b.map("shared_add", (routed, y), b.tensors[routed].axes, linear=True)


FFN.add("moe", Moe)
