"""Prefill and decode on workers of their own, in closed form: a closed queueing network of one queue and a delay.

N requests go round. Each is prefilled on one of P workers of r attention ranks, its cache is sent to a decode worker, and it
stays there for X = (O - 1) D seconds. The prefill ranks together are one fast server that needs s seconds for a prompt, always
the same; what a prompt takes beyond s, and all else on its way, is a delay Z. A request that arrives finds (N - 1) / N of the
mean queue (P. J. Schweitzer 1979, Approximate analysis of multiclass closed networks of queues), and half of the service under
way is left (M. Reiser 1979, A queueing network analysis of computer communication networks with window flow control). With
Little's law that is a quadratic with one positive root, the time in the queue and its server, from s (idle) to s N - Z:

    R = (s N - Z + sqrt((s N - Z - s)^2 + 2 s Z + s^2)) / 2        and no less than s N - Z

Prompts do not join a step that is under way: a prompt waits at least the rest of one, T1 / 2 times the workers' load. Where
seats in the decode workers are fewer than the requests, Little's law gives the time to the first token, X (N - seats) / seats.
A run starts with all requests at once, whose mean queue N s / 2 the first of `waves` prompts of a seat sees.

The decode step D is that of the requests found here to be left in decode, N X / (X + TTFT): who calls settles the two.
"""

from __future__ import annotations

from functools import cache

import sympy as sp

from costc import symbols as S
from costc.minmax import Max, Min
from costc.program import Program, Steps, verify
from costc.serving.constants import POOL_SYMBOLS as POOL
from costc.serving.constants import SYMBOLS as E
from costc.serving.metrics import MILLION, Outputs


def _given(name: str, tex: str, unit: str, meaning: str) -> sp.Symbol:
    return S.define(f"pool_{name}", tex, unit, meaning, positive=False)


IN_FLIGHT = _given("in_flight", r"N", "1", "requests in flight, in both pools")
ALONE = _given("prompt_alone", r"T_1", "s", "prefill of a prompt on a worker whose every rank has one")
PACKED = _given("prompt_packed", r"T_{\mathrm{p}}", "s", "prefill of one of as many prompts as a rank's step holds")
SHARED = _given("prompt_shared", r"x", "1", "share of a prompt's prefill that a worker's ranks do together: experts and links")
PREFILL_WORKERS = _given("prefill_workers", r"n_{\mathrm{p}}", "1", "prefill workers")
PREFILL_RANKS = _given("prefill_ranks", r"r_{\mathrm{p}}", "1", "attention data-parallel ranks of a prefill worker")
STEP = _given("decode_step", r"D", "s", "a decode step of the requests that are in decode")
DECODE_WORKERS = _given("decode_workers", r"n_{\mathrm{d}}", "1", "decode workers")
SEATS = _given("decode_seats", r"K", "1", "requests that all decode workers together can hold")
CACHE = _given("cache_byte", r"\kappa_I", "B", "cache of a prompt on one device, the larger of both sides")
LINK = _given("link_bandwidth", r"\beta_{\mathrm{t}}", "B/s", "rate at which a device sends cache to the other pool")
DELAY = _given("link_latency", r"\alpha_{\mathrm{t}}", "s", "latency of that link")
DEVICES = _given("devices", r"n", "1", "devices of both pools")
PRICE = _given("price", r"c", "USD/s", "price of all devices")
POWER = _given("power", r"\Pi_{\mathrm{all}}", "W", "thermal design power of all devices")


