"""What configuration classes ask for besides the common rules, and where a class or costc takes less than a field could say."""

from __future__ import annotations

from hypothesis import strategies as st

from tests.oracle.models import Config
from tests.oracle.random_fields import (
    ABSENT,
    FIELDS,
    FLAG,
    FULL,
    HEADS,
    LAYERS,
    LINEAR,
    MOST_LAYERS,
    SLIDING,
    Rule,
    Strategy,
    chosen,
    divisor,
    even,
    first,
    layered,
    layers,
    made,
    maybe,
    maybe_said,
    multiple,
    one_of,
    size,
    some_layers,
    up_to,
    width,
)  # fmt: skip

# ---- layers that are tied to one another


def shared_caches(last_full: bool) -> Rule:
    """Kinds of layers of which the last ones share the cache of an earlier layer of their kind."""

    def rule(f: Config) -> Strategy:
        own = layers(f) - f["num_kv_shared_layers"]
        end = [FULL] if last_full else []
        given = st.lists(st.sampled_from((SLIDING, FULL)), min_size=own - len(end), max_size=own - len(end))

        def with_sharing(known: list[str]) -> Strategy:
            count = layers(f) - own
            rest = st.lists(st.sampled_from(sorted(set(known))), min_size=count, max_size=count)
            return rest.map(lambda r: known + ([*r[:-1], *end] if r and end else r))

        found = given.map(lambda known: known + end).flatmap(with_sharing)
        return found if f["num_kv_shared_layers"] else st.none() | found

    return rule


def numbered_layers(f: Config) -> Strategy:
    """Kimi's lists of the numbers of layers, which start at 1."""

    def lists(full: list[int]) -> Config:
        numbers = range(1, layers(f) + 1)
        kinds = {True: "full_attn_layers", False: "kda_layers"}
        return {name: [n for n in numbers if (n - 1 in full) is kind] for kind, name in kinds.items()}

    sizes = {"head_dim": size()(f), "num_heads": size(1, 6)(f), "short_conv_kernel_size": size(2, 6)(f)}
    return st.builds(lambda full, more: lists(full) | more, some_layers(f), st.fixed_dictionaries(sizes))


def both(kind: str, other: str) -> Rule:
    """Layers among which there are some of each kind."""
    return lambda f: layered(kind, other)(f).map(lambda t: [kind, *t[1:-1], other])


# ---- what classes ask for besides

