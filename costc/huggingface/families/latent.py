"""Multi-head latent attention with dense FFNs and experts: DeepSeek-V2, V3 and what follows them."""

from __future__ import annotations

from typing import Any

from costc.huggingface.config import LAYERS, Config
from costc.huggingface.draft import Draft
from costc.huggingface.families.common import HEADS, HIDDEN, layer_types, stem, switch
from costc.huggingface.families.decoder import DRAFTS
from costc.huggingface.families.experts import dense, ffn_of, moe
from costc.huggingface.row import Traits

#: bytes of an element of the indexer's keys in DeepSeek's kernels, vLLM and SGLang: fp8 with an fp32 scale for each 128
INDEX_KEY_BYTE = 1 + 4 / 128
INDEXER, OWN, SHARED = "indexer_types", "full", "shared"


def latent(c: Config, draft: Draft, traits: Traits) -> None:
    """MLA in every layer."""
    stem(c, draft, traits)
    layers = c.size(LAYERS)
    attention = mla(c, draft, traits)
    _layers(c, draft, traits, [attention] * layers, attention)


def indexed(c: Config, draft: Draft, traits: Traits) -> None:
    """MLA over the tokens that an indexer chooses, in every layer or in groups of layers that share the choice."""
    stem(c, draft, traits)
    layers = c.size(LAYERS)
    layer_types(c, layers, ("indexed_attention", "deepseek_sparse_attention"))
    chosen = {
        OWN: {
            "index_n_heads": c.size("index_n_heads"),
            "index_head_dim": c.size("index_head_dim"),
            "index_key_byte": INDEX_KEY_BYTE,
        },
        SHARED: {"shared_index": True},
    }
    kept = c.size("index_topk")
    own = mla(c, draft, traits, index_topk=kept, **chosen[OWN])
    types = index_types(c, layers)
    shared = mla(c, draft, traits, "mla_shared_index", index_topk=kept, **chosen[SHARED]) if SHARED in types else own
    _layers(c, draft, traits, [own if t == OWN else shared for t in types], own)


def doubled(c: Config, draft: Draft, traits: Traits) -> None:
    """LongCat-Flash's: attention and a dense FFN twice in every layer, experts beside, which read what the first FFN reads."""
    stem(c, draft, traits)
    attention = mla(c, draft, traits)
    first = dense(c, draft, traits)
    beside = moe(c, draft, traits, zero_expert_num=c.count("zero_expert_num", 0) or None, norm="shared")
    c.only("zero_expert_type", "identity")
    for _ in range(c.size(LAYERS)):
        draft.layer(attention=(attention, attention), ffn=(first, first, beside))


def index_types(c: Config, layers: int) -> list[str]:
    """Whether each layer runs an indexer of its own or takes what the last one chose (GLM-5.2, arXiv 2603.12201)."""
    every, offset = c.size("index_topk_freq", 1), c.count("index_skip_topk_offset", 2)
    pattern = c.raw("index_topk_pattern", None)[1]
    types = layer_types(c, layers, (OWN, SHARED), INDEXER)
    if types is None and isinstance(pattern, str):
        letters = {"F": OWN, "S": SHARED}
        if set(pattern) - set(letters) or len(pattern) < layers:
            raise c.refuse("index_topk_pattern", f"{layers} letters, each F or S")
        types = [letters[p] for p in pattern[:layers]]
    elif types is None and pattern is not None:
        types = layer_types(c, layers, (OWN, SHARED), "index_topk_pattern")
    if types is None:
        types = [OWN if max(i - offset + 1, 0) % every == 0 else SHARED for i in range(layers)]
    if types[0] == SHARED:
        raise c.error(INDEXER, "the first layer is 'shared', with no layer before it to share with")
    return types


def _layers(c: Config, draft: Draft, traits: Traits, attention: list[str], last: str) -> None:
    ffn = ffn_of(c, draft, traits, len(attention))
    for one, each in zip(attention, ffn, strict=True):
        draft.layer(attention=one, ffn=each)
    # GLM-5's checkpoints have no copies of embedding and head for the draft layer (GLM-5.2: 1506659919872 bytes), DeepSeek's do
    count, own = c.count(DRAFTS, 0), traits.mtp != "shared"
    draft.draft_layers(count, attention=last, ffn=ffn[-1], own_embedding=own, own_head=own)


def mla(c: Config, draft: Draft, traits: Traits, name: str = "mla", **fields: Any) -> str:
    """The attention block."""
    c.unused("num_key_value_heads", "head_dim", "qk_head_dim")
    return draft.block(
        "attention",
        name,
        "mla",
        num_attention_heads=c.size(HEADS),
        q_lora_rank=c.size("q_lora_rank", None),
        kv_lora_rank=c.size("kv_lora_rank"),
        qk_nope_head_dim=c.size("qk_nope_head_dim"),
        qk_rope_head_dim=c.size("qk_rope_head_dim"),
        v_head_dim=c.size("v_head_dim", c.size(HIDDEN) // c.size(HEADS)),
        attention_bias=switch(c, "attention_bias") or None,
        **fields,
    )
