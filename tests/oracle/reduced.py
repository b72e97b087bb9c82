"""A tiny configuration of each architecture, small enough to run with real tensors on a CPU."""

from __future__ import annotations

from transformers.models.auto.configuration_auto import CONFIG_MAPPING

from tests.oracle.configs import complete
from tests.oracle.models import Config
from tests.oracle.published import Overrides

# Applied where the configuration class has the field. Sizes differ where they could be taken for one another.
SMALL: Overrides = {
    "vocab_size": 80, "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 2, "head_dim": 20, "max_position_embeddings": 128,
    "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2,
    # experts
    "moe_intermediate_size": 24, "num_experts": 8, "num_local_experts": 8, "n_routed_experts": 8, "num_experts_per_tok": 3,
    "n_group": 1, "topk_group": 1, "first_k_dense_replace": 1, "shared_expert_intermediate_size": 40, "n_shared_experts": 1,
    # latent attention and its indexer
    "q_lora_rank": 28, "kv_lora_rank": 20, "qk_rope_head_dim": 8, "qk_nope_head_dim": 12, "v_head_dim": 10,
    "index_topk": 4, "index_head_dim": 16, "index_n_heads": 3,
    # state spaces and linear attention
    "mamba_d_state": 12, "mamba_chunk_size": 8, "chunk_size": 8, "mamba_n_heads": 8, "mamba_d_head": 16, "mamba_dt_rank": 6,
    "state_size": 12, "time_step_rank": 6, "linear_num_key_heads": 2, "linear_num_value_heads": 4, "linear_key_head_dim": 12,
    "linear_value_head_dim": 10, "linear_head_dim": 12, "linear_num_heads": 4,
    # names of GPT-2's family
    "n_embd": 64, "n_layer": 2, "n_head": 4, "n_positions": 128, "n_inner": 96, "d_model": 64, "n_layers": 2, "n_heads": 4,
    "max_seq_len": 128, "ffn_dim": 96, "word_embed_proj_dim": 64, "rotary_dim": 8,
}  # fmt: skip
TINY_VISION: Overrides = {
    "hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 1, "depth": 1, "num_attention_heads": 2, "num_heads": 2,
    "head_dim": 16, "image_size": 28, "patch_size": 14, "num_position_embeddings": 16, "out_hidden_size": 64,
    "pos_emb_height": 4, "pos_emb_width": 4, "deepstack_visual_indexes": [0], "fullatt_block_indexes": [0],
    "max_position_embeddings": 4, "projector_input_dim": 32, "projector_output_dim": 32, "vision_output_dim": 32,
}  # fmt: skip

SLIDING: Overrides = {"sliding_window": 8, "layer_types": ["sliding_attention", "full_attention"]}
LATENT: Overrides = {"num_key_value_heads": 4}
DENSE_FIRST: Overrides = {"mlp_layer_types": ["dense", "sparse"]}
DELTA: Overrides = {"num_hidden_layers": 4, "head_dim": 16}  # full attention is every fourth layer; a quarter is rotated
MAMBA2: Overrides = {"num_heads": 8, "head_dim": 16, "n_groups": 2}
MAMBA1: Overrides = {"intermediate_size": 128}
GEMMA_LAYERS = ["sliding_attention", "full_attention", "sliding_attention", "full_attention"]
NEMOTRON_H: Overrides = {
    "layers_block_type": ["mamba", "moe", "attention", "mlp"], "mamba_num_heads": 8, "mamba_head_dim": 16,
    "ssm_state_size": 12, "n_groups": 2, "moe_shared_expert_intermediate_size": 40,
}  # fmt: skip
ZAMBA: Overrides = {
    "num_hidden_layers": 4, "layers_block_type": ["mamba", "hybrid", "mamba", "hybrid"], "num_key_value_heads": 4,
    "n_mamba_heads": 2,
}  # fmt: skip

