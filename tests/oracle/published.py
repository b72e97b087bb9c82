"""Published sizes of well-known checkpoints, as what differs from transformers' class defaults."""

from __future__ import annotations

from typing import Any

Overrides = dict[str, Any]


def _size(hidden: int, ffn: int, layers: int, heads: int, kv: int, vocab: int, **more: Any) -> Overrides:
    return {
        "hidden_size": hidden, "intermediate_size": ffn, "num_hidden_layers": layers,
        "num_attention_heads": heads, "num_key_value_heads": kv, "vocab_size": vocab, **more,
    }  # fmt: skip


def _kinds(layers: int, attention: list[int], other: str, kind: str = "attention") -> list[str]:
    return [kind if n in attention else other for n in range(layers)]


SIGLIP = {"hidden_size": 1152, "intermediate_size": 4304, "num_hidden_layers": 27, "num_attention_heads": 16, "image_size": 896}
PIXTRAL = {"hidden_size": 1024, "intermediate_size": 4096, "num_hidden_layers": 24, "num_attention_heads": 16, "image_size": 1540}
QWEN_VISION = {"hidden_size": 1280, "intermediate_size": 3420, "depth": 32, "num_heads": 16, "patch_size": 14}

# name -> (model_type, overrides)
DENSE: dict[str, tuple[str, Overrides]] = {
    "meta-llama/Llama-2-7b": ("llama", _size(4096, 11008, 32, 32, 32, 32000)),
    "meta-llama/Llama-2-13b": ("llama", _size(5120, 13824, 40, 40, 40, 32000)),
    "meta-llama/Llama-2-70b": ("llama", _size(8192, 28672, 80, 64, 8, 32000)),
    "codellama/CodeLlama-34b": ("llama", _size(8192, 22016, 48, 64, 8, 32000)),
    "meta-llama/Llama-3.2-1B": ("llama", _size(2048, 8192, 16, 32, 8, 128256, head_dim=64, tie_word_embeddings=True)),
    "meta-llama/Llama-3.2-3B": ("llama", _size(3072, 8192, 28, 24, 8, 128256, head_dim=128, tie_word_embeddings=True)),
    "TinyLlama/TinyLlama-1.1B": ("llama", _size(2048, 5632, 22, 32, 4, 32000)),
    "01-ai/Yi-34B": ("llama", _size(7168, 20480, 60, 56, 8, 64000)),
    "mistralai/Mistral-7B-v0.1": ("mistral", _size(4096, 14336, 32, 32, 8, 32000, sliding_window=4096)),
    "mistralai/Mistral-7B-v0.3": ("mistral", _size(4096, 14336, 32, 32, 8, 32768, sliding_window=None)),
    "mistralai/Mistral-Nemo-Base-2407": (
        "mistral", _size(5120, 14336, 40, 32, 8, 131072, head_dim=128, sliding_window=None)),
    "mistralai/Mistral-Large-Instruct-2407": ("mistral", _size(12288, 28672, 88, 96, 8, 32768, sliding_window=None)),
    "mistralai/Ministral-8B-Instruct-2410": (
        "ministral", _size(4096, 12288, 36, 32, 8, 131072, head_dim=128, sliding_window=32768,
                           layer_types=(["full_attention"] + ["sliding_attention"] * 3) * 9)),
    "mistralai/Ministral-3-3B (text)": (
        "ministral3", _size(3072, 9216, 26, 32, 8, 131072, head_dim=128, tie_word_embeddings=True)),
    "mistralai/Ministral-3-8B (text)": ("ministral3", _size(4096, 14336, 34, 32, 8, 131072, head_dim=128)),
    "mistralai/Ministral-3-14B": (
        "mistral3", {"text_config": {"model_type": "ministral3", **_size(5120, 16384, 40, 32, 8, 131072, head_dim=128)},
                     "vision_config": {"model_type": "pixtral", **PIXTRAL}, "tie_word_embeddings": False}),
    "mistralai/Mistral-Small-3.1-24B": (
        "mistral3", {"text_config": {"model_type": "mistral", **_size(5120, 32768, 40, 32, 8, 131072, head_dim=128)},
                     "vision_config": {"model_type": "pixtral", **PIXTRAL}, "tie_word_embeddings": False}),
    "Qwen/Qwen2.5-0.5B": ("qwen2", _size(896, 4864, 24, 14, 2, 151936, tie_word_embeddings=True)),
    "Qwen/Qwen2.5-1.5B": ("qwen2", _size(1536, 8960, 28, 12, 2, 151936, tie_word_embeddings=True)),
    "Qwen/Qwen2.5-3B": ("qwen2", _size(2048, 11008, 36, 16, 2, 151936, tie_word_embeddings=True)),
    "Qwen/Qwen2.5-7B": ("qwen2", _size(3584, 18944, 28, 28, 4, 152064)),
    "Qwen/Qwen2.5-14B": ("qwen2", _size(5120, 13824, 48, 40, 8, 152064)),
    "Qwen/Qwen2.5-32B": ("qwen2", _size(5120, 27648, 64, 40, 8, 152064)),
    "Qwen/Qwen2.5-72B": ("qwen2", _size(8192, 29568, 80, 64, 8, 152064)),
    "Qwen/Qwen2.5-VL-3B-Instruct": (
        "qwen2_5_vl", {"text_config": _size(2048, 11008, 36, 16, 2, 151936, tie_word_embeddings=True),
                       "vision_config": {**QWEN_VISION, "out_hidden_size": 2048}, "tie_word_embeddings": True}),
    "Qwen/Qwen2.5-VL-7B-Instruct": (
        "qwen2_5_vl", {"text_config": _size(3584, 18944, 28, 28, 4, 152064),
                       "vision_config": {**QWEN_VISION, "out_hidden_size": 3584}}),
    "Qwen/Qwen2.5-VL-72B-Instruct": (
        "qwen2_5_vl", {"text_config": _size(8192, 29568, 80, 64, 8, 152064),
                       "vision_config": {**QWEN_VISION, "intermediate_size": 3456, "out_hidden_size": 8192}}),
    "Qwen/Qwen3-4B": ("qwen3", _size(2560, 9728, 36, 32, 8, 151936, head_dim=128, tie_word_embeddings=True)),
    "Qwen/Qwen3-14B": ("qwen3", _size(5120, 17408, 40, 40, 8, 151936, head_dim=128)),
    "google/gemma-2b": ("gemma", _size(2048, 16384, 18, 8, 1, 256000, head_dim=256)),
    "google/gemma-7b": ("gemma", _size(3072, 24576, 28, 16, 16, 256000, head_dim=256)),
    "google/gemma-2-2b": ("gemma2", _size(2304, 9216, 26, 8, 4, 256000, head_dim=256)),
    "google/gemma-2-9b": ("gemma2", _size(3584, 14336, 42, 16, 8, 256000, head_dim=256)),
    "google/gemma-2-27b": ("gemma2", _size(4608, 36864, 46, 32, 16, 256000, head_dim=128, query_pre_attn_scalar=144)),
    "google/gemma-3-270m": ("gemma3_text", _size(640, 2048, 18, 4, 1, 262144, head_dim=256, sliding_window=512)),
    "google/gemma-3-1b": ("gemma3_text", _size(1152, 6912, 26, 4, 1, 262144, head_dim=256, sliding_window=512)),
    "google/gemma-3-4b": (
        "gemma3", {"text_config": _size(2560, 10240, 34, 8, 4, 262208, head_dim=256, sliding_window=1024),
                   "vision_config": {**SIGLIP, "patch_size": 14}}),
    "google/gemma-3-12b": (
        "gemma3", {"text_config": _size(3840, 15360, 48, 16, 8, 262208, head_dim=256, sliding_window=1024),
                   "vision_config": {**SIGLIP, "patch_size": 14}}),
    "google/gemma-3-27b": (
        "gemma3", {"text_config": _size(5376, 21504, 62, 32, 16, 262208, head_dim=128, sliding_window=1024),
                   "vision_config": {**SIGLIP, "patch_size": 14}}),
    "google/gemma-3n-E4B (text)": ("gemma3n_text", {}),
    "google/gemma-3n-E2B (text)": (
        "gemma3n_text", {"num_hidden_layers": 30, "intermediate_size": [8192] * 30, "num_kv_shared_layers": 10,
                         "activation_sparsity_pattern": [0.95] * 10 + [0.0] * 20}),
    "microsoft/phi-1_5": ("phi", _size(2048, 8192, 24, 32, 32, 51200)),
    "microsoft/phi-2": ("phi", _size(2560, 10240, 32, 32, 32, 51200)),
    "microsoft/Phi-3-mini-4k-instruct": ("phi3", _size(3072, 8192, 32, 32, 32, 32064, sliding_window=2047)),
    "microsoft/Phi-3-medium-4k-instruct": ("phi3", _size(5120, 17920, 40, 40, 10, 32064, sliding_window=2047)),
    "microsoft/phi-4": ("phi3", _size(5120, 17920, 40, 40, 10, 100352)),
    "microsoft/Phi-4-mini-instruct": ("phi3", _size(3072, 8192, 32, 24, 8, 200064, tie_word_embeddings=True)),
    "zai-org/glm-4-9b-chat-hf": ("glm", _size(4096, 13696, 40, 32, 2, 151552, head_dim=128, attention_bias=True)),
    "zai-org/GLM-4-9B-0414": ("glm4", _size(4096, 13696, 40, 32, 2, 151552, head_dim=128)),
    "zai-org/GLM-4-32B-0414": ("glm4", _size(6144, 23040, 61, 48, 2, 151552, head_dim=128)),
    "nvidia/Nemotron-Mini-4B-Instruct": ("nemotron", _size(3072, 9216, 32, 24, 8, 256000, head_dim=128)),
    "nvidia/Nemotron-4-340B-Base": ("nemotron", _size(18432, 73728, 96, 96, 8, 256000, head_dim=192)),
    "tiiuae/falcon-7b": ("falcon", {}),
    "tiiuae/falcon-40b": (
        "falcon", {"hidden_size": 8192, "num_hidden_layers": 60, "num_attention_heads": 128, "num_kv_heads": 8,
                   "new_decoder_architecture": True, "vocab_size": 65024}),
    "tiiuae/falcon-180B": (
        "falcon", {"hidden_size": 14848, "num_hidden_layers": 80, "num_attention_heads": 232, "num_kv_heads": 8,
                   "new_decoder_architecture": True, "vocab_size": 65024}),
    "ibm-granite/granite-3.1-2b": ("granite", _size(2048, 8192, 40, 32, 8, 49155, tie_word_embeddings=True)),
    "ibm-granite/granite-3.1-8b": ("granite", _size(4096, 12800, 40, 32, 8, 49155, tie_word_embeddings=True)),
    "allenai/OLMo-1B-hf": ("olmo", _size(2048, 8192, 16, 16, 16, 50304, tie_word_embeddings=True)),
    "allenai/OLMo-7B-hf": ("olmo", _size(4096, 11008, 32, 32, 32, 50304)),
    "allenai/OLMo-2-7B": ("olmo2", _size(4096, 11008, 32, 32, 32, 100352)),
    "allenai/OLMo-2-13B": ("olmo2", _size(5120, 13824, 40, 40, 40, 100352)),
    "allenai/OLMo-2-32B": ("olmo2", _size(5120, 27648, 64, 40, 8, 100352)),
    "allenai/Olmo-3-7B": ("olmo3", _size(4096, 11008, 32, 32, 32, 100278, sliding_window=4096)),
    "allenai/Olmo-3-32B": ("olmo3", _size(5120, 27648, 64, 40, 8, 100278, sliding_window=4096)),
    "openai-community/gpt2": ("gpt2", {}),
    "openai-community/gpt2-xl": ("gpt2", {"n_embd": 1600, "n_layer": 48, "n_head": 25}),
    "EleutherAI/gpt-neox-20b": ("gpt_neox", {}),
    "EleutherAI/pythia-1.4b": (
        "gpt_neox", {"hidden_size": 2048, "intermediate_size": 8192, "num_hidden_layers": 24, "num_attention_heads": 16,
                     "vocab_size": 50304}),
    "bigcode/starcoder": (
        "gpt_bigcode", {"n_embd": 6144, "n_inner": 24576, "n_layer": 40, "n_head": 48, "n_positions": 8192,
                        "vocab_size": 49152}),
    "EleutherAI/gpt-j-6b": ("gptj", {}),
    "facebook/opt-125m": ("opt", {}),
    "facebook/opt-1.3b": (
        "opt", {"hidden_size": 2048, "ffn_dim": 8192, "num_hidden_layers": 24, "num_attention_heads": 32,
                "word_embed_proj_dim": 2048}),
    "facebook/opt-66b": (
        "opt", {"hidden_size": 9216, "ffn_dim": 36864, "num_hidden_layers": 64, "num_attention_heads": 72,
                "word_embed_proj_dim": 9216}),
    "bigscience/bloom-560m": ("bloom", {"hidden_size": 1024, "n_layer": 24, "n_head": 16, "vocab_size": 250880}),
    "bigscience/bloom-7b1": ("bloom", {"hidden_size": 4096, "n_layer": 30, "n_head": 32, "vocab_size": 250880}),
    "bigscience/bloom": ("bloom", {"hidden_size": 14336, "n_layer": 70, "n_head": 112, "vocab_size": 250880}),
    "mosaicml/mpt-7b": ("mpt", {"d_model": 4096, "n_heads": 32, "n_layers": 32, "vocab_size": 50432}),
    "mosaicml/mpt-30b": ("mpt", {"d_model": 7168, "n_heads": 64, "n_layers": 48, "vocab_size": 50432}),
    "CohereForAI/c4ai-command-r-v01": ("cohere", _size(8192, 22528, 40, 64, 64, 256000)),
    "CohereForAI/c4ai-command-r-plus": ("cohere", _size(12288, 33792, 64, 96, 8, 256000, use_qk_norm=True)),
    "CohereForAI/c4ai-command-r7b-12-2024": ("cohere2", _size(4096, 14336, 32, 32, 8, 256000, sliding_window=4096)),
    "CohereForAI/c4ai-command-a-03-2025": ("cohere2", _size(12288, 36864, 64, 96, 8, 256000, sliding_window=4096)),
    "bigcode/starcoder2-3b": ("starcoder2", _size(3072, 12288, 30, 24, 2, 49152, sliding_window=4096)),
    "bigcode/starcoder2-7b": ("starcoder2", _size(4608, 18432, 32, 36, 4, 49152, sliding_window=4096)),
    "bigcode/starcoder2-15b": ("starcoder2", _size(6144, 24576, 40, 48, 4, 49152, sliding_window=4096)),
    "stabilityai/stablelm-3b-4e1t": ("stablelm", _size(2560, 6912, 32, 32, 32, 50304)),
    "stabilityai/stablelm-2-1_6b": ("stablelm", _size(2048, 5632, 24, 32, 32, 100352, use_qkv_bias=True)),
    "stabilityai/stablelm-2-12b": (
        "stablelm", _size(5120, 13824, 40, 32, 8, 100352, qk_layernorm=True, use_parallel_residual=True)),
    "HuggingFaceTB/SmolLM3-3B": ("smollm3", _size(2048, 11008, 36, 16, 4, 128256)),
    "LGAI-EXAONE/EXAONE-4.0-32B": ("exaone4", _size(5120, 27392, 64, 40, 8, 102400, sliding_window=4096)),
    "LGAI-EXAONE/EXAONE-4.0-1.2B": (
        "exaone4", _size(2048, 4096, 30, 32, 8, 102400, tie_word_embeddings=True, sliding_window=None,
                         layer_types=["full_attention"] * 30)),
    "baidu/ERNIE-4.5-0.3B-PT": ("ernie4_5", {}),
    "tencent/Hunyuan-7B-Instruct": ("hunyuan_v1_dense", _size(4096, 14336, 32, 32, 8, 128167, head_dim=128)),
    "ByteDance-Seed/Seed-OSS-36B": ("seed_oss", _size(5120, 27648, 64, 80, 8, 155136, head_dim=128, attention_bias=True)),
    "arcee-ai/AFM-4.5B": ("arcee", _size(2560, 18432, 36, 20, 4, 128004, head_dim=128)),
    "swiss-ai/Apertus-8B-2509": ("apertus", _size(4096, 21504, 32, 32, 8, 131072)),
    "swiss-ai/Apertus-70B-2509": ("apertus", _size(8192, 43008, 80, 64, 8, 131072)),
    "kyutai/helium-1-preview-2b": ("helium", {}),
    "internlm/internlm3-8b-instruct": ("internlm3", {}),
    "openbmb/MiniCPM3-4B": ("minicpm3", {}),
}  # fmt: skip

