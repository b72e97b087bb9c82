"""Pipeline parallelism: cuts no axis of an operator; layers are split among stages (GPipe, arXiv 1811.06965).

The last stage has ceil(layers / pp) layers and the head; sections carry how many of theirs lie on it.
"""

from __future__ import annotations

from collections.abc import Mapping

import sympy as sp

from costc import symbols as S
from costc.ir.types import Constraint
from costc.minmax import Max
from costc.place.mesh import STRATEGIES, Sizes, Strategy


def _cuts(sizes: Sizes) -> Mapping[str, sp.Expr]:
    return {}


def _constraints(sizes: Sizes) -> tuple[Constraint, ...]:
    layers = sizes["layer"]
    return (Constraint(Max(0, S.pp - layers), f"pp {{pp}} is more than the {{{layers}}} layers"),)


STRATEGIES.add("pp", Strategy("pp", "pipeline parallelism", S.pp, _cuts, place=2, constraints=_constraints))
