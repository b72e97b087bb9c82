"""One replica that prefills and decodes together: with so many requests in flight, or at a request rate.

At a rate, requests arrive by themselves (Poisson), and the number in flight is what Little's law makes of it: the one whose
throughput in a closed loop is that rate. Nothing of the start of a run is left then (waves without end), the requests are not in
step with one another, and the wait for other prompts is that of the closed loop at the same load, M/D/1.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from costc.errors import CostcError
from costc.loads.ask import Worker

Floats = np.ndarray
#: waves of a run whose start is forgotten, and a spread at which no requests stay in step
STEADY: Final = {"waves": 1e12, "length_spread": 1.0}
#: share of the highest rate that is not asked beyond: queues grow there without bound, and so do errors
NEAR: Final = 0.95
#: load of the prefills from which they are said to be the limit
BUSY: Final = 0.8
#: most numbers in flight that a rate is sought among
MOST: Final = 4096


def in_flight(worker: Worker, concurrency: Sequence[float] | Floats) -> dict[str, Floats]:
    """Outputs of the closed loop, one value for each number of requests in flight."""
    requests = np.asarray(concurrency, dtype=np.float64)
    found = worker.model.closed_loop.evaluator({**worker.values, "batch": requests})
    return {name: np.broadcast_to(value, requests.shape) for name, value in found.items()} | {"concurrency": requests}


def at_rate(worker: Worker, rate: Sequence[float]) -> dict[str, Floats]:
    """Outputs of the steady state at requests per second, one value for each.

    Raises:
        CostcError: a rate beyond what the replica serves, or too near it.
    """
    steady = Worker(worker.model, worker.platform, {**worker.values, **STEADY})
    table = in_flight(steady, steady.ranks * _seats(steady))
    served = np.maximum.accumulate(table["request_throughput"])
    top = int(np.argmax(served))
    for asked in rate:
        if not asked <= NEAR * served[top]:
            raise CostcError(_saturated(asked, table, top, steady))
    at = np.asarray(rate, dtype=np.float64)
    # between whole numbers in flight, and below one, by the rate
    found = {name: np.interp(at, served[: top + 1], value[: top + 1]) for name, value in table.items()}
    low = at < served[0]
    found["concurrency"] = np.where(low, at / served[0], found["concurrency"]) if np.any(low) else found["concurrency"]
    for name in ("output_throughput", "total_throughput", "throughput_per_device", "prefill_load"):
        found[name] = np.where(low, table[name][0] * at / served[0], found[name])
    for name in ("cost_per_million_tokens", "energy_per_token"):
        found[name] = np.where(low, table[name][0] * served[0] / at, found[name])
    return found | {"request_throughput": at}


def fits(replica: Worker) -> None:
    """Raise where not even one request of each rank fits beside the weights, or no time is known.

    Raises:
        CostcError: it does not fit, or a format has no rate on the device.
    """
    one = {name: float(value[0]) for name, value in in_flight(replica, [replica.ranks]).items()}
    name = replica.model.model.name
    if one["max_batch"] < replica.ranks:
        weights, limit = one["memory_weights"] / 1e9, one["memory_limit"] / 1e9
        raise CostcError(
            f"{name} does not fit: {weights:.4g} GB of weights on a device of {limit:.4g} GB for the engine, "
            "and no room for a request; use more devices or a smaller format"
        )
    if not np.isfinite(one["ttft"]):
        raise CostcError(f"{name}: no time is known for this device and plan")


def _seats(worker: Worker) -> Floats:
    """Numbers in flight of a rank, up to all that run at once."""
    most = in_flight(worker, [worker.ranks * 1e9])["running"][0]
    return np.unique(np.rint(np.geomspace(1, most, MOST))) if most > MOST else np.arange(1.0, most + 1)


def _saturated(asked: float, table: dict[str, Floats], top: int, worker: Worker) -> str:
    highest, requests = table["request_throughput"][top], table["concurrency"][top]
    said = f"{asked:.4g} requests per second are more than {NEAR:.0%} of the highest rate"
    return f"{said}: {highest:.4g} with {requests:.0f} in flight, where {limit(table, top, worker)}"


def limit(table: dict[str, Floats], top: int, worker: Worker) -> str:
    """What keeps the throughput from growing, in words."""
    if table["prefill_load"][top] > BUSY:
        return f"prefill takes {table['prefill_load'][top]:.0%} of the time"
    if top < len(table["running"]) - 1:
        return "more requests slow one another down by as much"
    if table["running"][top] >= worker.values["max_num_seqs"]:
        return f"the engine runs no more than max_num_seqs = {worker.values['max_num_seqs']:g} requests of a rank"
    return "the cache has no room for more requests"
