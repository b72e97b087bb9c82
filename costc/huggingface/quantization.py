"""How the weights of a checkpoint are stored, from its config."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from costc.huggingface.config import Config
from costc.huggingface.draft import Draft

DTYPES = {"bfloat16": "bf16", "float16": "fp16", "float32": "fp32", "half": "fp16"}


def quantization(whole: Config, text: Config, beside: Mapping[str, Any] | None, draft: Draft) -> Any:
    """A scheme of the catalogue by name, or one of the checkpoint's own as a mapping."""
    word = text.word(("dtype", "torch_dtype"), "bfloat16")
    return DTYPES.get(word.removeprefix("torch."), "bf16")
