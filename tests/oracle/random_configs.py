"""Random valid configs of each architecture that has a tiny configuration, as strategies: they shrink field by field.

A config is drawn in three steps: every field of `FIELDS` that the configuration class knows, in that order (later ones see
earlier ones, so that what must divide does); what the class asks for besides (`OWN`); and how the file is written: all
fields, as `save_pretrained` does, or only those that differ from what the class takes where a file says nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from hypothesis import strategies as st
from transformers.models.auto.configuration_auto import CONFIG_MAPPING

from tests.oracle.configs import complete
from tests.oracle.models import TEXT_ONLY, Config
from tests.oracle.reduced import INSIDE, TINY_VISION, overrides_of

Strategy = st.SearchStrategy[Any]
#: from the fields drawn so far
Rule = Callable[[Config], Strategy]

LAYERS = ("num_hidden_layers", "n_layer", "n_layers", "num_layers")
HEADS = ("num_attention_heads", "n_head", "n_heads")
HIDDEN = ("hidden_size", "n_embd", "d_model")
MOST_LAYERS = 7
FULL, SLIDING, LINEAR = "full_attention", "sliding_attention", "linear_attention"


# ---- strategies


def size(least: int = 3, most: int = 90) -> Rule:
    return lambda f: st.integers(least, most)


def even(least: int = 4, most: int = 40) -> Rule:
    return lambda f: st.integers(least // 2, most // 2).map(lambda n: 2 * n)


def one_of(*values: Any) -> Rule:
    return lambda f: st.sampled_from(values)


def maybe(rule: Rule) -> Rule:
    return lambda f: st.none() | rule(f)


def multiple(of: tuple[str, ...], least: int = 2, most: int = 10, step: int = 2) -> Rule:
    return lambda f: st.integers(least, most).map(lambda n: n * step * first(f, of, 1))


def divisor(of: tuple[str, ...]) -> Rule:
    return lambda f: st.sampled_from([n for n in range(1, first(f, of) + 1) if first(f, of) % n == 0])


def same(of: str) -> Rule:
    return lambda f: st.just(f[of])


def up_to(most: Callable[[Config], int], least: int = 0) -> Rule:
    return lambda f: st.integers(least, max(least, most(f)))


def layered(*kinds: Any) -> Rule:
    """A list with one of these for each layer."""
    return lambda f: st.lists(st.sampled_from(kinds), min_size=layers(f), max_size=layers(f))


def chosen(f: Config) -> Strategy:
    """Some of the layers."""
    return st.sets(st.integers(0, layers(f) - 1)).map(sorted)


FLAG: Rule = one_of(False, True)


def first(f: Config, names: tuple[str, ...], otherwise: int | None = None) -> int:
    found = next((int(f[n]) for n in names if f.get(n) is not None), otherwise)
    assert found is not None, names
    return found


def layers(f: Config) -> int:
    return first(f, LAYERS)


# ---- fields

EXPERTS = ("num_experts", "num_local_experts", "n_routed_experts", "moe_num_experts")
GROUPS = ("n_group", "num_expert_group")


def experts(f: Config) -> Strategy:
    return st.integers(2, 6).map(lambda n: n * groups(f))


def groups(f: Config) -> int:
    return next((int(f[n]) for n in GROUPS if f.get(n)), 1)


def reachable(f: Config) -> int:
    """The experts of the groups that a token may choose among."""
    return first(f, EXPERTS) // groups(f) * (f.get("topk_group") or 1)


CHOSEN_EXPERTS = up_to(reachable, 1)
CHOSEN = ("num_experts_per_tok", "num_experts_per_token", "moe_topk", "moe_k")
#: sizes that a file always says
SAID = {
    *LAYERS, *HEADS, *HIDDEN, *EXPERTS, *CHOSEN, "vocab_size", "intermediate_size", "moe_intermediate_size", "kv_lora_rank",
    "qk_rope_head_dim", "qk_nope_head_dim",
}  # fmt: skip

#: fields of any class, in the order in which they are drawn
FIELDS: dict[str, Rule] = {
    **dict.fromkeys(LAYERS, size(1, MOST_LAYERS)),
    **dict.fromkeys(HEADS, size(1, 8)),
    **dict.fromkeys(HIDDEN, multiple(HEADS)),
    "num_key_value_heads": divisor(HEADS),
    **dict.fromkeys(("expand", "mamba_expand"), size(1, 3)),
    "head_dim": even(),
    "num_kv_shared_layers": up_to(lambda f: layers(f) - 1),
    "vocab_size": size(10, 200),
    "tie_word_embeddings": FLAG,
    **dict.fromkeys(("max_position_embeddings", "n_positions", "max_seq_len", "model_max_length"), size(20, 300)),
    # FFNs and experts
    **dict.fromkeys(("intermediate_size", "ffn_dim", "ffn_hidden_size", "intermediate_size_mlp"), size()),
    "n_inner": maybe(size()),
    **dict.fromkeys(("moe_intermediate_size", "expert_ffn_hidden_size", "dense_intermediate_size"), size()),
    **dict.fromkeys(GROUPS, size(1, 3)),
    "topk_group": up_to(groups, 1),
    **dict.fromkeys(EXPERTS, experts),
    **dict.fromkeys(CHOSEN, CHOSEN_EXPERTS),
    **dict.fromkeys(("n_shared_experts", "num_shared_experts", "moe_num_shared_experts"), size(0, 3)),
    **dict.fromkeys(("shared_expert_intermediate_size", "share_expert_dim", "moe_shared_expert_intermediate_size"), size()),
    "shared_intermediate_size": size(0, 60),
    "moe_latent_size": maybe(size()),
    "zero_expert_num": size(0, 5),
    # biases, norms, and other switches
    **dict.fromkeys(
        ("attention_bias", "mlp_bias", "attention_out_bias", "qkv_bias", "use_qkv_bias", "use_bias", "bias", "enable_bias",
         "lm_head_bias", "use_conv_bias", "mamba_conv_bias", "mamba_proj_bias", "projectors_bias", "add_bias_linear",
         "conv_bias", "use_expert_bias", "mamba_rms_norm", "use_qk_norm", "qk_layernorm", "use_parallel_residual",
         "use_sliding_window", "multi_query"),
        FLAG,
    ),
    # which layers are what
    "sliding_window": maybe(size(2, 60)),
    "layer_types": maybe(layered(SLIDING, FULL)),
    "mlp_layer_types": maybe(layered("dense", "sparse")),
    "first_k_dense_replace": up_to(layers),
    "decoder_sparse_step": size(1, 3),
    "mlp_only_layers": maybe(chosen),
    "no_rope_layers": maybe(layered(0, 1)),
    "no_rope_layer_interval": size(1, 4),
    # latent attention and its indexer
    **dict.fromkeys(("q_lora_rank", "kv_lora_rank", "o_lora_rank"), size()),
    "qk_rope_head_dim": even(),
    "qk_nope_head_dim": size(),
    "v_head_dim": size(),
    "index_n_heads": size(1, 6),
    "index_head_dim": lambda f: st.integers(f.get("qk_rope_head_dim", 4) // 2, 30).map(lambda n: 2 * n),
    "index_topk": size(),
    # state spaces, linear attention, short convolutions
    **dict.fromkeys(("mamba_d_state", "state_size", "ssm_state_size"), size()),
    **dict.fromkeys(("mamba_d_conv", "conv_kernel", "conv_L_cache", "linear_conv_kernel_dim", "short_conv_kernel_size"), size(2, 6)),
    **dict.fromkeys(("mamba_dt_rank", "time_step_rank"), lambda f: st.just("auto") | size(1, 20)(f)),
    **dict.fromkeys(("mamba_chunk_size", "chunk_size", "block_size"), one_of(4, 8, 16)),
    **dict.fromkeys(("linear_key_head_dim", "linear_value_head_dim", "linear_head_dim"), size()),
    "linear_num_key_heads": size(1, 4),
    "linear_num_value_heads": multiple(("linear_num_key_heads",), 1, 3, 1),
    "linear_num_heads": size(1, 6),
}  # fmt: skip

# ---- what classes ask for besides


def mixer_width(f: Config) -> int:
    return first(f, ("expand", "mamba_expand")) * first(f, HIDDEN)


def dividing_width(f: Config) -> Strategy:
    width = mixer_width(f)
    return st.sampled_from([n for n in range(1, 13) if width % n == 0])


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


def pattern(f: Config) -> Strategy:
    return st.text("ME*-", min_size=1, max_size=MOST_LAYERS)


MLA: dict[str, Rule] = {"num_key_value_heads": same("num_attention_heads")}
INDEXED: dict[str, Rule] = MLA | {"layer_types": maybe(layered("indexed_attention")), "mlp_bias": one_of(False)}
MAMBA1: dict[str, Rule] = {"intermediate_size": lambda f: st.just(mixer_width(f))}
DELTA: dict[str, Rule] = {
    "layer_types": maybe(layered(LINEAR, FULL)), "full_attention_interval": size(1, 4), "attention_bias": one_of(False)
}  # fmt: skip
GROUPED_MAMBA: dict[str, Rule] = {
    "mamba_n_heads": dividing_width, "mamba_n_groups": divisor(("mamba_n_heads",)),
    "mamba_d_head": lambda f: st.sampled_from(("auto", mixer_width(f) // f["mamba_n_heads"])),
}  # fmt: skip
TIED: dict[str, Rule] = {"tie_word_embeddings": one_of(True)}
NEMOTRON_H: dict[str, Rule] = {
    "layers_block_type": lambda f: st.lists(st.sampled_from(("mamba", "moe", "attention", "mlp")), min_size=1, max_size=7),
    "mamba_num_heads": size(1, 8), "mamba_head_dim": size(), "n_groups": divisor(("mamba_num_heads",)),
    "sliding_window": one_of(None), "n_shared_experts": one_of(1),
}  # fmt: skip
UNTIED: dict[str, Rule] = {"tie_word_embeddings": one_of(False)}
WHOLE: dict[str, Rule] = {"use_sliding_window": one_of(False)}

OWN: dict[str, dict[str, Rule]] = {
    "llama4_text": {
        "layer_types": maybe(layered("chunked_attention", FULL)), "moe_layers": maybe(chosen),
        "interleave_moe_layer_step": size(1, 3), "attention_chunk_size": size(),
    },
    "qwen3_next": DELTA,
    "qwen3_5_text": DELTA,
    "qwen3_5_moe_text": DELTA,
    "gemma3n_text": {
        "layer_types": shared_caches(False), "sliding_window": size(2, 60),
        "intermediate_size": lambda f: size()(f) | st.lists(size()(f), min_size=layers(f), max_size=layers(f)),
        "activation_sparsity_pattern": one_of(None), "altup_num_inputs": size(2, 4), "laurel_rank": size(),
        "hidden_size_per_layer_input": size(), "vocab_size_per_layer_input": size(), "altup_correct_scale": FLAG,
    },
    "gemma4_text": {
        "layer_types": shared_caches(True), "sliding_window": size(2, 60),
        "global_head_dim": even(), "hidden_size_per_layer_input": size(0), "vocab_size_per_layer_input": size(),
        "attention_k_eq_v": FLAG, "enable_moe_block": FLAG, "num_global_key_value_heads": maybe(divisor(HEADS)),
        "use_double_wide_mlp": FLAG, "top_k_experts": CHOSEN_EXPERTS,
    },
    "phimoe": {"num_experts_per_tok": one_of(2)},
    "qwen2_moe": WHOLE,
    "smollm3": WHOLE,
    **dict.fromkeys(("deepseek_v3", "glm4_moe_lite", "minicpm3", "longcat_flash"), MLA),
    # of no shared experts the class keeps the last bias
    "deepseek_v2": MLA | {"mlp_bias": lambda f: FLAG(f) if f["n_shared_experts"] else st.just(False)},
    "deepseek_v32": INDEXED,
    "glm_moe_dsa": INDEXED | {
        "indexer_types": lambda f: st.none() | layered("full", "shared")(f).map(lambda t: ["full", *t[1:]]),
    },
    "deepseek_v4": {
        "num_key_value_heads": one_of(1), "o_groups": divisor(HEADS), "hc_mult": size(2, 4), "attention_bias": one_of(False),
        "n_shared_experts": one_of(1),
        "layer_types": maybe(layered(SLIDING, "compressed_sparse_attention", "heavily_compressed_attention")),
        "mlp_layer_types": maybe(layered("hash_moe", "moe")), "sliding_window": size(2, 60),
    },
    "kimi_linear": MLA | UNTIED | {"layer_types": maybe(layered(LINEAR, FULL)), "q_lora_rank": maybe(size())},
    # what is left over after whole groups is attention in the architecture's own code, and linear in transformers' class
    "bailing_hybrid": MLA | UNTIED | {"layer_types": maybe(layered(LINEAR, FULL)), "layer_group_size": divisor(LAYERS)},
    "minimax": {"layer_types": maybe(layered(LINEAR, FULL)), "sliding_window": one_of(None)},
    "mimo_v2_flash": {
        "num_attention_heads": even(2, 12), "num_key_value_heads": lambda f: divisor(("half",))({"half": first(f, HEADS) // 2}),
        "sliding_window": size(2, 60),
    },
    "nemotron_h": NEMOTRON_H,
    "jamba": {
        "num_experts": size(1, 6), "expert_layer_period": size(1, 4), "attn_layer_period": size(1, 4),
        "expert_layer_offset": up_to(lambda f: f["expert_layer_period"] - 1),
        "attn_layer_offset": up_to(lambda f: f["attn_layer_period"] - 1),
    },
    "mamba": MAMBA1,
    "falcon_mamba": MAMBA1,
    "mamba2": {
        "head_dim": dividing_width, "num_heads": lambda f: st.just(mixer_width(f) // f["head_dim"]),
        "n_groups": divisor(("num_heads",)),
    },
    "falcon": {
        "new_decoder_architecture": FLAG, "parallel_attn": FLAG, "alibi": FLAG, "num_kv_heads": divisor(HEADS),
    },
    "falcon_h1": {
        "mamba_n_heads": size(1, 8), "mamba_d_head": size(), "mamba_n_groups": divisor(("mamba_n_heads",)),
        "mamba_d_ssm": lambda f: st.just(f["mamba_n_heads"] * f["mamba_d_head"]),
    },
    "granitemoehybrid": GROUPED_MAMBA | {
        "layer_types": maybe(layered("mamba", "attention")), "num_local_experts": size(0, 6),
        "shared_intermediate_size": size(), "num_experts_per_tok": up_to(lambda f: f["num_local_experts"], 1),
    },
    "bamba": GROUPED_MAMBA | {"attn_layer_indices": maybe(chosen)},
    "opt": {"word_embed_proj_dim": lambda f: st.just(f["hidden_size"]) | size()(f), "do_layer_norm_before": FLAG,
            "layer_norm_elementwise_affine": FLAG},
    "helium": {"head_dim": lambda f: st.just(f["hidden_size"] // f["num_attention_heads"])},
    "internlm3": {"mlp_bias": same("attention_bias")},
    "exaone4": {"layer_types": lambda f: (FIELDS["layer_types"] if f["sliding_window"] else layered(SLIDING, FULL))(f)},
    "exaone_moe": {"sliding_window": size(2, 60)},
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
        "layer_types": maybe(layered("conv", FULL)), "full_attn_idxs": lambda f: st.none() if f["layer_types"] else chosen(f),
        "block_ff_dim": size(), "block_auto_adjust_ff_dim": FLAG, "block_multiple_of": one_of(8, 20, 256),
        "block_ffn_dim_multiplier": one_of(0.5, 1.0, 1.3),
    },
    "lfm2_moe": {"layer_types": layered("conv", FULL), "num_dense_layers": up_to(layers)},
    "zamba": TIED | {
        # the class ties the shared block of the first such layer to that of the second
        "layers_block_type": lambda f: layered("mamba", "linear_attention", "hybrid")(f).filter(lambda t: t.count("hybrid") != 1), "n_mamba_heads": dividing_width,
        "attention_hidden_size": lambda f: st.just(2 * f["hidden_size"]),
        "attention_head_dim": lambda f: st.just(2 * f["hidden_size"] // f["num_attention_heads"]),
    },
    "zamba2": TIED | {
        "layers_block_type": layered("mamba", "linear_attention", "hybrid"), "n_mamba_heads": dividing_width,
        "mamba_ngroups": divisor(("n_mamba_heads",)), "intermediate_size": maybe(size()),
        "num_mem_blocks": size(1, 3), "adapter_rank": size(), "use_mem_rope": FLAG, "use_shared_attention_adapter": FLAG,
        "num_key_value_heads": same("num_attention_heads"),
    },
    "minimax_m3_vl_text": {
        "layer_types": maybe(layered(FULL, "minimax_m3_sparse")), "index_n_heads": same("num_key_value_heads"),
        "index_block_size": size(1, 8), "index_topk_blocks": size(1, 6), "index_local_blocks": one_of(1),
    },
    "step3p5": {"num_sliding_attention_heads": lambda f: st.none() | multiple(("num_key_value_heads",), 1, 4, 1)(f),
                "sliding_window": size(2, 60)},
}  # fmt: skip


# ---- whole configs


@st.composite
def configs(draw: st.DrawFn, name: str) -> Config:
    """A config.json of an architecture, or of one around it."""
    model_type, base = overrides_of(name)
    fields = draw(_fields(model_type, base))
    full = draw(st.booleans(), label="all fields")
    if name not in INSIDE:
        return complete(model_type, fields) if full else {"model_type": model_type, **_said(model_type, fields)}
    tied = fields["tie_word_embeddings"] if name in TEXT_ONLY else draw(st.booleans(), label="tied")
    around = complete(name, {"text_config": {"model_type": model_type, **fields}, "tie_word_embeddings": tied})
    if not full:
        around["text_config"] = {"model_type": model_type, **_said(model_type, fields)}
    if around.get("vision_config"):
        around["vision_config"] |= {k: v for k, v in TINY_VISION.items() if k in around["vision_config"]}
    return around


@st.composite
def _fields(draw: st.DrawFn, model_type: str, base: Config) -> Config:
    """The fields of a class, drawn."""
    cls = CONFIG_MAPPING[model_type]
    names: Mapping[str, str] = cls.attribute_map
    found = {names.get(k, k): v for k, v in base.items()}
    known = {*cls.__dataclass_fields__, *found} - {*names}
    own = OWN.get(model_type, {})
    # heads are told to the fields that follow from them even where they keep the name of an older class
    for field in (*FIELDS, *(k for k in own if k not in FIELDS)):
        if field in known or field in own:
            found[field] = draw((own.get(field) or FIELDS[field])(found), label=field)
    return found


def _said(model_type: str, fields: Config) -> Config:
    """The fields that are not what the class takes where a file says nothing."""
    declared = {k: f.default for k, f in CONFIG_MAPPING[model_type].__dataclass_fields__.items()}
    return {k: v for k, v in fields.items() if k in SAID or k not in declared or (type(declared[k]), declared[k]) != (type(v), v)}
