"""Matrix FLOP by hand: 2 for a multiply-add (a weight used once by a token is 2 FLOP)."""

from __future__ import annotations

import pytest
import sympy as sp

from tests.property.compiled import model, run

B, S, CONTEXT = 3, 700, 1234


def _flop(name: str, formula: str, **degrees: int) -> sp.Expr:
    at = {"batch": B, "seq": S, "context": CONTEXT, "tp": 1, "dp": 1, "ep": 1, "pp": 1, **degrees}
    expr = model(name).formula(formula)
    return expr.xreplace({s: sp.Integer(at[s.name]) for s in expr.free_symbols}).doit()


PAIRS = S * (S + 1) // 2
# name: layers, hidden, vocabulary, query heads x head dimension, parameters, norms
DENSE = {
    "llama-3.1-8b": (32, 4096, 128256, 4096, 8_030_261_248, 65 * 4096),
    "llama-3.1-405b": (126, 16384, 128256, 16384, 405_853_388_800, 253 * 16384),
    "guide-7b": (32, 4096, 102400, 4096, 7_315_132_416, 65 * 4096),
}


@pytest.mark.parametrize("name", ["llama-3.1-8b", "llama-3.1-405b", "guide-7b"])
def test_decode_of_a_dense_model_uses_every_weight_but_the_embedding_once(name: str) -> None:
    layers, hidden, vocab, heads, parameters, norms = DENSE[name]
    weights = parameters - vocab * hidden - norms
    assert _flop(name, "decode.flop") == 2 * weights * B + 4 * layers * heads * CONTEXT * B


@pytest.mark.parametrize("name", ["llama-3.1-8b", "llama-3.1-405b", "guide-7b"])
def test_prefill_of_a_dense_model_attends_half_the_square_and_heads_the_last_position(name: str) -> None:
    layers, hidden, vocab, heads, parameters, norms = DENSE[name]
    weights = parameters - 2 * vocab * hidden - norms
    assert _flop(name, "prefill.flop") == 2 * weights * B * S + 2 * vocab * hidden * B + 4 * layers * heads * PAIRS * B


@pytest.mark.parametrize("tp", [2, 4, 8])
def test_a_tensor_parallel_rank_of_a_dense_model_does_its_share(tp: int) -> None:
    for formula in ("decode.flop", "prefill.flop"):
        assert _flop("llama-3.1-8b", formula, tp=tp) * tp == _flop("llama-3.1-8b", formula)


# DeepSeek-V3, arXiv 2412.19437, 4.2: hidden 7168, 61 layers of which 3 dense, 128 heads, ranks 1536 and 512, heads of 128 + 64
H, HEADS, Q_LORA, LORA, NOPE, ROPE, V = 7168, 128, 1536, 512, 128, 64, 128
PROJECTIONS = H * Q_LORA + H * (LORA + ROPE) + Q_LORA * HEADS * (NOPE + ROPE) + HEADS * V * H
EXPERT = 3 * H * 2048
MOE = H * 256 + (8 + 1) * EXPERT  # router, 8 chosen experts and the shared one
FFN = 3 * 3 * H * 18432 + 58 * MOE
HEAD = 129280 * H


def test_decode_of_r1_by_hand() -> None:
    # absorbed: W_UK into the query, W_UV into the output (arXiv 2405.04434, 2.1.2); attention on latents of 576, values 512
    absorbed = HEADS * NOPE * LORA + HEADS * LORA * V
    per_token = 61 * (PROJECTIONS + absorbed) + FFN + HEAD
    per_pair = 61 * HEADS * ((LORA + ROPE) + LORA)
    assert _flop("deepseek-r1", "decode.flop") == 2 * B * (per_token + CONTEXT * per_pair)


def test_prefill_of_r1_by_hand() -> None:
    # expanded: keys and values of all heads from each latent; scores over 192, values 128
    expanded = LORA * HEADS * (NOPE + V)
    per_token = 61 * (PROJECTIONS + expanded) + FFN
    per_pair = 61 * HEADS * ((NOPE + ROPE) + V)
    assert _flop("deepseek-r1", "prefill.flop") == 2 * B * (S * per_token + PAIRS * per_pair + HEAD)


