"""Rows of the mapping table for hybrids of delta rules or lightning attention with softmax attention."""

from __future__ import annotations

from typing import Any

from costc.huggingface.families.linear import gated_delta_hybrid, kimi_hybrid, ling_hybrid
from costc.huggingface.row import BF16_SCALES, Row, Traits, Wrapper
from costc.huggingface.towers.merger import merging, pooled

#: of Qwen3-Next's configuration class and what follows it
DELTA: dict[str, Any] = {
    **BF16_SCALES,
    "num_key_value_heads": 2,
    "head_dim": 256,
    "linear_conv_kernel_dim": 4,
    "linear_key_head_dim": 128,
    "linear_value_head_dim": 128,
    "linear_num_key_heads": 16,
    "linear_num_value_heads": 32,
    "attn_output_gate": True,
}

LING_IGNORED = (
    "moe_renormalize", "kda_safe_gate", "kda_lower_bound", "mtp_loss_scaling_factor", "moe_router_enable_expert_bias",
    "score_function", "moe_router_enable_routed_scaling", "moe_router_enable_shared_expert", "rope_interleave",
    "rope_traditional", "rotary_dim", "linear_rope", "linear_scale", "use_qk_norm", "linear_silu", "embedding_dropout",
    "output_dropout", "expert_swiglu_limit_list", "share_expert_swiglu_limit_list",
)  # fmt: skip
LING_FIXED: dict[str, tuple[Any, ...]] = {
    "use_bias": (False,),
    "use_qkv_bias": (False,),
    "use_rmsnorm": (True,),
    "no_kda_lora": (True,),
    "use_kda_lora": (False,),
    "use_nGPT": (False,),
    "up_proj_norm": (False,),
    "value_norm": (False,),
    "scale_router_input": (False,),
}

LINEAR: dict[str, Row | Wrapper] = {
    "qwen3_next": Row(
        gated_delta_hybrid,
        Traits(qk_norm="head", moe="step"),
        {**DELTA, "num_experts": 512, "num_experts_per_tok": 10, "shared_expert_intermediate_size": 512},
    ),
    "qwen3_5_text": Row(
        gated_delta_hybrid, Traits(qk_norm="head"), {**DELTA, "num_key_value_heads": 4}, fixed={"mlp_only_layers": ([],)}
    ),
    "qwen3_5_moe_text": Row(
        gated_delta_hybrid,
        Traits(qk_norm="head", moe="step"),
        {**DELTA, "num_experts": 256, "num_experts_per_tok": 8, "shared_expert_intermediate_size": 512},
    ),
    "qwen3_5": Wrapper(kind="qwen3_5_text", towers={"vision_config": merging(())}),
    "qwen3_5_moe": Wrapper(kind="qwen3_5_moe_text", towers={"vision_config": merging(())}),
    "olmo_hybrid": Row(
        gated_delta_hybrid,
        Traits(qk_norm="all", norm_place="post", rope="given"),
        {"linear_conv_kernel_dim": 4},
        ignored=(
            "linear_allow_neg_eigval",
            "linear_a_log_min",
            "linear_a_log_max",
            "linear_dt_min",
            "linear_dt_max",
            "linear_dt_init_floor",
        ),
    ),
    "kimi_linear": Row(
        kimi_hybrid,
        Traits(moe="latent"),
        {
            "first_k_dense_replace": 1,
            "v_head_dim": 128,
            "linear_head_dim": 128,
            "linear_num_heads": 32,
            "linear_conv_kernel_dim": 4,
            "num_shared_experts": 1,
        },
        ignored=(
            "moe_renormalize",
            "moe_router_activation_func",
            "use_grouped_topk",
            "activation_situ_beta",
            "activation_situ_linear_beta",
        ),
    ),
    "kimi_k3": Wrapper(kind="kimi_linear", towers={"vision_config": pooled}),
    "bailing_hybrid": Row(
        ling_hybrid,
        Traits(moe="sized"),
        {
            "first_k_dense_replace": 2,
            "v_head_dim": 128,
            "layer_group_size": 6,
            "short_conv_kernel_size": 4,
            "num_shared_experts": 1,
        },
        ignored=LING_IGNORED,
        fixed=LING_FIXED,
    ),
    "bailing_moe_linear": Row(
        ling_hybrid,
        Traits(qk_norm="head", qk_norm_if="use_qk_norm", moe="sized"),
        {"group_norm_size": 1, "num_shared_experts": 1},
        ignored=LING_IGNORED,
        fixed=LING_FIXED,
    ),
}
