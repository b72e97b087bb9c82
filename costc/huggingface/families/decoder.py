"""The common form: every layer is softmax attention and an FFN (dense or experts), told apart by traits.

Llama's layout (arXiv 2302.13971) and what others change about it: biases, norms, windows, experts.
"""

from __future__ import annotations

from typing import Any

from costc.huggingface.config import LAYERS, Config
from costc.huggingface.draft import Draft
from costc.huggingface.families.common import heads, rotations, stem, switch, windows
from costc.huggingface.families.experts import ffn_of
from costc.huggingface.row import Traits

#: layers that predict further tokens
DRAFTS = ("num_nextn_predict_layers", "num_mtp_layers", "num_mtp_modules")


def decoder(c: Config, draft: Draft, traits: Traits) -> None:
    """Grouped-query attention in every layer, in all or in some of them within a window."""
    stem(c, draft, traits)
    layers = c.size(LAYERS)
    attention, ffn = places(c, traits)
    seen = windows(c, traits, layers)
    rotated = rotations(c, traits, seen)
    if any(kind != 1 for kind in c.items("attn_type_list", int, [])):
        raise c.error("attn_type_list", "holds other kinds than 1 (softmax attention), which are not modelled here")
    names = [gqa(c, draft, traits, attention, *each) for each in zip(seen, rotated, strict=True)]
    feed_forward = ffn_of(c, draft, traits, layers, ffn)
    for i in range(layers):
        draft.layer(attention=names[i], ffn=feed_forward[i])
    drafted, own = c.count(DRAFTS, 0) if c.flag("use_mtp", True) else 0, traits.mtp == "own"
    if drafted and traits.mtp:
        draft.draft_layers(drafted, attention=names[-1], ffn=feed_forward[-1], own_embedding=own, own_head=own)
        if traits.mtp == "declared":
            draft.notes.append("Published checkpoints hold no weights of the layers that predict further tokens.")
    elif drafted:
        draft.notes.append(f"{drafted} layer(s) that predict further tokens are left out.")


def places(c: Config, traits: Traits) -> tuple[str, str]:
    """Where the norms of attention and FFN stand."""
    if switch(c, traits.parallel):
        return "pre", "shared"
    return traits.norm_place if isinstance(traits.norm_place, tuple) else (traits.norm_place, traits.norm_place)


def gqa(
    c: Config, draft: Draft, traits: Traits, place: str, window: int | None = None, rotated: bool = True, **fields: Any
) -> str:
    """The name of an attention block with these traits."""
    name = "sliding" if window else "chunked" if fields.get("chunk") else "full"
    normed = traits.qk_norm if switch(c, traits.qk_norm_if) else ""
    given = {
        **heads(c),
        "attention_bias": switch(c, traits.attention_bias),
        "o_bias": switch(c, traits.o_bias),
        "qk_norm": normed or None,
        "qk_norm_style": traits.qk_norm_style or None if normed else None,
        "sliding_window": window,
        "sinks": traits.sinks or None,
        "rope": None if rotated else False,
        "norm": place if place != "pre" else None,
    }
    return draft.block("attention", name, "gqa", **{**given, **fields})