# What SMALL does not say; a name after `+` is a second variant of the architecture.
SPECIAL: dict[str, Overrides] = {
    "llama": {},
    "llama4_text": {"num_hidden_layers": 4, "intermediate_size_mlp": 72, "interleave_moe_layer_step": 2,
                    "num_experts_per_tok": 1, "attention_chunk_size": 8},
    "mistral": {"sliding_window": 8},
    "ministral": SLIDING,
    "ministral3": {"sliding_window": None},
    "mixtral": {},
    "qwen2": {},
    "qwen2_moe": {"mlp_only_layers": [0]},
    "qwen3": {},
    "qwen3_moe": {"mlp_only_layers": [0]},
    "qwen3_next": DELTA | {"mlp_only_layers": [0]},
    "olmo_hybrid": {"num_hidden_layers": 4},
    "qwen3_5_text": DELTA,
    "qwen3_5_moe_text": DELTA,
    "gemma": {"num_key_value_heads": 1},
    "gemma2": SLIDING,
    "gemma3_text": SLIDING,
    "gemma3n_text": {"num_hidden_layers": 4, "layer_types": GEMMA_LAYERS, "num_kv_shared_layers": 2, "sliding_window": 8,
                     "intermediate_size": [96] * 4, "altup_num_inputs": 3, "laurel_rank": 6,
                     "hidden_size_per_layer_input": 14, "vocab_size_per_layer_input": 80,
                     "activation_sparsity_pattern": [0.95, 0.0, 0.0, 0.0]},
    "gemma4_text": {"num_hidden_layers": 4, "layer_types": GEMMA_LAYERS, "num_kv_shared_layers": 2, "sliding_window": 8,
                    "global_head_dim": 24, "hidden_size_per_layer_input": 14, "vocab_size_per_layer_input": 80,
                    "use_double_wide_mlp": True},
    "gemma4_text+moe": {**SLIDING, "global_head_dim": 24, "num_global_key_value_heads": 1, "attention_k_eq_v": True,
                        "hidden_size_per_layer_input": 0, "enable_moe_block": True, "top_k_experts": 3},
    "phi": {"num_key_value_heads": 4},
    "phi3": {"sliding_window": None},
    "phimoe": {"num_experts_per_tok": 2},
    "gpt_oss": SLIDING,
    "deepseek_v2": LATENT | {"n_shared_experts": 2},
    "deepseek_v2+full_rank": LATENT | {"n_shared_experts": 2, "q_lora_rank": None},
    "deepseek_v3": LATENT,
    "deepseek_v32": LATENT,
    "deepseek_v4": {
        "num_hidden_layers": 4, "head_dim": 16, "num_key_value_heads": 1, "sliding_window": 8, "o_groups": 2,
        "o_lora_rank": 12, "hc_mult": 2, "partial_rotary_factor": 0.5, "mlp_layer_types": ["hash_moe", "moe", "moe", "moe"],
        "layer_types": ["sliding_attention", "compressed_sparse_attention", "heavily_compressed_attention",
                        "compressed_sparse_attention"],
        "compress_rates": {"compressed_sparse_attention": 4, "heavily_compressed_attention": 8}},
    "kimi_linear": LATENT | DENSE_FIRST | {"layer_types": ["linear_attention", "full_attention"], "num_experts_per_token": 3},
    "glm": {"head_dim": 16},
    "glm4": {"head_dim": 16},
    "glm4_moe": {"head_dim": 16, "use_qk_norm": True},
    "glm4_moe_lite": LATENT | DENSE_FIRST,
    "glm_moe_dsa": LATENT | {"num_hidden_layers": 3, "indexer_types": ["full", "shared", "full"]},
    "minimax": {"layer_types": ["linear_attention", "full_attention"], "block_size": 8},
    "minimax_m2": {"rotary_dim": 8, "head_dim": 16},
    "mimo_v2_flash": {**SLIDING, "layer_types": ["full_attention", "sliding_attention"], "head_dim": 24, "v_head_dim": 10},
    "nemotron": {"head_dim": 16},
    "nemotron_h": NEMOTRON_H,
    "nemotron_h+latent": NEMOTRON_H | {"moe_latent_size": 36},
    "jamba": {"num_hidden_layers": 4, "attn_layer_period": 4, "attn_layer_offset": 1},
    "mamba": MAMBA1,
    "mamba2": MAMBA2,
    "falcon_mamba": MAMBA1,
    "falcon": {"ffn_hidden_size": 96},
    "falcon+grouped": {"ffn_hidden_size": 96, "new_decoder_architecture": True, "num_kv_heads": 2},
    "falcon_h1": {"mamba_d_ssm": 96, "mamba_n_heads": 6},
    "granite": {},
    "granitemoe": {},
    "granitemoeshared": {"shared_intermediate_size": 40},
    "granitemoehybrid": {"shared_intermediate_size": 40, "layer_types": ["mamba", "attention"]},
    "bamba": {"attn_layer_indices": [1]},
    "olmo": {},
    "olmo2": {},
    "olmo3": SLIDING,
    "olmoe": {},
    "gpt2": {},
    "gpt_neox": {},
    "gpt_bigcode": {},
    "gptj": {},
    "opt": {},
    "bloom": {"n_head": 4},
    "mpt": {},
    "dbrx": {"attn_config": {"kv_n_heads": 2, "clip_qkv": 8, "rope_theta": 500000},
             "ffn_config": {"ffn_hidden_size": 24, "moe_num_experts": 8, "moe_top_k": 3}},
    "cohere": {"use_qk_norm": True},
    "cohere2": SLIDING,
    "starcoder2": {"sliding_window": 8},
    "stablelm": {"qk_layernorm": True},
    "smollm3": {"no_rope_layers": [1, 0]},
    "exaone4": SLIDING,
    "exaone_moe": SLIDING,
    "ernie4_5": {},
    "ernie4_5_moe": {"moe_num_experts": 8, "moe_k": 3, "moe_num_shared_experts": 2, "moe_layer_start_index": 1,
                     "moe_layer_end_index": 1},
    "hunyuan_v1_dense": {},
    "hunyuan_v1_moe": {"moe_topk": 3},
    "seed_oss": {},
    "bailing_hybrid": LATENT | {"layer_types": ["linear_attention", "full_attention"], "num_experts_per_token": 3,
                                "num_expert_group": 1, "head_dim": 12},
    "lfm2": {"layer_types": ["conv", "full_attention"], "block_ff_dim": 96, "block_auto_adjust_ff_dim": False},
    "lfm2_moe": {"layer_types": ["conv", "full_attention"], "num_dense_layers": 1},
    "zamba": ZAMBA | {"attention_hidden_size": 128, "attention_head_dim": 32},
    "zamba2": ZAMBA | {"num_mem_blocks": 1, "n_mamba_heads": 8, "mamba_ngroups": 2, "adapter_rank": 5,
                       "use_shared_attention_adapter": True, "use_mem_rope": True},
    "arcee": {},
    "apertus": {},
    "helium": {"head_dim": 16},
    "internlm3": {},
    "dots1": {"sliding_window": None},
    "minicpm3": LATENT,
    # how many tokens go to experts that compute nothing depends on random weights: none here
    "longcat_flash": LATENT | {"num_layers": 2, "ffn_hidden_size": 96, "expert_ffn_hidden_size": 24, "zero_expert_num": 0,
                               "moe_topk": 3, "head_dim": 8},
}  # fmt: skip

