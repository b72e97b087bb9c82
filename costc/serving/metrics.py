"""What users ask for, from phase times, counts and memory.

Definitions as in vLLM's serving benchmark: TTFT to the first token, TPOT = (E2EL - TTFT) / (output - 1).
MFU is the time the model's own matrix FLOPs (nothing replicated) would take on all devices at the dense
peaks of their formats, over the time taken; MBU the same for weight and cache bytes at full bandwidth.
Energy takes TDP as the draw: an upper bound. Cost charges all devices to the output tokens.
"""

from __future__ import annotations

from dataclasses import dataclass

import sympy as sp

from costc import symbols as S
from costc.count.rows import LINKS, MEMORY
from costc.minmax import Max
from costc.place.mesh import Mesh
from costc.program import BoundOf, Output, Steps
from costc.serving.closed_loop import Loop
from costc.serving.memory import Memory
from costc.serving.phases import GROUPS, Phase
from costc.serving.schedule import Schedule
from costc.serving.totals import Amounts

BOUNDS = ("compute", "memory", "communication", "launch")
KV_AND_WEIGHTS = ("weight_byte", "kv_byte")
MILLION = sp.Integer(10**6)
QUANTILES = {"p50": sp.Rational(1, 2), "p90": sp.Rational(9, 10), "p99": sp.Rational(99, 100)}


class Outputs:
    """Collects the published results of a program."""

    def __init__(self, steps: Steps) -> None:
        self.steps = steps
        self.found: list[Output] = []

    def add(self, name: str, expr: sp.Expr, unit: str, meaning: str) -> sp.Symbol:
        symbol = self.steps.let(name, expr, unit, meaning)
        self.found.append(Output(name, symbol.name, unit, meaning))
        return symbol

    def force(self, name: str, expr: sp.Expr, unit: str, meaning: str) -> None:
        """A result under this very name, also where another step has the same value."""
        self.found.append(Output(name, self.steps.fresh(name, expr, unit, meaning).name, unit, meaning))

    def publish(self, name: str, symbol: sp.Symbol, unit: str, meaning: str) -> sp.Symbol:
        """A result that is a step already."""
        self.found.append(Output(name, symbol.name, unit, meaning))
        return symbol


def times(before: Phase, after: Phase, plan: Schedule, mesh: Mesh, out: Outputs) -> dict[str, sp.Symbol]:
    """Latency and throughput."""
    ttft = out.publish("ttft", before.total, "s", "time to first token: prefill of the whole batch")
    e2el = out.add("e2el", before.total + after.total, "s", "end-to-end latency of a request")
    tpot = out.add("tpot", after.total / plan.decode_steps, "s", "time per output token after the first")
    devices = out.add("devices", mesh.devices, "1", "devices of the replica")
    output = out.add("output_throughput", S.batch * S.osl / e2el, "1/s", "output tokens per second of the replica")
    out.add("total_throughput", S.batch * (S.isl + S.osl) / e2el, "1/s", "input and output tokens per second of the replica")
    out.add("request_throughput", S.batch / e2el, "1/s", "requests per second of the replica")
    out.add("throughput_per_user", 1 / tpot, "1/s", "output tokens per second that one user sees")
    out.add("throughput_per_device", output / devices, "1/s", "output tokens per second and device")
    power = devices * S.tdp
    out.add("cost_per_million_tokens", MILLION * devices * S.price / output, "USD", "per million output tokens")
    out.add(
        "cost_per_million_total_tokens",
        MILLION * devices * S.price * e2el / (S.batch * (S.isl + S.osl)),
        "USD",
        "per million tokens, input and output",
    )
    out.add("energy_per_token", power / output, "W*s", "per output token, all devices at TDP")
    return {"ttft": ttft, "e2el": e2el, "devices": devices}