@cache
def disaggregated() -> Program:
    """The program of two pools: times, throughputs, loads and the workers that match; the same for every model."""
    steps = Steps()
    out = Outputs(steps)
    let = steps.let
    decode = let("pool.decode", (S.osl - 1) * STEP, "s", "from the first token to the last")
    transfer = out.add("kv_transfer", DELAY + CACHE / LINK, "s", "sending a prompt's cache to its decode worker")
    service = let("pool.service", Min(PACKED, ALONE) / (PREFILL_RANKS * PREFILL_WORKERS), "s", "of a prompt, all ranks busy")
    early, queue = _way(decode, transfer, service, steps)
    held = let("pool.seats", Min(IN_FLIGHT, SEATS), "1", "requests in decode at most")
    short = let("pool.short", decode * (IN_FLIGHT - held) / held, "s", "to the first token, where seats decide")
    steady = let("pool.steady", Max(early, short), "s", "to the first token, once the run is under way")
    burst = let("pool.burst", Max(0, IN_FLIGHT * service / 2 - queue), "s", "queue at the start beyond that")
    ttft = out.add("ttft", steady + burst / S.waves, "s", "mean time to first token")
    _published(ttft, decode, service, Min(held, IN_FLIGHT * decode / (decode + steady)), out)
    inputs = tuple(sorted({s for step in steps.steps for s in step.expr.free_symbols} - {s.symbol for s in steps.steps}, key=str))
    return verify(Program("prefill and decode apart", inputs, tuple(steps.steps), tuple(out.found)))


def _way(decode: sp.Expr, transfer: sp.Expr, service: sp.Expr, steps: Steps) -> tuple[sp.Expr, sp.Expr]:
    """(time to the first token where seats are free, its part in the queue of the prefill pool)."""
    let = steps.let
    around = E["request_overhead"] + E["token_overhead"] * S.isl + transfer + POOL["handover_steps"] * STEP
    first = let("pool.around", around, "s", "request and first token on their way, and until the decode worker takes it in")
    busiest = let("pool.busiest", Min(1, IN_FLIGHT * service / (decode + ALONE + first)), "1", "load without a queue")
    idle = 1 - Max(1 / PREFILL_RANKS, busiest)
    alone = let("pool.alone", ALONE * (1 - SHARED * idle), "s", "prefill of a prompt among as many as there are")
    other = let("pool.other", decode + first + Max(0, alone - service), "s", "a request's way but for the queue")
    root = _root(service, other)
    queue = let("pool.queue", root, "s", "in the queue of the prefill pool, if prompts joined at any time")
    load = Min(1, IN_FLIGHT / (other + queue) * alone / PREFILL_WORKERS)
    rest = let("pool.rest", service + alone / 2 * load, "s", "service, and the rest of the step under way")
    # no more than 1 / s prompts a second leave the pool
    queue = let("pool.wait", Max(queue, rest, IN_FLIGHT * service - other), "s", "in the queue of the prefill pool")
    return let("pool.early", first + Max(0, alone - service) + queue, "s", "to the first token, where seats are free"), queue


def _root(service: sp.Expr, delay: sp.Expr) -> sp.Expr:
    """Residence in one queue with IN_FLIGHT requests that spend `delay` elsewhere."""
    over = service * IN_FLIGHT - delay
    return (over + sp.sqrt((over - service) ** 2 + 2 * service * delay + service**2)) / 2


def _published(ttft: sp.Expr, decode: sp.Expr, service: sp.Expr, running: sp.Expr, out: Outputs) -> None:
    e2el = out.add("e2el", ttft + decode, "s", "mean end-to-end latency of a request")
    out.add("tpot", decode / (S.osl - 1), "s", "time per output token after the first")
    requests = out.add("request_throughput", IN_FLIGHT / e2el, "1/s", "requests per second of both pools")
    output = out.add("output_throughput", requests * S.osl, "1/s", "output tokens per second")
    out.add("total_throughput", requests * (S.isl + S.osl), "1/s", "input and output tokens per second")
    out.add("throughput_per_user", (S.osl - 1) / decode, "1/s", "output tokens per second that one user sees")
    out.add("throughput_per_device", output / DEVICES, "1/s", "output tokens per second and device of both pools")
    out.add("cost_per_million_tokens", MILLION * PRICE / output, "USD", "per million output tokens")
    out.add("energy_per_token", POWER / output, "W*s", "per output token, all devices at TDP")
    running = out.add("running", running, "1", "requests in decode")
    out.add("prefill_load", Min(1, requests * service), "1", "share of the prefill pool's capacity that is used")
    out.add("decode_load", running / SEATS, "1", "share of the decode pool's seats that is taken")
    capacity = 1 / (service * PREFILL_WORKERS)
    each = running / (DECODE_WORKERS * decode)
    out.add("prefill_per_decode", each / capacity, "1", "prefill workers that one decode worker with this batch keeps busy")
