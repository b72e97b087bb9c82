"""Pools of workers for prefill and decode: their times from each side's own plan, and the batch that is left in decode."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

import numpy as np

from costc.emit.evaluator import Evaluator
from costc.errors import CostcError
from costc.loads.aggregated import NEAR, STEADY
from costc.loads.ask import Worker
from costc.serving.disaggregated import disaggregated

Floats = np.ndarray
#: batches of a decode worker at which its step is evaluated, and halvings in the search for a number in flight
GRID: Final = 96
HALVINGS: Final = 80
MOST: Final = 1e7


@dataclass(frozen=True)
class Pools:
    """Workers of both sides, and how many of each."""

    prefill: Worker
    decode: Worker
    prefill_workers: int
    decode_workers: int

    @property
    def devices(self) -> int:
        """All devices."""
        return self.prefill_workers * self.prefill.platform.devices + self.decode_workers * self.decode.platform.devices


@cache
def _evaluator() -> Evaluator:
    return Evaluator(disaggregated())


def in_flight(pools: Pools, concurrency: Sequence[float], steady: bool = False) -> dict[str, Floats]:
    """Outputs of the pools, one value for each number of requests in flight."""
    given = _inputs(pools) | (STEADY if steady else {})
    steps = _decode_steps(pools, given, max(concurrency))
    rows = [_settled(pools, given, steps, requests) for requests in concurrency]
    return {name: np.array([float(row[name]) for row in rows]) for name in rows[0]}


def at_rate(pools: Pools, rate: Sequence[float]) -> dict[str, Floats]:
    """Outputs in the steady state at requests per second, one value for each.

    Raises:
        CostcError: a rate beyond what the pools serve, or too near it.
    """
    highest = in_flight(pools, [MOST], steady=True)
    top = float(highest["request_throughput"][0])
    for asked in rate:
        if not asked <= NEAR * top:
            limit = "the prefill pool is busy all the time" if highest["prefill_load"][0] > NEAR else "no seat in decode is free"
            raise CostcError(
                f"{asked:.4g} requests per second are more than {NEAR:.0%} of the highest rate: {top:.4g}, where {limit}"
            )
    return in_flight(pools, [_requests(pools, asked) for asked in rate], steady=True)


def _requests(pools: Pools, rate: float) -> float:
    """Requests in flight at a rate; the throughput grows with them."""
    given = _inputs(pools) | STEADY
    steps = _decode_steps(pools, given, MOST)
    low, high = 1e-9, MOST
    for _ in range(HALVINGS):
        middle = float(np.sqrt(low * high))
        enough = float(_settled(pools, given, steps, middle)["request_throughput"]) >= rate
        low, high = (low, middle) if enough else (middle, high)
    return high


def _inputs(pools: Pools) -> dict[str, Any]:
    """Inputs of the program but requests in flight and decode step."""
    before, after = pools.prefill, pools.decode
    one, packed, prompts = _prompts(before)
    seats, held = _seats(after)
    link = max(_cache(before), held)
    sides = ((before, pools.prefill_workers), (after, pools.decode_workers))
    together = {name: sum(n * w.platform.devices * w.values[name] for w, n in sides) for name in ("price", "tdp")}
    return {
        **after.values,
        "pool_prompt_alone": float(one["ttft"]) - before.values["serving_request_overhead"],
        "pool_prompt_packed": (float(packed["ttft"]) - before.values["serving_request_overhead"]) / prompts,
        "pool_prompt_shared": sum(float(one.get(f"share_prefill_{k}", 0.0)) for k in ("experts", "communication")),
        "pool_prefill_workers": pools.prefill_workers,
        "pool_prefill_ranks": before.ranks,
        "pool_decode_workers": pools.decode_workers,
        "pool_decode_seats": seats * pools.decode_workers,
        "pool_cache_byte": link,
        **_link(pools),
        "pool_devices": pools.devices,
        "pool_price": together["price"],
        "pool_power": together["tdp"],
    }


def _prompts(worker: Worker) -> tuple[dict[str, Any], dict[str, Any], float]:
    """(a step in which every rank has one prompt, one with as many as its tokens allow, how many these are)."""
    prompts = max(1.0, worker.values["max_num_batched_tokens"] // worker.values["isl"])
    prompts = min(prompts, worker.values["max_num_seqs"])
    found = [worker.model.evaluator({**worker.values, "batch": worker.ranks * n}) for n in (1.0, prompts)]
    _known(worker, found[0]["ttft"], "prefill")
    if float(found[0]["max_batch"]) < worker.ranks:
        raise CostcError(f"{worker.model.model.name} does not fit into a prefill worker of {worker.platform.devices} devices")
    return found[0], found[1], prompts


def _seats(worker: Worker) -> tuple[float, float]:
    """(requests that a decode worker can hold, bytes of a prompt's cache on one of its devices)."""
    one = worker.model.evaluator({**worker.values, "batch": float(worker.ranks)})
    _known(worker, one["tpot"], "decode")
    length = worker.values["isl"] + worker.values["osl"]
    kept = length / (worker.values["isl"] + worker.values["serving_kept_output"] * worker.values["osl"])
    room = min(float(one["max_batch"]) * kept, worker.values["max_num_seqs"] * worker.ranks)
    if room < worker.ranks:
        raise CostcError(f"{worker.model.model.name} does not fit into a decode worker of {worker.platform.devices} devices")
    return float(np.floor(room / worker.ranks) * worker.ranks), _cache(worker)


def _cache(worker: Worker) -> float:
    """Bytes of a prompt's cache on one device."""
    found = worker.model.evaluator({**worker.values, "osl": 1.0, "batch": float(worker.ranks)})
    return float(found["memory_kv"])


def _known(worker: Worker, time: Any, phase: str) -> None:
    if not np.isfinite(time):
        raise CostcError(f"{worker.model.model.name}: no time of {phase} is known on {worker.platform.hardware.title}")


def _link(pools: Pools) -> dict[str, float]:
    """Rate and latency between the pools: of the domain where both lie in one, else of the network beyond it."""
    before, after = pools.prefill, pools.decode
    same = before.platform.hardware.name == after.platform.hardware.name
    inside = same and pools.devices <= before.values["domain"]
    if not inside and not (before.values["scale_out_links"] and after.values["scale_out_links"]):
        raise CostcError("the pools do not lie in one scale-up domain, and there is no scale-out link between them")
    name = "scale_up" if inside else "scale_out"
    rate = min(w.values[f"{name}_bandwidth"] * w.values[f"send_{name}_link_efficiency"] for w in (before, after))
    return {"pool_link_bandwidth": rate, "pool_link_latency": after.values[f"send_{name}_hop_latency"]}


def _decode_steps(pools: Pools, given: Mapping[str, Any], most: float) -> tuple[Floats, Floats]:
    """(requests in decode, in all workers; seconds of a step with them), from one in each rank upwards."""
    ranks = pools.decode.ranks
    top = max(1.0, np.ceil(min(most, given["pool_decode_seats"]) / pools.decode_workers / ranks))
    each = np.unique(np.rint(np.geomspace(1, top, GRID)))
    found = pools.decode.model.evaluator({**pools.decode.values, "batch": each * ranks})
    return each * ranks * pools.decode_workers, np.maximum.accumulate(np.broadcast_to(found["tpot"], each.shape))


def _settled(pools: Pools, given: Mapping[str, Any], steps: tuple[Floats, Floats], requests: float) -> dict[str, Any]:
    """Outputs with the decode step of the batch that is left: the largest that the pools hold up."""
    held, step = steps
    low, high = 0.0, min(requests, float(given["pool_decode_seats"]))
    for _ in range(HALVINGS // 2):
        batch = (low + high) / 2
        found = _evaluator()({**given, "pool_in_flight": requests, "pool_decode_step": np.interp(batch, held, step)})
        low, high = (batch, high) if float(found["running"]) >= batch else (low, batch)
    found = _evaluator()({**given, "pool_in_flight": requests, "pool_decode_step": np.interp(high, held, step)})
    return {**found, "concurrency": requests}
