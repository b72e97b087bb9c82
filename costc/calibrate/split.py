"""The split of measurements that was fixed before anything was fitted (PROTOCOL.md)."""

from __future__ import annotations

import hashlib

FIT, HELD_OUT = 0, 1
#: folds of end-to-end measurements: a model belongs to one family
FAMILIES = ("deepseek-v3", "kimi-k2", "llama-3.1", "qwen3-dense", "qwen3-moe", "qwen3.5", "gpt-oss", "minimax-m2")


def side(*shape: object) -> int:
    """FIT or HELD_OUT for a kernel's shape: a bit of the hash of its sizes, so the same on every device and engine.

    Args:
        shape: the sizes in the form's canonical order, as integers or words.
    """
    text = "|".join(str(s) for s in shape)
    return hashlib.sha256(text.encode()).digest()[0] & 1
