"""A model under continuous batching: requests in flight instead of a static batch."""

from __future__ import annotations

from functools import cached_property
from typing import Any, Final

from costc.emit.evaluator import Evaluator
from costc.place.mesh import mesh
from costc.program import Program
from costc.serving.compose import Lowered, compose_closed_loop
from costc.simplify import simplify

#: the load protocol where a call says nothing: as serving benchmarks do, ten prompts a seat, all of one length
PROTOCOL: Final[dict[str, Any]] = {
    "waves": 10,
    "length_spread": 0.0,
    "prefix_hit_rate": 0.0,
    "draft_tokens": 0,
    "acceptance": 0.0,
}


class ClosedLoop:
    """The program of a model in a closed loop, and its evaluator; inputs and outputs by name, in SI units."""

    def __init__(self, name: str, lowered: dict[str, Lowered], drafting: Lowered | None) -> None:
        self._name, self._lowered, self._drafting = name, lowered, drafting

    @cached_property
    def program(self) -> Program:
        return compose_closed_loop(self._name, self._lowered["prefill"], self._lowered["decode"], self._drafting, mesh())

    @cached_property
    def fast_program(self) -> Program:
        """The program after simplification, which is what is emitted."""
        return simplify(self.program)[0]

    @cached_property
    def evaluator(self) -> Evaluator:
        return Evaluator(self.fast_program)
