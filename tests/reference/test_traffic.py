"""What devices send, by hand. Bytes are of one device; formulas are of one step."""

from __future__ import annotations

from dataclasses import replace
from math import comb

import numpy as np
import pytest
import sympy as sp

import costc
from costc.results import operators
from tests.property.compiled import PLANS, degrees, model, platform, run

B, S = 6, 100


def _sent(name: str, formula: str, **given: int) -> float:
    at = {"batch": B, "seq": S, "context": 50, "tp": 1, "dp": 1, "ep": 1, "pp": 1, "domain": 8}
    at |= {"activation_byte": 2, "dispatch_byte": 1, "logit_byte": 4, **given}
    expr = model(name).formula(formula)
    return float(expr.xreplace({s: sp.Integer(at[s.name]) for s in expr.free_symbols}).doit())


@pytest.mark.parametrize("tp", [1, 2, 4, 8])
def test_tensor_parallelism_all_reduces_twice_a_layer(tp: int) -> None:
    # Megatron-LM (arXiv 1909.08053, 3): one all-reduce after attention, one after the FFN, one after a vocabulary-parallel
    # embedding; a ring sends 2 (n-1)/n of its operand (Patarasuk and Yuan 2009); logits are all-gathered: (n-1)/n
    operand = B * S * 4096 * 2
    all_reduces = (2 * 32 + 1) * 2 * (tp - 1) / tp * operand
    logits = (tp - 1) / tp * B * 128256 * 4
    assert _sent("llama-3.1-8b", "prefill.scale_up_byte", tp=tp) == all_reduces + logits
    assert _sent("llama-3.1-8b", "prefill.scale_out_byte", tp=tp) == 0


@pytest.mark.parametrize(("tp", "domain", "domains"), [(16, 8, 2), (32, 8, 4), (8, 1, 8), (4, 2, 2)])
def test_beyond_a_domain_rings_have_two_levels(tp: int, domain: int, domains: int) -> None:
    # inside: a ring over the domain's devices; between: one over the domains, each device with its 1/domain of the operand
    operand, logits = (2 * 32 + 1) * 2 * B * S * 4096 * 2, B * 128256 * 4
    inside, between = (domain - 1) / domain, (domains - 1) / domains / domain
    up, out = (_sent("llama-3.1-8b", f"prefill.{k}_byte", tp=tp, domain=domain) for k in ("scale_up", "scale_out"))
    assert up == pytest.approx(inside * (operand + logits), rel=1e-14)
    assert out == pytest.approx(between * (operand + logits), rel=1e-14)
    # together no less than the least that any all-reduce can send: 2 (n-1)/n
    assert up + out == pytest.approx((tp - 1) / tp * (operand + logits), rel=1e-14)


def test_the_totals_of_a_run_sum_over_tokens_and_devices() -> None:
    found = run("llama-3.1-8b", {**degrees((8, 1, 1, 1)), "batch": B, "isl": S, "osl": 20})
    operand = (2 * 32 + 1) * 2 * 7 / 8 * 4096 * 2
    logits = 7 / 8 * 128256 * 4
    assert found["scale_up_byte_prefill"] == pytest.approx(8 * B * (S * operand + logits), rel=1e-14)
    assert found["scale_up_byte_decode"] == pytest.approx(8 * B * 19 * (operand + logits), rel=1e-14)


@pytest.mark.parametrize(
    ("pp", "tp", "up", "out"), [(1, 1, 0, 0), (4, 1, 3, 0), (8, 1, 7, 0), (2, 8, 0, 1), (4, 4, 2, 1), (4, 8, 0, 3)]
)
def test_stages_pass_the_hidden_state_on(pp: int, tp: int, up: int, out: int) -> None:
    # each device to its peer in the next stage, over the scale-up link where both lie in one domain of 8
    operand = B * S * 4096 * 2
    assert _sent("llama-3.1-8b", "prefill.pipeline.scale_up_byte", pp=pp, tp=tp) == up * operand
    assert _sent("llama-3.1-8b", "prefill.pipeline.scale_out_byte", pp=pp, tp=tp) == out * operand


#: model -> hidden size, layers with experts
SHAPES = {"mixtral-8x7b": (4096, 32), "deepseek-r1": (7168, 58), "gpt-oss-120b": (2880, 36)}
ROUTES = ("dispatch_all_to_all_dp", "combine_all_to_all_dp")


@pytest.mark.parametrize("name", SHAPES)
def test_without_data_parallelism_experts_need_no_all_to_all(name: str) -> None:
    for tp, ep in ((1, 1), (8, 1), (8, 8)):
        for route in ROUTES:
            for link in ("scale_up", "scale_out"):
                assert _sent(name, f"decode.ffn.moe.{route}.{link}_byte", tp=tp, ep=ep) == 0