MIXTURES: dict[str, tuple[str, Overrides]] = {
    "Qwen/Qwen1.5-MoE-A2.7B": (
        "qwen2_moe", _size(2048, 5632, 24, 16, 16, 151936, moe_intermediate_size=1408, shared_expert_intermediate_size=5632,
                           num_experts=60, num_experts_per_tok=4)),
    "Qwen/Qwen2-57B-A14B": (
        "qwen2_moe", _size(3584, 18944, 28, 28, 4, 151936, moe_intermediate_size=2560, shared_expert_intermediate_size=20480,
                           num_experts=64, num_experts_per_tok=8)),
    "microsoft/Phi-3.5-MoE-instruct": (
        "phimoe", _size(4096, 6400, 32, 32, 8, 32064, num_local_experts=16, num_experts_per_tok=2, attention_bias=True,
                        lm_head_bias=True)),
    "deepseek-ai/DeepSeek-V2": (
        "deepseek_v2", _size(5120, 12288, 60, 128, 128, 102400, moe_intermediate_size=1536, n_shared_experts=2,
                             n_routed_experts=160, num_experts_per_tok=6, kv_lora_rank=512, q_lora_rank=1536,
                             qk_rope_head_dim=64, qk_nope_head_dim=128, v_head_dim=128, first_k_dense_replace=1)),
    "deepseek-ai/DeepSeek-V2-Lite": (
        "deepseek_v2", _size(2048, 10944, 27, 16, 16, 102400, moe_intermediate_size=1408, n_shared_experts=2,
                             n_routed_experts=64, num_experts_per_tok=6, kv_lora_rank=512, q_lora_rank=None,
                             qk_rope_head_dim=64, qk_nope_head_dim=128, v_head_dim=128, first_k_dense_replace=1)),
    "zai-org/GLM-4.5": (
        "glm4_moe", _size(5120, 12288, 92, 96, 8, 151552, head_dim=128, moe_intermediate_size=1536, n_routed_experts=160,
                          num_experts_per_tok=8, n_shared_experts=1, first_k_dense_replace=3, use_qk_norm=True,
                          attention_bias=True)),
    "zai-org/GLM-4.5-Air": (
        "glm4_moe", _size(4096, 10944, 46, 96, 8, 151552, head_dim=128, moe_intermediate_size=1408, n_routed_experts=128,
                          num_experts_per_tok=8, n_shared_experts=1, first_k_dense_replace=1, attention_bias=True)),
    "zai-org/GLM-4.7-Flash": ("glm4_moe_lite", {}),
    "MiniMaxAI/MiniMax-Text-01": (
        "minimax", _size(6144, 9216, 80, 64, 8, 200064, head_dim=128, num_local_experts=32, num_experts_per_tok=2,
                         layer_types=(["linear_attention"] * 7 + ["full_attention"]) * 10)),
    "ibm-granite/granite-3.1-1b-a400m": (
        "granitemoe", _size(1024, 512, 24, 16, 8, 49155, num_local_experts=32, num_experts_per_tok=8,
                            tie_word_embeddings=True)),
    "ibm-granite/granite-3.1-3b-a800m": (
        "granitemoe", _size(1536, 512, 32, 24, 8, 49155, num_local_experts=40, num_experts_per_tok=8,
                            tie_word_embeddings=True)),
    "class defaults with shared_intermediate_size": ("granitemoeshared", {"shared_intermediate_size": 1024}),
    "allenai/OLMoE-1B-7B-0924": (
        "olmoe", _size(2048, 1024, 16, 16, 16, 50304, num_experts=64, num_experts_per_tok=8)),
    "databricks/dbrx-base": (
        "dbrx", {"d_model": 6144, "n_heads": 48, "n_layers": 40, "vocab_size": 100352, "max_seq_len": 32768,
                 "attn_config": {"kv_n_heads": 8, "clip_qkv": 8, "rope_theta": 500000},
                 "ffn_config": {"ffn_hidden_size": 10752, "moe_num_experts": 16, "moe_top_k": 4}}),
    "LGAI-EXAONE/K-EXAONE-236B-A23B": (
        "exaone_moe", _size(6144, 18432, 48, 64, 8, 153600, head_dim=128, moe_intermediate_size=2048, num_experts=128,
                            num_experts_per_tok=8, num_shared_experts=1, first_k_dense_replace=1, sliding_window=128)),
    "baidu/ERNIE-4.5-21B-A3B-PT": ("ernie4_5_moe", {}),
    "baidu/ERNIE-4.5-300B-A47B-PT": (
        "ernie4_5_moe", _size(8192, 28672, 54, 64, 8, 103424, moe_intermediate_size=3584, moe_num_experts=64, moe_k=8,
                              moe_num_shared_experts=0, moe_layer_start_index=3, moe_layer_end_index=53)),
    "tencent/Hunyuan-A13B-Instruct": (
        "hunyuan_v1_moe", _size(4096, 3072, 32, 32, 8, 128167, head_dim=128, num_experts=64, moe_topk=8,
                                tie_word_embeddings=True)),
    "rednote-hilab/dots.llm1": (
        "dots1", _size(4096, 10944, 62, 32, 32, 152064, head_dim=128, moe_intermediate_size=1408, n_routed_experts=128,
                       num_experts_per_tok=6, n_shared_experts=2, first_k_dense_replace=1, sliding_window=None)),
    "meituan-longcat/LongCat-Flash": ("longcat_flash", {}),
    "stepfun-ai/Step-3.7-Flash (class defaults)": ("step3p7", {}),
}  # fmt: skip

