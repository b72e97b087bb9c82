"""Which FFN each layer has: dense, or experts by one of the rules that configs use."""

from __future__ import annotations

from typing import Any

from costc.huggingface.config import MISSING, Config, Names
from costc.huggingface.draft import Draft
from costc.huggingface.families.common import layer_types, switch
from costc.huggingface.row import Traits

ACTIVATION = ("hidden_act", "hidden_activation", "activation_function", "ffn_act_fn", "activation")
#: what these may say; all are taken as equal work, and none makes an FFN gated or plain
ACTIVATIONS = (
    *("silu", "swish", "swiglu", "swigluoai", "situ", "gelu", "gelu_new", "gelu_fast", "gelu_python", "gelu_accurate"),
    *("gelu_pytorch_tanh", "quick_gelu", "relu", "relu2", "relu6", "leaky_relu", "sigmoid", "tanh", "mish", "xielu", "linear"),
)
WIDTH = ("intermediate_size", "ffn_dim", "n_inner", "ffn_hidden_size")
EXPERTS = ("n_routed_experts", "num_experts", "num_local_experts", "moe_num_experts")
CHOSEN = ("num_experts_per_tok", "num_experts_per_token", "moe_k", "moe_topk", "moe_top_k", "top_k_experts")
EXPERT_WIDTH = ("moe_intermediate_size", "expert_ffn_hidden_size", "expert_intermediate_size")
SHARED = ("n_shared_experts", "num_shared_experts", "moe_num_shared_experts")
#: learned numbers of an activation function: xIELU (arXiv 2411.13010)
LEARNED = {"xielu": 2}


def ffn_of(c: Config, draft: Draft, traits: Traits, layers: int, place: str = "pre") -> list[str]:
    """The name of the FFN block of each layer."""
    norm = place if place != "pre" else None
    sparse = _sparse_layers(c, traits, layers)
    made: dict[bool, str] = {}
    for is_sparse in sparse:
        if is_sparse not in made:
            made[is_sparse] = moe(c, draft, traits, norm=norm) if is_sparse else dense(c, draft, traits, norm=norm)
    if traits.moe and True not in made and any(name in c for name in EXPERTS):
        moe(c, Draft(), traits)  # experts that stand nowhere are read for their mistakes, and left out
    return [made[s] for s in sparse]


def dense(c: Config, draft: Draft, traits: Traits, size: int | None = None, **fields: Any) -> str:
    """A dense FFN."""
    act = c.word(ACTIVATION, "silu", ACTIVATIONS)
    return draft.block(
        "ffn",
        "dense",
        "gated" if traits.gated else "plain",
        intermediate_size=size or (RULES[traits.moe].dense_width(c) if traits.moe else c.size(WIDTH)),
        hidden_act=act,
        act_parameters=LEARNED.get(act),
        mlp_bias=switch(c, traits.mlp_bias) or None,
        **fields,
    )


def moe(c: Config, draft: Draft, traits: Traits, **fields: Any) -> str:
    """Routed experts, with shared ones where the config has them."""
    wide = RULES[traits.moe].own_width and "moe_intermediate_size" not in fields
    width = alike(c, EXPERT_WIDTH, MISSING if wide else None) or c.size(WIDTH)
    c.size(WIDTH, None)
    shared = c.count(SHARED, 0)
    return draft.block(
        "ffn",
        "moe",
        "moe",
        n_routed_experts=c.size(EXPERTS),
        num_experts_per_tok=alike(c, CHOSEN),
        hidden_act=c.word(ACTIVATION, "silu", ACTIVATIONS),
        shared_bias=switch(c, traits.mlp_bias) or None,
        **{"moe_intermediate_size": width, "n_shared_experts": shared or None, **RULES[traits.moe].fields(c), **fields},
    )


def alike(c: Config, names: Names, default: Any = MISSING) -> Any:
    """A size that may stand as a list with one for each layer, all alike (Hunyuan's)."""
    name, value = c.raw(names, default)
    if isinstance(value, list) and value and all(v == value[0] for v in value):
        return Config({name: value[0]}, c.source, c.where).size(name)
    return c.size(names, default)


class Rule:
    """Which layers are sparse, and what is particular about their experts.

    `own_width`: experts have a width of their own, which a config must say; else they may have that of dense layers.
    """

    own_width = False

    def sparse(self, c: Config, layers: int) -> list[bool]:
        """For each layer, whether it holds experts."""
        return [True] * layers

    def dense_width(self, c: Config) -> int:
        """Inner elements of the dense layers."""
        width: int = c.size(WIDTH)
        return width

    def fields(self, c: Config) -> dict[str, Any]:
        """Further fields of the block."""
        return {}


class First(Rule):
    """DeepSeek's: the first `first_k_dense_replace` layers are dense; a score correction for balance (a buffer).

    A list `mlp_layer_types` ('dense' or 'sparse'), `is_moe_layer`, or one in `moe_layer_freq`, counts before it.
    """

    own_width = True

    def sparse(self, c: Config, layers: int) -> list[bool]:
        first = c.count(("first_k_dense_replace", "first_last_k_dense_replace"), 0)
        types = layer_types(c, layers, ("dense", "sparse"), "mlp_layer_types")
        if types is not None:
            c.unused("moe_layer_freq", "is_moe_layer")
            return [each == "sparse" for each in types]
        for name, kind in (("moe_layer_freq", int), ("is_moe_layer", bool)):
            if isinstance(c.raw(name, None)[1], list):
                return [bool(each) for each in c.items(name, kind, length=layers)]
        every = c.size("moe_layer_freq", 1)
        return [i >= first and i % every == 0 for i in range(layers)]

    def fields(self, c: Config) -> dict[str, Any]:
        return {"router_correction_bias": c.word("topk_method", "noaux_tc") == "noaux_tc" or None}


