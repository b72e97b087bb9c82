"""What is asked of a load: platform, plan, lengths and protocol, checked and named as the programs name their inputs."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from costc.closed import PROTOCOL
from costc.columns import values_of
from costc.compiled import DEFAULTS, CostModel
from costc.errors import CostcError, not_among
from costc.ir.platform import Engine, Hardware, Quantization
from costc.place.mesh import STRATEGIES, mesh

#: settings of the engine and of the run that a call may name, and what each takes
SETTINGS: Final = (
    "max_num_batched_tokens", "max_num_seqs", "scheduler_interval", "prefill_first", "batch_wait", "memory_utilization",
    *PROTOCOL,
)  # fmt: skip
#: settings that may be 0; all others are more
FROM_ZERO: Final = ("prefill_first", "batch_wait", "length_spread", "prefix_hit_rate", "draft_tokens", "acceptance")
#: settings that are shares of 1
SHARES: Final = ("length_spread", "prefix_hit_rate", "acceptance", "memory_utilization")


@dataclass(frozen=True)
class Platform:
    """What a side runs on, in words that a `CostModel` takes, and the plan of one worker."""

    hardware: Hardware
    quantization: Quantization
    efficiency: Any
    engine: Engine
    plan: Mapping[str, int]

    @property
    def devices(self) -> int:
        """Devices of one worker."""
        return math.prod(self.plan[s.name] for s in mesh().placed())


@dataclass(frozen=True)
class Worker:
    """A worker that can be evaluated: values of all inputs but the batch."""

    model: CostModel
    platform: Platform
    values: Mapping[str, float]

    @property
    def ranks(self) -> int:
        """Attention data-parallel ranks."""
        return self.platform.plan["dp"]


def platform(model: CostModel, hardware: str | Hardware, plan: Mapping[str, int], given: Mapping[str, Any]) -> Platform:
    """Look up what a call names.

    Raises:
        CostcError: a name that is not known, or a degree of no parallelism.
    """
    for name in plan:
        if name not in STRATEGIES:
            raise CostcError(not_among("parallelism", name, STRATEGIES))
    engine = given.get("engine", "default")
    return Platform(
        hardware if isinstance(hardware, Hardware) else model.catalog.hardware(hardware),
        model.scheme(given.get("quantization"), given.get("kv_cache_dtype")),
        given.get("efficiency", "uniform"),
        engine if isinstance(engine, Engine) else model.catalog.engine(engine),
        {**dict.fromkeys(STRATEGIES, 1), **plan},
    )


def worker(model: CostModel, on: Platform, settings: Mapping[str, Any]) -> Worker:
    """A worker with the run's settings.

    Raises:
        DegreeError: a degree or length that the model cannot take.
    """
    values = model.values(on.hardware, on.quantization, on.efficiency, on.engine)
    # where the fraction is of what weights, activations and framework leave, it is of these too
    following = (k for k in ("memory_weight_share", "memory_reserved_share") if values[k] == values["memory_utilization"])
    shares = dict.fromkeys(following, settings.get("memory_utilization", values["memory_utilization"]))
    values = {**values, **PROTOCOL, **DEFAULTS, "microbatches": on.plan["pp"], **shares, **settings, **on.plan}
    sizes = {name: values[name] for name in ("isl", "osl", "max_num_batched_tokens", "microbatches")}
    model.check({**sizes, **on.plan}, values)
    return Worker(model, on, values)


def settings(given: Mapping[str, Any]) -> dict[str, float]:
    """Lengths and settings that a call names, those that are None left out.

    Raises:
        CostcError: an unknown name, or a value out of range.
    """
    found: dict[str, float] = {}
    if given.get("osl") is not None and given["osl"] < 2:
        raise CostcError(f"a load needs at least 2 output tokens, not {given['osl']!r}: there is no decode in one")
    for name, value in given.items():
        if name not in (*SETTINGS, "isl", "osl"):
            raise CostcError(not_among("setting", name, (*SETTINGS, "isl", "osl")))
        if value is not None:
            found[name] = _number(name, value)
    return found


def _number(name: str, value: Any) -> float:
    least = 0.0 if name in FROM_ZERO else math.ulp(0.0)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not least <= value < math.inf:
        raise CostcError(f"{name} takes a number {'from 0' if name in FROM_ZERO else 'above 0'}, not {value!r}")
    if name in SHARES and value > 1:
        raise CostcError(f"{name} is a share, at most 1, not {value!r}")
    return float(value)


def column(name: str, value: Any, whole: bool) -> list[float]:
    """Requests in flight, or rates: positive, in the order given.

    Raises:
        CostcError: none, or one that is not positive (or not `whole`).
    """
    values = values_of(name, value)
    for one in values:
        if isinstance(one, bool) or not isinstance(one, (int, float)) or not 0 < one < math.inf or (whole and one != int(one)):
            raise CostcError(f"{name} takes {'whole ' if whole else ''}numbers above 0, not {one!r}")
    return [float(one) for one in values]
