"""Serving time by loops: an independent reading of the rules, to hold the closed sums against.

Taken from the compiler: what each unit asks for in one step (its cost table and sizes), and the closed form of its class.
Everything that happens over a phase is written here anew, with loops over steps, pieces of prompts and positions, and the
form is evaluated at each with all its constants.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from math import ceil
from typing import Any, Protocol

import sympy as sp

from costc.count.rows import CostTable
from costc.count.shapes import Shape
from costc.ir.reach import Recurrent
from costc.ir.types import Link
from costc.latency.form import Form
from costc.latency.forms import CLASSES, FORMS
from costc.serving.compose import reaches_of
from tests.property.compiled import model

Env = dict[str, float]
MEMORY = ("weight_byte", "kv_byte", "activation_byte")
LAUNCH = "launch_latency"
#: what a form may ask for that a step has whatever the unit
OF_THE_STEP = ("sequences", "seq")


@dataclass(frozen=True)
class Amount:
    """A number per step as a function of named values."""

    names: tuple[str, ...]
    function: Callable[..., float]

    def __call__(self, env: Mapping[str, float]) -> float:
        return float(self.function(*(env[n] for n in self.names)))


class Part(Protocol):
    """Seconds of one launch, and those to start it."""

    def __call__(self, env: Env) -> float: ...

    def launch(self, env: Env) -> float: ...


@dataclass(frozen=True)
class Timed:
    """A form of one unit: its demands, the names of its constants among the inputs, and its time."""

    demands: Mapping[str, Amount]
    constants: Mapping[str, str]
    time: Amount
    bandwidth: Callable[[Env], float]
    peak: str
    #: members of the group on this class of link; None for what works on the device
    ranks: Amount | None = None

    def __call__(self, env: Env) -> float:
        """Seconds of one launch, without what it takes to start a kernel."""
        if self.ranks and self.ranks(env) == 1:
            return 0.0
        known = {k: a(env) for k, a in self.demands.items()} | {k: env[name] for k, name in self.constants.items()}
        if self.ranks is None:
            known[LAUNCH] = 0.0
        return self.time({**known, "bandwidth": self.bandwidth(env), "peak": env.get(self.peak, 0.0)})

    def launch(self, env: Env) -> float:
        return env[self.constants[LAUNCH]] if self.ranks is None and LAUNCH in self.constants else 0.0


@dataclass(frozen=True)
class Piece:
    """One unit of a section: a kernel, the routed experts of a layer, or a collective on both classes of link."""

    section: str
    name: str
    parts: tuple[Part, ...]
    layers: Amount
    stage_layers: Amount
    communicates: bool
    #: what its amounts grow with: 'tokens', 'rows' (sequences alone) or 'positions'
    grows: str
    #: the law of positions, as its symbols end; its size in tokens (None: all of them); whether it is that of a recurrence
    law: str
    window: int | None
    recurs: bool

    def time(self, env: Env) -> float:
        return sum(part(env) for part in self.parts)

    def launch(self, env: Env) -> float:
        return sum(part.launch(env) for part in self.parts)


def amount(expr: sp.Expr) -> Amount:
    symbols = sorted(expr.free_symbols, key=lambda s: s.name)
    plain = {s: sp.Symbol(f"v{i}") for i, s in enumerate(symbols)}
    return Amount(tuple(s.name for s in symbols), sp.lambdify(list(plain.values()), expr.xreplace(plain), "math"))


@cache
def form_time(name: str) -> Amount:
    return amount(FORMS[name].time)


@cache
def pieces(name: str, phase: str) -> tuple[Piece, ...]:
    compiled = model(name)
    table = compiled.lowered[phase].table
    known = {**compiled.bindings, **{s: e.xreplace(compiled.bindings) for s, e in table.definitions}}
    recurrences = {r.name for r in reaches_of(compiled.lowered[phase].graph) if isinstance(r, Recurrent)}
    found = []
    for shape in compiled.lowered[phase].shapes:
        own = table.where(section=shape.section, kernel=shape.kernels)
        if own.rows:
            found.append(_piece(own, shape, known, recurrences))
    return tuple(found)


def _piece(own: CostTable, shape: Shape, known: dict[sp.Symbol, sp.Expr], recurrences: set[str]) -> Piece:
    one = own.rows[0]
    names = {s.name for r in own for s in r.amount.xreplace(known).free_symbols}
    law = next((n.partition("_")[2] for n in names if n.startswith(("pairs_", "context_"))), "")
    size = next((int(v) for s, v in known.items() if s.name == law), None)
    parts = tuple(_on_a_link(k, known) for k in shape.links if k.byte != 0) if shape.links else (_kernel(own, shape, known, law),)
    grows = "positions" if law else "rows" if shape.section == "head" else "tokens"
    layers, stage = (amount(x.xreplace(known)) for x in (one.layers, one.stage_layers))
    return Piece(shape.section, shape.name, parts, layers, stage, bool(shape.links), grows, law, size, law in recurrences)


def _kernel(own: CostTable, shape: Shape, known: dict[sp.Symbol, sp.Expr], law: str) -> Timed:
    form = FORMS[CLASSES.get(shape.form, shape.form)]

    def total(part: CostTable) -> sp.Expr:
        return sp.Add(*(r.amount for r in part)).xreplace(known).xreplace(known)

    def asked(demand: str) -> sp.Expr:
        if demand in OF_THE_STEP:
            return sp.Symbol(demand)
        if demand in ("pairs", "context"):
            return sp.Symbol(f"{demand}_{law}")
        if demand == "converted":
            return shape.sizes["rows"].xreplace(known) * sp.Symbol(f"converts_{shape.module}")
        if demand in shape.sizes:
            return shape.sizes[demand].xreplace(known)
        if demand == "flop":
            # products in several formats: each by the ratio of the unit's own peak to the peak it has
            peaks = {m: sp.Symbol(f"peak_{shape.module}") / sp.Symbol(f"peak_{m}") for m in own.group_by("module")}
            return sp.Add(*(total(t) * peaks[m] for m, t in own.where(resource="flop").group_by("module").items()))
        return total(own.where(resource=MEMORY if demand == "byte" else demand))

    demands = {d.name: amount(asked(d.name)) for d in form.demands}
    return Timed(
        demands, _inputs(form, shape.module), form_time(form.name), lambda e: e["memory_bandwidth"], f"peak_{shape.module}"
    )


def _on_a_link(link: Link, known: dict[sp.Symbol, sp.Expr]) -> Timed:
    form = FORMS[f"{link.collective}_{link.name}"]
    demands = {d.name: amount(getattr(link, d.name).xreplace(known)) for d in form.demands}
    peers, ranks = amount(link.peers.xreplace(known)), amount(link.ranks.xreplace(known))

    def bandwidth(env: Env) -> float:
        # behind a switch a device has its whole link for one peer too, in a mesh only that peer's
        if link.name == "scale_out":
            return env["scale_out_bandwidth"]
        return min(env["scale_up_bandwidth"], peers(env) * env["scale_up_peer_bandwidth"])

    return Timed(demands, _inputs(form, ""), form_time(form.name), bandwidth, "", ranks)


def _inputs(form: Form, module: str) -> dict[str, str]:
    return {c.name: f"{form.name}_{c.name}" + (f"_{module}" if c.per_dtype else "") for c in form.constants}


def attended(p: Piece, new: int, past: int) -> Env:
    """Pairs, and distinct positions touched, of `new` tokens after `past` ones, counted one by one."""
    window = past + new if p.window is None else p.window
    if p.recurs:
        # chunks begin with the step, and one state is touched
        found = {"pairs": float(sum(i % window + 1 for i in range(new))), "context": 1.0}
    else:
        pairs = sum(min(past + i + 1, window) for i in range(new))
        oldest = max(0, past + 1 - window)
        found = {"pairs": float(pairs), "context": float(past + new - oldest)}
    return {**{f"{k}_{p.law}": v for k, v in found.items()}, "seq": float(new)}


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


def _tokens(env: Env, count: float) -> Env:
    """A step of that many tokens (or, for the head, sequences) of a rank."""
    return {**env, "batch": env["dp"] * count, "seq": 1.0, "sequences": count}


def ttft(name: str, env: Env, units: Callable[[str, str], tuple[Piece, ...]] = pieces) -> float:
    """Each step in turn on the last stage, then one step of full size through the other stages."""
    p = plan(env)
    isl, step = int(env["isl"]), p.step_tokens
    piece = min(step, isl)
    total = 0.0
    for k in units(name, "prefill"):
        layers, stage = k.layers(env), k.stage_layers(env)
        times = []
        if k.grows == "tokens":
            for tokens in {*p.steps}:
                times.append(p.steps.count(tokens) * k.time(_tokens(env, tokens)))
            full = k.time(_tokens(env, step))
        elif k.grows == "rows":
            full = k.time(_tokens(env, p.sequences / len(p.steps)))
            times.append(len(p.steps) * full)
        else:
            # prompts that share a step attend together; with those of all steps there are so many groups of them
            together = step / piece
            now = {**env, "batch": env["dp"] * together, "sequences": together}
            for past in range(0, isl, piece):
                times.append(p.sequences / together * k.time({**now, **attended(k, min(piece, isl - past), past)}))
            # the costliest step: the prompts that share it are at the end of their way
            full = k.time({**now, **attended(k, piece, isl - piece)})
        launching = k.launch(env)
        if k.section == "pipeline":
            total += k.time(_tokens(env, step))
            continue
        total += stage * (sum(times) + len(p.steps) * launching) + (layers - stage) * (full + launching)
    return total


def tpot(name: str, env: Env, units: Callable[[str, str], tuple[Piece, ...]] = pieces) -> float:
    """Each position in turn: one micro-batch through all stages, or all of them through the last one."""
    p = plan(env)
    chain = fullest = 0.0
    count = int(env["osl"]) - 1
    for k in units(name, "decode"):
        layers, stage = k.layers(env), k.stage_layers(env)
        now = _tokens(env, p.micro)
        if k.grows == "positions":
            time = sum(k.time({**now, **attended(k, 1, int(env["isl"]) + j)}) for j in range(count))
        else:
            time = count * k.time(now)
        time += count * k.launch(env)
        chain += layers * time
        fullest += stage * time
    return max(chain, p.rounds * fullest) / (env["osl"] - 1)
