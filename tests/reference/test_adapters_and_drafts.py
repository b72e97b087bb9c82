"""LoRA adapters and multi-token prediction, against counts by hand."""

from __future__ import annotations

from dataclasses import replace

import pytest
import sympy as sp

import costc
from costc import symbols as S
from costc.compiled import CostModel
from costc.errors import CostcError
from costc.ir.model import Lora

RANK, RESIDENT, ACTIVE = 16, 8, 3
# Llama 3.1 8B: hidden 4096, 8 KV heads of 128; an adapter on q and v has A [16 x 4096] and B [out x 16] in each of 32 layers
ADAPTER = 32 * (RANK * (4096 + 4096) + RANK * (4096 + 1024))


def _adapted(*targets: str, rank: int = RANK) -> CostModel:
    entry = costc.load("llama-3.1-8b").entry
    return CostModel(replace(entry, model=replace(entry.model, lora=Lora(rank, targets, RESIDENT, ACTIVE))))


def _at_one(model: CostModel, name: str, **values: int) -> sp.Expr:
    expr = model.formula(name)
    known = {s: values.get(s.name, 1) for s in expr.free_symbols if s.name in ("tp", "dp", "ep", "pp", "domain", *values)}
    return sp.expand(expr.subs(known))


def test_adapters_have_their_parameters() -> None:
    adapted = _adapted("q_proj", "v_proj")
    assert adapted.parameters == costc.load("llama-3.1-8b").parameters
    assert adapted.adapter_parameters == RESIDENT * ADAPTER


def test_every_token_runs_through_one_adapter() -> None:
    plain, adapted = (
        _at_one(m, "decode.flop", batch=7, context=100) for m in (costc.load("llama-3.1-8b"), _adapted("q_proj", "v_proj"))
    )
    assert adapted - plain == 2 * ADAPTER * 7


def test_a_step_reads_the_active_adapters() -> None:
    weight = S.weight_byte("adapter")
    expr = _at_one(_adapted("q_proj", "v_proj"), "decode.weight_byte", batch=7, context=100)
    assert expr.coeff(weight) == ACTIVE * ADAPTER
    assert not _at_one(costc.load("llama-3.1-8b"), "decode.weight_byte", batch=7, context=100).has(weight)


def test_adapters_on_experts_lie_on_each() -> None:
    entry = costc.load("mixtral-8x7b").entry
    adapted = CostModel(replace(entry, model=replace(entry.model, lora=Lora(4, ("down_proj",), 1, 1))))
    assert adapted.adapter_parameters == 32 * 8 * 4 * (4096 + 14336)


def test_tensor_parallelism_divides_adapters_as_it_does_their_weights() -> None:
    """A of q_proj is whole on every rank and B cut; A of o_proj is cut and its small result summed."""
    column = _adapted("q_proj").formula("decode.flop") - costc.load("llama-3.1-8b").formula("decode.flop")
    at = {"batch": 1, "dp": 1, "context": 9, "tp": 4}
    found = column.subs({s: at[s.name] for s in column.free_symbols})
    assert found == 32 * 2 * RANK * (4096 + 4096 // 4)


def test_an_adapter_needs_a_weight() -> None:
    with pytest.raises(CostcError, match=r"unknown LoRA target 'q_prj'; allowed: .*; did you mean 'q_proj'"):
        _adapted("q_prj").parameters


# DeepSeek-V3: the safetensors total of the checkpoint with its draft layer is 684,489,845,504
# (https://huggingface.co/deepseek-ai/DeepSeek-V3), which counts the 59 x 256 router correction biases
def test_the_checkpoint_of_deepseek_v3_with_its_draft_layer() -> None:
    model = costc.load("deepseek-r1")
    biases = 59 * 256
    assert model.buffers == 58 * 256
    assert model.parameters + model.mtp_parameters + biases == 684_489_845_504


def test_a_draft_step_by_hand() -> None:
    """Join 2 x 7168 to 7168, one MLA layer (absorbed), 8 + 1 experts of 2048 with the router, and the head."""
    attention = 7168 * (1536 + 576) + 1536 * 24576 + 128 * 128 * 512 + 128 * 512 * 128 + 16384 * 7168
    experts = 9 * 3 * 7168 * 2048 + 256 * 7168
    matrices = 2 * 7168 * 7168 + attention + experts + 129280 * 7168
    found = _at_one(costc.load("deepseek-r1"), "draft.flop", batch=1, context=1000)
    assert found == 2 * matrices + 2 * 128 * (576 + 512) * 1000


def test_a_model_without_draft_layers_has_none() -> None:
    model = costc.load("llama-3.1-8b")
    assert model.mtp_parameters == 0
    assert not [name for name in model.formulas() if name.startswith("draft")]
