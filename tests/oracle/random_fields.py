"""How fields of a config.json are drawn: a rule for each field that configuration classes share.

A rule makes a strategy from the fields drawn before, so that what must divide does, and lists have an item for each layer.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hypothesis import strategies as st

from tests.oracle.models import Config

Strategy = st.SearchStrategy[Any]
Rule = Callable[[Config], Strategy]
Names = tuple[str, ...]

LAYERS = ("num_hidden_layers", "n_layer", "n_layers", "num_layers")
HEADS = ("num_attention_heads", "n_head", "n_heads")
HIDDEN = ("hidden_size", "n_embd", "d_model")
EXPERTS = ("num_experts", "num_local_experts", "n_routed_experts", "moe_num_experts")
CHOSEN = ("num_experts_per_tok", "num_experts_per_token", "moe_topk", "moe_k")
GROUPS = ("n_group", "num_expert_group")
EXPAND = ("expand", "mamba_expand")
FULL, SLIDING, LINEAR = "full_attention", "sliding_attention", "linear_attention"
MOST_LAYERS = 7
#: a value that means that the file does not say the field at all
ABSENT = object()


# ---- what was drawn


def first(f: Config, names: Names, otherwise: int | None = None) -> int:
    found = next((int(f[n]) for n in names if f.get(n) is not None), otherwise)
    assert found is not None, names
    return found


def layers(f: Config) -> int:
    return first(f, LAYERS)


def groups(f: Config) -> int:
    return first(f, GROUPS, 1)


def width(f: Config) -> int:
    """Elements of a state-space mixer."""
    return first(f, EXPAND) * first(f, HIDDEN)


# ---- rules


def one_of(*values: Any) -> Rule:
    return lambda f: st.sampled_from(values)


FLAG = one_of(False, True)


def size(least: int = 3, most: int = 90) -> Rule:
    return lambda f: st.integers(least, most)


def even(least: int = 4, most: int = 40) -> Rule:
    return lambda f: st.integers(least // 2, most // 2).map(lambda n: 2 * n)


def up_to(most: Callable[[Config], int], least: int = 0) -> Rule:
    return lambda f: st.integers(least, max(least, most(f)))


def multiple(of: Names, least: int = 2, most: int = 10, step: int = 1) -> Rule:
    return lambda f: st.integers(least, most).map(lambda n: n * step * first(f, of, 1))


def divisor(of: Names | Callable[[Config], int], most: int = 12) -> Rule:
    def rule(f: Config) -> Strategy:
        whole = of(f) if callable(of) else first(f, of)
        return st.sampled_from([n for n in range(1, min(whole, most) + 1) if whole % n == 0])

    return rule


def made(rule: Callable[[Config], Any]) -> Rule:
    """What follows from other fields."""
    return lambda f: st.just(rule(f))


def maybe(rule: Rule) -> Rule:
    return lambda f: st.none() | rule(f)


def maybe_said(rule: Rule, unless: str = "") -> Rule:
    """A field that the file may not have, and does not have where it says another instead."""
    return lambda f: st.just(ABSENT) if unless and f.get(unless) is not None else st.just(ABSENT) | rule(f)


def layered(*kinds: Any) -> Rule:
    """A list with one of these for each layer."""
    return lambda f: st.lists(st.sampled_from(kinds), min_size=layers(f), max_size=layers(f))


def some_layers(f: Config) -> Strategy:
    return st.sets(st.integers(0, layers(f) - 1)).map(sorted)


def chosen(f: Config) -> Strategy:
    """Experts of a token, among those of the groups that it may choose from."""
    return st.integers(1, max(1, first(f, EXPERTS) // groups(f) * (f.get("topk_group") or 1)))


#: fields of any class, in the order in which they are drawn
FIELDS: dict[str, Rule] = {
    **dict.fromkeys(LAYERS, size(1, MOST_LAYERS)),
    **dict.fromkeys(HEADS, size(1, 8)),
    **dict.fromkeys(HIDDEN, multiple(HEADS, step=2)),
    "num_key_value_heads": divisor(HEADS),
    **dict.fromkeys(EXPAND, size(1, 3)),
    "head_dim": even(),
    "vocab_size": size(10, 200),
    "tie_word_embeddings": FLAG,
    **dict.fromkeys(("max_position_embeddings", "n_positions", "max_seq_len", "model_max_length"), size(20, 300)),
    # FFNs and experts
    **dict.fromkeys(("intermediate_size", "ffn_dim", "ffn_hidden_size", "intermediate_size_mlp"), size()),
    "n_inner": maybe(size()),
    **dict.fromkeys(("moe_intermediate_size", "expert_ffn_hidden_size", "dense_intermediate_size"), size()),
    **dict.fromkeys(GROUPS, size(1, 3)),
    "topk_group": up_to(groups, 1),
    **dict.fromkeys(EXPERTS, lambda f: st.integers(2, 6).map(lambda n: n * groups(f))),
    **dict.fromkeys(CHOSEN, chosen),
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
    "max_window_layers": up_to(layers),
    "num_kv_shared_layers": up_to(lambda f: layers(f) - 1),
    "layer_types": maybe(layered(SLIDING, FULL)),
    "first_k_dense_replace": up_to(layers),
    "mlp_layer_types": maybe(layered("dense", "sparse")),
    "decoder_sparse_step": size(1, 3),
    "mlp_only_layers": maybe(some_layers),
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
    **dict.fromkeys(("mamba_d_conv", "conv_kernel", "conv_L_cache"), size(2, 6)),
    **dict.fromkeys(("linear_conv_kernel_dim", "short_conv_kernel_size"), size(2, 6)),
    **dict.fromkeys(("mamba_dt_rank", "time_step_rank"), lambda f: st.just("auto") | size(1, 20)(f)),
    **dict.fromkeys(("mamba_chunk_size", "chunk_size", "block_size"), one_of(4, 8, 16)),
    **dict.fromkeys(("linear_key_head_dim", "linear_value_head_dim", "linear_head_dim"), size()),
    "linear_num_key_heads": size(1, 4),
    "linear_num_value_heads": multiple(("linear_num_key_heads",), 1, 3),
    "linear_num_heads": size(1, 6),
}  # fmt: skip
#: sizes that a file always says; of others it may leave out what is as its class has it
SAID = {
    *LAYERS, *HEADS, *HIDDEN, *EXPERTS, *CHOSEN, "vocab_size", "intermediate_size", "moe_intermediate_size", "kv_lora_rank",
    "qk_rope_head_dim", "qk_nope_head_dim",
}  # fmt: skip
#: sizes that follow from others where a file says null, in classes that do so themselves
FOLLOWING = ("head_dim", "num_key_value_heads", "linear_key_head_dim", "linear_value_head_dim")
