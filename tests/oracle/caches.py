"""What a model keeps between steps, as transformers stores it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from transformers.cache_utils import get_layer_types_and_kwargs

from tests.oracle.flops import forward, on_cpu
from tests.oracle.models import Config, configuration

# Bookkeeping, not state: the same few numbers whatever the model's size.
BOOKKEEPING = ("_sliding_window_tensor", "cumulative_length")


def windows(config: Config) -> list[int]:
    """The window or chunk of each layer that has one and a cache of its own, in order of size."""
    _, fields = get_layer_types_and_kwargs(configuration(config).get_text_config(decoder=True))
    return sorted(each["sliding_window"] for each in fields if each.get("sliding_window"))


def cache_byte(config: Config, batch: int, tokens: int) -> dict[str, int]:
    """Bytes of the cache of a bf16 model after one prefill of `tokens` tokens, by class of layer and role of tensor.

    `Class.role` -> bytes over all layers; `Class.role|element` -> bytes of one number (4 where the state stays in fp32);
    `Class|layers` -> how many layers of the model have such a cache; `total`.
    """
    found: dict[str, int] = {"total": 0}
    model = on_cpu(config, torch.bfloat16)
    (cache,) = forward(model, batch, tokens, {}).values()
    counted: set[int] = set()  # deepseek_v4 holds one tensor as keys and as values
    for holder in (*cache.layers, cache):  # minimax keeps the states of its linear layers beside the list of layers
        kind = type(holder).__name__
        if holder is not cache:
            found[f"{kind}|layers"] = found.get(f"{kind}|layers", 0) + 1
        for role, tensor in _tensors(vars(holder)):
            byte = 0 if id(tensor) in counted else tensor.numel() * tensor.element_size()
            counted.add(id(tensor))
            found[f"{kind}.{role}"] = found.get(f"{kind}.{role}", 0) + byte
            found[f"{kind}.{role}|element"] = tensor.element_size()
            found["total"] += byte
    return found


def _tensors(fields: dict[str, Any]) -> Iterator[tuple[str, torch.Tensor]]:
    for name, value in fields.items():
        if name in BOOKKEEPING:
            continue
        if isinstance(value, torch.Tensor):
            yield name, value
        elif isinstance(value, dict):
            yield from ((f"{name}.{key}", tensor) for key, tensor in value.items() if isinstance(tensor, torch.Tensor))
        elif isinstance(value, list | tuple):
            yield from ((name, tensor) for tensor in value if isinstance(tensor, torch.Tensor))
