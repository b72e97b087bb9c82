"""What more work or a better device can never do. Domains are stated where a claim does not hold everywhere."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from costc.dtypes import DTYPES
from costc.ir.platform import Format
from tests.property.compiled import FAMILIES, PLANS, RATES, constant_of, degrees, model, platform, run, within

SLACK = 1e-12
quick = settings(derandomize=True, deadline=None, max_examples=60)
names = st.sampled_from(FAMILIES)
budget = st.sampled_from([1, 7, 64, 500, 2048, 8192])
hardware = st.sampled_from(["h100-sxm", "l40s", "mi300x", "tpu-v5e"])


@st.composite
def setups(draw: st.DrawFn) -> tuple[str, dict[str, Any]]:
    """A model, and its plan, workload and device."""
    name = draw(names)
    work = {
        "hardware": draw(hardware), **degrees(draw(st.sampled_from(PLANS[name]))), "max_num_batched_tokens": draw(budget),
        "batch": draw(st.integers(1, 300)), "isl": draw(st.integers(1, 3000)), "osl": draw(st.integers(2, 1500)),
        "microbatches": draw(st.integers(1, 4)), "seed": draw(st.none() | st.integers(0, 10**6)),
    }  # fmt: skip
    return name, work


def at(name: str, work: dict[str, Any], **changed: Any) -> dict[str, np.ndarray]:
    """All outputs; a scale-out link where the device has none that is known, as NaN has no order."""
    values = platform(name, work["hardware"])
    link = {"scale_out_bandwidth": 5e10} if np.isnan(values["scale_out_bandwidth"]) else {}
    given = {k: v for k, v in work.items() if k not in ("hardware", "seed")}
    return run(name, {**values, **constants(name, work["seed"]), **link, **given, **changed})


def constants(name: str, seed: int | None) -> dict[str, float]:
    """Constants of operator time anywhere between their bounds; of the uniform profile without a seed."""
    if seed is None:
        return {}
    rng = random.Random(seed)
    return {key: within(c, rng.random()) for key in model(name).evaluator.inputs if (c := constant_of(key))}


def never_falls(values: np.ndarray) -> bool:
    assert np.isfinite(values).all()
    return bool((values[1:] >= values[:-1] * (1 - SLACK)).all())


def decoding(found: dict[str, np.ndarray], work: dict[str, Any], osl: np.ndarray | None = None) -> np.ndarray:
    """Seconds of all decode steps (of which the difference of E2EL and TTFT would lose digits)."""
    return found["tpot"] * ((work["osl"] if osl is None else osl) - 1)


def ladder(first: int, step: int, count: int = 40) -> np.ndarray:
    """Consecutive values, then ever larger strides."""
    near = first + step * np.arange(count)
    return np.concatenate([near, near[-1] + step * np.cumsum(np.arange(1, count) ** 2)])


@quick
@given(setups(), st.sampled_from(["batch", "isl", "osl"]))
def test_memory_never_falls_with_more_work(setup: tuple[str, dict[str, Any]], grows: str) -> None:
    name, work = setup
    found = at(name, work, **{grows: ladder(work[grows], 1)})
    assert never_falls(found["memory_total"])
    assert never_falls(found["memory_kv"])


@quick
@given(setups(), st.sampled_from(["isl", "osl"]))
def test_latency_never_falls_with_longer_sequences(setup: tuple[str, dict[str, Any]], grows: str) -> None:
    name, work = setup
    longer = ladder(work[grows], 1)
    found = at(name, work, **{grows: longer})
    assert never_falls(found["ttft"])
    assert never_falls(decoding(found, work, longer if grows == "osl" else None))


@quick
@given(setups())
def test_latency_never_falls_with_larger_batches(setup: tuple[str, dict[str, Any]]) -> None:
    # Batches that fill every micro-batch of every rank. Others can be slower than a larger one: 8 sequences in 4
    # micro-batches run as 4 x 2, but 9 as 3 x 3, which is a round less.
    name, work = setup
    group = work["dp"] * work["microbatches"]
    found = at(name, work, batch=ladder(group, group))
    assert never_falls(found["ttft"])
    assert never_falls(decoding(found, work))


@quick
@given(setups())
def test_latency_never_falls_with_any_batch_in_one_micro_batch(setup: tuple[str, dict[str, Any]]) -> None:
    name, work = setup
    found = at(name, work, microbatches=1, batch=ladder(1, 1))
    assert never_falls(found["ttft"])
    assert never_falls(decoding(found, work))


def test_a_larger_batch_can_save_a_round_of_micro_batches() -> None:
    # the exception named above; it keeps the stated domain from being wider than it need be
    plan = {**degrees((1, 4, 1, 1)), "microbatches": 4, "isl": 100, "osl": 100, "max_num_batched_tokens": 8192}
    found = run("llama-3.1-8b", {**plan, "batch": np.array([8.0, 9.0])})
    assert found["e2el"][1] < found["e2el"][0]


@quick
@given(setups())
def test_latency_never_rises_with_a_faster_device(setup: tuple[str, dict[str, Any]]) -> None:
    name, work = setup
    rates = [r for r in model(name).evaluator.inputs if r in RATES or r.startswith("peak_")]
    assert len(rates) > len(RATES)
    for rate in rates:
        found = at(name, work, **{rate: np.geomspace(1e9, 1e17, 60)})
        assert never_falls(found["ttft"][::-1]), rate
        assert never_falls(found["tpot"][::-1]), rate


#: constants of which more is faster; of all others more is slower
FASTER = ("efficiency", "overlap")


@quick
@given(setups(), st.randoms(use_true_random=False))
def test_latency_never_turns_within_the_bounds_of_a_constant(setup: tuple[str, dict[str, Any]], rng: random.Random) -> None:
    name, work = setup
    names = [key for key in model(name).evaluator.inputs if constant_of(key)]
    assert len(names) > 50
    for key in rng.sample(names, 20):
        constant = constant_of(key)
        assert constant is not None
        order = -1 if constant.name.endswith(FASTER) else 1
        found = at(name, work, **{key: np.array([within(constant, share) for share in np.linspace(0, 1, 30)])})
        assert never_falls(np.broadcast_to(found["ttft"], 30)[::order]), key
        assert never_falls(np.broadcast_to(found["tpot"], 30)[::order]), key


def _falling_bits() -> list[str]:
    return [d.name for d in sorted(DTYPES.values(), key=lambda d: -d.bits)]


@pytest.mark.parametrize("name", FAMILIES)
def test_fewer_weight_bits_never_cost_time_or_memory(name: str) -> None:
    # equal compute: all products stay in bf16, and scales are left out, which small blocks could make outweigh the bits
    compiled = model(name)
    base = compiled.scheme("bf16")
    schemes = [replace(base, name="changed", weights=Format(d)) for d in _falling_bits()]
    for plan in PLANS[name]:
        rows = []
        for scheme in schemes:
            work = {"batch": np.array([1.0, 48.0]), "isl": 700, "osl": 300, **degrees(plan), "microbatches": plan[1]}
            rows.append(run(name, {**compiled.values("h100-sxm", scheme), **work}))
        for output in ("ttft", "tpot", "memory_weights", "memory_total"):
            for point in range(2):
                assert never_falls(np.array([r[output][point] for r in rows][::-1])), output
        assert never_falls(np.array([r["max_batch"][0] for r in rows]))
        assert rows[-1]["memory_weights"][0] < rows[0]["memory_weights"][0] / 2


@pytest.mark.parametrize("name", FAMILIES)
def test_fewer_cache_bits_never_cost_time_or_memory(name: str) -> None:
    compiled = model(name)
    for plan in PLANS[name]:
        rows = []
        for kv in _falling_bits():
            work = {"batch": 96, "isl": 4000, "osl": 300, **degrees(plan), "microbatches": plan[1]}
            rows.append(run(name, {**compiled.values("h100-sxm", kv_cache_dtype=kv), **work}))
        for output in ("ttft", "tpot", "memory_kv", "memory_total"):
            assert never_falls(np.array([float(r[output]) for r in rows][::-1])), output
        assert rows[-1]["tpot"] < rows[0]["tpot"]
