"""DeepSeek-V4: a window beside compressed entries in most layers, experts in all, several residual streams."""

from __future__ import annotations

from typing import Any

from costc.huggingface.config import LAYERS, Config
from costc.huggingface.draft import Draft
from costc.huggingface.families.common import HEADS, SLIDING, layer_types, stem
from costc.huggingface.families.experts import moe
from costc.huggingface.families.latent import INDEX_KEY_BYTE
from costc.huggingface.row import Traits

SPARSE, HEAVY = "compressed_sparse_attention", "heavily_compressed_attention"
#: compression rates in published configs, and the kind of layer that they stand for
RATES = {0: SLIDING, 4: SPARSE, 128: HEAVY}
HASHED, ROUTED = "hash_moe", "moe"


def compressed(c: Config, draft: Draft, traits: Traits) -> None:
    """Every layer is attention and experts, each within a hyper-connection."""
    stem(c, draft, traits)
    layers, streams = c.size(LAYERS), c.count("hc_mult", least=2)
    draft.stem["streams"] = streams
    types, drafted = _types(c, layers)
    rates = _rates(c)
    made = {t: _attention(c, draft, t, rates.get(t)) for t in dict.fromkeys([*types, drafted])}
    ffn = {t: moe(c, draft, traits, **_routing(c, t)) for t in (HASHED, ROUTED)}
    around = draft.block(
        "auxiliary", "hyper", "hyper_connection", hc_mult=streams, hc_sinkhorn_iters=c.size("hc_sinkhorn_iters"), norm="none"
    )
    hashed = layer_types(c, layers, (HASHED, ROUTED), "mlp_layer_types")
    if hashed is None:
        first = c.count("num_hash_layers", 3)
        hashed = [HASHED if i < first else ROUTED for i in range(layers)]
    for attention, experts in zip(types, hashed, strict=True):
        draft.layer(attention=made[attention], ffn=ffn[experts], auxiliary=(around, around))
    # without copies of embedding and head: DeepSeek-V4-Flash has 1415259264 elements in bf16
    draft.draft_layers(
        c.count("num_nextn_predict_layers", 0),
        attention=made[drafted],
        ffn=ffn[ROUTED],
        auxiliary=(around, around),
    )


def _types(c: Config, layers: int) -> tuple[list[str], str]:
    """The kind of attention of each layer, and of the draft layers."""
    types = layer_types(c, layers, tuple(RATES.values()))
    rates = c.items("compress_ratios", int, None)
    if rates is not None:
        if len(rates) < layers or set(rates) - set(RATES):
            raise c.error("compress_ratios", f"is not {layers} or more of {', '.join(map(str, RATES))}")
        listed = [RATES[r] for r in rates]
        return types or listed[:layers], listed[layers] if len(listed) > layers else SLIDING
    return types or [HEAVY if i < 2 or i % 2 == 0 else SPARSE for i in range(layers)], SLIDING


def _rates(c: Config) -> dict[str, int]:
    """Tokens that an entry stands for, by kind of attention."""
    given, found = c.section("compress_rates", None), {}
    for kind, old, usual in ((SPARSE, "compress_rate_csa", 4), (HEAVY, "compress_rate_hca", 128)):
        listed = usual if given is None else given.size(kind, usual)
        found[kind] = c.size(old, listed)
    return found


def _attention(c: Config, draft: Draft, kind: str, rate: int | None) -> str:
    fields: dict[str, Any] = {"compress_rate": rate}
    chosen = {name: c.size(name) for name in ("index_topk", "index_n_heads", "index_head_dim")}
    if kind == SPARSE:
        fields |= {**chosen, "overlap": True, "index_key_byte": INDEX_KEY_BYTE}
    names = ("head_dim", "q_lora_rank", "o_groups", "o_lora_rank", "sliding_window")
    return draft.block(
        "attention",
        kind.removesuffix("_attention"),
        "compressed",
        num_attention_heads=c.size(HEADS),
        **{name: c.size(name) for name in names},
        **fields,
    )


def _routing(c: Config, kind: str) -> dict[str, Any]:
    """Experts by the token itself, or by a score with a correction for balance."""
    return {"hash_vocab_size": c.size("vocab_size"), "router_correction_bias": None} if kind == HASHED else {}
