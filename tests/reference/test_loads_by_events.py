"""The closed forms of a load against a simulation of every step, where their assumptions hold, and what they do not promise.

Assumed: a step holds one prompt (the forms know no packs that end together), outputs differ in length or requests run in
lock-step, and prefill takes less than two thirds of the time. Beyond that load the queue of an open system is too long for a loop
that is closed: up to a third more TTFT, as one test shows.
"""

from __future__ import annotations

import math
from functools import cache
from typing import Any

import pytest
import sympy as sp
from events import Cost, Load, Tandem, batching, fixed, spread, tandem

from costc import symbols as S
from costc.emit.evaluator import Evaluator
from costc.latency.units import DP
from costc.program import Steps
from costc.serving.closed_loop import loop
from costc.serving.constants import POOL_SYMBOLS, SYMBOLS
from costc.serving.disaggregated import disaggregated
from costc.serving.engine import Engine
from costc.serving.schedule import Schedule

COST = Cost(fixed=5e-3, token=20e-6, base=8e-3, each=20e-6)
#: a step with prompts saves most of the decode step that it carries along
MIXED = Cost(fixed=5e-3, token=20e-6, base=8e-3, each=20e-6, saved=7e-3)
BUDGET = 2048
#: every constant of an engine that adds nothing, and all of what can be saved is
NEUTRAL = {"token_overhead": 0, "request_overhead": 0, "together": 1, "looking": 1, "riding": 1}


def closed(requests: int, waves: int, isl: int, osl: int, share: float, seats: int, prefill_first: bool) -> tuple[float, float]:
    """TTFT and TPOT of the closed form, with the simulation's times of prefill and decode."""
    cost = COST if prefill_first else MIXED
    running = min(requests, seats)
    counts = {k: sp.Integer(0) for k in Schedule.__dataclass_fields__ if k != "where"}
    counts |= {"sequences": sp.Integer(running), "decode_steps": sp.Integer(osl - 1)}
    counts |= {"prefill_steps": sp.Integer(math.ceil(running * isl / BUDGET))}
    prompts = math.ceil(running * isl / BUDGET) * cost.fixed + running * isl * cost.token
    times = (cost.prompts(isl), prompts, (osl - 1) * cost.decode(running), cost.saved)
    steps = Steps()
    run = loop(sp.Integer(requests), Schedule("schedule", **counts), Engine(*map(sp.Float, times)), steps)
    given: dict[sp.Symbol, Any] = {SYMBOLS[name]: value for name, value in NEUTRAL.items()}
    given |= {S.waves: waves, S.length_spread: share, S.prefill_first: int(prefill_first), S.scheduler_interval: 1}
    given |= {S.batch_wait: 0, S.prefix_hit_rate: 0, S.isl: isl, DP: 1}
    known = {symbol: sp.Float(value) for symbol, value in given.items()}
    for step in steps.steps:
        known[step.symbol] = step.expr.xreplace(known)
    found = [float(e.xreplace(known)) for e in (run.first + run.seat, run.decode)]
    return found[0], found[1] / (osl - 1)


def simulated(
    requests: int, waves: int, isl: int, osl: int, share: float, seats: int, prefill_first: bool
) -> tuple[float, float]:
    lengths = spread(osl, share) if share else fixed(osl)
    return batching(Load(requests, waves, isl, lengths), COST if prefill_first else MIXED, BUDGET, seats, prefill_first).means


ALL = 10**6
#: requests, waves, isl, osl, spread, seats
SPREAD = [
    (8, 10, 2048, 256, 0.2, ALL),
    (32, 10, 2048, 256, 0.2, ALL),
    (64, 10, 2048, 256, 0.2, ALL),
    (64, 10, 1024, 256, 0.2, ALL),
    (64, 50, 1024, 256, 0.2, ALL),
    (64, 10, 2048, 256, 0.2, 16),
    (64, 10, 2048, 256, 0.2, 48),
]


@pytest.mark.parametrize("case", SPREAD)
@pytest.mark.parametrize("prefill_first", [True, False])
def test_a_closed_loop_is_as_simulated(case: Any, prefill_first: bool) -> None:
    """Start-up queue, stalls and, where seats are few, the wait for one: TTFT within 6 % (mixed steps: 11 %), TPOT within 3 %.

    A prompt in a mixed step also waits for that step's decode, which the form leaves out: hence the 11 %.
    """
    (ttft, tpot), (ttft_, tpot_) = simulated(*case, prefill_first), closed(*case, prefill_first)
    assert ttft_ == pytest.approx(ttft, rel=0.06 if prefill_first else 0.11)
    assert tpot_ == pytest.approx(tpot, rel=0.03)


@pytest.mark.parametrize("case", [(32, 10, 2048, 256, 0.0, ALL), (64, 10, 2048, 512, 0.0, ALL)])
def test_lock_step(case: Any) -> None:
    """Prefill first and outputs of one length: every wave queues like the first, however many there are."""
    (ttft, tpot), (ttft_, tpot_) = simulated(*case, True), closed(*case, True)
    assert (ttft_, tpot_) == pytest.approx((ttft, tpot), rel=0.02)
    assert closed(*case, True)[0] > 4 * closed(*case, False)[0]


