"""Models compiled once for all tests, and points to evaluate them at. Never mutate what these return."""

from __future__ import annotations

import random
from functools import cache
from typing import Any

import numpy as np

import costc.api
from costc.api import CostModel
from costc.latency.form import Constant
from costc.latency.forms import FORMS
from costc.place.mesh import STRATEGIES
from costc.symbols import COMPUTE_MODULES

FAMILIES = ("llama-3.1-8b", "gpt-oss-120b", "deepseek-r1", "mixtral-8x7b")
#: degrees that each model takes, as (tp, pp, dp, ep)
PLANS = {
    "llama-3.1-8b": ((1, 1, 1, 1), (8, 1, 1, 1), (2, 2, 2, 1), (1, 4, 1, 1), (16, 1, 1, 1), (2, 1, 4, 1)),
    "gpt-oss-120b": ((1, 1, 1, 1), (8, 1, 1, 1), (2, 2, 2, 4), (1, 1, 8, 8), (4, 3, 1, 1)),
    "deepseek-r1": ((1, 1, 1, 1), (8, 1, 1, 1), (4, 2, 2, 8), (1, 1, 16, 16), (8, 3, 1, 8), (2, 4, 4, 1)),
    "mixtral-8x7b": ((1, 1, 1, 1), (8, 1, 1, 1), (2, 2, 2, 4), (1, 1, 8, 8), (4, 5, 1, 2)),
    "qwen3.5-397b-a17b": ((1, 1, 1, 1), (8, 1, 1, 8), (2, 2, 2, 4), (1, 1, 8, 8), (4, 3, 1, 1)),
}
RATES = (
    "memory_bandwidth",
    "scale_up_bandwidth",
    "scale_up_peer_bandwidth",
    "scale_out_bandwidth",
)
#: all constants of operator time by the name of their input, but for the ending that says the module
CONSTANTS = {f"{form.name}_{constant.name}": constant for form in FORMS.values() for constant in form.constants}


@cache
def model(name: str) -> CostModel:
    return costc.api.load(name)


@cache
def platform(name: str, hardware: str = "h100-sxm", quantization: str | None = None) -> dict[str, float]:
    """Values of all inputs but workload and plan. Read only."""
    return model(name).values(hardware, quantization)


def degrees(plan: tuple[int, int, int, int]) -> dict[str, int]:
    return dict(zip(("tp", "pp", "dp", "ep"), plan, strict=True))


def run(name: str, values: dict[str, Any]) -> dict[str, np.ndarray]:
    """All outputs, with degrees 1, one micro-batch and the platform filled in where `values` says nothing."""
    return model(name).evaluator({**platform(name), **dict.fromkeys(STRATEGIES, 1), "microbatches": 1, **values})


@cache
def constant_of(name: str) -> Constant | None:
    """The constant that an input stands for."""
    modules = (f"_{m}" for m in COMPUTE_MODULES if name.endswith(f"_{m}"))
    return next((CONSTANTS[n] for n in (name, *(name.removesuffix(m) for m in modules)) if n in CONSTANTS), None)


def within(constant: Constant, share: float) -> float:
    """A value between a constant's bounds, `share` of the way: by ratio where both are positive."""
    low, high = constant.low, constant.high
    return float(low * (high / low) ** share) if low > 0 else low + (high - low) * share


def random_platform(name: str, rng: random.Random) -> dict[str, float]:
    """A platform whose rates are far apart at random, so that rooflines cross in all places, and so are all constants."""
    values = dict(platform(name))
    for key in values:
        if key.startswith("peak_") or key.endswith("_bandwidth"):
            values[key] *= 10 ** rng.uniform(-2, 2)
        constant = constant_of(key)
        if constant:
            values[key] = within(constant, rng.random())
    values["domain"] = float(rng.choice((1, 2, 4, 8, 72)))
    values["expert_skew"] = rng.choice((1.0, 1.5))
    return values
