"""Serving under a load, as people and programs read it: nested, in SI units, one point for each number in flight or rate."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any, Final

import numpy as np

from costc.compiled import CostModel
from costc.errors import CostcError
from costc.insight import hull
from costc.ir.platform import Hardware
from costc.loads import aggregated, pools
from costc.loads.ask import Platform, Worker, column, platform, settings, worker
from costc.results import notes
from costc.spec.profiles import efficiency_profile

PLATFORM: Final = ("quantization", "efficiency", "engine", "kv_cache_dtype")
#: what every point has, in this order; pools have more, and no percentiles
FIGURES: Final = (
    "concurrency", "request_throughput", "ttft", "tpot", "e2el", "output_throughput", "total_throughput", "throughput_per_user",
    "throughput_per_device", "cost_per_million_tokens", "energy_per_token", "running", "prefill_load",
)  # fmt: skip
QUANTILES: Final = ("ttft_p50", "ttft_p90", "ttft_p99")
POOL_FIGURES: Final = ("decode_load", "kv_transfer", "prefill_per_decode")


def serve(
    model: CostModel,
    hardware: str | Hardware,
    concurrency: int | Iterable[int] | None = None,
    rate: float | Iterable[float] | None = None,
    plan: Mapping[str, int] | None = None,
    pool: Mapping[str, Any] | None = None,
    **given: Any,
) -> dict[str, Any]:
    """Serve requests: so many in flight (`concurrency`) or so many a second (`rate`), one or several of either.

    Args:
        plan: degrees of a replica by strategy name, such as {"tp": 8}.
        pool: workers of their own for both phases, any of: `prefill` and `decode` (degrees; default: `plan`), `prefill_workers`
            and `decode_workers` (default: 1), `prefill_hardware`, `prefill_tokens` (of a step; default: the engine's).
        given: isl, osl, quantization, efficiency, engine, kv_cache_dtype, and settings of `ask.SETTINGS`.

    Returns:
        The object that `costc serving --json` prints (its schema: serving.schema.json).

    Raises:
        CostcError: neither load or both, an unknown name, a model that does not fit, a rate that cannot be served.
    """
    if (concurrency is None) == (rate is None):
        raise CostcError("a load is either a number of requests in flight (concurrency) or a rate: give one of them")
    named = {k: given.pop(k) for k in PLATFORM if given.get(k) is not None}
    asked = settings({k: v for k, v in given.items() if k not in PLATFORM})
    loads = column("rate", rate, False) if rate is not None else column("concurrency", concurrency, True)
    if pool is None:
        replica = worker(model, platform(model, hardware, plan or {}, named), asked)
        aggregated.fits(replica)
        table = (aggregated.at_rate if rate is not None else aggregated.in_flight)(replica, loads)
        sides = {"replica": (replica, 1)}
    else:
        found = _pools(model, hardware, plan or {}, pool, named, asked)
        table = (pools.at_rate if rate is not None else pools.in_flight)(found, loads)
        sides = {"prefill": (found.prefill, found.prefill_workers), "decode": (found.decode, found.decode_workers)}
    return _result(model, sides, table)


def _pools(
    model: CostModel, hardware: str | Hardware, plan: Mapping[str, int], pool: Mapping[str, Any], named: Any, asked: Any
) -> pools.Pools:
    for phase in ("prefill", "decode"):
        count = pool.get(f"{phase}_workers", 1)
        if isinstance(count, bool) or not isinstance(count, int) or count < 1:
            raise CostcError(f"{phase}_workers takes a whole number above 0, not {count!r}")
    unknown = asked.keys() & {"draft_tokens", "acceptance", "prefix_hit_rate"}
    if any(asked[name] for name in unknown):
        raise CostcError(f"{' and '.join(sorted(unknown))} cannot be given where prefill and decode are apart")
    before = platform(model, pool.get("prefill_hardware") or hardware, pool.get("prefill") or plan, named)
    after = platform(model, hardware, pool.get("decode") or plan, named)
    tokens = pool.get("prefill_tokens")
    own = {**asked, **settings({"max_num_batched_tokens": tokens})} if tokens is not None else asked
    sides = worker(model, before, own), worker(model, after, asked)
    return pools.Pools(*sides, pool.get("prefill_workers", 1), pool.get("decode_workers", 1))


def _result(model: CostModel, sides: Mapping[str, tuple[Worker, int]], table: Mapping[str, np.ndarray]) -> dict[str, Any]:
    main = list(sides.values())[-1][0]
    names = (*FIGURES, *(n for n in (*QUANTILES, *POOL_FIGURES) if n in table))
    points = [
        {name: None if math.isnan(value := float(table[name][i])) else value for name in names}
        for i in range(len(table["concurrency"]))
    ]
    found: list[str] = []
    for name, (side, count) in sides.items():
        profile = efficiency_profile(model.catalog, side.platform.efficiency, side.platform.hardware, side.platform.engine)
        on = (side.platform.hardware, side.platform.quantization)
        plan: dict[str, Any] = dict(side.values)
        running = points[-1]["running"] or 1.0
        each = {"replica": running, "prefill": 1.0, "decode": running / count / side.ranks}[name]
        batch = {**side.values, "batch": float(side.ranks * max(1, math.ceil(each)))}
        found += [*notes(model, *on, plan), *hull.notes(model, *on, profile, batch)]
    return {
        "model": model.model.name,
        "quantization": main.platform.quantization.name,
        "engine": main.platform.engine.name,
        "workload": {name: main.values[name] for name in ("isl", "osl", "waves", "length_spread")},
        "sides": {name: _side(side, count) for name, (side, count) in sides.items()},
        "devices": sum(side.platform.devices * count for side, count in sides.values()),
        "points": points,
        "notes": list(dict.fromkeys(found)),
    }


def _side(side: Worker, workers: int) -> dict[str, Any]:
    on: Platform = side.platform
    profile = efficiency_profile(side.model.catalog, on.efficiency, on.hardware, on.engine)
    return {
        "hardware": on.hardware.name,
        "efficiency": profile.name,
        "plan": dict(on.plan),
        "workers": workers,
        "devices": on.devices * workers,
        "max_num_batched_tokens": side.values["max_num_batched_tokens"],
        "max_num_seqs": side.values["max_num_seqs"],
    }