# Classes around a text model of their own type; its overrides.
INSIDE: dict[str, tuple[str, Overrides]] = {
    "llama4": ("llama4_text", SPECIAL["llama4_text"]),
    "mistral3": ("mistral", {"sliding_window": None}),
    "mistral3+latent": ("mistral4", LATENT),
    "qwen3_5": ("qwen3_5_text", SPECIAL["qwen3_5_text"]),
    "qwen3_5_moe": ("qwen3_5_moe_text", SPECIAL["qwen3_5_moe_text"]),
    "qwen3_vl": ("qwen3_vl_text", {}),
    "qwen3_vl_moe": ("qwen3_vl_moe_text", {"mlp_only_layers": [0]}),
    "qwen2_5_vl": (
        "qwen2_5_vl_text",
        {"rope_parameters": {"rope_type": "default", "rope_theta": 1000000.0, "mrope_section": [2, 3, 3]}},
    ),
    "qwen2_vl": (
        "qwen2_vl_text",
        {"rope_parameters": {"rope_type": "default", "rope_theta": 1000000.0, "mrope_section": [2, 3, 3]}},
    ),
    "gemma3": ("gemma3_text", SLIDING),
    "gemma3n": ("gemma3n_text", SPECIAL["gemma3n_text"]),
    "gemma4": ("gemma4_text", SPECIAL["gemma4_text"]),
    "kimi_k25": ("deepseek_v3", LATENT),
    "minimax_m3_vl": (
        "minimax_m3_vl_text",
        DENSE_FIRST
        | {
            "layer_types": ["full_attention", "minimax_m3_sparse"],
            "dense_intermediate_size": 72,
            "shared_intermediate_size": 40,
            "index_block_size": 4,
            "index_topk_blocks": 2,
            "index_local_blocks": 1,
            "num_experts_per_tok": 3,
            "intermediate_size": 24,
            "head_dim": 16,
            "index_n_heads": 2,
        },
    ),
    "step3p7": ("step3p5", SLIDING | DENSE_FIRST | {"num_sliding_attention_heads": 6, "share_expert_dim": 40}),
}


def reduced_names() -> list[str]:
    """Every model type that has a tiny configuration, and its variants as `model_type+variant`."""
    return [*SPECIAL, *INSIDE]


def reduced(model_type: str) -> Config:
    """A config.json of two to four tiny layers in which each kind of layer occurs."""
    inside, overrides = overrides_of(model_type)
    if model_type not in INSIDE:
        return complete(inside, overrides)
    config = complete(model_type.partition("+")[0], {"text_config": {"model_type": inside} | overrides})
    if config.get("vision_config"):
        config["vision_config"] |= {k: v for k, v in TINY_VISION.items() if k in config["vision_config"]}
    return config


def overrides_of(model_type: str) -> tuple[str, Overrides]:
    """The model_type of the text model, and the fields in which it is not as its class has it."""
    inside, overrides = INSIDE.get(model_type) or (model_type.partition("+")[0], SPECIAL[model_type])
    return inside, _small(inside, SMALL) | overrides


def _small(model_type: str, sizes: Overrides) -> Overrides:
    fields = CONFIG_MAPPING[model_type].__dataclass_fields__
    return {k: v for k, v in sizes.items() if k in fields}
