"""Continuous batching with a fixed number of requests in flight, in closed form.

A run keeps N requests of a rank in flight and starts with all of them at once; each seat is taken `waves` times. Prompts are
prefilled when a seat is free, in steps of their own (`prefill_first`) or in steps that carry the decode of the others along.
With T1 the prefill of one prompt alone, TN that of all N packed into full steps, D a decode step of the running requests:

    stall   what a prompt adds to the decode of the others: TN / N, less what the steps it rides on cost anyway
    decode  X = (O - 1) D + (N - 1) stall x X / (X + first)      the others start X / (X + first) of their prompts meanwhile
    first   T1 + wait for the scheduler + start-up queue + steady queue + the way to the engine and back

The start-up queue is (TN - T1) / 2 in the first wave. Later waves are spread by the lengths of the outputs; where the spread is
less than the prefill of all prompts and a prefill stops the decode, they stay in step, and every wave queues like the first.
The steady queue is the mean wait of an M/D/1 server at the load of the prefills. The quadratic in X has one positive root.

Requests are admitted while the cache has room for their prompt and a part of their output; who is not waits for a seat:
(N - running) / running x (first + decode), by Little's law.
"""

from __future__ import annotations

from dataclasses import dataclass

import sympy as sp

from costc import symbols as S
from costc.ir.types import ONE
from costc.latency.units import DP
from costc.minmax import Floor, Max, Min
from costc.program import Steps
from costc.serving.constants import SYMBOLS as E
from costc.serving.drafting import committed, drafted
from costc.serving.memory import Memory
from costc.serving.phases import Phase
from costc.serving.schedule import Schedule

#: least part of a prompt's own prefill that it costs the others, whatever it rides on
LEAST_STALL = sp.Rational(1, 20)
#: load of the prefills beyond which their queue is not extrapolated: the loop is closed, so it cannot grow without end
HIGHEST_LOAD = sp.Rational(19, 20)


@dataclass(frozen=True)
class Prefill:
    """Seconds for one prompt alone and for the prompts of all running requests, on one rank; and steps that these take."""

    one: sp.Expr
    all: sp.Expr
    steps: sp.Expr


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


def prefill_time(time: Phase, plan: Schedule, layers: tuple[sp.Expr, sp.Expr], steps: Steps) -> sp.Expr:
    """A prefill in an engine: its operators, or the host's launches where these take longer."""
    host = E["layer_host_time"] * (layers[0] + (E["expert_host_time"] - 1) * layers[1])
    host = steps.let("engine.host_time", host, "s", "host time to launch a prefill step")
    expr = Max(time.total * E["prefill_slowdown"], plan.prefill_steps * host)
    return steps.let(f"{plan.named('prefill')}.engine", expr, "s", "prefill in the engine")


def decode_time(time: Phase, plan: Schedule, drafts: sp.Expr | None, steps: Steps) -> sp.Expr:
    """All decode steps in an engine; the slower of stage and chain stays so.

    Where steps verify drafts (`plan.queries`), fewer are needed, and the drafts (`drafts`: of one pass a step) take their time.
    """
    links, launch = time.groups.get("communication", sp.Integer(0)), time.groups["launch"]
    kernels = time.chain - links - launch
    slowed = kernels * E["decode_slowdown"] + launch * E["launch_slowdown"] + links * E["link_slowdown"]
    expr = time.total * slowed / time.chain + plan.decode_steps * E["step_overhead"]
    if plan.queries != ONE:
        expr = (expr + drafted(drafts)) / committed(steps)
    return steps.let(f"{plan.named('generation')}.engine", expr, "s", "decode in the engine")


def loop(offered: sp.Expr, plan: Schedule, prefill: Prefill, decode: Phase, engine_decode: sp.Expr, steps: Steps) -> Loop:
    """The run, from its parts."""
    let = steps.let
    seats = plan.sequences
    step = let("loop.step", engine_decode / plan.decode_steps, "s", "one decode step")
    each = let("loop.prompt", Min(prefill.all / seats, prefill.one), "s", "prefill of one of many prompts")
    stall = let(
        "loop.stall",
        (seats - 1) * _stall(plan, prefill, decode, each, steps),
        "s",
        "added to the decode by the prompts of the others",
    )
    queueing = _queueing(plan, engine_decode, prefill, steps)
    span = E["start_queue"] * Max(0, prefill.all - prefill.one)
    span = let("loop.span", span, "s", "from the first to the last prompt of the start-up")
    wait = E["scheduling"] * Max(1, S.scheduler_interval) * step / 2
    early = prefill.one + E["request_overhead"] + wait + queueing * span / 2
    early = let("loop.early", early, "s", "to the first token, without other prompts in steady state")
    first = _steady(seats, each, early, _decode(engine_decode, stall, early), steps)
    whole = let("loop.decode", _decode(engine_decode, stall, first), "s", "from the first token to the last")
    seat = let("loop.seat", (offered - seats) / seats * (first + whole), "s", "waiting for a seat")
    return Loop(first, whole, seat, span, queueing)


def _stall(plan: Schedule, prefill: Prefill, decode: Phase, each: sp.Expr, steps: Steps) -> sp.Expr:
    """What a prompt adds to the decode of the others. Attention of the decode does not come for nothing in a mixed step."""
    attention = decode.groups.get("attention", sp.Integer(0))
    carried = (decode.chain - attention) / plan.decode_steps * prefill.steps / plan.sequences
    carried = (1 - S.prefill_first) * E["riding"] * E["decode_slowdown"] * carried
    return steps.let(
        "loop.stall_of_one", Max(each - carried, LEAST_STALL * each), "s", "added to the decode by a prompt of another"
    )


def _queueing(plan: Schedule, decode: sp.Expr, prefill: Prefill, steps: Steps) -> sp.Expr:
    """Share of the requests that queue as at the start: the first wave, and later ones that stay in step with it."""
    spread = S.length_spread * decode
    locked = S.prefill_first * Max(0, 1 - spread / prefill.all)
    share = 1 / S.waves + (1 - 1 / S.waves) * locked
    return steps.let("loop.queueing", share, "1", "share of the requests that queue like the first wave")


def _decode(alone: sp.Expr, stall: sp.Expr, first: sp.Expr) -> sp.Expr:
    """The positive root of X = alone + stall X / (X + first)."""
    known = alone + stall - first
    return (known + sp.sqrt(known**2 + 4 * alone * first)) / 2


def _steady(seats: sp.Expr, each: sp.Expr, early: sp.Expr, decode: sp.Expr, steps: Steps) -> sp.Expr:
    """Time to the first token with the mean wait of an M/D/1 server for other prompts."""
    decode = steps.let("loop.early_decode", decode, "s", "from the first token to the last, before their wait is known")
    load = steps.let("loop.load", Min((seats - 1) * each / (early + decode), HIGHEST_LOAD), "1", "load of the other prompts")
    queue = E["steady_queue"] * load * each / (2 * (1 - load))
    return steps.let("loop.first", early + queue, "s", "from admission to the first token")
