"""Parameters, stored weights and cache, against published totals and sums done by hand."""

from __future__ import annotations

from dataclasses import replace
from math import ceil
from typing import Any

import pytest
import sympy as sp

from costc.api import CostModel
from costc.blocks.ffn.dense import Dense
from tests.property.compiled import model

# safetensors totals of the Hugging Face repositories; gpt-oss: arXiv 2508.10925, table 1 (116.83 B); R1: the total of
# microsoft/MAI-DS-R1, which has no MTP module
PARAMETERS = {
    "deepseek-r1": 671_026_404_352,
    "llama-3.1-8b": 8_030_261_248,
    "llama-3.1-70b": 70_553_706_496,
    "llama-3.1-405b": 405_853_388_800,
    "gpt-oss-120b": 116_829_156_672,
    "mixtral-8x7b": 46_702_792_704,
    "llama-2-7b": 6_738_415_616,
    "mistral-7b": 7_241_732_096,
    "deepseek-r1-distill-qwen-7b": 7_615_616_512,
    "deepseek-r1-distill-qwen-32b": 32_763_876_352,
    "qwen3-32b": 32_762_123_264,
    "qwen3-235b-a22b": 235_093_634_560,
    # less the router corrections (60 x 384), which the headers of Kimi-K2-Instruct's shards hold
    "kimi-k2.5": 1_026_408_232_448 - 60 * 384,
    # less the vision tower and the MTP module
    "qwen3.5-397b-a17b": 403_397_928_944 - 456_010_480 - 6_595_568_128,
    # MiniMax-M2, which has the same architecture, less the router corrections (62 x 256)
    "minimax-m2.5": 228_689_764_864 - 62 * 256,
}
#: a router correction (e_score_correction_bias) for every routed expert of every MoE layer (DeepSeek-V3: arXiv 2412.19437, 2.1.2)
CORRECTIONS = {"deepseek-r1": 58 * 256, "kimi-k2.5": 60 * 384, "minimax-m2.5": 62 * 256}


@pytest.mark.parametrize(("name", "published"), PARAMETERS.items())
def test_parameters_are_exactly_those_published(name: str, published: int) -> None:
    assert model(name).parameters == published


@pytest.mark.parametrize("name", PARAMETERS)
def test_buffers_are_router_biases_alone(name: str) -> None:
    assert model(name).buffers == CORRECTIONS.get(name, 0)


# the guide's 7B: hidden 4096, 32 layers, 32 heads of 128, inner 11008, vocabulary 102400, untied
_MATRICES = 2 * 102400 * 4096 + 32 * 4 * 4096 * 4096
_NORMS = (2 * 32 + 1) * 4096


def test_the_guides_7b_is_gated() -> None:
    matrices = _MATRICES + 32 * 3 * 4096 * 11008
    assert matrices == 7_314_866_176
    assert model("guide-7b").parameters == matrices + _NORMS


def test_the_guides_7b_read_as_plain_is_smaller() -> None:
    entry = model("guide-7b").entry
    plain = replace(entry.model, blocks=entry.model.blocks | {"ffn.dense": Dense(kind="plain", intermediate_size=11008)})
    found = CostModel(replace(entry, model=plain)).parameters
    assert found == _MATRICES + 32 * 2 * 4096 * 11008 + _NORMS
    assert found == pytest.approx(5.87e9, rel=1e-3)


# arXiv 2505.09343 (ISCA 2025), table 1: KB of KV cache per token in bf16
@pytest.mark.parametrize(("name", "published"), [("deepseek-r1", 70_272), ("llama-3.1-405b", 516_096)])
def test_cache_per_token_is_that_of_the_isca_paper(name: str, published: int) -> None:
    assert model(name).kv_byte_per_token("bf16") == published
    assert model(name).kv_byte_per_token("fp8") == published / 2


def test_cache_per_token_by_hand() -> None:
    assert model("llama-3.1-8b").kv_byte_per_token() == 32 * 2 * 8 * 128 * 2
    assert model("deepseek-r1").kv_byte_per_token() == 61 * (512 + 64) * 2
    # as long as no window is full, all 36 layers
    assert model("gpt-oss-120b").kv_byte_per_token() == 36 * 2 * 8 * 64 * 2


def test_weights_of_gpt_oss_in_mxfp4() -> None:
    # experts: 36 layers x 128 x (gate, up, down of 2880 x 2880) at 4 bits and an 8-bit scale per 32: 4.25 bits; else bf16
    experts = 36 * 128 * 3 * 2880 * 2880
    by_hand = experts * 17 // 32 + (116_829_156_672 - experts) * 2
    assert by_hand == 65_248_815_744
    assert model("gpt-oss-120b").point("h200")["memory_weights"] == by_hand


