"""How a static batch runs: ranks, micro-batches, prefill steps.

A rank holds batch / dp sequences (the fullest rank, where it does not divide). Its prompts are prefilled
in steps of at most `max_num_batched_tokens` tokens, and of no more than one pipeline micro-batch. Decode
runs micro-batch by micro-batch. Attention of a prompt is cut where a step ends, so every `step_tokens`.
"""

from __future__ import annotations

from dataclasses import dataclass

import sympy as sp

from costc import symbols as S
from costc.ir.types import ONE
from costc.latency.units import DP
from costc.minmax import Ceiling, Floor, Min
from costc.program import Steps


def fullest(steps: Steps, batch: sp.Expr) -> sp.Expr:
    """Sequences of the fullest rank."""
    return steps.let("schedule.sequences", Ceiling(batch / DP), "1", "sequences of the fullest rank")


@dataclass(frozen=True)
class Schedule:
    """Named quantities of the schedule, all of one rank; `where` begins the names of what depends on it."""

    where: str
    sequences: sp.Expr
    decode_sequences: sp.Expr
    decode_rounds: sp.Expr
    tokens: sp.Expr
    step_tokens: sp.Expr
    whole_steps: sp.Expr
    rest_steps: sp.Expr
    rest_tokens: sp.Expr
    prefill_steps: sp.Expr
    piece: sp.Expr
    decode_steps: sp.Expr
    queries: sp.Expr = ONE

    @property
    def decode_tokens(self) -> sp.Expr:
        """Tokens of a micro-batch in a decode step: one of each sequence, or those that it verifies."""
        return self.decode_sequences * self.queries

    def named(self, phase: str) -> str:
        """The name of a phase under this schedule."""
        return phase if self.where == "schedule" else f"{self.where}.{phase}"


def schedule(steps: Steps, sequences: sp.Expr, where: str = "schedule", queries: sp.Expr = ONE) -> Schedule:
    """Derive the schedule of that many sequences of a rank from lengths, micro-batches and the token budget.

    `queries`: tokens that each sequence puts into a decode step.
    """

    def let(name: str, expr: sp.Expr, unit: str, meaning: str) -> sp.Expr:
        return steps.let(f"{where}.{name}", expr, unit, meaning)

    micro = let("decode_sequences", Ceiling(sequences / S.microbatches), "1", "sequences of a micro-batch")
    tokens = let("prefill_tokens", sequences * S.isl, "1", "prompt tokens of the rank")
    step = let("step_tokens", Min(S.max_num_batched_tokens, micro * S.isl), "1", "tokens of a full prefill step")
    ratio = let("prefill_ratio", tokens / step, "1", "prefill steps, before rounding")
    whole = let("whole_steps", Floor(ratio), "1", "full prefill steps")
    total = let("prefill_steps", Ceiling(ratio), "1", "prefill steps")
    return Schedule(
        where,
        sequences,
        micro,
        let("decode_rounds", Ceiling(sequences / micro), "1", "micro-batches that hold sequences"),
        tokens,
        step,
        whole,
        let("rest_steps", total - whole, "1", "1 where a shorter step is left over"),
        let("rest_tokens", tokens - whole * step, "1", "tokens of the shorter step"),
        total,
        let("piece", Min(step, S.isl), "1", "tokens of a prompt that one step attends at most"),
        let("decode_steps", S.osl - 1, "1", "decode steps: prefill yields the first token"),
        queries,
    )
