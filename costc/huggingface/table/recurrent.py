"""Rows of the mapping table for architectures with state-space layers, linear attention or short convolutions."""

from __future__ import annotations

from typing import Any

from costc.huggingface.families.hybrid import (
    alternating,
    granite,
    grouped_heads,
    hybrid,
    indexed,
    lightning,
    liquid,
    listed,
    normed_channels,
    numbered,
    parallel,
    periodic,
)
from costc.huggingface.families.single import single
from costc.huggingface.families.state_space import mamba, normed_mamba, second_mamba
from costc.huggingface.families.zamba import zamba, zamba2
from costc.huggingface.row import Row, Traits

BIASED: dict[str, Any] = {"attention_bias": "attention_bias", "o_bias": "attention_bias"}
FIRST = {
    "vocab_size": 50280, "hidden_size": 768, "num_hidden_layers": 32, "state_size": 16, "expand": 2, "conv_kernel": 4,
}  # fmt: skip
SECOND = {
    "mamba_n_heads": 128, "mamba_n_groups": 1, "mamba_d_state": 256, "mamba_d_conv": 4, "mamba_expand": 2,
    "mamba_chunk_size": 256,
}  # fmt: skip
HYBRID = {
    "vocab_size": 128000, "hidden_size": 4096, "intermediate_size": 14336, "num_hidden_layers": 32, "num_attention_heads": 32,
    "num_key_value_heads": 8, **SECOND,
}  # fmt: skip
LFM = {
    "vocab_size": 65536, "num_hidden_layers": 32, "num_attention_heads": 32, "num_key_value_heads": 8, "conv_L_cache": 3,
    "max_position_embeddings": 128000,
}  # fmt: skip
NEMOTRON = {
    "vocab_size": 131072, "hidden_size": 4096, "num_attention_heads": 32, "num_key_value_heads": 8, "head_dim": 128,
    "max_position_embeddings": 4096, "intermediate_size": 21504, "mlp_hidden_act": "relu2", "ssm_state_size": 128,
    "mamba_num_heads": 128, "mamba_head_dim": 64, "n_groups": 8, "conv_kernel": 4, "chunk_size": 128,
    "mamba_ssm_cache_dtype": "float32", "n_routed_experts": 8, "n_shared_experts": 1, "moe_intermediate_size": 7688,
    "moe_shared_expert_intermediate_size": 7688, "num_experts_per_tok": 2, "mtp_hybrid_override_pattern": "*E",
    "hybrid_override_pattern": "ME*-",
}  # fmt: skip
ZAMBA = {
    "vocab_size": 32000, "max_position_embeddings": 4096, "mamba_d_conv": 4, "mamba_expand": 2, "hidden_act": "gelu",
}  # fmt: skip
# no layer sees a window
WHOLE: dict[str, tuple[Any, ...]] = {"sliding_window": ()}
# transformers ties the shared blocks only where it ties the embeddings, as all checkpoints do
SHARED = {**WHOLE, "tie_word_embeddings": (True,)}
SCAN = ("use_mambapy", "use_falcon_mambapy", "use_associative_scan", "time_step_scale", "time_step_init_scheme", "mixer_rms_eps")
MUP = (
    "lm_head_multiplier", "mlp_multipliers", "key_multiplier", "attention_out_multiplier", "attention_in_multiplier",
    "ssm_multipliers", "ssm_in_multiplier", "ssm_out_multiplier", "mup_enabled",
)  # fmt: skip
FACTORS = tuple(
    f"{layer}_{part}_factor" for layer in ("full_attn", "linear_attn", "mlp") for part in ("alpha", "beta")
) + tuple(
    f"layernorm_{layer}_{part}"
    for layer in ("full_attention", "linear_attention", "mlp")
    for part in ("alpha", "beta")
)  # fmt: skip
MINIMAX_TEXT = Row(
    hybrid(numbered, lightning),
    Traits(moe="all"),
    ignored=(*FACTORS, "postnorm", "rotary_dim", "shared_moe_mode"),
    fixed={**WHOLE, "shared_intermediate_size": (0, [0])},
    source="MiniMax-01 (arXiv 2501.08313), MiniMax-M1 (arXiv 2506.13585)",
)

