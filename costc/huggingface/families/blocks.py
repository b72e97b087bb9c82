"""Grouped-query attention of which most layers attend the blocks of keys that an indexer chooses: MiniMax-M3."""

from __future__ import annotations

from typing import Any

from costc.huggingface.config import LAYERS, Config
from costc.huggingface.draft import Draft
from costc.huggingface.families.common import FULL, layer_types, stem
from costc.huggingface.families.decoder import gqa
from costc.huggingface.families.experts import dense, moe
from costc.huggingface.row import Traits

SPARSE = "minimax_m3_sparse"
#: fields of the indexer, and their names in `sparse_attention_config`
INDEX = {
    "index_n_heads": "sparse_num_index_heads",
    "index_head_dim": "sparse_index_dim",
    "index_block_size": "sparse_block_size",
    "index_topk_blocks": "sparse_topk_blocks",
}
LOCAL = ("index_local_blocks", "sparse_local_block")


def blocks(c: Config, draft: Draft, traits: Traits) -> None:
    """Attention full or block-sparse, experts or a dense FFN, by lists with a word or flag for each layer."""
    stem(c, draft, traits)
    layers = c.size(LAYERS)
    types, fields = _attention(c, layers)
    made = {t: gqa(c, draft, traits, "pre", **(fields if t == SPARSE else {})) for t in dict.fromkeys(types)}
    sparse = layer_types(c, layers, ("dense", "sparse"), "mlp_layer_types")
    flags = c.items("moe_layer_freq", int, None)
    if sparse is None:
        sparse = ["sparse" if f else "dense" for f in flags or [1] * layers]
    if len(sparse) != layers:
        raise c.error("moe_layer_freq", f"has {len(sparse)} items where {layers} layers are expected")
    c.unused("first_k_dense_replace", "moe_intermediate_size")
    shared, width = c.count("shared_intermediate_size", 0), c.size("intermediate_size")
    ffn = {
        "dense": dense(c, draft, traits, c.size("dense_intermediate_size")),
        "sparse": moe(
            c, draft, traits, n_shared_experts=None, shared_expert_intermediate_size=shared or None, moe_intermediate_size=width
        ),
    }
    for attention, each in zip(types, sparse, strict=True):
        draft.layer(attention=made[attention], ffn=ffn[each])
    count, modules = c.count("num_nextn_predict_layers", 0), c.count("num_mtp_modules", 0)
    if modules != count and modules:
        draft.notes.append(f"num_mtp_modules says {modules}, num_nextn_predict_layers {count}: so many layers draft tokens.")
    draft.draft_layers(count, attention=made[types[-1]], ffn=ffn[sparse[-1]])


def _attention(c: Config, layers: int) -> tuple[list[str], dict[str, Any]]:
    """The kind of each layer's attention, and the fields of the sparse one."""
    types, inside = layer_types(c, layers, (FULL, SPARSE)), c.section("sparse_attention_config", None)
    found = {name: c.size(name) for name in INDEX}
    local = c.count(LOCAL[0])
    if inside is not None:
        found = {ours: inside.size(theirs, found[ours]) for ours, theirs in INDEX.items()}
        local = inside.count(LOCAL[1], local)
        inside.only("use_sparse_attention", True)
        inside.only("sparse_init_block", 0)
        inside.only("sparse_score_type", "max")
        flags, silent = (inside.items(f"sparse_{n}", int, None) for n in ("attention_freq", "disable_index_value"))
        if types is None and flags is not None:
            types = [SPARSE if f else FULL for f in flags]
            if len(types) != layers:
                raise inside.error("sparse_attention_freq", f"has {len(types)} items where {layers} layers are expected")
        if silent is not None and any(not s for s, t in zip(silent, types or [], strict=False) if t == SPARSE):
            raise inside.error("sparse_disable_index_value", "has an indexer with values, which is not modelled")
    if not local and SPARSE in (types or []):
        raise c.error(LOCAL[0], "is 0: that a query's own block may not be attended is not modelled")
    return types or [FULL] * layers, found
