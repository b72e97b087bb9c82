"""The mapping table, continued: latent attention, and attention to what an indexer chooses."""

from __future__ import annotations

from costc.huggingface.families.blocks import blocks
from costc.huggingface.families.compressed import compressed
from costc.huggingface.families.latent import doubled, indexed, latent
from costc.huggingface.row import EXPONENT_SCALES, SHORT_SHAPES, Row, Traits, Wrapper
from costc.huggingface.towers.moonvit import merged_twice, moonvit

MLA_HEADS = {"qk_nope_head_dim": 128, "qk_rope_head_dim": 64, "v_head_dim": 128}
DSA = {"index_topk": 2048, "index_head_dim": 128, "index_n_heads": 64, "first_k_dense_replace": 3, "n_shared_experts": 1} | {
    "q_lora_rank": 1536,
    "v_head_dim": 128,
}
COMPRESSED = Row(
    compressed,
    Traits(moe="first", mlp_bias="mlp_bias"),
    {"head_dim": 512, "q_lora_rank": 1024, "o_groups": 8, "o_lora_rank": 1024, "sliding_window": 128, "hc_mult": 4}
    | {"hc_sinkhorn_iters": 20, "index_n_heads": 64, "index_head_dim": 128, "index_topk": 512, "n_shared_experts": 1}
    | EXPONENT_SCALES,
    ignored=("qk_rope_head_dim", "hc_eps", "compress_rope_theta", "expert_dtype"),
    fixed={"num_key_value_heads": (1,), "attention_bias": (False,), "topk_method": ("noaux_tc",), "n_shared_experts": (1,)},
)
PROJECTED = ("projection_hidden_size", "projection_layer_norm_eps")
BLOCKS = Row(
    blocks,
    Traits(qk_norm="head", moe="first"),
    {"head_dim": 128, "num_key_value_heads": 4, "index_n_heads": 4, "index_head_dim": 128, "index_block_size": 128}
    | {"index_topk_blocks": 16, "index_local_blocks": 1, "dense_intermediate_size": 12288, "shared_intermediate_size": 3072},
    ignored=("use_gemma_norm", "rotary_dim"),
    fixed={
        "attention_output_gate": (False,),
        "use_qk_norm": (True,),
        "qk_norm_type": ("per_head",),
        "n_shared_experts": (1,),
        "use_routing_bias": (True,),
    },
)
SEEN = (
    *("image_grid_pinpoints", "image_seq_length", "multimodal_projector_bias", "num_reward_heads", "process_image_mode"),
    *("projector_hidden_act", "vision_feature_layer", "vision_feature_select_strategy"),
)

LATENT: dict[str, Row | Wrapper] = {
    "deepseek_v2": Row(
        latent,
        Traits(moe="first", mlp_bias="mlp_bias"),
        {"topk_method": "greedy", "q_lora_rank": 1536, "kv_lora_rank": 512, "n_shared_experts": 2, **MLA_HEADS},
        fixed={"topk_method": ("greedy", "group_limited_greedy")},
    ),
    "deepseek_v3": Row(
        latent,
        Traits(moe="first"),
        {"first_k_dense_replace": 3, "n_shared_experts": 1, "q_lora_rank": 1536, "kv_lora_rank": 512, **MLA_HEADS},
    ),
    "kimi_k2": Row(latent, Traits(moe="first"), SHORT_SHAPES),
    "kimi_k25": Wrapper(
        kind="deepseek_v3",
        towers={"vision_config": moonvit},
        ignored=("use_unified_vision_chunk", "video_placeholder", *PROJECTED),
    ),
    "glm4_moe_lite": Row(
        latent,
        Traits(moe="first"),
        {"first_k_dense_replace": 1, "n_shared_experts": 1, "q_lora_rank": 768, "kv_lora_rank": 512, "v_head_dim": 256},
    ),
    "mistral4": Row(
        latent,
        Traits(moe="first"),
        {"topk_method": "greedy", "n_shared_experts": 1, "q_lora_rank": 1024, "kv_lora_rank": 256, "v_head_dim": 128},
    ),
    "longcat_flash": Row(
        doubled,
        Traits(moe="first"),
        {"q_lora_rank": 1536, "kv_lora_rank": 512, "zero_expert_num": 256, "expert_ffn_hidden_size": 2048, **MLA_HEADS},
        fixed={"router_bias": (False,), "attention_method": ("MLA",)},
    ),
    "deepseek_v4": COMPRESSED,
    "deepseek_ref": COMPRESSED,
    "minimax_m3": BLOCKS,
    "minimax_m3_vl_text": BLOCKS,
    "minimax_m3_vl": Wrapper(kind="minimax_m3_vl_text", towers={"vision_config": merged_twice}, ignored=SEEN, tied="either"),
    "deepseek_v32": Row(indexed, Traits(moe="first"), DSA, fixed={"mlp_bias": (False,)}),
    "glm_moe_dsa": Row(
        indexed,
        Traits(moe="first", mtp="shared"),
        {**DSA, "index_n_heads": 32, "q_lora_rank": 2048, "v_head_dim": 256},
        ignored=("indexer_rope_interleave", "index_share_for_mtp_iteration"),
        fixed={"mlp_bias": (False,)},
    ),
}