STATE_SPACE: dict[str, tuple[str, Overrides]] = {
    "Qwen/Qwen3-Next-80B-A3B": ("qwen3_next", {}),
    "moonshotai/Kimi-Linear-48B-A3B": ("kimi_linear", {}),
    "inclusionAI/bailing_hybrid (class defaults)": ("bailing_hybrid", {}),
    "state-spaces/mamba-130m": ("mamba", {"hidden_size": 768, "num_hidden_layers": 24, "vocab_size": 50280}),
    "state-spaces/mamba-2.8b": ("mamba", {"hidden_size": 2560, "num_hidden_layers": 64, "vocab_size": 50280}),
    "state-spaces/mamba2-2.7b": (
        "mamba2", {"hidden_size": 2560, "num_hidden_layers": 64, "num_heads": 80, "n_groups": 1, "vocab_size": 50288,
                   "tie_word_embeddings": True}),
    "mistralai/Mamba-Codestral-7B-v0.1": ("mamba2", {}),
    "tiiuae/falcon-mamba-7b": (
        "falcon_mamba", {"hidden_size": 4096, "num_hidden_layers": 64, "vocab_size": 65024, "time_step_rank": 256,
                         "intermediate_size": 8192, "tie_word_embeddings": False}),
    "ai21labs/Jamba-v0.1": ("jamba", {}),
    "ai21labs/AI21-Jamba-1.5-Large": ("jamba", _size(8192, 24576, 72, 64, 8, 65536, mamba_dt_rank=512)),
    "tiiuae/Falcon-H1-0.5B": (
        "falcon_h1", _size(1024, 2048, 36, 8, 2, 32784, head_dim=64, mamba_d_ssm=1536, mamba_n_heads=24, mamba_d_head=64,
                           mamba_d_state=128, mamba_n_groups=1)),
    "ibm-ai-platform/Bamba-9B": ("bamba", {"attn_layer_indices": [9, 18, 27], "vocab_size": 128256, "mamba_d_state": 128}),
    "ibm-granite/granite-4.0-h-micro": (
        "granitemoehybrid", _size(2048, 8192, 40, 32, 8, 100352, shared_intermediate_size=8192, num_local_experts=0,
                                  num_experts_per_tok=0, mamba_n_heads=64, mamba_d_head=64, mamba_d_state=128,
                                  tie_word_embeddings=True, layer_types=_kinds(40, [5, 15, 25, 35], "mamba"))),
    "ibm-granite/granite-4.0-h-tiny": (
        "granitemoehybrid", _size(1536, 512, 40, 12, 4, 100352, shared_intermediate_size=1024, num_local_experts=64,
                                  num_experts_per_tok=6, mamba_n_heads=48, mamba_d_head=64, mamba_d_state=128,
                                  tie_word_embeddings=True, layer_types=_kinds(40, [5, 15, 25, 35], "mamba"))),
    "ibm-granite/granite-4.0-h-small": (
        "granitemoehybrid", _size(4096, 768, 40, 32, 8, 100352, shared_intermediate_size=1536, num_local_experts=72,
                                  num_experts_per_tok=10, mamba_n_heads=128, mamba_d_head=64, mamba_d_state=128,
                                  tie_word_embeddings=True, layer_types=_kinds(40, [5, 15, 25, 35], "mamba"))),
    "nvidia/Nemotron-H-8B-Base-8K": (
        "nemotron_h", {
            "hidden_size": 4096, "intermediate_size": 21504, "num_hidden_layers": 52, "num_attention_heads": 32,
            "num_key_value_heads": 8, "head_dim": 128, "mamba_num_heads": 128, "mamba_head_dim": 64, "ssm_state_size": 128,
            "n_groups": 8, "vocab_size": 131072,
            "hybrid_override_pattern": "M-M-M-M*-M-M-M-M-M*-M-M-M-M-M*-M-M-M-M-M*-M-M-M-M-M-"}),
    "LiquidAI/LFM2-1.2B": (
        "lfm2", {"hidden_size": 2048, "num_hidden_layers": 16, "num_attention_heads": 32, "num_key_value_heads": 8,
                 "block_ff_dim": 12288, "layer_types": _kinds(16, [2, 5, 8, 10, 12, 14], "conv", "full_attention")}),
    "LiquidAI/LFM2-350M": (
        "lfm2", {"hidden_size": 1024, "num_hidden_layers": 16, "num_attention_heads": 16, "num_key_value_heads": 8,
                 "block_ff_dim": 6656, "layer_types": _kinds(16, [2, 5, 8, 10, 12, 14], "conv", "full_attention")}),
    "LiquidAI/LFM2-8B-A1B": (
        "lfm2_moe", {"hidden_size": 2048, "intermediate_size": 7168, "moe_intermediate_size": 1792, "num_hidden_layers": 24,
                     "num_experts": 32, "num_experts_per_tok": 4, "num_dense_layers": 2,
                     "layer_types": _kinds(24, [2, 6, 10, 14, 18, 21], "conv", "full_attention")}),
    "Zyphra/Zamba-7B-v1": ("zamba", {}),
    "Zyphra/Zamba2 (class defaults)": ("zamba2", {}),
    "Zyphra/Zamba2-1.2B": (
        "zamba2", {"hidden_size": 2048, "intermediate_size": 8192, "num_hidden_layers": 38, "num_mem_blocks": 1,
                   "n_mamba_heads": 64, "mamba_d_state": 128, "use_shared_attention_adapter": True, "use_mem_rope": True,
                   "num_attention_heads": 32, "num_key_value_heads": 32, "adapter_rank": 128,
                   "layers_block_type": _kinds(38, [5, 11, 17, 23, 29, 35], "mamba", "hybrid")}),
}  # fmt: skip

CLASS_DEFAULTS = (
    "llama4", "llama4_text", "mistral3", "qwen3_moe", "qwen3_5_text", "qwen3_5_moe", "qwen3_vl", "qwen3_vl_moe",
    "gemma3n", "gemma4", "gemma4_text", "gpt_oss", "deepseek_v2", "deepseek_v3", "deepseek_v32", "deepseek_v4", "kimi_k25",
    "glm_moe_dsa", "minimax", "minimax_m2", "minimax_m3_vl", "mimo_v2_flash", "nemotron_h", "falcon_h1", "glm4_moe",
    "exaone4", "exaone_moe", "gpt_bigcode",
)  # fmt: skip
