"""How a static batch runs: ranks, micro-batches, prefill steps.

A rank holds batch / dp sequences (the fullest rank, where it does not divide). Its prompts are prefilled
in steps of at most `max_num_batched_tokens` tokens, and of no more than one pipeline micro-batch. Decode
runs micro-batch by micro-batch. Attention of a prompt is cut where a step ends, so every `step_tokens`.
"""

from __future__ import annotations

from dataclasses import dataclass

import sympy as sp

from costc import symbols as S
from costc.latency.roofline import DP
from costc.minmax import Ceiling, Floor, Min
from costc.program import Steps


@dataclass(frozen=True)
class Schedule:
    """Named quantities of the schedule, all of one rank."""

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


def schedule(steps: Steps) -> Schedule:
    """Derive the schedule from batch, lengths, micro-batches and the token budget."""
    let = steps.let
    sequences = let("schedule.sequences", Ceiling(S.batch / DP), "1", "sequences of the fullest rank")
    micro = let("schedule.decode_sequences", Ceiling(sequences / S.microbatches), "1", "sequences of a micro-batch")
    tokens = let("schedule.prefill_tokens", sequences * S.isl, "1", "prompt tokens of the rank")
    step = let("schedule.step_tokens", Min(S.max_num_batched_tokens, micro * S.isl), "1", "tokens of a full prefill step")
    ratio = let("schedule.prefill_ratio", tokens / step, "1", "prefill steps, before rounding")
    whole = let("schedule.whole_steps", Floor(ratio), "1", "full prefill steps")
    total = let("schedule.prefill_steps", Ceiling(ratio), "1", "prefill steps")
    return Schedule(
        sequences,
        micro,
        let("schedule.decode_rounds", Ceiling(sequences / micro), "1", "micro-batches that hold sequences"),
        tokens,
        step,
        whole,
        let("schedule.rest_steps", total - whole, "1", "1 where a shorter step is left over"),
        let("schedule.rest_tokens", tokens - whole * step, "1", "tokens of the shorter step"),
        total,
        let("schedule.piece", Min(step, S.isl), "1", "tokens of a prompt that one step attends at most"),
        let("schedule.decode_steps", S.osl - 1, "1", "decode steps: prefill yields the first token"),
    )
