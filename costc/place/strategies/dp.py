"""Attention data parallelism: each rank holds batch / dp sequences and their caches."""

from __future__ import annotations

from collections.abc import Mapping

import sympy as sp

from costc import symbols as S
from costc.place.mesh import STRATEGIES, Sizes, Strategy

dp = S.degree("dp", "attention data-parallel degree")


def _cuts(sizes: Sizes) -> Mapping[str, sp.Expr]:
    return {"batch": dp} if "batch" in sizes else {}


STRATEGIES.add("dp", Strategy("dp", "attention data parallelism", dp, _cuts, place=1, needs="expert"))
