"""Nemotron-H (arXiv 2504.03624) and Nemotron 3 (arXiv 2512.20856): each layer is one block, with its norm."""

from __future__ import annotations

from costc.huggingface.config import LAYERS, Config
from costc.huggingface.draft import Draft
from costc.huggingface.families.common import stem
from costc.huggingface.families.decoder import gqa
from costc.huggingface.families.experts import CHOSEN, EXPERTS
from costc.huggingface.families.state_space import HEAD_SIZE, HEADS, mamba2
from costc.huggingface.row import Traits

#: letters of a pattern: the part of a layer that holds the block, and words for the same
PART = {"M": "mixer", "*": "attention", "-": "ffn", "E": "ffn"}
WORDS = {"linear_attention": "M", "mamba": "M", "full_attention": "*", "attention": "*", "mlp": "-", "moe": "E"}


def single(c: Config, draft: Draft, traits: Traits) -> None:
    """One block a layer: Mamba-2, attention, an FFN, or experts."""
    stem(c, draft, traits)
    # transformers and vLLM hold a head of its own, whatever the field says
    draft.fields["tie_word_embeddings"] = False
    kinds = _letters(c, ("layers_block_type", "layer_types"), "hybrid_override_pattern")
    if c.count(LAYERS, len(kinds)) != len(kinds):
        raise c.error("num_hidden_layers", f"is {c.count(LAYERS)}, where the pattern has {len(kinds)} layers")
    drafts = c.count("num_nextn_predict_layers", 0)
    ahead = _letters(c, ("mtp_layers_block_type",), "mtp_hybrid_override_pattern")
    makers = {"M": _mixer, "*": _attention, "-": _dense, "E": _experts}
    used = {*kinds, *(ahead if drafts else ())}
    # a block that stands nowhere is read for its mistakes, and left out
    made = {kind: make(c, draft if kind in used else Draft(), traits) for kind, make in makers.items()}
    for kind in kinds:
        draft.layer(**{PART[kind]: made[kind]})
    parts = {part: [made[kind] for kind in ahead if PART[kind] == part] for part in ("attention", "mixer", "ffn")}
    draft.draft_layers(drafts, attention=parts["attention"], mixer=parts["mixer"], ffn=parts["ffn"])


def _letters(c: Config, lists: tuple[str, ...], pattern: str) -> list[str]:
    """The layers as letters, from a list of words, or from a pattern of letters."""
    if c.raw(pattern, None)[1] is not None and not any(name in c for name in lists):
        letters = c.word(pattern)
        for letter in letters:
            if letter not in PART:
                raise c.error(pattern, f"holds {letter!r}, which is not understood; known: {', '.join(PART)}")
        return list(letters)
    words = c.items(lists, str)
    for word in words:
        if word not in WORDS:
            raise c.error(lists[0], f"holds {word!r}, which is not understood; known: {', '.join(WORDS)}")
    return [WORDS[word] for word in words]


def _mixer(c: Config, draft: Draft, traits: Traits) -> str:
    bias = c.flag("use_bias")
    c.unused("mamba_expand", "expand")
    return mamba2(c, draft, c.size(HEADS) * c.size(HEAD_SIZE), use_bias=bias, out_bias=bias)


def _attention(c: Config, draft: Draft, traits: Traits) -> str:
    return gqa(c, draft, traits, "pre", rotated=False)


def _dense(c: Config, draft: Draft, traits: Traits) -> str:
    bias = c.flag("mlp_bias") or None
    act = c.word("mlp_hidden_act")
    return draft.block("ffn", "dense", "plain", intermediate_size=c.size("intermediate_size"), hidden_act=act, mlp_bias=bias)


def _experts(c: Config, draft: Draft, traits: Traits) -> str:
    """Experts of two projections, in a latent space where the config has one; a score correction for balance (a buffer)."""
    return draft.block(
        "ffn",
        "moe",
        "moe",
        n_routed_experts=c.size(EXPERTS),
        num_experts_per_tok=c.size(CHOSEN),
        moe_intermediate_size=c.size("moe_intermediate_size"),
        shared_expert_intermediate_size=c.size("n_shared_experts") * c.size("moe_shared_expert_intermediate_size"),
        moe_latent_size=c.size("moe_latent_size", None),
        gated=False,
        hidden_act=c.word("mlp_hidden_act"),
        router_correction_bias=True,
        shared_bias=c.flag("mlp_bias") or None,
    )
