"""What checkpoints call the weights of the blocks: lists of quantized and unquantized modules speak of these names.

A weight has several names, for families differ; inside a layer they are '<place>.<leaf>', with '0' for an expert's number.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

#: fields of a block that must be set, or unset ('!'), for a weight to be there; alternatives by '|'
When = str


@dataclass(frozen=True)
class Weight:
    """A matrix of a block.

    Args:
        name: as the block calls it, without its suffix.
        leaves: what checkpoints call it, inside the place of its module.
        when: see When.
        plain: it is converted along with the rest of its module; otherwise only where a list names it in full. Routers, gates
            of a single output and projections of the experts' latent space are kept whether or not lists mention them.
    """

    name: str
    leaves: str = ""
    when: When = ""
    plain: bool = True
    like: str = ""


@dataclass(frozen=True)
class Group:
    """The weights of one module in a block, and where in a layer checkpoints keep them."""

    module: str
    places: tuple[str, ...]
    weights: tuple[Weight, ...]


#: a layer that holds a single block may keep it under this name, whatever it is
ANY = "mixer"
ATTENTION = ("self_attn", "attention", "attn", "self_attention", ANY)
FEED = ("mlp", "feed_forward", "ffn", ANY)
SPARSE = (*FEED, "block_sparse_moe", "moe")
ROUTER = (*(f"{p}.{s}" for p in SPARSE for s in ("gate", "router")), "gate", "router", "router.proj")
EXPERTS = (*(f"{p}.experts" for p in SPARSE), "experts", "moe")
ALONE = ("shared_mlp", "share_expert", "shared_expert")
SHARED = (*(f"{p}.{s}" for p in SPARSE for s in ("shared_experts", "shared_expert", "shared_mlp")), *ALONE)

QKV = "qkv_proj query_key_value c_attn Wqkv W_pack qkv"
GATE, UP, DOWN = (
    "gate_proj w1 gate_up_proj input_linear",
    "up_proj w3 gate_up_proj fc1 c_fc dense_h_to_4h fc_in input_linear",
    "down_proj w2 fc2 c_proj dense_4h_to_h fc_out output_linear",
)
#: an indexer, where the block has one of its own
OWN_INDEX = "index_topk !shared_index"
SHARES = "n_shared_experts|shared_expert_intermediate_size"


def _weights(names: str, leaves: str = "", when: When = "", plain: bool = True) -> tuple[Weight, ...]:
    """Weights that differ in name alone; '{}' in the leaves is the name."""
    return tuple(Weight(name, leaves.replace("{}", name) or name, when, plain) for name in names.split())


OUTPUT_GATE = Weight("gate_proj", "gate_proj g_proj q_proj", "output_gate")
INDEX = (
    Weight("index_q_proj", "indexer.wq_b index_q_proj", OWN_INDEX),
    Weight("index_k_proj", "indexer.wk index_k_proj", OWN_INDEX),
    Weight("index_weights_proj", "indexer.weights_proj indexers_proj", OWN_INDEX, plain=False),
)
GQA = (
    Weight("q_proj", f"q_proj wq {QKV}"),
    Weight("k_proj", f"k_proj wk {QKV}", "!shared_kv"),
    Weight("v_proj", f"v_proj wv {QKV}", "!shared_kv !k_equals_v"),
    Weight("o_proj", "o_proj wo out_proj dense c_proj"),
    OUTPUT_GATE,
    *(Weight(f"index_{n}_proj", f"index_{n}_proj", "index_topk_blocks") for n in "qk"),
)
MLA = (
    Weight("q_a_proj", "q_a_proj wq_a", "q_lora_rank"),
    Weight("q_b_proj", "q_b_proj wq_b", "q_lora_rank"),
    Weight("q_proj", "q_proj wq", "!q_lora_rank"),
    Weight("kv_a_proj", "kv_a_proj_with_mqa wkv_a", "!shared_kv"),
    Weight("kv_b", "kv_b_proj wkv_b"),
    Weight("o_proj", "o_proj wo"),
    OUTPUT_GATE,
    *INDEX,
)
COMPRESSED = (
    Weight("q_a_proj", "q_a_proj wq_a"),
    Weight("q_b_proj", "q_b_proj wq_b"),
    Weight("kv_proj", "kv_proj wkv"),
    Weight("o_a_proj", "o_a_proj wo_a"),
    Weight("o_b_proj", "o_b_proj wo_b"),
    Weight("index_q_proj", "indexer.wq_b indexer.q_b_proj", "index_topk"),
    # kept by DeepSeek-V4: its count of fp8 elements is that of the others
    Weight("index_weights_proj", "indexer.weights_proj", "index_topk", plain=False),
    *(Weight(f"compress_{n}_proj", f"compressor.w{n} compressor.{n}_proj", "compress_rate", plain=False) for n in ("kv", "gate")),
    *(
        Weight(f"index_compress_{n}_proj", f"indexer.compressor.w{n} indexer.{n}_proj", "index_topk", plain=False)
        for n in ("kv", "gate")
    ),
)
DENSE = (Weight("gate_proj", GATE, "gated"), Weight("up_proj", UP), Weight("down_proj", DOWN))
ROUTED = (
    Group("router", ROUTER, (Weight("router", plain=False),)),
    Group("experts", EXPERTS, DENSE),
    Group("experts", SPARSE, (Weight("latent_in", "fc1_latent_proj", "moe_latent_size", plain=False),)),
    Group("experts", SPARSE, (Weight("latent_out", "fc2_latent_proj", "moe_latent_size", plain=False),)),
    Group(
        "shared_experts",
        SHARED,
        (
            Weight("shared_gate_proj", GATE, f"gated {SHARES}"),
            Weight("shared_up_proj", UP, SHARES),
            Weight("shared_down_proj", DOWN, SHARES),
        ),
    ),
    Group("shared_experts", FEED, (Weight("shared_gate", "shared_expert_gate", "shared_expert_gate", plain=False),)),
)
GATED_DELTA = (
    *_weights("q_proj k_proj v_proj", "in_proj_qkv in_proj_qkvz {}"),
    Weight("z_proj", "in_proj_z in_proj_qkvz g_proj"),
    Weight("b_proj", "in_proj_b in_proj_ba b_proj"),
    Weight("a_proj", "in_proj_a in_proj_ba a_proj"),
    Weight("o_proj", "out_proj o_proj"),
)
KDA = (
    *_weights("q_proj k_proj v_proj b_proj o_proj"),
    Weight("f_proj", "f_proj", "!forget_rank"),
    *_weights("f_a_proj f_b_proj", "{}", "forget_rank"),
    Weight("g_proj", "g_proj", "!gate_rank"),
    *_weights("g_a_proj g_b_proj", "{}", "gate_rank"),
)
LIGHTNING = (*_weights("q_proj k_proj v_proj", "{} qkv_proj"), *_weights("output_gate out_proj"))
MAMBA1 = (*_weights("in_proj gate_proj", "in_proj"), *_weights("x_proj dt_proj out_proj"))
MAMBA2 = (*_weights("gate_proj x_proj b_proj c_proj dt_proj", "in_proj"), *_weights("out_proj"))
SHORT_CONV = (*_weights("b_proj c_proj x_proj", "in_proj"), *_weights("out_proj"))
MAMBA = (ANY, "mamba")
ADAPTERS = _weights("q_down q_up k_down k_up v_down v_up", "{}", "adapter_rank")
JOINED = tuple(f"{p}.{s}" for p in ("shared_transf", "shared_transformer") for s in ("self_attn", "feed_forward"))
ALTUP = (
    Weight("predict", "prediction_coefs"),
    Weight("correct", "correction_coefs"),
)
PER_LAYER = (
    Weight("per_layer_gate", "per_layer_input_gate", like="ffn"),
    Weight("per_layer_proj", "per_layer_projection", like="ffn"),
)

#: by block kind
KINDS: dict[str, tuple[Group, ...]] = {
    "gqa": (Group("attention", ATTENTION, GQA),),
    "mla": (Group("attention", ATTENTION, MLA),),
    "compressed": (Group("attention", ATTENTION, COMPRESSED),),
    "joined_attention": (Group("attention", JOINED, (*GQA, *ADAPTERS)),),
    "gated_delta": (Group("mixer", ("linear_attn",), GATED_DELTA),),
    "kda": (Group("mixer", ("self_attn", "linear_attn"), KDA),),
    "lightning": (Group("mixer", ("self_attn",), LIGHTNING),),
    "mamba1": (Group("mixer", MAMBA, MAMBA1),),
    "mamba2": (Group("mixer", MAMBA, MAMBA2),),
    "short_conv": (Group("mixer", ("conv",), SHORT_CONV),),
    "gated": (Group("ffn", FEED, DENSE),),
    "plain": (Group("ffn", FEED, DENSE[1:]),),
    "joined_ffn": (
        Group("ffn", JOINED, (*DENSE, *_weights("adapter_down gate_up up_up", "{}", "adapter_rank"))),
        Group("ffn", ("",), _weights("linear")),
    ),
    "moe": ROUTED,
    "moe_beside_dense": (
        Group("ffn", FEED, _weights("dense_gate_proj", GATE) + _weights("dense_up_proj", UP) + _weights("dense_down_proj", DOWN)),
        Group("router", ("router", "router.proj"), (Weight("router", plain=False),)),
        Group("experts", ("experts", "moe", "moe.experts"), DENSE),
    ),
    "altup": (
        Group("router", ("altup",), (Weight("router", "modality_router", plain=False),)),
        Group("mixer", ("altup",), ALTUP),
    ),
    "laurel": (Group("mixer", ("laurel",), (Weight("laurel_down", "linear_left"), Weight("laurel_up", "linear_right"))),),
    "per_layer_input": (Group("embedding", ("",), PER_LAYER),),
    "block_residual": (),
    "hyper_connection": (),
}

#: a block's fields that are true where it does not say
SET = {"gated"}
LAYER_INPUTS = Weight("per_layer_model_projection", like="ffn")
HEAD, EMBEDDING = Weight("lm_head"), Weight("embedding", plain=False)
HEAD_NAMES = ("lm_head", "head", "output", "embed_out", "lm_head.linear")
EMBEDDING_NAMES = ("embed_tokens", "embeddings", "wte", "embed", "word_embeddings", "tok_embeddings", "embed_in")
#: (section, module, weight, names, field of the stem that must be set) of what stands around the layers
ENDS: tuple[tuple[str, str, Weight, tuple[str, ...], str], ...] = (
    ("head", "head", HEAD, HEAD_NAMES, ""),
    ("embedding", "embedding", EMBEDDING, EMBEDDING_NAMES, ""),
    ("layer_inputs", "embedding", Weight("per_layer", plain=False), ("embed_tokens_per_layer",), "per_layer_size"),
    ("embedding", "embedding", Weight("position", plain=False), ("wpe", "embed_positions"), "learned_positions"),
    ("layer_inputs", "embedding", LAYER_INPUTS, (LAYER_INPUTS.name,), "per_layer_size"),
    ("embedding", "embedding", Weight("embedding_in", like="ffn"), ("project_in",), "embedding_size"),
    ("head", "head", Weight("embedding_out", like="ffn"), ("project_out",), "embedding_size"),
    ("embedding", "embedding", Weight("widen", like="ffn"), ("altup_projections",), "altup_streams"),
    ("narrow", "embedding", Weight("narrow", like="ffn"), ("altup_unembed_projections",), "altup_streams"),
)
#: joins a draft layer's two inputs; a scheme says apart whether it is converted
JOIN = Weight("join_proj", like="join")
JOIN_NAMES = ("eh_proj", "fc", "input_proj", "e_proj", "h_proj")


def weights(part: str, block: Mapping[str, Any], alone: bool = True) -> Iterator[tuple[str, Weight, tuple[str, ...]]]:
    """(module, weight, its names inside a layer) of a block's matrices; `alone`: its layer holds no other block."""
    kind = block["kind"]
    for group in KINDS[kind] if kind in KINDS else KINDS[f"{kind}_{part}"]:
        places = tuple(p for p in group.places if alone or p.split(".")[0] != ANY)
        for weight in group.weights:
            if present(weight.when, block):
                yield group.module, weight, inside(group.module, places, weight)


def inside(module: str, places: tuple[str, ...], weight: Weight) -> tuple[str, ...]:
    """The names of a weight inside a layer."""
    if not weight.leaves:
        return places
    middles = (".0.", ".") if module == "experts" else (".",)
    return tuple(f"{place}{middle}{leaf}".lstrip(".") for place in places for middle in middles for leaf in weight.leaves.split())


def present(when: When, block: Mapping[str, Any]) -> bool:
    """Whether a weight is there."""
    return all(any(_set(f, block) for f in field.split("|")) for field in when.split())


def _set(field: str, block: Mapping[str, Any]) -> bool:
    name = field.removeprefix("!")
    return bool(block.get(name, name in SET)) is not field.startswith("!")


def every() -> tuple[str, ...]:
    """All names inside a layer, whatever the layer holds."""
    return tuple(dict.fromkeys(n for k in KINDS.values() for g in k for w in g.weights for n in inside(g.module, g.places, w)))
