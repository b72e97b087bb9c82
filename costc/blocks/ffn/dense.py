"""Dense feed-forward blocks: plain (up, activation, down) and gated (gate and up, activation, product, down).

Sources: Vaswani et al. 2017 (arXiv 1706.03762); gated units: Shazeer 2020 (arXiv 2002.05202).
"""

from __future__ import annotations

from typing import ClassVar

import sympy as sp
from pydantic import NonNegativeInt, PositiveInt

from costc.blocks import FFN
from costc.blocks.base import BATCH, SEQ, Block, Builder
from costc.ir.types import Axis


class Dense(Block):
    """`intermediate_size` elements between the projections; `hidden_act` is recorded, all cost alike.

    `act_parameters`: learned numbers of the activation function itself.
    """

    intermediate_size: PositiveInt
    hidden_act: str = "silu"
    mlp_bias: bool = False
    act_parameters: NonNegativeInt = 0

    group: ClassVar[str] = "ffn"
    gated: ClassVar[bool] = False

    def build(self, b: Builder, x: str, phase: str) -> str:
        b.module = "ffn"
        inner = Axis("ffn", b.dim("intermediate_size", self.intermediate_size, "inner elements of the FFN"))
        return feed_forward(b, x, inner, self.gated, self.mlp_bias, learned=self.act_parameters)


class Gated(Dense):
    """Gate and up projections, their product, down projection."""

    gated: ClassVar[bool] = True


def feed_forward(
    b: Builder, x: str, inner: Axis, gated: bool, bias: bool = False, prefix: str = "", learned: int = 0, weight: str = ""
) -> str:
    """The operators of a dense feed-forward block in the builder's module; `learned` numbers of the activation.

    `weight`: an activation whose sigmoid weighs each token's output; it is applied before the last product, as it may be to
    partial sums.
    """
    hidden = b.tensors[x].axes[-1]
    made = [b.project(f"{prefix}{name}_proj", x, (inner,), (hidden,), bias) for name in (("gate", "up") if gated else ("up",))]
    # an activation function is taken as 4 FLOP an element, the gate's product as 1
    if learned:
        made.append(b.weight(f"{prefix}act_weight", (Axis("act_parameter", sp.Integer(learned)),)))
    if weight:
        made.append(weight)
    y = b.map(f"{prefix}act", tuple(made), (BATCH, SEQ, inner), work=(5 if gated else 4) + bool(weight))
    return b.project(f"{prefix}down_proj", y, (hidden,), (inner,), bias)


FFN.add("plain", Dense)
FFN.add("gated", Gated)
