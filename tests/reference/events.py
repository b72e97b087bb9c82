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


def tandem(load: Load, cost: Cost, pools: Tandem, seed: int = 1) -> Log:
    """Pools: a request waits for the least busy prefill worker, then for a seat on the decode worker with the fewest requests.

    As in engines that reserve the seat first, its prompt is prefilled at once, but its first token is only delivered from there.
    """
    chance, log = random.Random(seed), Log()
    turns = [load.waves] * load.requests
    queue: deque[tuple[Request, int]] = deque()
    ready: deque[tuple[Request, int]] = deque()
    decoding: list[list[tuple[Request, int]]] = [[] for _ in range(pools.decode)]
    free, idle = list(range(pools.prefill)), set(range(pools.decode))
    events: list[tuple[float, int, str, object]] = []
    count = 0

    def later(when: float, what: str, value: object) -> None:
        nonlocal count
        count += 1
        heapq.heappush(events, (when, count, what, value))

    def start(now: float) -> None:
        while free and queue:
            batch = [queue.popleft() for _ in range(min(pools.prompts, len(queue)))]
            later(now + cost.prompts(load.isl * len(batch)), "prefilled", (free.pop(), batch))
        while ready and min(map(len, decoding)) < pools.seats:
            request, who = ready.popleft()
            request.first = now
            least = min(range(pools.decode), key=lambda n: len(decoding[n]))
            decoding[least].append((request, who))
        for n in sorted(idle):
            if decoding[n]:
                idle.discard(n)
                later(now + cost.decode(len(decoding[n])), "stepped", (n, list(decoding[n])))

    for n in range(load.requests):
        later(0.0, "came", n)
    while events:
        now, _, what, value = heapq.heappop(events)
        if what == "came":
            osl = load.osl(chance)
            queue.append((Request(now, load.isl, osl - 1, osl), value))  # type: ignore[arg-type]
        elif what == "prefilled":
            worker, batch = value  # type: ignore[misc]
            free.append(worker)
            later(now + pools.transfer, "sent", batch)
        elif what == "sent":
            ready.extend(value)  # type: ignore[arg-type]
        else:
            n, stepped = value  # type: ignore[misc]
            for request, who in stepped:
                request.left -= 1
                if not request.left:
                    log.add(request, now)
                    decoding[n].remove((request, who))
                    turns[who] -= 1
                    if turns[who]:
                        later(now + chance.random() * cost.base, "came", who)
            idle.add(n)
        start(now)
    return log