def test_a_busy_prefill_is_overestimated() -> None:
    """At three quarters of the time in prefill the open queue's wait is too long for a closed loop, by a third of TTFT."""
    case = (64, 50, 2048, 128, 0.2, ALL)
    (ttft, tpot), (ttft_, tpot_) = simulated(*case, True), closed(*case, True)
    assert 1.1 < ttft_ / ttft < 1.4
    assert tpot_ == pytest.approx(tpot, rel=0.03)


def test_a_longer_output_can_lower_tpot() -> None:
    """Metrics of a loop are not monotone: a longer output dilutes the stalls by other prompts. Simulated, and in closed form."""
    for found in (simulated, closed):
        tpots = [found(64, 10, 2048, osl, 0.2, ALL, True)[1] for osl in (128, 256, 512)]
        assert tpots == sorted(tpots, reverse=True)
        assert tpots[0] > 2 * tpots[2]


def test_more_seats_can_raise_tpot_and_lower_ttft() -> None:
    few, many = ([f(64, 10, 2048, 256, 0.2, seats, True) for f in (simulated, closed)] for seats in (16, 64))
    for (ttft, tpot), (ttft_, tpot_) in zip(few, many, strict=True):
        assert ttft_ < ttft / 4
        assert tpot_ > 1.3 * tpot


# ---- pools


@cache
def evaluator() -> Evaluator:
    return Evaluator(disaggregated())


def apart(load: tuple[int, int, int, int], pools: Tandem) -> tuple[float, float]:
    """TTFT and TPOT of the closed form, with the decode step of the batch that it leaves in decode."""
    requests, waves, isl, osl = load
    given = {f"pool_{name}": 0.0 for name in ("prompt_shared", "link_latency", "price", "power")}
    given |= {symbol.name: 0.0 for symbol in (*SYMBOLS.values(), *POOL_SYMBOLS.values())}
    given |= {"isl": isl, "osl": osl, "waves": waves, "pool_in_flight": requests, "pool_devices": 1.0}
    given |= {"pool_prompt_alone": COST.prompts(isl), "pool_prompt_packed": COST.prompts(isl * pools.prompts) / pools.prompts}
    given |= {"pool_prefill_workers": pools.prefill, "pool_prefill_ranks": 1.0, "pool_decode_workers": pools.decode}
    given |= {"pool_decode_seats": pools.decode * pools.seats, "pool_cache_byte": pools.transfer, "pool_link_bandwidth": 1.0}
    found: dict[str, Any] = {"running": float(requests)}
    for _ in range(200):
        found = evaluator()({**given, "pool_decode_step": COST.decode(float(found["running"]) / pools.decode)})
    return float(found["ttft"]), float(found["tpot"])


#: (requests, waves, isl, osl), pools, TTFT's error: hardly loaded, half, saturated; few seats; a slow link; several workers,
#: which one fast server stands for; steps of several prompts, whose sizes the form does not follow
TANDEMS = [
    ((4, 20, 2048, 256), Tandem(1, 1, 1, 999), 0.05),
    ((32, 20, 2048, 256), Tandem(1, 1, 1, 999), 0.05),
    ((96, 20, 2048, 256), Tandem(1, 1, 1, 999), 0.05),
    ((96, 20, 1024, 256), Tandem(2, 1, 2, 16), 0.05),
    ((16, 20, 1024, 256), Tandem(1, 1, 1, 999, transfer=0.1), 0.05),
    ((64, 20, 2048, 256), Tandem(4, 1, 2, 999), 0.2),
    ((96, 20, 2048, 128), Tandem(4, 1, 2, 999), 0.2),
    ((48, 20, 1024, 256), Tandem(1, 4, 1, 999), 0.25),
    ((128, 20, 1024, 256), Tandem(1, 4, 1, 999), 0.25),
    ((200, 20, 1024, 64), Tandem(2, 2, 1, 999), 0.05),
]


@pytest.mark.parametrize(("load", "pools", "error"), TANDEMS)
def test_pools_are_as_simulated(load: tuple[int, int, int, int], pools: Tandem, error: float) -> None:
    """TTFT within the case's error, TPOT within 2 %."""
    requests, waves, isl, osl = load
    ttft, tpot = tandem(Load(requests, waves, isl, spread(osl, 0.5)), COST, pools).means
    ttft_, tpot_ = apart(load, pools)
    assert ttft_ == pytest.approx(ttft, rel=error)
    assert tpot_ == pytest.approx(tpot, rel=0.02)


def test_a_saturated_prefill_pool_decides_the_throughput() -> None:
    """Twice the requests: the same throughput, all of the rest in the queue, and a decode batch that stays."""
    pools = Tandem(1, 1, 1, 999)
    (ttft, tpot), (ttft_, tpot_) = (apart((n, 10**9, 2048, 256), pools) for n in (200, 400))
    assert tpot_ == pytest.approx(tpot, rel=1e-2)
    assert ttft_ - ttft == pytest.approx(200 * COST.prompts(2048), rel=0.02)
