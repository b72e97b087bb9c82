from __future__ import annotations

import random

import pytest

from tests.property.compiled import PLANS, degrees, model, random_platform
from tests.reference import brute

POINTS = 40


def _point(name: str, rng: random.Random) -> dict[str, float]:
    plan = degrees(rng.choice(PLANS[name]))
    tiny = rng.random() < 0.5
    isl = rng.choice((1, rng.randint(2, 40), rng.randint(100, 160), rng.randint(41, 900)))
    work = {
        "batch": rng.choice((1, rng.randint(1, 9), rng.randint(10, 200))),
        "isl": isl,
        "osl": rng.choice((2, rng.randint(3, 60), rng.randint(100, 300))),
        "microbatches": rng.choice((1, plan["pp"], rng.randint(1, 5))),
        "max_num_batched_tokens": rng.randint(1, 64) if tiny else rng.choice((128, 200, 512, 8192)),
    }
    work["batch"] = min(work["batch"], max(1, 4000 * work["max_num_batched_tokens"] // isl)) if tiny else work["batch"]
    return {**random_platform(name, rng), **plan, **work}


@pytest.mark.parametrize("name", sorted(PLANS))
def test_closed_sums_equal_loops_over_steps_pieces_and_positions(name: str) -> None:
    rng = random.Random(name)
    for _ in range(POINTS):
        point = _point(name, rng)
        found = model(name).evaluator(point)
        where = {k: point[k] for k in ("tp", "pp", "dp", "ep", "batch", "isl", "osl", "microbatches", "max_num_batched_tokens")}
        assert found["ttft"] == pytest.approx(brute.ttft(name, point), rel=1e-9), where
        assert found["tpot"] == pytest.approx(brute.tpot(name, point), rel=1e-9), where


@pytest.mark.parametrize("tp", [1, 8])
def test_dense_model_with_shipped_rates(tp: int) -> None:
    rng = random.Random(tp)
    compiled = model("llama-3.1-8b")
    for hardware in ("h100-sxm", "a100-80gb", "mi300x", "tpu-v5p"):
        work = {"batch": rng.randint(1, 64), "isl": rng.randint(1, 3000), "osl": rng.randint(2, 400)}
        plan = {**degrees((tp, 1, 1, 1)), "microbatches": 1, "max_num_batched_tokens": rng.choice((512, 2048, 8192))}
        point = {**compiled.values(hardware), **plan, **work}
        found = compiled.evaluator(point)
        assert found["ttft"] == pytest.approx(brute.ttft("llama-3.1-8b", point), rel=1e-9)
        assert found["tpot"] == pytest.approx(brute.tpot("llama-3.1-8b", point), rel=1e-9)


@pytest.mark.parametrize("budget", range(1, 65, 9))
@pytest.mark.parametrize("name", ["gpt-oss-120b", "deepseek-r1"])
def test_prefill_in_tiny_steps(name: str, budget: int) -> None:
    rng = random.Random(budget)
    for isl in (1, budget, budget + 1, 127, 128, 129, 257):
        work = {"batch": 3, "isl": isl, "osl": 2, "microbatches": 2, "max_num_batched_tokens": budget}
        point = {**random_platform(name, rng), **degrees(PLANS[name][-1]), **work}
        assert model(name).evaluator(point)["ttft"] == pytest.approx(brute.ttft(name, point), rel=1e-9), work


def sides_of(k: brute.Piece, env: dict[str, float]) -> bool:
    """Whether computing takes longer than moving: a faster device then helps more than a faster memory."""
    fast = {**env, **{name: 1e3 * v for name, v in env.items() if name.startswith("peak_")}}
    return k.time(fast) < k.time({**env, "memory_bandwidth": 1e3 * env["memory_bandwidth"]})


def test_the_loops_meet_both_sides_of_the_roofline_of_attention() -> None:
    # otherwise the agreement above would say nothing of where the sum is split
    name, sides = "gpt-oss-120b", set()
    for seed in range(30):
        env = {**random_platform(name, random.Random(seed)), **degrees((1, 1, 1, 1))}
        for k in brute.pieces(name, "prefill"):
            if k.grows == "positions":
                computing = []
                for past in range(0, 640, 64):
                    now = {**env, "batch": 1.0, "sequences": 1.0, **brute.attended(k, 64, past)}
                    computing.append(sides_of(k, now))
                sides.add((any(computing), all(computing)))
    assert sides == {(False, False), (True, False), (True, True)}