@pytest.mark.parametrize("name", SHAPES)
@pytest.mark.parametrize("dp", [2, 4, 8])
def test_with_one_expert_group_dispatch_is_an_all_gather_and_combine_a_reduce_scatter(name: str, dp: int) -> None:
    hidden, layers = SHAPES[name]
    # ep 1: every device holds a slice of each expert, so every token is needed on all of them: (n-1)/n of all tokens
    tokens = layers * (dp - 1) / dp * B * hidden
    sent = [_sent(name, f"decode.ffn.moe.{route}.scale_up_byte", dp=dp, ep=1) for route in ROUTES]
    assert sent == pytest.approx([tokens * 1, tokens * 2], rel=1e-14), "dispatch in 1-byte, combine in 2-byte elements here"


@pytest.mark.parametrize(
    ("name", "experts", "chosen", "groups"),
    [("deepseek-r1", 256, 8, 16), ("gpt-oss-120b", 128, 4, 8), ("deepseek-r1", 256, 8, 64)],
)
def test_tokens_travel_to_the_groups_that_hold_a_chosen_expert(name: str, experts: int, chosen: int, groups: int) -> None:
    # exact chance that `chosen` distinct experts miss a group: C(E - E/g, k) / C(E, k); the formula draws with replacement
    missed = comb(experts - experts // groups, chosen) / comb(experts, chosen)
    hidden, layers = SHAPES[name]
    per_peer = layers * B / groups * hidden
    found = _sent(name, f"decode.ffn.moe.{ROUTES[0]}.scale_up_byte", dp=groups, ep=groups, domain=groups)
    assert found == pytest.approx(per_peer * (groups - 1) * (1 - (1 - 1 / groups) ** chosen), rel=1e-12)
    assert found == pytest.approx(per_peer * (groups - 1) * (1 - missed), rel=0.03)


@pytest.mark.parametrize("name", SHAPES)
def test_an_all_to_all_beyond_a_domain_splits_by_where_the_peers_lie(name: str) -> None:
    for formula in (f"decode.ffn.moe.{route}" for route in ROUTES):
        inside = _sent(name, f"{formula}.scale_up_byte", dp=8, ep=8, domain=8)
        up, out = (_sent(name, f"{formula}.{k}_byte", dp=8, ep=8, domain=2) for k in ("scale_up", "scale_out"))
        assert up == pytest.approx(inside * 1 / 7, rel=1e-14)
        assert out == pytest.approx(inside * 6 / 7, rel=1e-14)


@pytest.mark.parametrize("name", ["llama-3.1-8b", "deepseek-r1"])
def test_a_device_alone_in_its_domain_uses_the_network_alone(name: str) -> None:
    for plan in PLANS[name][1:]:
        found = run(name, {**platform(name), **degrees(plan), "domain": 1, "batch": 32, "isl": 100, "osl": 10})
        assert found["scale_up_byte_decode"] == 0
        assert found["scale_out_byte_decode"] > 0


def test_a_mesh_gives_a_small_group_only_its_links_to_each_other() -> None:
    """MI300X has 64 GB/s to each of 7 peers: a pair has one link, four devices three, eight all seven (448 GB/s)."""
    for tp, rate in ((2, 64e9), (4, 3 * 64e9), (8, 448e9)):
        given = {"tp": tp, "batch": 4, "isl": 2048, "osl": 2, "quantization": "bf16", "efficiency": "ideal"}
        found = costc.load("llama-3.1-8b").point("mi300x", **given)
        sent = found["scale_up_byte_prefill"] / tp
        assert found["share_prefill_communication"] * found["ttft"] == pytest.approx(sent / rate, rel=1e-9)


def test_a_switch_gives_a_small_group_the_whole_link() -> None:
    found = costc.load("llama-3.1-8b").point("h100-sxm", tp=2, batch=4, osl=2, quantization="bf16", efficiency="ideal")
    sent = found["scale_up_byte_prefill"] / 2
    assert found["share_prefill_communication"] * found["ttft"] == pytest.approx(sent / 450e9, rel=1e-9)


def test_a_plan_beyond_the_domain_needs_a_scale_out_link() -> None:
    model = costc.load("llama-3.1-70b")
    alone = replace(model.catalog.hardware("h100-sxm"), scale_out=None)
    assert model.point(alone, tp=8)["ttft"] > 0
    with pytest.raises(costc.CostcError, match="16 devices are more than the domain of 8, and there is no scale-out link"):
        model.point(alone, tp=8, pp=2)
    assert np.isnan(model.evaluate(alone, tp=[8], pp=[2])["ttft"][0])
    with pytest.raises(costc.CostcError, match="no scale-out link"):
        operators(model, alone, tp=8, pp=2)
