"""Serving, simulated step by step: what the closed forms of a load are judged by. Shares no code with them.

A worker runs one step after the other. A step takes `fixed + token` seconds for each part of prompts and `base + each` for the
requests in decode; a step with both takes their sum less `saved`. Requests come back as soon as they are answered, after a pause
that puts their arrival anywhere in a step. Times are of simulated clocks, and chance is of a seeded generator of its own.
"""

from __future__ import annotations

import heapq
import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Cost:
    """Seconds: of a step with prompts and each of their tokens, of a step with decode and each of its requests, and what a step
    with both saves."""

    fixed: float
    token: float
    base: float
    each: float
    saved: float = 0.0

    def prompts(self, tokens: int) -> float:
        """A step with prompts alone."""
        return self.fixed + self.token * tokens

    def decode(self, requests: float) -> float:
        """A step with decode alone."""
        return self.base + self.each * requests


@dataclass(frozen=True)
class Load:
    """Requests in flight, prompts in a row of each, tokens of a prompt, and the outputs of one (drawn)."""

    requests: int
    waves: int
    isl: int
    osl: Callable[[random.Random], int]


@dataclass
class Request:
    """A request on its way: when it came, what is left of prompt and output."""

    came: float
    prompt: int
    left: int
    osl: int
    first: float = 0.0


@dataclass
class Log:
    """Times of the requests that were answered."""

    ttft: list[float] = field(default_factory=list)
    tpot: list[float] = field(default_factory=list)
    ended: float = 0.0

    def add(self, request: Request, now: float) -> None:
        """A request was answered."""
        self.ttft.append(request.first - request.came)
        self.tpot.append((now - request.first) / (request.osl - 1))
        self.ended = max(self.ended, now)

    @property
    def means(self) -> tuple[float, float]:
        """Mean TTFT and TPOT, as benchmarks report them."""
        return sum(self.ttft) / len(self.ttft), sum(self.tpot) / len(self.tpot)


def fixed(osl: int) -> Callable[[random.Random], int]:
    """Outputs of one length."""
    return lambda chance: osl


def spread(osl: int, share: float) -> Callable[[random.Random], int]:
    """Lengths from 1 - share of the longest to the longest, `osl` in the mean."""
    longest = osl / (1 - share / 2)
    return lambda chance: max(2, round(longest * (1 - share * chance.random())))


def batching(load: Load, cost: Cost, budget: int, seats: int, prefill_first: bool, seed: int = 1) -> Log:
    """Continuous batching on one worker: steps of at most `budget` prompt tokens, at most `seats` requests at once."""
    chance, log = random.Random(seed), Log()
    coming = [(0.0, n) for n in range(load.requests)]
    turns = [load.waves] * load.requests
    queue: deque[tuple[Request, int]] = deque()
    filling: deque[tuple[Request, int]] = deque()
    decoding: list[tuple[Request, int]] = []
    now = 0.0
    while coming or queue or filling or decoding:
        while coming and coming[0][0] <= now:
            came, who = heapq.heappop(coming)
            osl = load.osl(chance)
            queue.append((Request(came, load.isl, osl - 1, osl), who))
        while queue and len(filling) + len(decoding) < seats:
            filling.append(queue.popleft())
        if not filling and not decoding:
            now = coming[0][0]
            continue
        tokens, done = _take(filling, budget)
        decodes = decoding if not (tokens and prefill_first) else []
        took = (cost.prompts(tokens) if tokens else 0.0) + (cost.decode(len(decodes)) if decodes else 0.0)
        now += took - (cost.saved if tokens and decodes else 0.0)
        still = [] if decodes else decoding
        for request, who in decodes:
            request.left -= 1
            if request.left:
                still.append((request, who))
            else:
                log.add(request, now)
                turns[who] -= 1
                if turns[who]:
                    heapq.heappush(coming, (now + chance.random() * cost.decode(len(decodes)), who))
        for request, who in done:
            request.first = now
            still.append((request, who))
        decoding = still
    return log


