"""Serving time by loops: an independent reading of the rules, to hold the closed sums against.

Taken from the compiler: what each kernel computes, moves and sends in one step (its cost table). Everything that
happens over a phase is written here anew, with loops over steps, pieces of prompts and positions, and the maximum of
the roofline taken at each.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from math import ceil
from typing import Any

import sympy as sp

from costc.count.rows import CostTable
from tests.property.compiled import model

Env = dict[str, float]
MEMORY = ("weight_byte", "kv_byte", "activation_byte")
LINKS = ("scale_up", "scale_out")


@dataclass(frozen=True)
class Amount:
    """A number per step as a function of named values."""

    names: tuple[str, ...]
    function: Callable[..., float]

    def __call__(self, env: Mapping[str, float]) -> float:
        return float(self.function(*(env[n] for n in self.names)))


@dataclass(frozen=True)
class Piece:
    """One kernel or collective of a section."""

    section: str
    flop: dict[str, Amount]
    byte: Amount
    sent: dict[str, tuple[Amount, ...]]
    #: members of its group in the domain that a device sends to at once
    peers: Amount
    layers: Amount
    stage_layers: Amount
    launches: int
    #: what its amounts grow with: 'tokens', 'rows' (sequences alone) or the window of its positions (None: all of them)
    grows: str
    window: int | None


def amount(expr: sp.Expr) -> Amount:
    symbols = sorted(expr.free_symbols, key=lambda s: s.name)
    plain = {s: sp.Symbol(f"v{i}") for i, s in enumerate(symbols)}
    return Amount(tuple(s.name for s in symbols), sp.lambdify(list(plain.values()), expr.xreplace(plain), "math"))


@cache
def pieces(name: str, phase: str) -> tuple[Piece, ...]:
    compiled = model(name)
    table = compiled.lowered[phase].table
    known = {**compiled.bindings, **{s: e.xreplace(compiled.bindings) for s, e in table.definitions}}
    found = []
    for section, rows in table.group_by("section").items():
        for own in rows.group_by("kernel").values():

            def total(part: CostTable) -> sp.Expr:
                return sp.Add(*(r.amount for r in part)).xreplace(known).xreplace(compiled.bindings)

            one = own.rows[0]
            every = sp.Add(*(r.amount for r in own)).xreplace(known)
            names = {s.name for s in every.free_symbols}
            reach = next((n.partition("_")[2] for n in names if n.startswith(("pairs_", "context_"))), None)
            found.append(
                Piece(
                    section,
                    {m: amount(total(t)) for m, t in own.where(resource="flop").group_by("module").items()},
                    amount(total(own.where(resource=MEMORY))),
                    {k: tuple(amount(total(own.where(resource=f"{k}_{what}"))) for what in ("byte", "hops")) for k in LINKS},
                    amount(sp.Mul(*{r.peers for r in own if r.resource == "scale_up_byte"})),
                    amount(one.layers.xreplace(known)),
                    amount(one.stage_layers.xreplace(known)),
                    len(own.where(resource="launches").rows),
                    "positions" if reach else "rows" if section == "head" else "tokens",
                    None if reach in (None, "full") else int(compiled.bindings[sp.Symbol(reach, integer=True, positive=True)]),
                )
            )
    return tuple(found)


def kernel_time(p: Piece, env: Env) -> float:
    compute = sum(f(env) / (env[f"peak_{m}"] * env["compute_efficiency"]) for m, f in p.flop.items())
    return max(compute, p.byte(env) / (env["memory_bandwidth"] * env["memory_efficiency"]))


def link_time(p: Piece, env: Env) -> float:
    found = 0.0
    for link, (byte, hops) in p.sent.items():
        sent = byte(env)
        found += hops(env) * env[f"{link}_latency"]
        if sent:
            rate = env[f"{link}_bandwidth"]
            if link == "scale_up":
                rate = min(rate, p.peers(env) * env["scale_up_peer_bandwidth"])
            found += sent / (rate * env["link_efficiency"])
    return found


def attended(p: Piece, new: int, past: int) -> Env:
    """Pairs, and distinct positions touched, of `new` tokens after `past` ones, counted one by one."""
    window = past + new if p.window is None else p.window
    pairs = sum(min(past + i + 1, window) for i in range(new))
    oldest = max(0, past + 1 - window)
    context = past + new - oldest
    tail = "full" if p.window is None else "sliding_window"
    return {f"pairs_{tail}": float(pairs), f"context_{tail}": float(context), "seq": float(new)}


@dataclass(frozen=True)
class Plan:
    sequences: int
    micro: int
    rounds: int
    step_tokens: int
    steps: tuple[int, ...]


def plan(env: Mapping[str, Any]) -> Plan:
    sequences = ceil(env["batch"] / env["dp"])
    micro = ceil(sequences / env["microbatches"])
    step = int(min(env["max_num_batched_tokens"], micro * env["isl"]))
    left, steps = int(sequences * env["isl"]), []
    while left > 0:
        steps.append(min(step, left))
        left -= steps[-1]
    return Plan(sequences, micro, ceil(sequences / micro), step, tuple(steps))


def ttft(name: str, env: Env) -> float:
    """Each step in turn on the last stage, then one step of full size through the other stages."""
    p = plan(env)
    isl, step = int(env["isl"]), p.step_tokens
    piece = min(step, isl)
    total = 0.0
    for k in pieces(name, "prefill"):
        layers, stage = k.layers(env), k.stage_layers(env)
        times = []
        if k.launches == 0 or k.grows == "tokens":
            sizes = [p.sequences / len(p.steps)] * len(p.steps) if k.grows == "rows" else list(p.steps)
            timed = link_time if k.launches == 0 else kernel_time
            for tokens in {*sizes}:
                times.append(sizes.count(tokens) * timed(k, {**env, "batch": env["dp"] * tokens, "seq": 1.0}))
            full = timed(k, {**env, "batch": env["dp"] * step, "seq": 1.0})
        elif k.grows == "rows":
            now = {**env, "batch": env["dp"] * p.sequences / len(p.steps), "seq": 1.0}
            full = kernel_time(k, now)
            times.append(len(p.steps) * full)
        else:
            for past in range(0, isl, piece):
                now = {**env, "batch": env["dp"] * p.sequences, **attended(k, min(piece, isl - past), past)}
                times.append(kernel_time(k, now))
            # the costliest step: the prompts that share it are at the end of their way
            full = kernel_time(k, {**env, "batch": env["dp"] * step / piece, **attended(k, piece, isl - piece)})
        launching = k.launches * env["launch_latency"]
        if k.section == "pipeline":
            total += full
            continue
        total += stage * (sum(times) + len(p.steps) * launching) + (layers - stage) * (full + launching)
    return total


def tpot(name: str, env: Env) -> float:
    """Each position in turn: one micro-batch through all stages, or all of them through the last one."""
    p = plan(env)
    chain = fullest = 0.0
    for k in pieces(name, "decode"):
        layers, stage = k.layers(env), k.stage_layers(env)
        now = {**env, "batch": env["dp"] * p.micro, "seq": 1.0}
        count = int(env["osl"]) - 1
        if k.launches == 0:
            time = count * link_time(k, now)
        elif k.grows == "positions":
            time = sum(kernel_time(k, {**now, **attended(k, 1, int(env["isl"]) + j)}) for j in range(count))
        else:
            time = count * kernel_time(k, now)
        time += count * k.launches * env["launch_latency"]
        chain += layers * time
        fullest += stage * time
    return max(chain, p.rounds * fullest) / (env["osl"] - 1)
