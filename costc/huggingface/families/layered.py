"""Layers that differ in more than their window: inputs of their own, the cache of an earlier layer, other widths, experts.

Gemma 3n and Gemma 4, as transformers' Gemma3nTextDecoderLayer and Gemma4TextDecoderLayer.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from costc.huggingface.config import LAYERS, MISSING, Config
from costc.huggingface.draft import Draft
from costc.huggingface.families.common import HIDDEN, heads, stem, windows
from costc.huggingface.families.decoder import gqa
from costc.huggingface.families.experts import CHOSEN, EXPERT_WIDTH, EXPERTS, WIDTH, dense
from costc.huggingface.row import Traits

#: fields of a layer that `per_layer_config` may set
OWN_FIELDS = ("head_dim", "num_key_value_heads", "num_attention_heads")


def layered(c: Config, draft: Draft, traits: Traits) -> None:
    """Attention in all or in a window, between norms; the last `num_kv_shared_layers` read earlier layers' caches."""
    stem(c, draft, traits)
    layers = c.size(LAYERS)
    seen = _seen(c, traits, layers)
    shared = _shared(c, seen, layers)
    sizes = _heads(c, seen, layers)
    same = c.flag("attention_k_eq_v", False)
    attention = [
        gqa(
            c,
            draft,
            traits,
            "both",
            window,
            **own,
            v_norm=not kept or None,
            shared_kv=kept or None,
            k_equals_v=_same(same, window, kept),
        )
        for window, kept, own in zip(seen, shared, sizes, strict=True)
    ]
    ffn = [_ffn(c, draft, traits, width) for width in _widths(c, shared, layers)]
    beside, after = _branches(c, draft)
    for i in range(layers):
        draft.layer(attention=attention[i], ffn=ffn[i], auxiliary=[*beside, *after])


def _same(same: bool, window: int | None, kept: bool) -> bool | None:
    """Values are the keys in layers that see everything and have keys of their own."""
    return (same and window is None and not kept) or None


def _seen(c: Config, traits: Traits, layers: int) -> list[int | None]:
    """The windows; the last layer sees everything where `layer_types` are forced to (Gemma 4)."""
    found = windows(c, traits, layers)
    return [*found[:-1], None] if traits.last_full else found


def _shared(c: Config, seen: list[int | None], layers: int) -> list[bool]:
    """Whether a layer reads the cache of the last layer of its kind that has one."""
    count = c.count("num_kv_shared_layers", 0)
    first = layers - count
    if count and (first < 1 or set(seen[first:]) - set(seen[:first])):
        raise c.error("num_kv_shared_layers", f"{count} leaves no layer whose cache the others could read")
    return [i >= first for i in range(layers)]


def _heads(c: Config, seen: list[int | None], layers: int) -> list[dict[str, Any]]:
    """What layers have of their own: by `per_layer_config`, else the global layers by fields for them."""
    wide, few = c.size("global_head_dim", None), c.size("num_global_key_value_heads", None)
    single = per_layer(c, layers)
    if single is not None:
        return single
    own = {"head_dim": wide, "num_key_value_heads": few if c.flag("attention_k_eq_v", False) else None}
    count = heads(c)["num_attention_heads"]
    if own["num_key_value_heads"] and count % own["num_key_value_heads"]:
        raise c.error("num_global_key_value_heads", f"{few} does not divide {count} num_attention_heads")
    given = {k: v for k, v in own.items() if v is not None}
    return [given if window is None else {} for window in seen]


def per_layer(c: Config, layers: int) -> list[dict[str, Any]] | None:
    """`per_layer_config` as a mapping of sizes for each layer, None where the config has none."""
    name, given = c.raw("per_layer_config", None)
    if given is None:
        return None
    found: list[dict[str, Any]] = [{} for _ in range(layers)]
    if not isinstance(given, Mapping):
        raise c.refuse(name, "a mapping of layers")
    for key, value in given.items():
        if not (str(key).isdecimal() and int(key) < layers and isinstance(value, Mapping)):
            raise c.error(f"{name}.{key}", f"is not understood; expected fields of one of the {layers} layers")
        inner = Config(value, c.source, f"{c.where}{name}.{key}.")
        found[int(key)] = {field: inner.size(field) for field in OWN_FIELDS if field in inner}
        inner.finish()
    return found


def _widths(c: Config, shared: list[bool], layers: int) -> list[int]:
    """Inner elements of each layer's dense FFN: a list, or twice as many in layers that read another's cache."""
    _, given = c.raw(WIDTH, MISSING)
    if isinstance(given, list):
        return list(c.items(WIDTH, int, length=layers))
    double = c.flag("use_double_wide_mlp", False)
    return [c.size(WIDTH) * (2 if double and kept else 1) for kept in shared]


def _ffn(c: Config, draft: Draft, traits: Traits, width: int) -> str:
    """A dense FFN, with experts beside it where the config enables them."""
    if not c.flag("enable_moe_block", False):
        c.unused(*EXPERTS, *CHOSEN, *EXPERT_WIDTH)
        return dense(c, draft, traits, width, norm="both")
    return draft.block(
        "ffn",
        "beside",
        "moe_beside_dense",
        intermediate_size=width,
        n_routed_experts=c.size(EXPERTS),
        num_experts_per_tok=c.size(CHOSEN),
        moe_intermediate_size=c.size(EXPERT_WIDTH),
        hidden_act=c.word("hidden_activation", "gelu_pytorch_tanh"),
        norm="post",
    )


def _branches(c: Config, draft: Draft) -> tuple[list[str], list[str]]:
    """What stands beside attention, and what follows the FFN."""
    beside, after = [], []
    streams, rank = c.size("altup_num_inputs", 1), c.size("laurel_rank", None)
    scaled, size = c.flag("altup_correct_scale", True), c.count("hidden_size_per_layer_input", 0)
    if rank:
        beside.append(draft.block("auxiliary", "laurel", "laurel", laurel_rank=rank, norm="shared"))
    if streams > 1:
        draft.stem["altup_streams"] = streams
        scale = None if scaled else False
        after.append(draft.block("auxiliary", "altup", "altup", altup_num_inputs=streams, altup_correct_scale=scale, norm="none"))
    rows = c.size("vocab_size_per_layer_input", None)
    if size:
        draft.stem |= {"per_layer_size": size, "per_layer_vocab": rows or c.size("vocab_size")}
        place, more = ("shared", streams) if streams > 1 else ("none", None)
        own = draft.block("auxiliary", "own_input", "per_layer_input", hidden_size_per_layer_input=size, streams=more, norm=place)
        after.append(own)
    c.size(HIDDEN)
    return beside, after