def _take(filling: deque[tuple[Request, int]], budget: int) -> tuple[int, list[tuple[Request, int]]]:
    """Tokens of prompts that fit a step, in order, and the requests whose prompts end with it."""
    tokens, done = 0, []
    while filling and tokens < budget:
        request, _ = filling[0]
        piece = min(request.prompt, budget - tokens)
        request.prompt -= piece
        tokens += piece
        if request.prompt:
            break
        done.append(filling.popleft())
    return tokens, done


@dataclass(frozen=True)
class Tandem:
    """Workers that prefill, so many prompts a step at most, and workers that decode, so many requests each at most."""

    prefill: int
    prompts: int
    decode: int
    seats: int
    transfer: float = 0.0


class _Tandem:
    """The state of a run on pools, and what happens at each event."""

    def __init__(self, load: Load, cost: Cost, pools: Tandem, seed: int) -> None:
        self.load, self.cost, self.pools, self.log = load, cost, pools, Log()
        self.chance = random.Random(seed)
        self.turns = [load.waves] * load.requests
        self.queue: deque[tuple[Request, int]] = deque()
        self.ready: deque[tuple[Request, int]] = deque()
        self.decoding: list[list[tuple[Request, int]]] = [[] for _ in range(pools.decode)]
        self.free, self.idle = pools.prefill, set(range(pools.decode))
        self.events: list[tuple[float, int, str, Any]] = []
        self.count = 0

    def later(self, when: float, what: str, value: Any) -> None:
        """Something will happen; of two at once the one that was known first comes first."""
        self.count += 1
        heapq.heappush(self.events, (when, self.count, what, value))

    def came(self, now: float, who: int) -> None:
        osl = self.load.osl(self.chance)
        self.queue.append((Request(now, self.load.isl, osl - 1, osl), who))

    def prefilled(self, now: float, batch: list[tuple[Request, int]]) -> None:
        self.free += 1
        self.later(now + self.pools.transfer, "sent", batch)

    def sent(self, now: float, batch: list[tuple[Request, int]]) -> None:
        self.ready.extend(batch)

    def stepped(self, now: float, value: tuple[int, list[tuple[Request, int]]]) -> None:
        worker, batch = value
        for request, who in batch:
            request.left -= 1
            if not request.left:
                self.log.add(request, now)
                self.decoding[worker].remove((request, who))
                self.turns[who] -= 1
                if self.turns[who]:
                    self.later(now + self.chance.random() * self.cost.base, "came", who)
        self.idle.add(worker)

    def start(self, now: float) -> None:
        """Begin what can begin: steps of free prefill workers, requests that find a seat, steps of idle decode workers."""
        while self.free and self.queue:
            batch = [self.queue.popleft() for _ in range(min(self.pools.prompts, len(self.queue)))]
            self.free -= 1
            self.later(now + self.cost.prompts(self.load.isl * len(batch)), "prefilled", batch)
        while self.ready and min(map(len, self.decoding)) < self.pools.seats:
            request, who = self.ready.popleft()
            request.first = now
            min(self.decoding, key=len).append((request, who))
        for worker in sorted(self.idle):
            if self.decoding[worker]:
                self.idle.discard(worker)
                batch = list(self.decoding[worker])
                self.later(now + self.cost.decode(len(batch)), "stepped", (worker, batch))


def tandem(load: Load, cost: Cost, pools: Tandem, seed: int = 1) -> Log:
    """Pools: a request waits for a free prefill worker, then for a seat on the decode worker with the fewest requests.

    Its first token is delivered when it has the seat.
    """
    run = _Tandem(load, cost, pools, seed)
    for who in range(load.requests):
        run.later(0.0, "came", who)
    while run.events:
        now, _, what, value = heapq.heappop(run.events)
        getattr(run, what)(now, value)
        run.start(now)
    return run.log
