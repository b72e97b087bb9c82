"""A gate for each head of attention, and other heads within a window: Step 3.5 and 3.7 (arXiv 2602.10604).

As transformers' Step3p7TextConfig and Step3p7Attention; draft layers as SGLang's Step3p5MTP: the model's embedding, a head of
their own.
"""

from __future__ import annotations

from typing import Any

from costc.huggingface.config import LAYERS, Config
from costc.huggingface.draft import Draft
from costc.huggingface.families.common import HEADS, SLIDING, heads, layer_types, stem
from costc.huggingface.families.decoder import DRAFTS, gqa
from costc.huggingface.families.experts import dense, moe
from costc.huggingface.families.layered import per_layer
from costc.huggingface.row import Traits

KV = ("num_key_value_heads", "num_attention_groups")
#: layers that are dense where a config does not say
DENSE_FIRST = 3


def headwise(c: Config, draft: Draft, traits: Traits) -> None:
    """Layers by `layer_types`, with heads of their own within a window; the first ones dense, then experts."""
    stem(c, draft, traits)
    layers, drafted = c.size(LAYERS), c.count(DRAFTS, 0)
    types = layer_types(c, layers) or ["full_attention"] * layers
    near = _near(c, draft, types, layers)
    sparse = _sparse(c, layers)
    if not any(sparse):
        _ffn(c, Draft(), traits, True)  # experts that stand nowhere are read for their mistakes, and left out
    names = [_attention(c, draft, traits, kind, near) for kind in types]
    for name, is_sparse in zip(names, sparse, strict=True):
        draft.layer(attention=name, ffn=_ffn(c, draft, traits, is_sparse))
    kinds = _drafted(c, "mtp_layer_types", "layer_types", layers, drafted)
    dense_ones = _drafted(c, "mtp_mlp_layer_types", "mlp_layer_types", layers, drafted)
    if drafted:
        kind, is_sparse = kinds or "full_attention", dense_ones == "sparse"
        attention, ffn = _attention(c, draft, traits, kind, near), _ffn(c, draft, traits, is_sparse)
        draft.draft_layers(drafted, attention=attention, ffn=ffn, own_head=True)


def _attention(c: Config, draft: Draft, traits: Traits, kind: str, near: dict[str, Any]) -> str:
    """Attention of one kind."""
    sizes: dict[str, Any] = {**heads(c), "num_key_value_heads": c.size(KV)}
    if kind == SLIDING:
        sizes |= near
    gate = "head" if c.flag("use_head_wise_attn_gate", True) else None
    window = c.size("sliding_window") if kind == SLIDING else None
    c.unused("sliding_window")
    return gqa(c, draft, traits, "pre", window, output_gate=gate, **sizes)


def _near(c: Config, draft: Draft, types: list[str], layers: int) -> dict[str, Any]:
    """Sizes of the layers within a window: one field, a mapping, or one for each layer; they must be alike."""
    other, single = c.section("attention_other_setting", None), per_layer(c, layers)
    count = c.size("num_sliding_attention_heads", None)
    if single is not None:
        own = [single[i] for i, kind in enumerate(types) if kind == SLIDING]
        if any(single[i] for i, kind in enumerate(types) if kind != SLIDING) or any(each != own[0] for each in own):
            raise c.error("per_layer_config", "tells layers of one type apart, which is not modelled here")
        return own[0] if own else {}
    if other:
        other.only("attention_type", SLIDING)
        other.unused("true_head_dim")
        found = {"num_attention_heads": other.size(HEADS, None), "num_key_value_heads": other.size(KV, None)}
        found["head_dim"] = other.size("head_dim", None)
        return {k: v for k, v in found.items() if v is not None}
    if count is None and SLIDING in types:
        draft.notes.append("The config does not say how many heads layers within a window have: taken as those of the others.")
    return {"num_attention_heads": count} if count else {}


def _sparse(c: Config, layers: int) -> list[bool]:
    """Whether a layer holds experts: by type, by number, or all but the first ones."""
    types = c.items("mlp_layer_types", str, None)
    name, listed = c.raw("moe_layers_enum", None)
    first = c.count("first_k_dense_replace", DENSE_FIRST)
    if types is not None:
        if len(types) < layers or set(types) - {"dense", "sparse"}:
            raise c.error("mlp_layer_types", f"expected 'dense' or 'sparse' for each of {layers} layers")
        return [kind == "sparse" for kind in types[:layers]]
    if listed is None:
        return [i >= first for i in range(layers)]
    numbers = listed.split(",") if isinstance(listed, str) else c.items(name, int)
    if not all(str(n).strip().isdecimal() for n in numbers if str(n).strip()):
        raise c.refuse(name, "numbers of layers, with commas between")
    known = {int(n) for n in numbers if str(n).strip()}
    return [i in known for i in range(layers)]


def _ffn(c: Config, draft: Draft, traits: Traits, is_sparse: bool) -> str:
    """Dense, or experts with a shared one."""
    width = c.size(("share_expert_dim", "share_expert_dims"), None)
    c.only("n_shared_experts", 1)
    if not is_sparse:
        return dense(c, draft, traits)
    bias = c.flag("use_moe_router_bias", True)
    return moe(c, draft, traits, shared_expert_intermediate_size=width, router_correction_bias=bias or None)


def _drafted(c: Config, own: str, padded: str, layers: int, count: int) -> str | None:
    """The type of the draft layers: of their own list, or from the end of the layers' list."""
    found = c.items(own, str, None)
    if found is None:
        found = (c.items(padded, str, None) or [])[layers : layers + count]
    if len(set(found)) > 1:
        raise c.error(own, "tells draft layers apart, which is not modelled")
    return found[0] if found else None
