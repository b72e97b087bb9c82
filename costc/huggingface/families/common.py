"""What most architectures share: sizes, heads, the stem, and which layers see a window."""

from __future__ import annotations

from typing import Any

from costc.huggingface.config import Config
from costc.huggingface.draft import Draft
from costc.huggingface.row import Switch, Traits

HIDDEN = ("hidden_size", "n_embd", "d_model", "n_embed")
HEADS = ("num_attention_heads", "n_head", "n_heads")
LENGTH = ("max_position_embeddings", "n_positions", "max_seq_len", "max_sequence_length", "seq_length", "model_max_length")
#: where a config does not say how long a context may be (ALiBi, state-space models); costs do not depend on it
UNLIMITED = 1_048_576
SLIDING, FULL = "sliding_attention", "full_attention"
PATTERN = ("sliding_window_pattern", "_sliding_window_pattern")


def switch(c: Config, given: Switch) -> bool:
    """A constant, or the flag of that name."""
    return given if isinstance(given, bool) else c.flag(given, False)


def stem(c: Config, draft: Draft, traits: Traits) -> None:
    """Sizes of the whole model, the norm, and what the traits say of what stands around the layers."""
    draft.fields |= {
        "hidden_size": c.size(HIDDEN),
        "vocab_size": c.size("vocab_size"),
        "max_position_embeddings": c.size(LENGTH, UNLIMITED),
        "tie_word_embeddings": c.flag("tie_word_embeddings", traits.tied),
    }
    draft.norm |= traits.norm
    draft.stem |= traits.stem
    if switch(c, traits.head_bias):
        draft.stem["head_bias"] = True
    if c.number("final_logit_softcapping", None):
        draft.stem["logit_softcap"] = True


def heads(c: Config) -> dict[str, Any]:
    """Query heads, KV heads and head size; as many KV heads as query heads where the file does not say."""
    count = c.size(HEADS)
    hidden = c.size(HIDDEN)
    found = {
        "num_attention_heads": count,
        "num_key_value_heads": c.size("num_key_value_heads", count),
        "head_dim": c.size(("head_dim", "attention_head_dim"), None),
    }
    if count % found["num_key_value_heads"]:
        raise c.error("num_key_value_heads", f"{found['num_key_value_heads']} does not divide {count} num_attention_heads")
    if found["head_dim"] is None:
        if hidden % count:
            raise c.error("head_dim", f"is missing, and {count} num_attention_heads do not divide hidden_size {hidden}")
        found["head_dim"] = hidden // count
    return found


def windows(c: Config, traits: Traits, layers: int) -> list[int | None]:
    """The window of each layer, None where it sees everything."""
    size = c.count("sliding_window", None) or None
    types = layer_types(c, layers)
    c.unused("max_window_layers", "use_sliding_window", *PATTERN)
    if not traits.window:
        return [None] * layers
    if size is None or not switch(c, traits.window_if):
        return [None] * layers
    if types is not None:
        return [size if t == SLIDING else None for t in types]
    if traits.window == "late":
        first = c.count("max_window_layers", layers)
        return [size if i >= first else None for i in range(layers)]
    if isinstance(c.raw(PATTERN, None)[1], str):
        letters = c.word(PATTERN)
        if {*letters} - {"L", "G"} or not letters:
            raise c.refuse(PATTERN[0], "a whole number, or letters L (local) and G (global)")
        return [size if letters[i % len(letters)] == "L" and i < layers - 1 else None for i in range(layers)]
    period = c.count(PATTERN, traits.pattern or None)
    return [size if not period or (i + 1) % period else None for i in range(layers)]


def rotations(c: Config, traits: Traits, seen: list[int | None]) -> list[bool]:
    """Whether each layer rotates queries and keys; `seen` are the windows."""
    c.unused("no_rope_layers", "no_rope_layer_interval")
    if traits.rope == "listed":
        rotated = c.items("no_rope_layers", int, None)
        if rotated:
            if len(rotated) < len(seen):
                raise c.error("no_rope_layers", f"has {len(rotated)} items where {len(seen)} layers are expected")
            return [bool(r) for r in rotated[: len(seen)]]
        every = c.size("no_rope_layer_interval", 4)
        return [(i + 1) % every != 0 for i in range(len(seen))]
    sized = c.count("sliding_window", None)
    return [traits.rope != "local" or window is not None or not sized for window in seen]


def layer_types(c: Config, layers: int, known: tuple[str, ...] = (SLIDING, FULL), field: str = "layer_types") -> list[str] | None:
    """`layer_types`, or another list with a word for each layer, all of which must be known."""
    types = c.items(field, str, None)
    if types is None:
        return None
    if len(types) < layers:
        raise c.error(field, f"has {len(types)} items where {layers} layers are expected")
    for one in types:
        if one not in known:
            raise c.error(field, f"holds {one!r}, which is not understood; known: {', '.join(known)}")
    return list(types[:layers])