#: model_type -> how its configs are read
RECURRENT: dict[str, Row] = {
    "mamba": Row(
        mamba,
        Traits(tied=True),
        FIRST,
        ignored=(*SCAN, "fused_add_norm", "pad_vocab_size_multiple", "d_inner"),
        fixed={"ssm_cfg": ({},), "rms_norm": (True,)},
    ),
    "falcon_mamba": Row(normed_mamba, Traits(tied=True), FIRST, ignored=SCAN),
    "mamba2": Row(
        second_mamba,
        Traits(),
        {
            **FIRST,
            "vocab_size": 32768,
            "hidden_size": 4096,
            "num_hidden_layers": 64,
            "state_size": 128,
            "num_heads": 128,
            "head_dim": 64,
            "n_groups": 8,
            "chunk_size": 256,
        },
        ignored=("time_step_rank", "norm_before_gate"),
        fixed={"rms_norm": (True,)},
    ),
    "jamba": Row(
        hybrid(listed("layers_block_type", other=periodic), normed_channels, rotated=False),
        Traits(moe="offset"),
        {
            **HYBRID,
            "vocab_size": 65536,
            "max_position_embeddings": 262144,
            "num_experts": 16,
            "num_experts_per_tok": 2,
            "expert_layer_period": 2,
            "expert_layer_offset": 1,
            "attn_layer_period": 8,
            "attn_layer_offset": 4,
            "mamba_d_state": 16,
        },
        ignored=(*SCAN, "num_logits_to_keep"),
        fixed={**WHOLE, "mamba_inner_layernorms": (True,)},
    ),
    "bamba": Row(
        hybrid(indexed("attn_layer_indices"), grouped_heads),
        Traits(**BIASED, mlp_bias="mlp_bias"),
        {**HYBRID, "max_position_embeddings": 262144},
        ignored=("num_logits_to_keep", "z_loss_coefficient", "attn_rotary_emb"),
        fixed=WHOLE,
    ),
    "granitemoehybrid": Row(
        granite,
        Traits(**BIASED, moe="beside"),
        {
            **SECOND,
            "vocab_size": 32000,
            "hidden_size": 4096,
            "intermediate_size": 11008,
            "num_hidden_layers": 32,
            "num_attention_heads": 32,
            "max_position_embeddings": 2048,
            "num_local_experts": 8,
            "num_experts_per_tok": 2,
            "shared_intermediate_size": 1024,
        },
        ignored=("init_method", "logits_to_keep"),
        fixed={**WHOLE, "normalization_function": ("rmsnorm",)},
    ),
    "falcon_h1": Row(
        parallel,
        Traits(**BIASED, mlp_bias="mlp_bias"),
        {**HYBRID, "max_position_embeddings": 8192, "mamba_d_ssm": 1024},
        ignored=(*MUP, "num_logits_to_keep", "mamba_norm_before_gate", "mlp_expansion_factor", "z_loss_coefficient"),
        fixed={**WHOLE, "attn_layer_indices": (), "mamba_use_mlp": (True,)},
    ),
    "nemotron_h": Row(
        single,
        Traits(),
        NEMOTRON,
        ignored=(
            "moe_shared_expert_overlap",
            "num_logits_to_keep",
            "mamba_proj_bias",
            "time_step_rank",
            "use_mamba_kernels",
            "attention_bias",
        ),
        fixed={**WHOLE, "n_shared_experts": (1,)},
    ),
    "lfm2": Row(
        liquid,
        Traits(qk_norm="head", tied=True),
        {**LFM, "hidden_size": 2560, "intermediate_size": 12288, "block_ffn_dim_multiplier": 1.0},
        ignored=(
            "block_mlp_init_scale",
            "block_norm_eps",
            "block_use_xavier_init",
            "conv_use_xavier_init",
            "use_pos_enc",
            "num_heads",
            "theta",
            "block_out_init_scale",
        ),
        fixed={"block_use_swiglu": (True,)},
    ),
    "lfm2_moe": Row(
        liquid,
        Traits(qk_norm="head", tied=True, moe="late"),
        {
            **LFM,
            "hidden_size": 2048,
            "intermediate_size": 7168,
            "moe_intermediate_size": 1792,
            "num_dense_layers": 2,
            "num_experts": 32,
            "num_experts_per_tok": 4,
        },
        ignored=("num_heads", "use_pos_enc", "theta"),
    ),
    "zamba": Row(
        zamba,
        Traits(tied=True),
        {
            **ZAMBA,
            "hidden_size": 3712,
            "intermediate_size": 14848,
            "num_hidden_layers": 76,
            "num_attention_heads": 16,
            "num_key_value_heads": 16,
            "n_mamba_heads": 2,
            "mamba_d_state": 16,
            "attn_layer_period": 6,
            "attn_layer_offset": 4,
        },
        ignored=(*SCAN, "num_logits_to_keep"),
        fixed=SHARED,
    ),
    "zamba2": Row(
        zamba2,
        Traits(tied=True),
        {
            **ZAMBA,
            "hidden_size": 2560,
            "num_hidden_layers": 54,
            "num_attention_heads": 32,
            "mamba_d_state": 64,
            "mamba_ngroups": 1,
            "n_mamba_heads": 8,
            "chunk_size": 256,
            "num_mem_blocks": 1,
            "adapter_rank": 128,
        },
        ignored=(
            "num_logits_to_keep",
            "use_mem_eff_path",
            "use_long_context",
            "kv_channels",
            "num_query_groups",
            "hybrid_layer_ids",
            "use_shared_mlp_adapter",
        ),
        fixed=SHARED,
    ),
    "minimax": Row(
        hybrid(listed("layer_types", other=alternating), lightning),
        Traits(moe="all"),
        {
            "vocab_size": 32000,
            "hidden_size": 4096,
            "intermediate_size": 14336,
            "num_hidden_layers": 32,
            "num_attention_heads": 32,
            "num_key_value_heads": 8,
            "max_position_embeddings": 131072,
            "num_local_experts": 8,
            "num_experts_per_tok": 2,
            "block_size": 256,
        },
        ignored=FACTORS,
        fixed=WHOLE,
    ),
    "minimax_text_01": MINIMAX_TEXT,
    "minimax_m1": MINIMAX_TEXT,
}
