"""The experts that a step touches, against enumeration of every way to route."""

from __future__ import annotations

from fractions import Fraction
from itertools import combinations, product

import pytest
import sympy as sp

from tests.property.compiled import model, run

KERNEL = "decode.ffn.moe.gate_proj_to_up_proj.weight_byte"


def _touched(experts: int, chosen: int, tokens: int, skew: float = 1) -> sp.Expr:
    """The part of the expert weights that a step reads: the general formula over what all of them take."""
    expr = model("mixtral-8x7b").formula(KERNEL, bound=False)
    symbols = {s.name: s for s in expr.free_symbols}
    at = {"n_routed_experts": experts, "num_experts_per_tok": chosen, "batch": tokens, "expert_skew": skew}
    some = {symbols[k]: sp.nsimplify(v) for k, v in at.items() if k in symbols}
    rest = {s: sp.Integer(1) for n, s in symbols.items() if n not in at}
    every = expr.xreplace({symbols["batch"]: sp.oo}).xreplace(some).xreplace(rest)
    return expr.xreplace(some).xreplace(rest).doit() / every.doit()


@pytest.mark.parametrize(
    ("experts", "chosen", "tokens"), [(4, 2, 1), (4, 2, 3), (5, 2, 2), (6, 3, 2), (3, 1, 5), (4, 4, 2), (8, 2, 2)]
)
def test_distinct_experts_equal_the_mean_over_all_routings(experts: int, chosen: int, tokens: int) -> None:
    ways = list(product(combinations(range(experts), chosen), repeat=tokens))
    mean = Fraction(sum(len(set().union(*way)) for way in ways), len(ways)) / experts
    closed = 1 - (1 - Fraction(chosen, experts)) ** tokens
    assert closed == mean
    assert _touched(experts, chosen, tokens) == sp.Rational(mean.numerator, mean.denominator)


def test_skewed_routing_touches_what_fewer_tokens_would() -> None:
    assert _touched(8, 2, 6, skew=2) == _touched(8, 2, 3)


def test_decode_reads_one_token_s_experts_for_one_sequence_and_all_for_many() -> None:
    # Mixtral: 8 experts of 3 x 4096 x 14336 in bf16, 2 a token, 32 layers; one decode step
    expert = 3 * 4096 * 14336 * 2 * 32
    reads = [float(run("mixtral-8x7b", {"batch": b, "isl": 100, "osl": 2})["weight_byte_decode"]) for b in (1, 4096)]
    assert reads[1] - reads[0] == pytest.approx(6 * expert + 4095 * 4096 * 2, rel=1e-12), "and an embedding row a token"


def test_expert_parallel_ranks_see_the_tokens_of_all_data_parallel_ranks() -> None:
    work = {"isl": 100, "osl": 2}
    alone = run("deepseek-r1", {**work, "batch": 64})["weight_byte_decode"]
    shared = run("deepseek-r1", {**work, "batch": 64, "dp": 16, "ep": 16})["weight_byte_decode"]
    # the experts of 16 ranks together are read as on one device, and a token's row of the embedding by one rank; all
    # else is read by each rank
    touched = 1 - (1 - 8 / 256) ** 64
    experts = 58 * 256 * (3 * 2048 * 7168) * (1 + 4 / 16384) * touched
    rows = 64 * 7168 * 2
    assert shared - experts - rows == pytest.approx(16 * (alone - experts - rows), rel=1e-9)
