"""Phases as an engine runs them: slower than their operators, or bound by the host's launches, and with steps' overhead."""

from __future__ import annotations

from dataclasses import dataclass

import sympy as sp

from costc import symbols as S
from costc.ir.types import ONE
from costc.minmax import Max
from costc.program import Steps
from costc.serving.constants import SYMBOLS as E
from costc.serving.drafting import committed, drafted
from costc.serving.phases import Phase
from costc.serving.schedule import Schedule


@dataclass(frozen=True)
class Engine:
    """Seconds on one rank: `prompt` alone, the `prompts` of all running requests, their `decode`, and of a decode step what a
    step with prompts carries along (`carried`)."""

    prompt: sp.Expr
    prompts: sp.Expr
    decode: sp.Expr
    carried: sp.Expr


def prefill_time(time: Phase, plan: Schedule, launches: tuple[sp.Expr, bool], steps: Steps) -> sp.Expr:
    """A prefill in an engine: its operators, or the host's launches where these take longer.

    `launches`: of one step, and whether the model has experts.
    """
    count, experts = launches
    host = E["host_launch"] * count * (1 + (E["unfused_launches"] - 1) * S.unfused_experts if experts else 1)
    host = steps.let("engine.host_time", host, "s", "host time to launch a prefill step")
    expr = Max(time.total * E["prefill_slowdown"], plan.prefill_steps * host)
    return steps.let(f"{plan.named('prefill')}.engine", expr, "s", "prefill in the engine")


def decode_time(time: Phase, plan: Schedule, drafts: sp.Expr | None, steps: Steps) -> sp.Expr:
    """All decode steps in an engine; the slower of stage and chain stays so.

    Where steps verify drafts (`plan.queries`), fewer are needed, and the drafts (`drafts`: of one pass a step) take their time.
    """
    links, launch = time.groups.get("communication", sp.Integer(0)), time.groups["launch"]
    kernels = time.chain - links - launch
    starting = E["launch_slowdown"] + S.dependent_launch * (E["dependent_start"] - E["launch_slowdown"])
    slowed = kernels * E["decode_slowdown"] + launch * starting + links * E["link_slowdown"]
    waiting = S.synchronous * (E["synchronous_overhead"] + E["synchronous_request"] * plan.sequences)
    expr = time.total * slowed / time.chain + plan.decode_steps * (E["step_overhead"] + waiting)
    if plan.queries != ONE:
        expr = (expr + drafted(drafts)) / committed(steps)
    return steps.let(f"{plan.named('generation')}.engine", expr, "s", "decode in the engine")


def carried(time: Phase, plan: Schedule, steps: Steps) -> sp.Expr:
    """Of a decode step what does not depend on what its requests hold: all but attention."""
    attention = time.groups.get("attention", sp.Integer(0))
    expr = E["decode_slowdown"] * (time.chain - attention) / plan.decode_steps
    return steps.let("engine.carried", expr, "s", "weights, launches and collectives of a decode step")
