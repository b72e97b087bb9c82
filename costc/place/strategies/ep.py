"""Expert parallelism: experts over ep groups of the tp x dp devices, each expert's width over the etp in a group.

GShard (arXiv 2006.16668); with attention data parallelism as DeepSeek-V3 serves (arXiv 2412.19437, 3.4).
"""

from __future__ import annotations

from collections.abc import Mapping

import sympy as sp

from costc import symbols as S
from costc.ir.types import Constraint
from costc.place.mesh import STRATEGIES, Sizes, Strategy

ep = S.degree("ep", "expert-parallel degree")
tp, dp = S.degree("tp", "tensor-parallel degree"), S.degree("dp", "attention data-parallel degree")


def _cuts(sizes: Sizes) -> Mapping[str, sp.Expr]:
    return {"expert": ep, "expert_ffn": tp * dp / ep} if "expert" in sizes else {}


def _constraints(sizes: Sizes) -> tuple[Constraint, ...]:
    if "expert" not in sizes:
        return (Constraint(ep - 1, "a model without experts takes ep 1, not {ep}"),)
    count, width, ranks = sizes["expert"], sizes["expert_ffn"], tp * dp
    return (
        Constraint(sp.Mod(ranks, ep), "ep {ep} does not divide tp x dp = {tp} x {dp}"),
        Constraint(sp.Mod(count, ep), f"{{{count}}} experts are not divisible by ep {{ep}}"),
        Constraint(
            sp.Mod(width * ep, ranks),
            f"expert width {{{width}}} is not divisible by etp = tp x dp / ep = {{tp}} x {{dp}} / {{ep}}",
        ),
    )


STRATEGIES.add("ep", Strategy("ep", "expert parallelism", ep, _cuts, over=("tp", "dp"), needs="expert", constraints=_constraints))