MLA: dict[str, Rule] = {"num_key_value_heads": made(lambda f: f["num_attention_heads"])}
UNTIED: dict[str, Rule] = {"tie_word_embeddings": one_of(False)}
TIED: dict[str, Rule] = {"tie_word_embeddings": one_of(True)}
HEAD: dict[str, Rule] = {"head_dim": even()}
WINDOW: dict[str, Rule] = {"sliding_window": size(2, 60)}
# costc does not model a window here
WHOLE: dict[str, Rule] = {"use_sliding_window": one_of(False), "sliding_window": one_of(None)}
PERIOD: dict[str, Rule] = {"sliding_window_pattern": maybe_said(size(1, 4), unless="layer_types")}
INDEXED: dict[str, Rule] = MLA | {"layer_types": maybe(layered("indexed_attention")), "mlp_bias": one_of(False)}
DELTA: dict[str, Rule] = {
    "layer_types": maybe(layered(LINEAR, FULL)), "full_attention_interval": size(1, 4), "attention_bias": one_of(False),
}  # fmt: skip
MAMBA1: dict[str, Rule] = {"intermediate_size": made(width)}
GROUPED_MAMBA: dict[str, Rule] = {
    "mamba_n_heads": divisor(width), "mamba_n_groups": divisor(("mamba_n_heads",)),
    "mamba_d_head": lambda f: st.sampled_from(("auto", width(f) // f["mamba_n_heads"])),
}  # fmt: skip

OWN: dict[str, dict[str, Rule]] = {
    "llama4_text": {
        "layer_types": maybe(layered("chunked_attention", FULL)), "moe_layers": maybe(some_layers),
        "interleave_moe_layer_step": size(1, 3), "attention_chunk_size": size(),
    },
    "qwen2_moe": WHOLE,
    "smollm3": WHOLE,
    **dict.fromkeys(("qwen3_next", "qwen3_5_text", "qwen3_5_moe_text"), DELTA),
    "olmo_hybrid": {
        "num_hidden_layers": size(2, 7), "attention_bias": one_of(False),
        # the class makes the last of less than four layers attention where it is not said
        "layer_types": lambda f: (maybe if layers(f) > 3 else lambda rule: rule)(both(LINEAR, FULL))(f),
        "linear_num_key_heads": divisor(HEADS), "hidden_size": multiple(HEADS, step=4),
        "linear_num_value_heads": multiple(("linear_num_key_heads",), 1, 3),
    },
    "gemma3_text": PERIOD,
    "gemma3n_text": WINDOW | {
        "layer_types": shared_caches(last_full=False), "activation_sparsity_pattern": one_of(None),
        "intermediate_size": lambda f: size()(f) | st.lists(size()(f), min_size=layers(f), max_size=layers(f)),
        "altup_num_inputs": size(2, 4), "laurel_rank": size(), "altup_correct_scale": FLAG,
        "hidden_size_per_layer_input": size(), "vocab_size_per_layer_input": size(),
    },
    "gemma4_text": WINDOW | {
        "layer_types": shared_caches(last_full=True), "use_double_wide_mlp": FLAG, "enable_moe_block": FLAG,
        "top_k_experts": chosen, "attention_k_eq_v": FLAG, "global_head_dim": even(),
        "num_global_key_value_heads": maybe(divisor(HEADS)), "hidden_size_per_layer_input": size(0),
        "vocab_size_per_layer_input": size(),
    },
    "cohere2": PERIOD,
    # without a window the class needs its layers named
    "exaone4": {
        "layer_types": lambda f: (FIELDS["layer_types"] if f["sliding_window"] else layered(SLIDING, FULL))(f),
        "sliding_window_pattern": size(1, 4),
    },
    "exaone_moe": WINDOW | {"sliding_window_pattern": size(1, 4)},
    "phimoe": {"num_experts_per_tok": one_of(2)},
    # these classes need it said
    **dict.fromkeys(("ministral", "hunyuan_v1_dense", "hunyuan_v1_moe"), HEAD),
    "nemotron": HEAD | {"num_key_value_heads": divisor(HEADS)},
    **dict.fromkeys(("deepseek_v3", "glm4_moe_lite", "minicpm3", "longcat_flash"), MLA),
    # the class finds the rotated elements again from their share of all, in floating point
    "mistral4": MLA | {"qk_nope_head_dim": lambda f: st.sampled_from((f["qk_rope_head_dim"], 3 * f["qk_rope_head_dim"]))},
    # of no shared experts the class keeps the last bias
    "deepseek_v2": MLA | {"mlp_bias": lambda f: FLAG(f) if f["n_shared_experts"] else st.just(False)},
    "deepseek_v32": INDEXED,
    "glm_moe_dsa": INDEXED | {
        "indexer_types": lambda f: st.none() | layered("full", "shared")(f).map(lambda t: ["full", *t[1:]]),
        "index_topk_freq": maybe_said(size(1, 4), unless="indexer_types"),
        "index_skip_topk_offset": maybe_said(size(1, 4), unless="indexer_types"),
    },
    "deepseek_v4": WINDOW | {
        "num_key_value_heads": one_of(1), "o_groups": divisor(HEADS), "hc_mult": size(2, 4), "attention_bias": one_of(False),
        "n_shared_experts": one_of(1), "mlp_layer_types": maybe(layered("hash_moe", "moe")),
        "layer_types": maybe(layered(SLIDING, "compressed_sparse_attention", "heavily_compressed_attention")),
        "compress_ratios": maybe_said(layered(0, 4, 128), unless="layer_types"),
        "num_hash_layers": maybe_said(up_to(layers), unless="mlp_layer_types"),
        # windows that hold more tokens than the chosen entries stand for are not modelled
        "index_topk": lambda f: st.integers(-(-f["sliding_window"] // 4), 40),
    },
    # the classes of these two tie no head, whatever the field says
    "kimi_linear": MLA | UNTIED | {
        "layer_types": maybe(layered(LINEAR, FULL)), "q_lora_rank": maybe(size()),
        "linear_attn_config": maybe_said(numbered_layers, unless="layer_types"),
    },
    # layers beyond the last whole group are attention in the architecture's own code, and linear in transformers' class
    "bailing_hybrid": MLA | UNTIED | {"layer_types": maybe(layered(LINEAR, FULL)), "layer_group_size": divisor(LAYERS)},
    "minimax": {"layer_types": maybe(layered(LINEAR, FULL)), "sliding_window": one_of(None)},
    "minimax_m3_vl_text": {
        "layer_types": maybe(layered(FULL, "minimax_m3_sparse")), "index_n_heads": made(lambda f: f["num_key_value_heads"]),
        "index_block_size": size(1, 8), "index_topk_blocks": size(1, 6), "index_local_blocks": one_of(1),
    },
    "mimo_v2_flash": WINDOW | {
        "num_attention_heads": even(2, 12), "num_key_value_heads": divisor(lambda f: first(f, HEADS) // 2),
    },
    # transformers takes one shared expert, whatever the field says
    "nemotron_h": {
        "layers_block_type": lambda f: st.none() | st.lists(
            st.sampled_from(("mamba", "moe", "attention", "mlp")), min_size=1, max_size=MOST_LAYERS
        ),
        "hybrid_override_pattern": lambda f: st.just(ABSENT)
        if f["layers_block_type"]
        else st.text("ME*-", min_size=1, max_size=MOST_LAYERS),
        "mamba_num_heads": size(1, 8), "mamba_head_dim": size(), "n_groups": divisor(("mamba_num_heads",)),
        "sliding_window": one_of(None), "n_shared_experts": one_of(1),
    },
    "jamba": {
        "num_experts": size(1, 6), "expert_layer_period": size(1, 4), "attn_layer_period": size(1, 4),
        "expert_layer_offset": up_to(lambda f: f["expert_layer_period"] - 1),
        "attn_layer_offset": up_to(lambda f: f["attn_layer_period"] - 1),
    },
    "mamba": MAMBA1,
    "falcon_mamba": MAMBA1,
    "mamba2": {
        "head_dim": divisor(width), "num_heads": made(lambda f: width(f) // f["head_dim"]), "n_groups": divisor(("num_heads",)),
    },
    "falcon": {"new_decoder_architecture": FLAG, "parallel_attn": FLAG, "alibi": FLAG, "num_kv_heads": divisor(HEADS)},
    "falcon_h1": {
        "mamba_n_heads": size(1, 8), "mamba_d_head": size(), "mamba_n_groups": divisor(("mamba_n_heads",)),
        "mamba_d_ssm": made(lambda f: f["mamba_n_heads"] * f["mamba_d_head"]),
    },
    "granitemoehybrid": GROUPED_MAMBA | {
        "layer_types": maybe(layered("mamba", "attention")), "num_local_experts": size(0, 6),
        "shared_intermediate_size": size(), "num_experts_per_tok": up_to(lambda f: f["num_local_experts"], 1),
    },
    "bamba": GROUPED_MAMBA | {"attn_layer_indices": maybe(some_layers)},
    "opt": {
        "word_embed_proj_dim": lambda f: st.just(f["hidden_size"]) | size()(f), "do_layer_norm_before": FLAG,
        "layer_norm_elementwise_affine": FLAG,
    },
    # the output projection of this class reads `hidden_size` elements
    "helium": {"head_dim": made(lambda f: f["hidden_size"] // f["num_attention_heads"])},
    "internlm3": {"mlp_bias": made(lambda f: f["attention_bias"])},
    "dbrx": UNTIED | {
        "attn_config": lambda f: st.fixed_dictionaries(
            {"kv_n_heads": divisor(HEADS)(f), "rope_theta": st.just(500000), "clip_qkv": st.just(8)}
        ),
        "ffn_config": lambda f: st.fixed_dictionaries(
            {"ffn_hidden_size": size()(f), "moe_num_experts": st.integers(4, 8), "moe_top_k": st.integers(1, 4)}
        ),
    },
    "ernie4_5_moe": {
        "moe_layer_start_index": up_to(lambda f: layers(f) - 1), "moe_layer_interval": size(1, 3),
        "moe_layer_end_index": lambda f: st.sampled_from((-1, *range(f["moe_layer_start_index"], layers(f)))),
    },
    "lfm2": {
        "layer_types": maybe(layered("conv", FULL)), "block_ff_dim": maybe_said(made(lambda f: f["intermediate_size"])),
        "block_auto_adjust_ff_dim": FLAG,
        "full_attn_idxs": lambda f: st.none() if f["layer_types"] else some_layers(f),
        "block_multiple_of": one_of(8, 20, 256), "block_ffn_dim_multiplier": one_of(0.5, 1.0, 1.3),
    },
    "lfm2_moe": {"layer_types": layered("conv", FULL), "num_dense_layers": up_to(layers)},
    "zamba": TIED | {
        # the class ties the shared block of the first layer that has it to that of the second
        "layers_block_type": lambda f: layered("mamba", LINEAR, "hybrid")(f).filter(lambda t: t.count("hybrid") != 1),
        "n_mamba_heads": divisor(width), "attention_hidden_size": made(lambda f: 2 * f["hidden_size"]),
        "attention_head_dim": made(lambda f: 2 * f["hidden_size"] // f["num_attention_heads"]),
    },
    "zamba2": TIED | {
        "layers_block_type": layered("mamba", LINEAR, "hybrid"), "n_mamba_heads": divisor(width),
        "mamba_ngroups": divisor(("n_mamba_heads",)), "intermediate_size": maybe(size()), "num_mem_blocks": size(1, 3),
        "adapter_rank": size(), "use_mem_rope": FLAG, "use_shared_attention_adapter": FLAG,
        "num_key_value_heads": made(lambda f: f["num_attention_heads"]),
    },
    "step3p5": WINDOW | {
        "num_sliding_attention_heads": maybe(multiple(("num_key_value_heads",), 1, 4)),
        "moe_layers_enum": maybe_said(lambda f: some_layers(f).map(lambda n: ",".join(map(str, n))), unless="mlp_layer_types"),
    },
}  # fmt: skip
