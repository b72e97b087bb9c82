"""Tensor parallelism: cuts heads, FFN width and vocabulary (Megatron-LM, arXiv 1909.08053)."""

from __future__ import annotations

from collections.abc import Mapping

import sympy as sp

from costc import symbols as S
from costc.ir.types import Constraint
from costc.minmax import Max, Min
from costc.place.mesh import STRATEGIES, Sizes, Strategy

tp = S.degree("tp", "tensor-parallel degree")


def _cuts(sizes: Sizes) -> Mapping[str, sp.Expr]:
    cuts = {name: tp for name in ("head", "ffn", "vocab") if name in sizes}
    if "kv_head" in sizes:
        # KV heads replicate beyond their number; the rest of the cut goes to the queries of each
        held = Min(tp, sizes["kv_head"])
        cuts |= {"kv_head": held, "group": tp / held}
    return cuts


def _constraints(sizes: Sizes) -> tuple[Constraint, ...]:
    found = []
    if "kv_head" in sizes:
        n_kv = sizes["kv_head"]
        heads = n_kv * sizes["group"]
        found.append(Constraint(sp.Mod(heads, tp), f"{{{heads}}} query heads are not divisible by tp {{tp}}"))
        uneven = sp.Mod(Max(n_kv, tp), Min(n_kv, tp))
        found.append(Constraint(uneven, f"{{{n_kv}}} KV heads neither divide tp {{tp}} nor are divided by it"))
    if "head" in sizes:
        found.append(Constraint(sp.Mod(sizes["head"], tp), f"{{{sizes['head']}}} heads are not divisible by tp {{tp}}"))
    if "ffn" in sizes:
        width = sizes["ffn"]
        found.append(Constraint(sp.Mod(width, tp), f"FFN width {{{width}}} is not divisible by tp {{tp}}"))
    return tuple(found)


STRATEGIES.add("tp", Strategy("tp", "tensor parallelism", tp, _cuts, place=0, constraints=_constraints))