class Latent(First):
    """Kimi K3's: as DeepSeek's, with routed experts in a latent space."""

    def fields(self, c: Config) -> dict[str, Any]:
        size = c.size("routed_expert_hidden_size", None)
        normed = c.flag("latent_moe_use_norm", False) and size is not None
        return {**super().fields(c), "moe_latent_size": size, "moe_latent_norm": normed or None}


class Sized(First):
    """Ling's: as DeepSeek's, with a width of their own for shared experts."""

    def fields(self, c: Config) -> dict[str, Any]:
        width, count = c.size("moe_shared_expert_intermediate_size", None), c.count(SHARED, 0)
        return {**super().fields(c), "shared_expert_intermediate_size": width * count or None if width else None}


class Ling(Sized):
    """Ling's without latent attention: as above, with a score correction where the config enables it."""

    def fields(self, c: Config) -> dict[str, Any]:
        return {**super().fields(c), "router_correction_bias": c.flag("moe_router_enable_expert_bias", False) or None}


class Step(Rule):
    """Qwen's: every `decoder_sparse_step`-th layer, but those of `mlp_only_layers`; a gated shared expert in Qwen2-MoE."""

    own_width = True

    def sparse(self, c: Config, layers: int) -> list[bool]:
        step, dense_ones = c.size("decoder_sparse_step", 1), c.items("mlp_only_layers", int, [])
        return [(i + 1) % step == 0 and i not in dense_ones for i in range(layers)]

    def fields(self, c: Config) -> dict[str, Any]:
        width = c.count("shared_expert_intermediate_size", 0)
        return {"shared_expert_intermediate_size": width, "shared_expert_gate": True} if width else {}


class Biased(Rule):
    """GPT-OSS's: biases on router and experts."""

    def fields(self, c: Config) -> dict[str, Any]:
        return {"mlp_bias": True, "router_bias": True}


class Corrected(Rule):
    """MiniMax-M2's: every layer is sparse; a score correction for balance (a buffer)."""

    def fields(self, c: Config) -> dict[str, Any]:
        return {"router_correction_bias": c.flag("use_routing_bias", True) or None}


class Beside(Rule):
    """Granite's: one shared FFN, where it has a width."""

    def fields(self, c: Config) -> dict[str, Any]:
        return {"shared_expert_intermediate_size": c.count("shared_intermediate_size", 0) or None}


class Mixed(Rule):
    """Hunyuan's: shared experts of the dense width, for whose number the field may hold a list."""

    def fields(self, c: Config) -> dict[str, Any]:
        shared = alike(c, "num_shared_expert", 1) if c.flag("use_mixed_mlp_moe", True) else 0
        return {"shared_expert_intermediate_size": shared * c.size(WIDTH) or None}


class Interval(Rule):
    """ERNIE's: every `moe_layer_interval`-th layer from one layer to another; a score correction that is a parameter."""

    def sparse(self, c: Config, layers: int) -> list[bool]:
        every, first = c.size("moe_layer_interval", 1), c.count("moe_layer_start_index", 0)
        last = c.count("moe_layer_end_index", -1, least=-1)
        last = layers - 1 if last == -1 else last
        return [(i + 1) % every == 0 and first <= i <= last for i in range(layers)]

    def fields(self, c: Config) -> dict[str, Any]:
        return {"router_bias": True}


class Interleaved(Rule):
    """Llama 4's: the layers of `moe_layers`, or every so many; a shared expert; dense layers have a width of their own."""

    def sparse(self, c: Config, layers: int) -> list[bool]:
        step, listed = c.size("interleave_moe_layer_step", 1), c.items("moe_layers", int, None)
        return [i in listed if listed is not None else (i + 1) % step == 0 for i in range(layers)]

    def dense_width(self, c: Config) -> int:
        width: int = c.size("intermediate_size_mlp")
        return width

    def fields(self, c: Config) -> dict[str, Any]:
        c.unused("intermediate_size_mlp")
        return {"shared_expert_intermediate_size": c.size(WIDTH)}


class Offset(Rule):
    """Jamba's: every `expert_layer_period`-th layer from `expert_layer_offset` on, where there is more than one expert."""

    def sparse(self, c: Config, layers: int) -> list[bool]:
        period, offset = c.size("expert_layer_period"), c.count("expert_layer_offset")
        several = c.size(EXPERTS) > 1
        c.unused(*CHOSEN)
        return [several and i % period == offset for i in range(layers)]


class Late(Rule):
    """LFM2's: all but the first `num_dense_layers`; a score correction for balance (a buffer)."""

    def sparse(self, c: Config, layers: int) -> list[bool]:
        first = c.count("num_dense_layers")
        return [i >= first for i in range(layers)]

    def fields(self, c: Config) -> dict[str, Any]:
        return {"router_correction_bias": c.flag("use_expert_bias", True) or None}


RULES = {
    "all": Rule(),
    "corrected": Corrected(),
    "ling": Ling(),
    "first": First(),
    "latent": Latent(),
    "sized": Sized(),
    "step": Step(),
    "biased": Biased(),
    "beside": Beside(),
    "mixed": Mixed(),
    "interval": Interval(),
    "interleaved": Interleaved(),
    "offset": Offset(),
    "late": Late(),
}


def _sparse_layers(c: Config, traits: Traits, layers: int) -> list[bool]:
    return RULES[traits.moe].sparse(c, layers) if traits.moe else [False] * layers
