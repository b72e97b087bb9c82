"""The mapping table, continued: Gemma, GLM, MiniMax-M2, Qwen-VL, Step, Ling, and the decoders from before Llama."""

from __future__ import annotations

from typing import Any

from costc.huggingface.families.decoder import decoder
from costc.huggingface.families.early import early, inside, parallel, projected
from costc.huggingface.families.headwise import headwise
from costc.huggingface.families.layered import layered
from costc.huggingface.row import BF16_SCALES, LATE, Row, Traits, Wrapper
from costc.huggingface.towers import merger as towers

OWN_BIAS: dict[str, Any] = {"attention_bias": "attention_bias", "o_bias": "attention_bias"}
BIASED: dict[str, Any] = {"attention_bias": True, "o_bias": True, "mlp_bias": True}
BIASED_IF: dict[str, Any] = {"attention_bias": "enable_bias", "o_bias": "enable_bias", "mlp_bias": "enable_bias"}
LAYER_NORM = {"kind": "layer", "bias": True}
#: attention to later positions is not modelled, except among the tokens of an image
CAUSAL: dict[str, tuple[Any, ...]] = {"use_bidirectional_attention": (False, "vision")}

#: what the configuration classes of these take for fields that a file leaves out
GEMMA2 = {
    "vocab_size": 256000, "hidden_size": 2304, "intermediate_size": 9216, "num_hidden_layers": 26, "num_attention_heads": 8,
    "num_key_value_heads": 4, "head_dim": 256, "max_position_embeddings": 8192, "sliding_window": 4096,
    "hidden_activation": "gelu_pytorch_tanh",
}  # fmt: skip
GEMMA3 = GEMMA2 | {"vocab_size": 262208, "max_position_embeddings": 131072}
GEMMA3N = GEMMA2 | {
    "vocab_size": 262400, "hidden_size": 2048, "intermediate_size": 16384, "num_hidden_layers": 35, "num_key_value_heads": 2,
    "max_position_embeddings": 32768, "sliding_window": 512, "final_logit_softcapping": 30.0, "altup_num_inputs": 4,
    "laurel_rank": 64, "hidden_size_per_layer_input": 256, "vocab_size_per_layer_input": 262144, "num_kv_shared_layers": 15,
}  # fmt: skip
GEMMA4 = GEMMA2 | {
    "vocab_size": 262144, "num_hidden_layers": 30, "max_position_embeddings": 131072, "sliding_window": 512,
    "hidden_size_per_layer_input": 256, "vocab_size_per_layer_input": 262144, "global_head_dim": 512,
}  # fmt: skip
QWEN_VL = {
    "vocab_size": 152064, "hidden_size": 8192, "intermediate_size": 29568, "num_hidden_layers": 80, "num_attention_heads": 64,
    "num_key_value_heads": 8, "max_position_embeddings": 32768, "max_window_layers": 80,
}  # fmt: skip

STEP = {
    "vocab_size": 128815, "hidden_size": 4096, "intermediate_size": 11264, "num_hidden_layers": 45, "num_attention_heads": 64,
    "num_key_value_heads": 8, "head_dim": 128, "max_position_embeddings": 128000, "moe_intermediate_size": 1280,
    "n_routed_experts": 288, "num_experts_per_tok": 8, "share_expert_dim": 1280,
}  # fmt: skip
STEP_ASIDE = (
    "query_pre_attn_scalar", "moe_router_scaling_factor", "moe_router_activation", "norm_expert_weight", "need_fp32_gate",
    "zero_centered", "yarn_only_types", "swiglu_limits", "swiglu_limits_shared", "partial_rotary_factors", "fuse_qkv_proj",
)  # fmt: skip
STEP_FORM: dict[str, tuple[Any, ...]] = {
    "use_qk_norm": (True,), "att_impl_type": ("GQA",), "use_moe": (True,), "moe_every_n_layer": (1,),
    "sink": (False,), "use_mfa": (False,),
}  # fmt: skip
LING_ASIDE = (
    "norm_head", "norm_softmax", "output_dropout", "score_function", "mtp_loss_scaling_factor", "rotary_dim", "use_rmsnorm",
    "moe_router_enable_shared_expert", "rope_interleave",
)  # fmt: skip
BLOOM_ASIDE = (
    "apply_residual_connection_post_layernorm", "slow_but_exact", "masked_softmax_fusion", "bias_dropout_fusion",
    "offset_alibi", "skip_bias_add", "skip_bias_add_qkv",
)  # fmt: skip
MPT_ASIDE = (
    "learned_pos_emb", "init_device", "emb_pdrop", "embedding_fraction", "norm_type", "init_config", "verbose",
    "tokenizer_name", "fused_cross_entropy",
)  # fmt: skip
#: inclusionAI's own classes BailingMoe and BailingMoeV2 (arXiv 2503.05139, 2510.22115)
LING = Row(
    decoder,
    Traits(attention_bias="use_qkv_bias", qk_norm="head", qk_norm_if="use_qk_norm", moe="ling", mtp="shared"),
    ignored=LING_ASIDE,
    fixed={"use_bias": (False,), "use_sliding_window": (False,), "multi_gate": (False,), "moe_layer_freq": (1,)},
)

