"""FLOPs of a forward pass, as torch counts them."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from typing import Any

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode
from transformers import PreTrainedModel

from tests.oracle.models import Config, build

SEED = 0
MATMULS = {"mm", "addmm", "bmm", "baddbmm", "mv", "addmv", "dot"}
OUTER = re.compile(r"^(model|transformer|backbone|gpt_neox)\.((language_model|decoder)\.)?")
# Not in torch's registry; they would pass uncounted.
ALSO_COUNTED = {
    torch.ops.aten.mv: lambda matrix, vector, **_: 2 * matrix[0] * matrix[1],
    torch.ops.aten.addmv: lambda bias, matrix, vector, **_: 2 * matrix[0] * matrix[1],
    torch.ops.aten.dot: lambda left, right, **_: 2 * left[0],
}


def flops(config: Config, batch: int, past: int, seq: int) -> dict[str, int]:
    """FLOPs of a forward of `seq` tokens after `past` cached ones: `module|operator` -> all layers together, and `total`.

    A module's own operators only, not those of its children. Layer numbers are `*`; where layers differ in a module's
    class, that stands in brackets: `layers.*.mlp[DeepseekV3MoE].gate|matmul`. Operators are `matmul` and `convolution`.
    The LM head computes one row for each sequence.
    """
    model = on_cpu(config)
    cache = forward(model, batch, past, {}) if past else {}
    with _Exclusive(model) as counter:
        forward(model, batch, seq, cache)
    return {**dict(sorted(counter.own.items())), "total": counter.get_total_flops()}


def on_cpu(config: Config, dtype: torch.dtype = torch.float32) -> PreTrainedModel:
    torch.manual_seed(SEED)
    return build(config, "cpu", dtype)


def forward(model: PreTrainedModel, batch: int, seq: int, cache: dict[str, Any]) -> dict[str, Any]:
    """Runs `seq` random tokens; the cache comes back as the argument to hand to the next forward."""
    vocab = model.config.get_text_config(decoder=True).vocab_size
    generator = torch.Generator().manual_seed(SEED + seq)
    tokens = torch.randint(3, vocab, (batch, seq), generator=generator)
    accepted = inspect.signature(model.forward).parameters
    options = {"logits_to_keep": 1} if "logits_to_keep" in accepted else {}
    with torch.no_grad():
        made = model(input_ids=tokens, use_cache=True, **options, **cache)
    name = "cache_params" if "cache_params" in accepted else "past_key_values"
    return {name: made[name]}


class _Exclusive(FlopCounterMode):
    """Counts each operator for the innermost module that runs it."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__(display=False, custom_mapping=ALSO_COUNTED)
        self.own: dict[str, int] = {}
        self._running: list[str] = [""]
        path = _paths(model)
        self._hooks = [hook for name, module in model.named_modules() for hook in self._track(path[name], module)]

    def _track(self, path: str, module: nn.Module) -> Iterator[Any]:
        yield module.register_forward_pre_hook(lambda *_: self._running.append(path))
        yield module.register_forward_hook(lambda *_: self._pop())

    def _pop(self) -> None:
        self._running.pop()

    def _count_flops(self, func_packet: Any, out: Any, args: Any, kwargs: Any) -> Any:
        before = self.get_total_flops()
        result = super()._count_flops(func_packet, out, args, kwargs)
        if counted := self.get_total_flops() - before:
            operator = "matmul" if func_packet.__name__ in MATMULS else func_packet.__name__
            key = f"{self._running[-1]}|{operator}"
            self.own[key] = self.own.get(key, 0) + counted
        return result

    def __exit__(self, *args: Any) -> Any:
        for hook in self._hooks:
            hook.remove()
        return super().__exit__(*args)


def _paths(model: nn.Module) -> dict[str, str]:
    """Module name -> how its FLOPs are named."""
    kinds = {name: type(module).__name__ for name, module in model.named_modules()}
    alike: dict[str, set[str]] = {}
    for name, kind in kinds.items():
        alike.setdefault(_starred(name), set()).add(kind)
    paths = {"": ""}
    for name, kind in kinds.items():
        parent, _, last = name.rpartition(".")
        tag = f"[{kind}]" if len(alike[_starred(name)]) > 1 else ""
        paths[name] = f"{paths[parent]}.{'*' if last.isdigit() else last}{tag}".removeprefix(".")
    return {name: OUTER.sub("", path) for name, path in paths.items()}


def _starred(name: str) -> str:
    return re.sub(r"(?<=\.)\d+(?=\.|$)", "*", name)
