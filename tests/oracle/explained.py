"""Where a reference computes or keeps something else than serving engines do: each difference is a formula, never a tolerance.

FLOP differences are switches of what is counted (`FlopSwitch.applied` maps costc's operators to those of the reference); cache
differences are bytes to add. What is masked, top-k included, is counted for all models by `ours.flops(masked=True)`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from costc.ir.model import Model
from tests.oracle import ours

Flops = dict[str, int]
#: (block, batch, seq, past) -> FLOP of one layer
Core = Callable[[Any, int, int, int], int]


@dataclass(frozen=True)
class FlopSwitch:
    """A way in which a reference counts unlike costc: `applied(flops by operator, model, batch, seq, past)` are its own."""

    name: str
    applied: Callable[[Flops, Model, int, int, int], Flops]


@dataclass(frozen=True)
class Kept:
    """Bytes that a reference keeps beyond what costc says: `difference(model, batch, tokens)`."""

    name: str
    difference: Callable[[Model, int, int], int]


def of_kind(model: Model, *kinds: str) -> Iterator[tuple[str, Any, int]]:
    """(name, block, layers) of the blocks of these kinds."""
    for name, block in model.blocks.items():
        if block.kind in kinds:
            yield name, block, model.occurrences(name)


# ---- scans: the reference's own algorithm in place of the chunked or one-token form


def _gated_delta(b: Any, batch: int, seq: int, past: int) -> int:
    """torch_chunk_gated_delta_rule: chunks of 64, padded; triangular solves are not counted; a cached token is elementwise."""
    if past and seq == 1:
        return 0
    c, dk, dv, n = 64, b.linear_key_head_dim, b.linear_value_head_dim, math.ceil(seq / 64)
    return batch * b.linear_num_value_heads * n * (4 * c * c * dk + 2 * c * c * dv + 6 * c * dk * dv)


def _kda(b: Any, batch: int, seq: int, past: int) -> int:
    """Chunks of 64, padded; the two score matrices and the forward substitution are elementwise, as is a cached token."""
    if past and seq == 1:
        return 0
    c, d, n = 64, b.linear_head_dim, math.ceil(seq / 64)
    return batch * b.linear_num_heads * n * (2 * c * c * 2 * d + 2 * c * c * d + 6 * c * d * d)


def _mamba2(b: Any, batch: int, seq: int, past: int) -> int:
    """torch_forward: padded chunks, B and C repeated to all heads, states combined by a matrix over chunks; decode: C h."""
    h, p, n = b.num_heads, b.head_dim, b.state_size
    if past and seq == 1:
        return 2 * batch * h * p * n
    c, k = b.chunk_size, math.ceil(seq / b.chunk_size)
    return 2 * batch * h * (k * c * c * (n + p) + 2 * k * c * n * p + (k + 1) ** 2 * n * p)


def _lightning(b: Any, batch: int, seq: int, past: int) -> int:
    """Whole square blocks in prefill; a cached token multiplies out k v and q S."""
    d, size = b.head_dim, b.block_size
    if past:
        return seq * 2 * batch * b.num_attention_heads * 2 * d * d
    blocks = [size] * (seq // size) + ([seq % size] if seq % size else [])
    return sum(2 * batch * b.num_attention_heads * (2 * c * c * d + 2 * c * d * d) for c in blocks)


CORES: dict[str, Core] = {"gated_delta": _gated_delta, "kda": _kda, "mamba2": _mamba2, "lightning": _lightning}


def _scan(flops: Flops, model: Model, batch: int, seq: int, past: int) -> Flops:
    found = dict(flops)
    for name, block, layers in of_kind(model, *CORES):
        core = ours.core_operators(model, name)
        found = {k: v for k, v in found.items() if k not in core}
        found[f"{name}.reference"] = layers * CORES[block.kind](block, batch, seq, past)
    return found


SCAN = FlopSwitch(
    "the scan is the reference's own: padded, whole or elementwise instead of triangular chunks and products", _scan
)


# ---- experts, indexers, shared layers


def _all_experts(flops: Flops, model: Model, batch: int, seq: int, past: int) -> Flops:
    found = dict(flops)
    for name, block, _ in of_kind(model, "moe"):
        for operator in ("gate_proj", "up_proj", "down_proj"):
            key = f"{name}.{operator}"
            found[key] = found[key] * block.n_routed_experts // block.num_experts_per_tok
    return found


ALL_EXPERTS = FlopSwitch("every expert computes every token: n_routed_experts / num_experts_per_tok times the work", _all_experts)


def _local_cache(flops: Flops, model: Model, batch: int, seq: int, past: int) -> Flops:
    found = dict(flops)
    for name, block, layers in of_kind(model, "gqa"):
        if block.chunk:
            more = min(past, block.chunk - 1) - past % block.chunk
            found[f"{name}.earlier_chunk"] = 4 * batch * layers * block.num_attention_heads * block.head_dim * seq * more
    return found


LOCAL_CACHE = FlopSwitch(
    "chunked layers keep a sliding cache of chunk - 1 tokens and mask those of the earlier chunk", _local_cache
)


def _index_sum(flops: Flops, model: Model, batch: int, seq: int, past: int) -> Flops:
    found = dict(flops)
    for name, block, layers in of_kind(model, "mla"):
        if block.index_topk and not block.shared_index:
            found[f"{name}.index_sum"] = layers * 2 * batch * seq * (past + seq) * block.index_n_heads
    return found


INDEX_SUM = FlopSwitch("the indexer sums its heads by a product: 2 b s (past + s) index_n_heads", _index_sum)


def _merged_everywhere(flops: Flops, model: Model, batch: int, seq: int, past: int) -> Flops:
    streams = model.stem.streams
    return {**flops, "head.other_tokens": 2 * batch * (seq - 1) * streams**2 * model.hidden_size}


MERGED = FlopSwitch(
    "the residual streams of all tokens are merged before the head: 2 b (s - 1) hc_mult^2 hidden", _merged_everywhere
)


def _last_token(flops: Flops, model: Model, batch: int, seq: int, past: int) -> Flops:
    """What stands in layers that share another's cache runs on the last token alone."""
    if seq == 1:
        return flops
    return ours.on_one_token(flops, model, batch, seq, past)


