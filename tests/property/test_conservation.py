"""What sharding must keep: counts at degree 1, no traffic without peers, no work lost."""

from __future__ import annotations

import numpy as np
import pytest
import sympy as sp
from hypothesis import given, settings
from hypothesis import strategies as st

from costc.count.rows import RESOURCES
from tests.property.compiled import FAMILIES, PLANS, degrees, model, platform, run

quick = settings(derandomize=True, deadline=None, max_examples=60)
works = st.fixed_dictionaries({
    "batch": st.integers(1, 300), "isl": st.integers(1, 4000), "osl": st.integers(2, 2000), "microbatches": st.integers(1, 4),
    "max_num_batched_tokens": st.sampled_from([1, 33, 512, 8192]),
})  # fmt: skip
PHASES = ("prefill", "decode")


def _alone(name: str) -> dict[sp.Symbol, sp.Integer]:
    symbols = {s.name: s for s in model(name).program.inputs}
    return {symbols[d]: sp.Integer(1) for d in ("tp", "pp", "dp", "ep") if d in symbols}


@pytest.mark.parametrize("phase", PHASES)
@pytest.mark.parametrize("name", FAMILIES)
def test_at_degree_one_the_placed_graph_counts_as_the_unsharded_one(name: str, phase: str) -> None:
    lowered = model(name).lowered[phase]
    bindings = {**model(name).bindings, **_alone(name)}
    for resource in RESOURCES:
        placed = lowered.table.where(resource=resource).total().xreplace(bindings)
        whole = lowered.model_table.where(resource=resource).total().xreplace(bindings)
        domain = sp.Symbol("domain", integer=True, positive=True)
        difference = sp.expand(placed - whole)
        for members in (1, 8):
            assert sp.expand(difference.xreplace({domain: sp.Integer(members)}).doit()) == 0, resource


@quick
@given(st.sampled_from(FAMILIES), works, st.sampled_from([1, 2, 8, 72]))
def test_one_device_sends_nothing(name: str, work: dict[str, int], domain: int) -> None:
    found = run(name, {**work, "domain": domain})
    for phase in PHASES:
        assert found[f"scale_up_byte_{phase}"] == 0
        assert found[f"scale_out_byte_{phase}"] == 0


@quick
@given(st.sampled_from(FAMILIES), works)
def test_several_devices_send_something(name: str, work: dict[str, int]) -> None:
    for plan in PLANS[name][1:]:
        found = run(name, {**work, **degrees(plan)})
        for phase in PHASES:
            assert found[f"scale_up_byte_{phase}"] + found[f"scale_out_byte_{phase}"] > 0


@quick
@given(st.sampled_from(FAMILIES), works, st.integers(0, 10))
def test_sharding_loses_no_flop(name: str, work: dict[str, int], which: int) -> None:
    plan = degrees(PLANS[name][which % len(PLANS[name])])
    sharded, whole = run(name, {**work, **plan}), run(name, {**work, "microbatches": 1})
    for phase in PHASES:
        assert sharded[f"flop_{phase}"] >= whole[f"flop_{phase}"] * (1 - 1e-12)


#: plans in which nothing is replicated. With tp, a router and MLA's down projections (q_a, kv_a) run on every rank, and
#: KV heads are replicated beyond their number.
CLEAN = {
    "llama-3.1-8b": ((8, 1, 1, 1), (2, 2, 2, 1), (1, 4, 1, 1), (2, 1, 4, 1)),
    "gpt-oss-120b": ((1, 1, 8, 8), (1, 4, 2, 1)),
    "deepseek-r1": ((1, 1, 16, 16), (1, 4, 4, 1)),
    "mixtral-8x7b": ((1, 1, 8, 8), (1, 5, 2, 1)),
}


@quick
@given(st.sampled_from(FAMILIES), works, st.integers(0, 10))
def test_flop_is_the_same_where_nothing_is_replicated(name: str, work: dict[str, int], which: int) -> None:
    plan = degrees(CLEAN[name][which % len(CLEAN[name])])
    even = {**work, "batch": work["batch"] * plan["dp"] * work["microbatches"]}
    sharded, whole = run(name, {**even, **plan}), run(name, {**even, "microbatches": 1})
    for phase in PHASES:
        assert float(sharded[f"flop_{phase}"]) == pytest.approx(float(whole[f"flop_{phase}"]), rel=1e-12)


def _excess(name: str, plan: tuple[int, int, int, int], phase: str) -> float:
    work = {"batch": 64, "isl": 512, "osl": 64, "max_num_batched_tokens": 8192}
    return float(run(name, {**work, **degrees(plan)})[f"flop_{phase}"] - run(name, work)[f"flop_{phase}"])


@pytest.mark.parametrize(("phase", "tokens"), [("prefill", 64 * 512), ("decode", 64 * 63)])
def test_what_is_replicated_is_what_is_known_to_be(phase: str, tokens: int) -> None:
    # Llama at tp 16: 16 KV heads in all instead of 8, for k and v, in 32 layers
    kv = 2 * tokens * 4096 * (2 * 8 * 128) * 32
    assert _excess("llama-3.1-8b", (16, 1, 1, 1), phase) == pytest.approx(kv, rel=1e-6)
    # Mixtral and gpt-oss at tp 8: the router 7 times more
    assert _excess("mixtral-8x7b", (8, 1, 1, 1), phase) == pytest.approx(7 * 2 * tokens * 4096 * 8 * 32, rel=1e-5)
    assert _excess("gpt-oss-120b", (8, 1, 1, 1), phase) == pytest.approx(7 * 2 * tokens * 2880 * 128 * 36, rel=1e-5)
    # R1 at tp 8: the router of 58 layers, q_a and kv_a of 61
    mla = 7168 * (1536 + 576) * 61
    assert _excess("deepseek-r1", (8, 1, 1, 1), phase) == pytest.approx(7 * 2 * tokens * (7168 * 256 * 58 + mla), rel=1e-5)


@quick
@given(st.sampled_from(FAMILIES), works)
def test_pipeline_stages_move_the_weights_that_one_device_moves(name: str, work: dict[str, int]) -> None:
    # one sequence: every step of every stage is the same as without stages
    alone = {**work, "batch": 1, "microbatches": 1}
    staged, whole = run(name, {**alone, "pp": 4}), run(name, alone)
    for phase in PHASES:
        for resource in ("weight_byte", "kv_byte", "activation_byte"):
            assert float(staged[f"{resource}_{phase}"]) == pytest.approx(float(whole[f"{resource}_{phase}"]), rel=1e-12)


@quick
@given(st.sampled_from(FAMILIES), works)
def test_utilisation_is_at_most_one(name: str, work: dict[str, int]) -> None:
    values = np.array([degrees(p)["tp"] for p in PLANS[name]]), np.array([degrees(p)["pp"] for p in PLANS[name]])
    dp, ep = np.array([p[2] for p in PLANS[name]]), np.array([p[3] for p in PLANS[name]])
    found = run(name, {**platform(name), **work, "tp": values[0], "pp": values[1], "dp": dp, "ep": ep})
    for phase in PHASES:
        for share in ("mfu", "mbu"):
            assert (found[f"{share}_{phase}"] > 0).all()
            assert (found[f"{share}_{phase}"] <= 1).all()