def test_mlas_attention_core_in_both_forms() -> None:
    assert _flop("deepseek-r1", "decode.attention.mla.score_to_attend.flop") == 61 * 2 * 128 * (576 + 512) * CONTEXT * B
    assert _flop("deepseek-r1", "prefill.attention.mla.score_to_attend.flop") == 61 * 2 * 128 * (192 + 128) * PAIRS * B


def test_active_weights_of_r1_are_37_billion() -> None:
    # arXiv 2412.19437, abstract: 37B activated for each token; the head is in, the embedding row is not
    per_token = 61 * (PROJECTIONS + LORA * HEADS * (NOPE + V)) + FFN + HEAD
    assert per_token == pytest.approx(37e9, rel=0.02)


@pytest.mark.parametrize(
    ("name", "chosen", "expert", "layers"),
    [("mixtral-8x7b", 2, 3 * 4096 * 14336, 32), ("gpt-oss-120b", 4, 3 * 2880 * 2880, 36)],
)
def test_a_token_visits_its_chosen_experts_alone(name: str, chosen: int, expert: int, layers: int) -> None:
    found = sum(_flop(name, f"decode.ffn.moe.{k}.flop") for k in ("gate_proj_to_up_proj", "down_proj"))
    assert found == 2 * layers * chosen * expert * B


@pytest.mark.parametrize(("context", "attended"), [(1, 1), (127, 127), (128, 128), (129, 128), (5000, 128)])
def test_a_sliding_window_attends_no_more_than_itself(context: int, attended: int) -> None:
    found = _flop("gpt-oss-120b", "decode.attention.sliding.score_to_attend.flop", context=context)
    assert found == 18 * 4 * 64 * 64 * attended * B


def test_totals_of_a_run_are_the_sums_of_its_steps() -> None:
    isl, osl, batch = 300, 50, 6
    found = model("llama-3.1-8b").point("h100-sxm", batch=batch, isl=isl, osl=osl)
    layers, hidden, vocab, heads, parameters, norms = DENSE["llama-3.1-8b"]
    step = 2 * (parameters - vocab * hidden - norms) * batch
    assert found["flop_decode"] == (osl - 1) * step + 4 * layers * heads * batch * sum(isl + j for j in range(1, osl))
    prompt = (step - 2 * vocab * hidden * batch) * isl + 2 * vocab * hidden * batch
    assert found["flop_prefill"] == prompt + 4 * layers * heads * batch * isl * (isl + 1) // 2


@pytest.mark.parametrize(("dp", "pp", "microbatches", "batch"), [(8, 1, 1, 1), (8, 1, 1, 9), (1, 4, 4, 5), (2, 2, 3, 7)])
def test_mfu_counts_the_sequences_that_there_are(dp: int, pp: int, microbatches: int, batch: int) -> None:
    # where the batch does not fill all ranks and micro-batches, time is that of the fullest; work stays what it is
    work = {"batch": batch, "isl": 1000, "osl": 10}
    found = run("llama-3.1-8b", {**work, "dp": dp, "pp": pp, "microbatches": microbatches})
    useful = run("llama-3.1-8b", work)
    for phase, time in (("prefill", found["ttft"]), ("decode", 9 * found["tpot"])):
        done = found[f"mfu_{phase}"] * dp * pp * time * 989.4e12
        assert float(done) == pytest.approx(float(useful[f"flop_{phase}"]), rel=1e-12), phase


def test_mfu_is_useful_flop_at_the_peak_over_the_time() -> None:
    found = model("llama-3.1-8b").point("h100-sxm", batch=4, isl=1000, osl=10, tp=8)
    assert found["mfu_prefill"] == pytest.approx(found["flop_prefill"] / (8 * 989.4e12 * found["ttft"]), rel=1e-12)
    read = (found["weight_byte_decode"] + found["kv_byte_decode"]) / 8
    assert found["mbu_decode"] == pytest.approx(read / (3.35e12 * found["tpot"] * 9), rel=1e-12)