def _block_fp8(rows: int, columns: int) -> int:
    """Bytes of an fp8 matrix with a 4-byte scale for each block of 128 x 128, ragged ones included."""
    return rows * columns + 4 * ceil(rows / 128) * ceil(columns / 128)


def test_weights_of_r1_in_fp8_blocks() -> None:
    # README_WEIGHTS.md of DeepSeek-V3: weight_scale_inv is float32, one for each block of 128 x 128
    assert _block_fp8(576, 7168) == 576 * 7168 + 4 * 5 * 56
    mla = sum(_block_fp8(*m) for m in ((1536, 7168), (576, 7168), (128 * 192, 1536), (128 * 256, 512), (7168, 128 * 128)))
    ffn = 2 * _block_fp8(18432, 7168) + _block_fp8(7168, 18432)
    expert = 2 * _block_fp8(2048, 7168) + _block_fp8(7168, 2048)
    # bf16: norms (two of 7168, 1536, 512 a layer; one at the end), router with its bias, embedding, head
    norms = 61 * (2 * 7168 + 1536 + 512) + 7168
    others = norms + 58 * (256 * 7168 + 256) + 2 * 129280 * 7168
    by_hand = 61 * mla + 3 * ffn + 58 * 257 * expert + 2 * others
    assert model("deepseek-r1").point("h200")["memory_weights"] == by_hand


def test_fp8_block_scales_are_four_bytes_in_16384_weights_where_blocks_are_whole() -> None:
    stored = dict(model("deepseek-r1").lowered["decode"].table.definitions)
    values = model("deepseek-r1").values("h200")
    expr = stored[sp.Symbol("stored.ffn.moe.gate_proj_weight", positive=True)].xreplace(model("deepseek-r1").bindings)
    byte = float(expr.subs({s: sp.Rational(values[s.name]) for s in expr.free_symbols}).doit())
    assert byte == 256 * 2048 * 7168 * (1 + 4 / 16384)


@pytest.mark.parametrize("tp", [1, 2, 4, 8])
def test_weights_of_a_dense_model_divide_by_tp_but_for_the_norms(tp: int) -> None:
    norms = (2 * 32 + 1) * 4096
    found = model("llama-3.1-8b").point("h100-sxm", tp=tp)["memory_weights"]
    assert found == 2 * ((8_030_261_248 - norms) / tp + norms)


def test_the_last_of_four_stages_holds_a_quarter_of_the_layers_and_the_head() -> None:
    layer = 4096 * 4096 * 2 + 2 * 4096 * 1024 + 3 * 4096 * 14336 + 2 * 4096
    found = model("llama-3.1-8b").point("h100-sxm", pp=4)["memory_weights"]
    assert found == 2 * (8 * layer + 4096 + 128256 * 4096)


def test_cache_is_allocated_in_whole_blocks_of_the_full_length() -> None:
    found = model("llama-3.1-8b").point("h100-sxm", batch=3, isl=100, osl=21)["memory_kv"]
    assert found == 3 * 128 * 131_072
    windowed = model("gpt-oss-120b").point("h100-sxm", batch=3, isl=1000, osl=9)["memory_kv"]
    assert windowed == 3 * (18 * 128 + 18 * 1024) * 2 * 8 * 64 * 2, "128 tokens of the window, 1009 in blocks of 16"


@pytest.mark.parametrize(("tp", "share"), [(1, 1), (2, 2), (8, 8), (16, 8), (32, 8)])
def test_kv_heads_replicate_beyond_their_number(tp: int, share: int) -> None:
    work: dict[str, Any] = {"batch": 4, "isl": 1000, "osl": 24}
    assert model("llama-3.1-8b").point("h100-sxm", tp=tp, **work)["memory_kv"] == 4 * 1024 * 131_072 / share


def test_mlas_latent_does_not_divide_by_tp() -> None:
    # arXiv 2405.04434, 2.1: one latent for all heads
    work: dict[str, Any] = {"batch": 16, "isl": 1000, "osl": 24}
    for tp in (1, 8, 64):
        assert model("deepseek-r1").point("h200", tp=tp, **work)["memory_kv"] == 16 * 1024 * 70_272
    assert model("deepseek-r1").point("h200", dp=8, **work)["memory_kv"] == 2 * 1024 * 70_272