LAST_TOKEN = FlopSwitch("layers that share another layer's KV cache compute only the last token of a step", _last_token)

DELTA = (
    *("qwen3_next", "olmo_hybrid", "qwen3_5_text", "qwen3_5_moe_text", "qwen3_5", "qwen3_5_moe", "kimi_linear"),
    "bailing_hybrid",
)
SSD = ("nemotron_h", "nemotron_h+latent", "mamba2", "falcon_h1", "granitemoehybrid", "bamba", "zamba2")
FLOPS: dict[str, tuple[FlopSwitch, ...]] = {
    **dict.fromkeys((*DELTA, *SSD, "minimax"), (SCAN,)),
    **dict.fromkeys(("llama4", "llama4_text"), (ALL_EXPERTS, LOCAL_CACHE)),
    **dict.fromkeys(("deepseek_v32", "glm_moe_dsa"), (INDEX_SUM,)),
    **dict.fromkeys(("gemma4", "gemma4_text"), (LAST_TOKEN,)),
    "deepseek_v4": (MERGED,),
}


# ---- caches


def _one_less(model: Model, batch: int, tokens: int) -> int:
    return batch * (ours.kept(model, tokens, local_less=1) - ours.kept(model, tokens))


WINDOW = Kept("sliding caches keep window - 1 tokens: the new one is joined in the next step", _one_less)


def _whole_kernel(model: Model, batch: int, tokens: int) -> int:
    return batch * (ours.kept(model, tokens, whole_kernel=True) - ours.kept(model, tokens))


KERNEL = Kept("convolution states keep as many columns as the kernel has taps, one more than is needed", _whole_kernel)


