"""Layers within a window that have heads of their own number and size: MiMo-V2."""

from __future__ import annotations

from typing import Any

from costc.huggingface.config import LAYERS, Config
from costc.huggingface.draft import Draft
from costc.huggingface.families.common import SLIDING, heads, layer_types, stem
from costc.huggingface.families.decoder import gqa
from costc.huggingface.families.experts import ffn_of
from costc.huggingface.row import Traits

#: fields of the layers within a window, and those of the others
LOCAL = {"num_attention_heads": "swa_num_attention_heads", "head_dim": "swa_head_dim", "v_head_dim": "swa_v_head_dim"}


def unequal(c: Config, draft: Draft, traits: Traits) -> None:
    """Layers within a window by `layer_types` or `hybrid_layer_pattern`, else all but the first and every sixth.

    They have twice the KV heads where the file does not say, and attention sinks (transformers' MiMoV2FlashAttention).
    """
    stem(c, draft, traits)
    layers = c.size(LAYERS)
    local = _local(c, layers)
    before = c.size("sliding_window_size", None)
    window = before + 1 if before else c.size("sliding_window")
    c.unused("sliding_window")
    full: dict[str, Any] = {**heads(c), "v_head_dim": c.size("v_head_dim", None)}
    near = {ours: c.size(theirs, full[ours]) for ours, theirs in LOCAL.items()}
    near["num_key_value_heads"] = c.size("swa_num_key_value_heads", 2 * full["num_key_value_heads"])
    if near["num_attention_heads"] % near["num_key_value_heads"]:
        raise c.refuse("swa_num_key_value_heads", f"a divisor of {near['num_attention_heads']} query heads")
    sinks = {True: c.flag("add_swa_attention_sink_bias", True), False: c.flag("add_full_attention_sink_bias", False)}
    ffn = ffn_of(c, draft, traits, layers)
    for i, is_local in enumerate(local):
        sizes = near if is_local else full
        attention = gqa(c, draft, traits, "pre", window if is_local else None, **sizes, sinks=sinks[is_local] or None)
        draft.layer(attention=attention, ffn=ffn[i])


def _local(c: Config, layers: int) -> list[bool]:
    types, flags = layer_types(c, layers), c.items("hybrid_layer_pattern", int, None, length=layers)
    if types is not None:
        return [t == SLIDING for t in types]
    return [bool(f) for f in flags] if flags else [i > 0 and (i + 1) % 6 != 0 for i in range(layers)]