def closed_loop(run: Loop, plan: Schedule, mesh: Mesh, out: Outputs) -> None:
    """Latency and throughput of continuous batching with `batch` requests in flight: means over the requests of a run."""
    ttft = out.add("ttft", run.seat + run.first, "s", "mean time to first token, waiting for a seat included")
    tpot = out.add("tpot", run.decode / plan.decode_steps, "s", "mean time per output token after the first")
    e2el = out.add("e2el", ttft + run.decode, "s", "mean end-to-end latency of a request")
    devices = out.add("devices", mesh.devices, "1", "devices of the replica")
    requests = out.add("request_throughput", S.batch / e2el, "1/s", "requests per second of the replica")
    output = out.add("output_throughput", requests * S.osl, "1/s", "output tokens per second of the replica")
    out.add("total_throughput", requests * (S.isl + S.osl), "1/s", "input and output tokens per second of the replica")
    out.add("throughput_per_user", 1 / tpot, "1/s", "output tokens per second that one user sees")
    out.add("throughput_per_device", output / devices, "1/s", "output tokens per second and device")
    out.add("cost_per_million_tokens", MILLION * devices * S.price / output, "USD", "per million output tokens")
    out.add("energy_per_token", devices * S.tdp / output, "W*s", "per output token, all devices at TDP")
    out.add("running", plan.sequences, "1", "requests of a rank that run at once; the others wait for a seat")
    # the start-up queue is uniform over its span: the mean less half of it is what the others see
    rest = ttft - run.queueing * run.span / 2
    for name, share in QUANTILES.items():
        late = Max(0, 1 - (1 - share) / run.queueing)
        meaning = f"{name[1:]} % of the requests have their first token by then, as far as the start-up queue decides"
        out.add(f"ttft_{name}", rest + run.span * late, "s", meaning)


def fitting(found: Memory, out: Outputs) -> None:
    """Memory by part and the batch that fits."""
    out.publish("memory_weights", found.weights, "B", "weights of a device")
    out.publish("memory_kv", found.kv, "B", "KV cache of a device")
    out.publish("memory_activation", found.activation, "B", "activation peak of a device")
    out.add("memory_framework", S.framework_byte, "B", "framework overhead of a device")
    out.publish("memory_total", found.total, "B", "all parts, of a device")
    out.publish("memory_limit", found.limit, "B", "what the engine may use of a device")
    fits = sp.Piecewise((sp.Integer(1), found.total <= found.limit), (sp.Integer(0), True))
    out.add("fits", fits, "1", "1 where all parts fit")
    out.publish("max_batch", found.max_batch, "1", "largest batch that fits")


@dataclass(frozen=True)
class Work:
    """Of one phase: FLOP by module and bytes of a rank's micro-batch, of which there are `rounds`, and the model's own FLOP."""

    flop: Amounts
    byte: Amounts
    model_flop: Amounts
    rounds: sp.Expr


def work(phase: str, time: Phase, done: Work, mesh: Mesh, out: Outputs) -> None:
    """Counts, utilisation and what binds, for one phase."""
    flop = sp.Add(*done.flop.values())
    moved = sp.Add(*(done.byte[r] for r in MEMORY))
    everywhere = done.rounds * mesh.ranks
    out.add(f"flop_{phase}", flop * everywhere, "FLOP", f"matrix FLOP of {phase}, all devices, each rank as full as the fullest")
    for resource in (*MEMORY, *LINKS):
        meaning = f"{resource.replace('_', ' ')}s of {phase}, all devices"
        out.add(f"{resource}_{phase}", done.byte[resource] * everywhere, "B", meaning)
    out.add(f"arithmetic_intensity_{phase}", flop / moved, "FLOP/B", f"matrix FLOP per byte of memory traffic in {phase}")
    useful = sp.Add(*(f / S.peak(m) for m, f in done.model_flop.items()))
    out.add(f"mfu_{phase}", useful / (mesh.devices * time.total), "1", f"model FLOP utilisation in {phase}")
    used = sp.Add(*(done.byte[r] for r in KV_AND_WEIGHTS)) * done.rounds / S.pp
    out.add(f"mbu_{phase}", used / (S.memory_bandwidth * time.total), "1", f"memory bandwidth utilisation in {phase}")
    _bound(phase, time, done, moved, out)
    for group in GROUPS:
        if group in time.groups:
            out.add(f"share_{phase}_{group}", time.groups[group] / time.chain, "1", f"{group}: share of the time of {phase}")


def _bound(phase: str, time: Phase, done: Work, moved: sp.Expr, out: Outputs) -> None:
    """What would save the most time if it were free: of the kernels, what the other resource alone would not take."""
    let = out.steps.let
    flops = (f / S.peak(m) for m, f in done.flop.items())
    compute = let(f"{phase}.compute", sp.Add(*flops), "s", "matrix units alone, at their peaks")
    memory = let(f"{phase}.memory", moved / S.memory_bandwidth, "s", "memory alone, at its full bandwidth")
    kernels = time.chain - time.groups["communication"] - time.groups["launch"]
    needs = {
        "compute": kernels - memory,
        "memory": kernels - compute,
        "communication": time.groups["communication"],
        "launch": time.groups["launch"],
    }
    longest = BoundOf(*(needs[b] for b in BOUNDS))
    out.add(
        f"bound_{phase}",
        longest,
        "1",
        f"what would save most time in {phase} if it were free: {', '.join(f'{i} {b}' for i, b in enumerate(BOUNDS))}",
    )
