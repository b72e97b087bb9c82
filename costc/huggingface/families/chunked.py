"""Local layers that attend within chunks, and global ones without positions: Llama 4."""

from __future__ import annotations

from costc.huggingface.config import LAYERS, Config
from costc.huggingface.draft import Draft
from costc.huggingface.families.common import FULL, layer_types, rotations, stem, switch
from costc.huggingface.families.decoder import gqa
from costc.huggingface.families.experts import ffn_of
from costc.huggingface.row import Traits

CHUNKED = "chunked_attention"


def chunked(c: Config, draft: Draft, traits: Traits) -> None:
    """The layers that rotate attend within chunks of `attention_chunk_size`, unless `layer_types` says otherwise.

    Queries and keys are normed, without a scale, in layers that rotate (transformers' Llama4TextAttention).
    """
    stem(c, draft, traits)
    layers = c.size(LAYERS)
    size = c.size("attention_chunk_size", None)
    rotated = rotations(c, traits, [None] * layers)
    types = layer_types(c, layers, (CHUNKED, FULL))
    normed = switch(c, traits.qk_norm_if)
    ffn = ffn_of(c, draft, traits, layers)
    for i in range(layers):
        local = rotated[i] if types is None else types[i] == CHUNKED
        qk_norm = traits.qk_norm if normed and rotated[i] else None
        attention = gqa(c, draft, traits, "pre", rotated=rotated[i], chunk=size if local else None, qk_norm=qk_norm)
        draft.layer(attention=attention, ffn=ffn[i])
