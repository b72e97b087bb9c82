"""Continuous batching with a fixed number of requests in flight, in closed form.

A run keeps N requests of a rank in flight and starts with all of them at once; each seat is taken `waves` times. Prompts are
prefilled when a seat is free, in steps of their own (`prefill_first`) or in steps that carry the decode of the others along.
With T1 the prefill of one prompt alone, Tm of one among many packed into full steps, D a decode step of the running requests:

    stall   what a prompt adds to the decode of the others: Tm, less what the steps it rides on cost anyway
    decode  X = (O - 1) D + (N - 1) stall X / (X + first)      the others start X / (X + first) of their prompts meanwhile
    first   T1, the way to the engine and back, the wait for the scheduler, the start-up queue, the steady queue

The quadratic in X has one positive root. `first` needs the load and the length of a step, which follow from X: three rounds.
The start-up queue is (N Tm - T1) / 2 in the first wave. Where all outputs are of one length and a prefill stops the decode, the
requests stay in step, every wave queues like the first, and half of the prompts come before a request's own. The steady queue is
the mean wait of an M/D/1 server at the load of the prefills (Kleinrock 1975, Queueing Systems I, section 5.7).

Requests are admitted while the cache has room for their prompt and a part of their output; who is not waits for a seat, by
Little's law (N / running - 1) (first + decode) in the steady state, and half of it in the first wave.
"""

from __future__ import annotations

from dataclasses import dataclass

import sympy as sp

from costc import symbols as S
from costc.latency.units import DP
from costc.minmax import Floor, Max, Min
from costc.program import Steps
from costc.serving.constants import SYMBOLS as E
from costc.serving.engine import Engine
from costc.serving.memory import Memory
from costc.serving.schedule import Schedule

#: least part of a prompt's own prefill that it costs the others, whatever it rides on
LEAST_STALL = sp.Rational(1, 20)
#: load of the prefills beyond which their queue is not extrapolated: the loop is closed, so it cannot grow without end
HIGHEST_LOAD = sp.Rational(19, 20)
ROUNDS = 3


@dataclass(frozen=True)
class Loop:
    """Seconds, means over the requests of a run: to the first token after admission, of the decode, waiting for a seat, and
    what the first wave's queue spans; `queueing`: share of the requests that queue like it."""

    first: sp.Expr
    decode: sp.Expr
    seat: sp.Expr
    span: sp.Expr
    queueing: sp.Expr


def running(offered: sp.Expr, found: Memory, steps: Steps) -> sp.Expr:
    """Requests of a rank that run at once, of those offered."""
    kept = (S.isl + S.osl) / (S.isl + E["kept_output"] * S.osl)
    room = steps.let("loop.room", found.max_batch / DP * kept, "1", "requests that the cache has room for when they are admitted")
    most = Max(1, Floor(Min(offered, S.max_num_seqs, room)))
    return steps.let("loop.running", most, "1", "requests of a rank that run at once")


def loop(offered: sp.Expr, plan: Schedule, engine: Engine, steps: Steps) -> Loop:
    """The run, from its parts."""
    let, seats = steps.let, plan.sequences
    alike = let(
        "loop.alike", Max(0, 1 - S.length_spread * plan.decode_steps), "1", "1 where all outputs are of one length, else 0"
    )
    locked = let("loop.locked", S.prefill_first * alike, "1", "1 where the requests stay in step with one another, else 0")
    missed = 1 - S.prefix_hit_rate
    step = let("loop.step", engine.decode / plan.decode_steps, "s", "one decode step")
    each = let("loop.prompt", Min(engine.prompts / seats, engine.prompt) * missed, "s", "prefill of one of many prompts")
    alone = engine.prompt * missed + step * S.prefix_hit_rate
    together = Min(seats, 1 + (E["together"] - 1) * alike * (1 - S.prefill_first))
    own = let("loop.own", Max(alone, together * each), "s", "prefill of a prompt that is not kept waiting")
    span = let("loop.span", Max(0, seats * each - alone), "s", "from the first to the last prompt of the start-up")
    queueing = let("loop.queueing", (1 - locked) / S.waves + locked, "1", "share of the requests that queue like the first wave")
    handed = E["token_overhead"] * S.isl * (1 + (seats * DP - 1) / (2 * S.waves))
    early = let(
        "loop.early", own + E["request_overhead"] + handed + queueing * span / 2, "s", "to the first token, but for waits"
    )
    stall = (seats - 1) * _stall(plan, engine, each, missed, steps) * (1 - locked / 2)
    stall = let("loop.stall", stall, "s", "added to the decode by the prompts of the others")
    first, whole = _rounds(plan, early, each, (engine.decode, stall), locked, steps)
    waiting = (offered / seats - 1) * (1 - 1 / (2 * S.waves))
    seat = let("loop.seat", waiting * (first + whole), "s", "waiting for a seat")
    return Loop(first, whole, seat, span, queueing)


def _stall(plan: Schedule, engine: Engine, each: sp.Expr, missed: sp.Expr, steps: Steps) -> sp.Expr:
    """What a prompt adds to the decode of the others. Attention of the decode does not come for nothing in a mixed step."""
    carried = engine.carried * plan.prefill_steps / plan.sequences * (1 - S.prefill_first) * E["riding"] * missed
    return steps.let(
        "loop.stall_of_one", Max(each - carried, LEAST_STALL * each), "s", "added to the decode by a prompt of another"
    )


def _rounds(
    plan: Schedule, early: sp.Expr, each: sp.Expr, decode: tuple[sp.Expr, sp.Expr], locked: sp.Expr, steps: Steps
) -> tuple[sp.Expr, sp.Expr]:
    """(first, decode): the waits of each round are those of the times before it. `decode`: alone, and the stalls."""
    let = steps.let
    alone, stall = decode
    looking = let(
        "loop.looking",
        sp.Rational(1, 2) + E["looking"] * (S.scheduler_interval - 1) / 2 + S.batch_wait,
        "1",
        "steps until a request is scheduled",
    )
    first, whole = early, alone
    queue: sp.Expr = sp.Integer(0)
    for turn in range(ROUNDS):
        first = let(
            f"loop.first.{turn}", early + looking * whole / plan.decode_steps + queue, "s", "from admission to the first token"
        )
        root = _root(alone, stall, first, f"loop.root.{turn}", steps)
        whole = let(f"loop.decode.{turn}", root + locked * (alone + stall - root), "s", "from the first token to the last")
        others = (plan.sequences - 1) * each / (first + whole)
        load = let(f"loop.load.{turn}", Min(others, HIGHEST_LOAD), "1", "load of the other prompts")
        queue = (1 - locked) * load * each / (2 * (1 - load))
    return first, whole


def _root(alone: sp.Expr, stall: sp.Expr, first: sp.Expr, where: str, steps: Steps) -> sp.Expr:
    """The positive root of X = alone + stall X / (X + first)."""
    known = steps.let(f"{where}.known", alone + stall - first, "s", "twice the mean of the roots")
    return steps.let(where, (known + sp.sqrt(known**2 + 4 * alone * first)) / 2, "s", "decode with the stalls that fall into it")
