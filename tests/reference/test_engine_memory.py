"""How engines divide a device's memory, from what their documentation says, beside the one formula of ours.

vLLM, `gpu_memory_utilization`: the fraction of the memory that the instance may use, weights and activations included.
SGLang, `mem_fraction_static`: (weights + cache) / memory; activations and graphs lie outside
(docs.sglang.io/advanced_features/hyperparameter_tuning.html).
TensorRT-LLM, `free_gpu_memory_fraction`: the cache takes that fraction of what is free once all else is allocated
(nvidia.github.io/TensorRT-LLM/reference/memory.html).
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.property.compiled import degrees, platform, run

#: (memory, fraction, weights, reserved) -> bytes for the cache
Division = Callable[[float, float, float, float], float]
DIVISIONS: dict[str, tuple[tuple[float | str, float | str], Division]] = {
    "vllm": ((1, 1), lambda m, u, w, r: u * m - w - r),
    "sglang": ((1, 0), lambda m, u, w, r: min(u * m - w, m - w - r)),
    "trtllm": (("u", "u"), lambda m, u, w, r: u * (m - w - r)),
}


@pytest.mark.parametrize("fraction", [0.8, 0.9, 0.99])
@pytest.mark.parametrize("engine", sorted(DIVISIONS))
def test_the_largest_batch_is_what_the_engine_has_room_for(engine: str, fraction: float) -> None:
    shares, division = DIVISIONS[engine]
    weight_share, reserved_share = (fraction if s == "u" else float(s) for s in shares)
    values = {
        **platform("llama-3.1-8b", "h100-sxm"), **degrees((1, 1, 1, 1)), "isl": 4000, "osl": 80, "max_num_batched_tokens": 8192,
        "memory_utilization": fraction, "memory_weight_share": weight_share, "memory_reserved_share": reserved_share,
    }  # fmt: skip
    found = run("llama-3.1-8b", {**values, "batch": 1})
    # 255 blocks of 16 tokens, 32 layers, keys and values of 8 heads of 128 in bf16
    sequence = 255 * 16 * 32 * 2 * 8 * 128 * 2
    assert found["memory_kv"] == sequence
    reserved = float(found["memory_activation"] + found["memory_framework"])
    room = division(81559 * 2**20, fraction, float(found["memory_weights"]), reserved)
    # so long as a full prefill step needs more activations than a decode step of the whole batch, which it does here
    assert found["max_batch"] == room // sequence
    assert run("llama-3.1-8b", {**values, "batch": found["max_batch"]})["memory_activation"] == found["memory_activation"]
