"""The mapping table, continued: dense and sparse decoders of Llama's form, and what stands near to it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from costc.huggingface.families.chunked import chunked
from costc.huggingface.families.decoder import decoder
from costc.huggingface.families.latent import latent
from costc.huggingface.families.pruned import pruned
from costc.huggingface.families.unequal import unequal
from costc.huggingface.row import LATE, Row, Traits, Wrapper
from costc.huggingface.towers.pixtral import pixtral, shuffled

OWN_BIAS: dict[str, Any] = {"attention_bias": "attention_bias", "o_bias": "attention_bias"}
ALL_BIASED: dict[str, Any] = {"attention_bias": True, "o_bias": True, "mlp_bias": True}
ONE_BIAS: dict[str, Any] = {"attention_bias": "use_bias", "o_bias": "use_bias", "mlp_bias": "use_bias"}
BIASED = Traits(**OWN_BIAS, mlp_bias="mlp_bias")
LAYER_NORM = {"kind": "layer", "bias": True}
#: queries and keys have layer norms with a scale for each head
NORMED_EACH: dict[str, Any] = {"qk_norm": "per_head", "qk_norm_style": "layer"}

#: what Hunyuan's configs say of latent attention, which is off, of a vision tower and of a classifier
HUNYUAN = (
    "q_lora_rank", "kv_lora_rank", "qk_nope_head_dim", "qk_rope_head_dim", "v_head_dim", "cla_share_factor",
    "group_limited_greedy", "class_num", "dense_list", "pool_type", "num_media_embeds", "mask_init_id", "skip_cls_token",
    "org_vocab_size", "pad_id", "anyres_pooling_size", "anyres_vit_max_image_size", "anyres_vit_two_views", "im_end_id",
    "im_newline_id", "im_start_id", "text_start_id", "text_end_id", "video_start_id", "video_end_id", "vit_input_resolution",
    "vit_mapping_type", "vit_norm_type", "vit_patch", "vit_path", "vit_remove_prenorm", "vit_token", "vit_type",
    "vit_used_rms_norm", "xdrope_section", "moe_drop_tokens", "moe_random_routing_dropped_token",
)  # fmt: skip
HUNYUAN_FORM: dict[str, tuple[Any, ...]] = {
    "use_cla": (False,),
    "use_mla": (False,),
    "mlp_bias": (False,),
    "add_classification_head": (False,),
    "position_embedding_xdrope": (False,),
    "use_rotary_pos_emb": (True,),
    "norm_type": ("rms", "hf_rms", "fused"),
    "moe_layer_num_skipped": (0,),
}

DECODERS: dict[str, Row | Wrapper] = {
    # ---- dense
    "ministral": Row(decoder, Traits(window="all"), {"sliding_window": 4096, "num_key_value_heads": 8}),
    "ministral3": Row(decoder, Traits(window="all"), {"head_dim": 128, "num_key_value_heads": 8}),
    "phi": Row(
        decoder,
        Traits(
            **ALL_BIASED,
            gated=False,
            qk_norm="head",
            qk_norm_if="qk_layernorm",
            qk_norm_style="layer_bias",
            parallel=True,
            norm=LAYER_NORM,
            head_bias=True,
        ),
        {"hidden_act": "gelu_new"},
    ),
    "phi3": Row(
        decoder,
        Traits(window="all"),
        ignored=("interpolate_factor", "full_attn_mod"),
        fixed={"attention_bias": (False,), "mlp_bias": (False,), "lm_head_bias": (False,)},
    ),
    "granite": Row(decoder, BIASED),
    "starcoder2": Row(
        decoder,
        Traits(**ONE_BIAS, gated=False, window="all", norm=LAYER_NORM, tied=True),
        {"use_bias": True, "num_key_value_heads": 2, "hidden_act": "gelu_pytorch_tanh"},
        ignored=("scale_attention_softmax_in_fp32",),
        fixed={"norm_type": ("layer_norm",), "mlp_type": ("default",)},
    ),
    "smollm3": Row(
        decoder,
        replace(BIASED, rope="listed", tied=True),
        {"num_key_value_heads": 4},
        fixed={"use_sliding_window": (False,)},
    ),
    "stablelm": Row(
        decoder,
        Traits(
            **NORMED_EACH,
            attention_bias="use_qkv_bias",
            qk_norm_if="qk_layernorm",
            parallel="use_parallel_residual",
            norm=LAYER_NORM,
        ),
        {"num_key_value_heads": 32},
    ),
    "olmo": Row(decoder, Traits(**OWN_BIAS, norm={"kind": "layer", "weight": False}), ignored=("clip_qkv",)),
    "olmo2": Row(decoder, Traits(**OWN_BIAS, qk_norm="all", norm_place="post")),
    "olmo3": Row(
        decoder, Traits(**OWN_BIAS, qk_norm="all", norm_place="post", window="all", pattern=4), {"sliding_window": 4096}
    ),
    "cohere": Row(
        decoder,
        Traits(**OWN_BIAS, **NORMED_EACH, qk_norm_if="use_qk_norm", parallel=True, norm={"kind": "layer"}, tied=True),
    ),
    "cohere2": Row(
        decoder,
        Traits(**OWN_BIAS, window="all", pattern=4, rope="local", parallel=True, norm={"kind": "layer"}, tied=True),
        {"sliding_window": 4096},
        ignored=("order_of_interleaved_layers", "position_embedding_type", "rotary_pct", "use_parallel_embedding"),
        fixed={
            "use_gated_activation": (True,),
            "use_parallel_block": (True,),
            "use_embedding_sharing": (True,),
            "use_qk_norm": (False,),
        },
    ),
    "arcee": Row(decoder, replace(BIASED, gated=False), {"hidden_act": "relu2"}),
    "nemotron": Row(decoder, replace(BIASED, gated=False, norm=LAYER_NORM), {"hidden_act": "relu2"}),
    "apertus": Row(
        decoder,
        Traits(**OWN_BIAS, gated=False, qk_norm="head"),
        {"hidden_act": "xielu"},
        fixed={"mlp_bias": (False,), "post_norm": (False,), "qk_norm": (True,)},
    ),
    "helium": Row(decoder, replace(BIASED, o_bias=False), {"head_dim": 128, "num_key_value_heads": 20}),
    "internlm3": Row(
        decoder,
        BIASED,
        {"head_dim": 128, "num_key_value_heads": 2},
        fixed={"qkv_bias": (False,), "bias": (False,)},
    ),
    "seed_oss": Row(
        decoder,
        replace(BIASED, o_bias="attention_out_bias"),
        {"attention_bias": True, "head_dim": 128, "num_key_value_heads": 8},
    ),
    "exaone4": Row(
        decoder,
        Traits(qk_norm="head", norm_place="post", window="all", pattern=4, rope="local"),
        {"sliding_window": 4096, "num_key_value_heads": 32},
    ),
    "ernie4_5": Row(decoder, Traits(**ONE_BIAS, tied=True), {"head_dim": 128, "num_key_value_heads": 2}),
    "hunyuan_v1_dense": Row(
        decoder, Traits(**OWN_BIAS, qk_norm="head", qk_norm_if="use_qk_norm"), {"use_qk_norm": True}, HUNYUAN, fixed=HUNYUAN_FORM
    ),
    "mimo": Row(decoder, Traits(attention_bias="attention_bias", **LATE, mtp="shared"), fixed={"use_mrope": (False,)}),
    "minicpm3": Row(
        latent,
        Traits(mlp_bias="mlp_bias", tied=True),
        {"q_lora_rank": 768, "kv_lora_rank": 256, "qk_nope_head_dim": 64, "qk_rope_head_dim": 32},
        ignored=("scale_emb", "scale_depth", "dim_model_base"),
    ),
    # ---- experts
    "qwen2_moe": Row(
        decoder,
        Traits(attention_bias="qkv_bias", moe="step"),
        {"qkv_bias": True, "shared_expert_intermediate_size": 5632, "num_key_value_heads": 16},
        fixed={"use_sliding_window": (False,)},
    ),
    "phimoe": Row(
        decoder,
        Traits(**OWN_BIAS, window="all", norm=LAYER_NORM, head_bias="lm_head_bias", moe="all"),
        {"num_key_value_heads": 8},
        ignored=("input_jitter_noise",),
    ),
    "gpt_oss": Row(
        decoder,
        Traits(**OWN_BIAS, window="all", pattern=2, sinks=True, moe="biased"),
        {"attention_bias": True, "sliding_window": 128, "head_dim": 64, "num_key_value_heads": 8},
        ignored=("experts_per_token", "initial_context_length"),
    ),
    "granitemoe": Row(decoder, Traits(**OWN_BIAS, moe="all")),
    "granitemoeshared": Row(decoder, Traits(**OWN_BIAS, moe="beside")),
    "olmoe": Row(decoder, Traits(**OWN_BIAS, qk_norm="all", moe="all"), ignored=("clip_qkv",)),
    "exaone_moe": Row(
        decoder,
        Traits(qk_norm="head", window="all", pattern=4, rope="local", moe="first"),
        {"sliding_window": 4096, "first_k_dense_replace": 1, "num_key_value_heads": 32, "num_shared_experts": 1},
    ),
    "ernie4_5_moe": Row(
        decoder,
        Traits(**ONE_BIAS, head_bias="use_bias", tied=True, moe="interval"),
        {
            "num_key_value_heads": 4,
            "moe_intermediate_size": 1536,
            "moe_num_experts": 64,
            "moe_k": 6,
            "moe_num_shared_experts": 2,
            "moe_layer_start_index": 1,
        },
        ignored=("moe_norm_min", "moe_capacity", "moe_gate", "moe_use_aux_free", "compression_ratio", "weight_share_add_bias"),
    ),
    "hunyuan_v1_moe": Row(
        decoder,
        Traits(**OWN_BIAS, qk_norm="head", qk_norm_if="use_qk_norm", moe="mixed"),
        {"use_qk_norm": True},
        HUNYUAN,
        fixed=HUNYUAN_FORM,
    ),
    "dots1": Row(
        decoder,
        Traits(**OWN_BIAS, qk_norm="head", window="late", moe="first"),
        {"num_key_value_heads": 32, "max_window_layers": 62},
    ),
    "grok-1": Row(
        decoder,
        Traits(norm_place="both", moe="all", tied=True),
        ignored=("attn_output_multiplier", "max_attn_value", "embedding_multiplier_scale", "output_multiplier_scale"),
    ),
    # ---- layers that differ in more than a window
    "llama4_text": Row(
        chunked,
        Traits(**OWN_BIAS, qk_norm="plain", qk_norm_if="use_qk_norm", rope="listed", moe="interleaved"),
        {
            "head_dim": 128,
            "num_key_value_heads": 8,
            "use_qk_norm": True,
            "intermediate_size_mlp": 16384,
            "attention_chunk_size": 8192,
        },
        ignored=("for_llm_compressor",),
    ),
    "llama4": Wrapper(kind="llama4_text", towers={"vision_config": shuffled}, tied="text"),
    "mistral3": Wrapper(
        kind="mistral",
        towers={"vision_config": pixtral},
        ignored=("projector_hidden_act", "vision_feature_layer", "multimodal_projector_bias", "spatial_merge_size"),
    ),
    "mimo_v2_flash": Row(
        unequal,
        Traits(attention_bias="attention_bias", moe="first"),
        {"first_k_dense_replace": 1, "sliding_window": 129, "head_dim": 192, "v_head_dim": 128, "num_key_value_heads": 4},
        ignored=("attention_value_scale", "attention_chunk_size", "swa_rope_theta"),
    ),
    "nemotron-nas": Row(pruned, BIASED),
}
