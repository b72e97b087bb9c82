"""The delta rule's matrix products, counted by loops; parameters of hybrids against what their publishers state."""

from typing import Any

import pytest
import sympy as sp

from costc import symbols as S
from costc.blocks.build import build
from costc.count.footprint import parameters
from costc.huggingface.importer import spec_of
from costc.ir.model import Model
from costc.ir.types import Kind
from costc.serving.compose import reaches_of
from costc.spec import model as model_spec
from costc.spec.reader import Document

CHUNK, KEY, VALUE, KEY_HEADS, VALUE_HEADS = 64, 12, 10, 2, 4
SMALL = {
    "model_type": "qwen3_next", "vocab_size": 80, "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 4,
    "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 16, "linear_num_key_heads": KEY_HEADS,
    "linear_num_value_heads": VALUE_HEADS, "linear_key_head_dim": KEY, "linear_value_head_dim": VALUE, "num_experts": 8,
    "num_experts_per_tok": 3, "moe_intermediate_size": 24, "shared_expert_intermediate_size": 40,
}  # fmt: skip
FULL_OF_KIMI = (4, 8, 12, 16, 20, 24, 27)
KIMI_LINEAR = {
    "model_type": "kimi_linear", "first_k_dense_replace": 1, "head_dim": 72, "hidden_act": "silu", "hidden_size": 2304,
    "intermediate_size": 9216, "kv_lora_rank": 512, "mla_use_nope": True, "model_max_length": 1048576,
    "linear_attn_config": {"full_attn_layers": list(FULL_OF_KIMI), "head_dim": 128, "num_heads": 32, "short_conv_kernel_size": 4,
                           "kda_layers": [i for i in range(1, 28) if i not in FULL_OF_KIMI]},
    "moe_intermediate_size": 1024, "moe_layer_freq": 1, "num_attention_heads": 32, "num_experts": 256,
    "num_experts_per_token": 8, "num_hidden_layers": 27, "num_key_value_heads": 32, "num_nextn_predict_layers": 0,
    "num_shared_experts": 1, "q_lora_rank": None, "qk_nope_head_dim": 128, "qk_rope_head_dim": 64,
    "tie_word_embeddings": False, "v_head_dim": 128, "vocab_size": 163840,
}  # fmt: skip
FULL_OF_K3 = (*range(4, 93, 4), 93)
KIMI_K3 = {
    "model_type": "kimi_k3",
    "text_config": {
        **KIMI_LINEAR, "hidden_size": 7168, "intermediate_size": 33792, "num_hidden_layers": 93, "num_attention_heads": 96,
        "num_key_value_heads": 96, "num_experts": 896, "num_experts_per_token": 16, "num_shared_experts": 2,
        "moe_intermediate_size": 3072, "q_lora_rank": 1536, "mla_use_output_gate": True, "attn_res_block_size": 12,
        "routed_expert_hidden_size": 3584, "latent_moe_use_norm": True,
        "linear_attn_config": {"full_attn_layers": list(FULL_OF_K3), "head_dim": 128, "num_heads": 96, "use_full_rank_gate": True,
                               "kda_layers": [i for i in range(1, 94) if i not in FULL_OF_K3], "short_conv_kernel_size": 4},
    },
    "vision_config": {
        "vt_hidden_size": 1024, "vt_intermediate_size": 4096, "vt_num_attention_heads": 12, "vt_num_hidden_layers": 27,
        "qkv_hidden_size": 1536, "init_pos_emb_height": 64, "init_pos_emb_width": 64, "merge_kernel_size": [2, 2],
        "mm_hidden_size": 1024, "patch_size": 14,
    },
}  # fmt: skip


def imported(config: dict[str, Any]) -> Model:
    return model_spec.model(Document(spec_of(config, "config.json"), {}, {}, "config.json")).model


def scan_flop(model: Model, phase: str, tokens: int) -> sp.Expr:
    """FLOP of the products of one sequence's scan, in one layer."""
    graph = build(model, phase)
    at = {s: sp.Integer(v) for s, v in graph.bindings} | {S.batch: sp.Integer(1), S.seq: sp.Integer(tokens)}
    law = next(r for r in reaches_of(graph) if r.name == "delta_chunk")
    at |= {law.pairs: law.bind(at).pairs_of(sp.Integer(tokens), sp.Integer(0)), law.context: sp.Integer(1)}
    section = next(s for s in graph if s.name == "mixer.gated_delta")
    found = [op for op in section.ops if op.kind is Kind.CONTRACT and op.module == "mixer_core"]
    return sp.Add(*(2 * op.points for op in found)).xreplace(at).xreplace(at)


def chunk_multiply_adds() -> int:
    """A chunk of one value head, product by product over the causal part."""
    count = 0
    for i in range(CHUNK):
        earlier = i + 1
        count += 2 * earlier * KEY  # k k^T, q k^T
        count += earlier * (KEY + VALUE)  # the inverse times keys and values
        count += earlier * VALUE  # scores times corrected values
        count += 3 * KEY * VALUE  # state times new keys, state times queries, keys times corrected values
        # row i of the inverse of a unit lower triangle: entry j sums over what lies between
        count += sum(i - j - 1 for j in range(i))
    return count


@pytest.mark.parametrize("chunks", [1, 3])
def test_whole_chunks_are_counted_as_loops_count_them(chunks: int) -> None:
    assert scan_flop(imported(SMALL), "prefill", chunks * CHUNK) == 2 * chunks * VALUE_HEADS * chunk_multiply_adds()


def test_a_token_takes_two_products_with_the_state() -> None:
    assert scan_flop(imported(SMALL), "decode", 1) == 2 * 2 * VALUE_HEADS * KEY * VALUE


def counted(model: Model) -> int:
    graph = build(model, "prefill")
    known = dict(graph.bindings)
    return sum(int(parameters(graph, trained=trained).xreplace(known)) for trained in (True, False))


def test_kimi_linear_has_its_published_parameters() -> None:
    # the count of the checkpoint's tensors, corrections of the router included
    assert counted(imported(KIMI_LINEAR)) == 49_122_681_728


def test_kimi_k3_has_its_published_parameters() -> None:
    model = imported(KIMI_K3)
    # the checkpoint stores A_log of 69 layers with 128 entries, of which 96 heads have one each
    padding = 69 * (128 - 96)
    assert counted(model) + model.towers["vision"] + padding == 2_779_931_837_184