CLASSIC: dict[str, Row | Wrapper] = {
    # ---- Gemma
    "gemma": Row(
        decoder,
        Traits(**OWN_BIAS, tied=True),
        {"head_dim": 256, "num_key_value_heads": 16, "hidden_act": "gelu_pytorch_tanh"},
        fixed=CAUSAL,
    ),
    "gemma2": Row(
        decoder,
        Traits(**OWN_BIAS, norm_place="both", window="all", pattern=2, tied=True),
        GEMMA2 | {"final_logit_softcapping": 30.0},
        ignored=("attn_logit_softcapping", "cache_implementation", "sliding_window_size"),
        fixed=CAUSAL,
    ),
    "gemma3_text": Row(
        decoder,
        Traits(**OWN_BIAS, qk_norm="head", norm_place="both", window="all", pattern=6, tied=True),
        GEMMA3,
        ignored=("attn_logit_softcapping", "cache_implementation"),
        fixed=CAUSAL,
    ),
    "gemma3": Wrapper(kind="gemma3_text", towers={"vision_config": towers.siglip_pooled}),
    "gemma3n_text": Row(
        layered,
        Traits(**OWN_BIAS, qk_norm="head", window="all", pattern=5, tied=True),
        GEMMA3N,
        ignored=("altup_active_idx", "altup_coef_clip", "altup_lr_multiplier", "activation_sparsity_pattern"),
    ),
    "gemma3n": Wrapper(
        kind="gemma3n_text",
        towers={"vision_config": None, "audio_config": None},
        ignored=("audio_soft_tokens_per_image",),
    ),
    "gemma4_text": Row(
        layered, Traits(**OWN_BIAS, qk_norm="head", window="all", pattern=6, tied=True, last_full=True), GEMMA4, fixed=CAUSAL
    ),
    "gemma4": Wrapper(kind="gemma4_text", towers={"vision_config": towers.axial, "audio_config": None}),
    # ---- GLM, MiniMax
    "glm": Row(
        decoder, Traits(attention_bias="attention_bias"), {"attention_bias": True, "num_key_value_heads": 2, "head_dim": 128}
    ),
    "glm4": Row(
        decoder,
        Traits(attention_bias="attention_bias", norm_place="both"),
        {"attention_bias": True, "num_key_value_heads": 2, "head_dim": 128},
    ),
    "glm4_moe": Row(
        decoder,
        Traits(attention_bias="attention_bias", qk_norm="head", qk_norm_if="use_qk_norm", moe="first", mtp="own"),
        {"num_key_value_heads": 8, "first_k_dense_replace": 1, "n_shared_experts": 1},
    ),
    "minimax_m2": Row(
        decoder,
        Traits(qk_norm="all", qk_norm_if="use_qk_norm", moe="corrected", mtp="declared"),
        {"use_qk_norm": True, "head_dim": 128, "num_key_value_heads": 8},
        ignored=("rotary_dim",),
        fixed={"qk_norm_type": ("per_layer",), "shared_intermediate_size": (0,), "mtp_transformer_layers": (1,)},
    ),
    # ---- Qwen-VL
    "qwen2_vl_text": Row(decoder, Traits(attention_bias=True, **LATE), QWEN_VL),
    "qwen2_vl": Wrapper(kind="qwen2_vl_text", towers={"vision_config": towers.plain}, tied="either"),
    "qwen2_5_vl_text": Row(decoder, Traits(attention_bias=True, **LATE), QWEN_VL),
    "qwen2_5_vl": Wrapper(kind="qwen2_5_vl_text", towers={"vision_config": towers.windowed}, tied="either"),
    "qwen3_vl_text": Row(
        decoder, Traits(**OWN_BIAS, qk_norm="head"), {"head_dim": 128, "num_key_value_heads": 32, **BF16_SCALES}
    ),
    "qwen3_vl": Wrapper(kind="qwen3_vl_text", towers={"vision_config": towers.merging((8, 16, 24))}),
    "qwen3_vl_moe_text": Row(decoder, Traits(**OWN_BIAS, qk_norm="head", moe="step"), {"num_key_value_heads": 16, **BF16_SCALES}),
    "qwen3_vl_moe": Wrapper(kind="qwen3_vl_moe_text", towers={"vision_config": towers.merging((8, 16, 24))}),
    # ---- Step, Ling
    "step3p5": Row(
        headwise,
        Traits(**OWN_BIAS, mlp_bias="mlp_bias", qk_norm="head", moe="all"),
        STEP,
        ignored=STEP_ASIDE,
        fixed=CAUSAL | STEP_FORM,
    ),
    "step3p7": Wrapper(kind="step3p5", towers={"vision_config": towers.downsampled}, ignored=("projector_bias",)),
    "bailing_moe": LING,
    "bailing_moe_v2": LING,
    # ---- before Llama
    "gpt2": Row(
        early,
        Traits(**BIASED, gated=False, norm=LAYER_NORM, positions="learned", tied=True),
        {"activation_function": "gelu_new"},
        ignored=("n_ctx",),
        fixed={"add_cross_attention": (False,)},
    ),
    "gpt_bigcode": Row(
        early,
        Traits(**BIASED, gated=False, norm=LAYER_NORM, positions="learned", tied=True),
        {"activation_function": "gelu_pytorch_tanh", "multi_query": True},
        ignored=("scale_attention_softmax_in_fp32", "inference_runner", "max_batch_size", "pre_allocate_kv_cache"),
        fixed={"add_cross_attention": (False,)},
    ),
    "gptj": Row(
        early,
        Traits(mlp_bias=True, gated=False, norm=LAYER_NORM, parallel=True, head_bias=True),
        {"activation_function": "gelu_new", "n_positions": 2048},
        ignored=("rotary", "rotary_dim"),
    ),
    "gpt_neox": Row(
        early,
        Traits(**OWN_BIAS, mlp_bias=True, gated=False, norm=LAYER_NORM),
        {"attention_bias": True, "hidden_act": "gelu", "intermediate_size": 24576, "max_position_embeddings": 2048},
        ignored=("use_parallel_residual", "rotary_pct"),
    ),
    "opt": Row(
        projected,
        Traits(**BIASED_IF, gated=False, norm=LAYER_NORM, positions="learned", tied=True),
        {"enable_bias": True, "activation_function": "relu", "max_position_embeddings": 2048, "ffn_dim": 3072},
    ),
    "bloom": Row(
        early,
        Traits(**BIASED, gated=False, norm=LAYER_NORM, positions="bias", tied=True, stem={"embedding_norm": True}),
        {"hidden_act": "gelu"},
        ignored=BLOOM_ASIDE,
    ),
    "mpt": Row(
        inside,
        Traits(gated=False, norm={"kind": "layer"}, positions="bias", tied=True),
        {"hidden_act": "gelu", "d_model": 2048, "n_heads": 16, "n_layers": 24, "vocab_size": 50368, "max_seq_len": 2048},
        ignored=MPT_ASIDE,
        fixed={"no_bias": (True,)},
    ),
    "falcon": Row(
        parallel,
        Traits(attention_bias="bias", o_bias="bias", mlp_bias="bias", gated=False, norm=LAYER_NORM, tied=True),
        {"activation": "gelu", "max_position_embeddings": 2048},
        ignored=("apply_residual_connection_post_layernorm", "ff_factor"),
    ),
    "dbrx": Row(inside, Traits(norm={"kind": "layer"}), ignored=("emb_pdrop",)),
}
