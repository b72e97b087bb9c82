"""The mapping table: the only place that knows names of architectures. A model_type that reuses known blocks is a row."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from costc.huggingface.families.chunked import chunked
from costc.huggingface.families.decoder import decoder
from costc.huggingface.families.latent import latent
from costc.huggingface.families.pruned import pruned
from costc.huggingface.families.sight import pixtral, shuffled
from costc.huggingface.families.unequal import unequal
from costc.huggingface.row import Row, Traits, Wrapper

OWN_BIAS: dict[str, Any] = {"attention_bias": "attention_bias", "o_bias": "attention_bias"}
ALL_BIASED: dict[str, Any] = {"attention_bias": True, "o_bias": True, "mlp_bias": True}
BIASED = Traits(**OWN_BIAS, mlp_bias="mlp_bias")
LAYER_NORM = {"kind": "layer", "bias": True}

#: model_type -> how its configs are read
TABLE: dict[str, Row | Wrapper] = {
    # ---- Llama's form
    "llama": Row(decoder, BIASED),
    "mistral": Row(decoder, Traits(window="all")),
    "mixtral": Row(decoder, Traits(window="all", moe="all")),
    "qwen2": Row(decoder, Traits(attention_bias=True, window="flagged")),
    "qwen3": Row(decoder, Traits(attention_bias="attention_bias", o_bias="attention_bias", qk_norm="head", window="flagged")),
    "qwen3_moe": Row(
        decoder,
        Traits(attention_bias="attention_bias", o_bias="attention_bias", qk_norm="head", window="flagged", moe="step"),
    ),
    "qwen2_moe": Row(
        decoder,
        Traits(attention_bias="qkv_bias", window="flagged", moe="step"),
        {"qkv_bias": True, "shared_expert_intermediate_size": 5632},
        fixed={"use_sliding_window": (False,)},
    ),
    "ministral": Row(decoder, Traits(window="all"), {"sliding_window": 4096}),
    "ministral3": Row(decoder, Traits(window="all"), {"head_dim": 128}),
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
    ),
    "phi3": Row(
        decoder,
        Traits(window="all"),
        ignored=("interpolate_factor", "full_attn_mod"),
        fixed={"attention_bias": (False,), "mlp_bias": (False,), "lm_head_bias": (False,)},
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
        {"attention_bias": True, "sliding_window": 128, "head_dim": 64},
        ignored=("experts_per_token", "initial_context_length"),
    ),
    "granite": Row(decoder, BIASED),
    "granitemoe": Row(decoder, Traits(**OWN_BIAS, moe="all")),
    "granitemoeshared": Row(decoder, Traits(**OWN_BIAS, moe="beside")),
    "starcoder2": Row(
        decoder,
        Traits(
            attention_bias="use_bias", o_bias="use_bias", mlp_bias="use_bias", gated=False, window="all", norm=LAYER_NORM, tied=True
        ),
        {"use_bias": True, "num_key_value_heads": 2},
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
            attention_bias="use_qkv_bias",
            qk_norm="per_head",
            qk_norm_if="qk_layernorm",
            qk_norm_style="layer",
            parallel="use_parallel_residual",
            norm=LAYER_NORM,
        ),
    ),
    "olmo": Row(decoder, Traits(**OWN_BIAS, norm={"kind": "layer", "weight": False}), ignored=("clip_qkv",)),
    "olmo2": Row(decoder, Traits(**OWN_BIAS, qk_norm="all", norm_place="post")),
    "olmo3": Row(
        decoder, Traits(**OWN_BIAS, qk_norm="all", norm_place="post", window="all", pattern=4), {"sliding_window": 4096}
    ),
    "olmoe": Row(decoder, Traits(**OWN_BIAS, qk_norm="all", moe="all"), ignored=("clip_qkv",)),
    "cohere": Row(
        decoder,
        Traits(
            **OWN_BIAS,
            qk_norm="per_head",
            qk_norm_if="use_qk_norm",
            qk_norm_style="layer",
            parallel=True,
            norm={"kind": "layer"},
            tied=True,
        ),
    ),
    "cohere2": Row(
        decoder,
        Traits(**OWN_BIAS, window="all", pattern=4, rope="local", parallel=True, norm={"kind": "layer"}, tied=True),
        {"sliding_window": 4096},
        fixed={"use_qk_norm": (False,)},
    ),
    "arcee": Row(decoder, replace(BIASED, gated=False), {"hidden_act": "relu2"}),
    "nemotron": Row(decoder, replace(BIASED, gated=False, norm=LAYER_NORM), {"hidden_act": "relu2"}),
    "apertus": Row(decoder, Traits(**OWN_BIAS, gated=False, qk_norm="head"), {"hidden_act": "xielu"}),
    "helium": Row(decoder, replace(BIASED, o_bias=False)),
    "internlm3": Row(decoder, BIASED, {"head_dim": 128}, fixed={"qkv_bias": (False,), "bias": (False,)}),
    "seed_oss": Row(
        decoder, replace(BIASED, o_bias="attention_out_bias"), {"attention_bias": True, "head_dim": 128, "num_key_value_heads": 8}
    ),
    "exaone4": Row(
        decoder, Traits(qk_norm="head", norm_place="post", window="all", pattern=4, rope="local"), {"sliding_window": 4096}
    ),
    "exaone_moe": Row(
        decoder,
        Traits(qk_norm="head", window="all", pattern=4, rope="local", moe="first"),
        {"sliding_window": 4096, "first_k_dense_replace": 1},
    ),
    "ernie4_5": Row(
        decoder, Traits(attention_bias="use_bias", o_bias="use_bias", mlp_bias="use_bias", tied=True), {"head_dim": 128}
    ),
    "ernie4_5_moe": Row(
        decoder,
        Traits(tied=True, moe="interval"),
        {"moe_num_shared_experts": 2, "moe_layer_start_index": 1, "moe_num_experts": 64, "moe_k": 6, "moe_intermediate_size": 1536},
        ignored=("moe_norm_min",),
        fixed={"use_bias": (False,)},
    ),
    "hunyuan_v1_dense": Row(decoder, Traits(**OWN_BIAS, qk_norm="head", qk_norm_if="use_qk_norm"), {"use_qk_norm": True}),
    "hunyuan_v1_moe": Row(
        decoder, Traits(**OWN_BIAS, qk_norm="head", qk_norm_if="use_qk_norm", moe="mixed"), {"use_qk_norm": True}
    ),
    "dots1": Row(decoder, Traits(**OWN_BIAS, qk_norm="head", window="all", moe="first")),
    "mimo": Row(decoder, Traits(attention_bias="attention_bias", window="flagged", mtp=True), fixed={"use_mrope": (False,)}),
    "grok-1": Row(
        decoder,
        Traits(norm_place="both", moe="all", tied=True),
        ignored=("attn_output_multiplier", "max_attn_value", "embedding_multiplier_scale", "output_multiplier_scale"),
    ),
    # ---- layers of several kinds of attention
    "llama4_text": Row(
        chunked,
        Traits(**OWN_BIAS, qk_norm="plain", qk_norm_if="use_qk_norm", rope="listed", moe="interleaved"),
        {"head_dim": 128, "use_qk_norm": True, "intermediate_size_mlp": 16384, "attention_chunk_size": 8192},
    ),
    "llama4": Wrapper(kind="llama4_text", towers={"vision_config": shuffled}),
    "mistral3": Wrapper(
        kind="mistral",
        towers={"vision_config": pixtral},
        ignored=("projector_hidden_act", "vision_feature_layer", "multimodal_projector_bias", "spatial_merge_size"),
    ),
    "mimo_v2_flash": Row(
        unequal,
        Traits(attention_bias="attention_bias", moe="first"),
        {"first_k_dense_replace": 1, "sliding_window": 129},
        ignored=("attention_value_scale", "attention_chunk_size", "swa_rope_theta"),
    ),
    "nemotron-nas": Row(pruned, BIASED),
    # ---- latent attention
    "minicpm3": Row(
        latent, Traits(mlp_bias="mlp_bias", tied=True), ignored=("scale_emb", "scale_depth", "dim_model_base")
    ),
    "deepseek_v3": Row(latent, Traits(moe="first")),
}
