"""Every count beside its reference: exact, or explained by a formula; what is refused is refused by name."""

from __future__ import annotations

import pytest

from tests.oracle.reference import cases, reduced_names
from tests.oracle.verdicts import Verdict, of_cache, of_flops, of_parameters, of_quantization, quantized

RIGHT = ("exact", "explained", "read")
#: reduced or class-default configs that costc does not read, and what it must name
REFUSED = {
    "deepseek_v2 defaults": "num_experts_per_tok: is missing",
    # 96 heads of a hidden size of 4096: the class rounds down
    "glm4_moe defaults": "head_dim: is missing, and 96 num_attention_heads do not divide hidden_size 4096",
}
CASES = [case.name for case in cases()]


def _right(name: str, verdict: Verdict) -> None:
    if verdict.kind == "no oracle":
        pytest.skip(f"no oracle: {verdict.note}")
    if name in REFUSED:
        assert verdict.kind == "refused"
        assert REFUSED[name] in verdict.note
    else:
        assert verdict.kind in RIGHT, verdict.note


def test_there_are_more_than_a_hundred_configs() -> None:
    assert len(set(CASES)) == len(CASES) > 100
    assert sum(of_parameters(name).kind == "exact" for name in CASES) > 100


@pytest.mark.parametrize("name", CASES)
def test_parameters(name: str) -> None:
    _right(name, of_parameters(name))


@pytest.mark.parametrize("name", reduced_names())
def test_flops_of_prefill_and_decode(name: str) -> None:
    _right(name, of_flops(name))


@pytest.mark.parametrize("name", reduced_names())
def test_bytes_of_cache_and_states(name: str) -> None:
    _right(name, of_cache(name))


@pytest.mark.parametrize("name", quantized())
def test_quantization_is_read(name: str) -> None:
    _right(name, of_quantization(name))