def _wide(model: Model, batch: int, tokens: int) -> int:
    return batch * (ours.kept(model, tokens, wide_state=True) - ours.kept(model, tokens))


WIDE = Kept("recurrent states stay in fp32 where the config names no format", _wide)


def _every_head(model: Model, batch: int, tokens: int) -> int:
    kept = ours.kept(model, tokens)
    groups = {b.num_attention_heads // b.num_key_value_heads for _, b, _ in of_kind(model, "gqa")}
    return batch * kept * (max(groups) - 1)


EVERY_HEAD = Kept("keys and values are kept for every query head, not for every KV head", _every_head)


def _index_keys(model: Model, batch: int, tokens: int) -> int:
    found = 0.0
    for _, b, layers in of_kind(model, "mla", "compressed"):
        if b.index_key_byte and not getattr(b, "shared_index", False):
            kept = tokens // (getattr(b, "compress_rate", None) or 1)
            found += layers * batch * kept * b.index_head_dim * (2 - b.index_key_byte)
    assert found == int(found)
    return int(found)


INDEX_KEYS = Kept("keys of the indexer are kept in bf16, where engines keep fp8 with a 4-byte scale for each 128", _index_keys)


def _waiting(model: Model, batch: int, tokens: int) -> int:
    found = 0
    for _, b, layers in of_kind(model, "compressed"):
        if not b.compress_rate:
            continue
        series, rest, whole = 1 + b.overlap, tokens % b.compress_rate, tokens >= b.compress_rate
        for width in (b.head_dim, b.index_head_dim) if b.index_topk else (b.head_dim,):
            # values and gates of the tokens since the last whole run, and, where entries overlap, of the first series of that run
            theirs = 2 * 2 * width * (series * rest + (b.compress_rate if b.overlap and whole else 0))
            found += layers * batch * (theirs - 4 * 2 * series * b.compress_rate * series * width)
    return found


WAITING = Kept("tokens that wait to be compressed are kept one by one in bf16, not in a state of fixed size in fp32", _waiting)


def _entries(model: Model, batch: int, tokens: int) -> int:
    blocks = ((b, n) for _, b, n in of_kind(model, "compressed") if b.compress_rate)
    return -2 * batch * sum(n * b.head_dim for b, n in blocks if tokens >= b.sliding_window)


ENTRIES = Kept("the window beside compressed entries keeps window - 1 tokens", _entries)


def _twice(model: Model, batch: int, tokens: int) -> int:
    blocks = ((b, n) for _, b, n in of_kind(model, "compressed") if not b.compress_rate)
    return 2 * batch * sum(n * b.head_dim * min(tokens, b.sliding_window - 1) for b, n in blocks)


TWICE = Kept("layers of a window alone keep their one vector a token as key and as value", _twice)

WINDOWED = (
    *("ministral", "gpt_oss", "mimo_v2_flash", "olmo3", "cohere2", "starcoder2", "exaone4", "exaone_moe", "mistral", "phi3"),
    *("phimoe", "llama4", "llama4_text", "gemma2", "gemma3_text", "gemma3", "gemma3n_text", "gemma3n", "gemma4_text", "gemma4"),
    *("gemma4_text+moe", "step3p7", "deepseek_v4"),
)
CONVOLVED = (*DELTA, *SSD, "jamba", "mamba", "falcon_mamba", "lfm2", "lfm2_moe", "zamba")
CACHES: dict[str, tuple[Kept, ...]] = {
    **dict.fromkeys(WINDOWED, (WINDOW,)),
    **dict.fromkeys(CONVOLVED, (KERNEL,)),
    **dict.fromkeys((*SSD, "jamba", "mamba", "falcon_mamba", "zamba"), (KERNEL, WIDE)),
    "falcon+grouped": (EVERY_HEAD,),
    **dict.fromkeys(("deepseek_v32", "glm_moe_dsa"), (INDEX_KEYS,)),
    "deepseek_v4": (WINDOW, TWICE, ENTRIES, INDEX_KEYS, WAITING),
}
