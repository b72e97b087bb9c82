"""Attention with grouped or multiple heads, one launch: prefill, and decode on the cache.

    time = launch + max(C, M) + (1 - overlap) min(C, M)

Prefill, with heads = kv_heads x group and blocks = sequences x heads x seq / 128:

    C = flop / (peak e_c) x (1 + softmax / head_dim) x (1 + depth / blocks) + block x sequences x heads x ceil(seq / 128)
    M = (byte + (passes - 1) x activation_byte) / (bandwidth e_m)

A block of 128 queries of one head (FlashAttention-2, Dao 2023, arXiv 2307.08691, section 3.3) loops over its keys. The softmax
costs each pair as much as `softmax` more elements of a head would; few blocks leave processors idle, and the device takes as
long as for `depth` blocks more; to start and store a block takes time of its own. Engines rotate, quantize and copy queries
in kernels that are measured along, so that queries and outputs move more than once.

Decode, with one block for each sequence and KV head:

    C = flop / (peak e_c) x (1 + depth / (sequences x kv_heads)) + block x sequences x kv_heads
    M = byte / (bandwidth e_m)

C and M are affine in pairs and context at a fixed size of the step, so that sums over positions are exact. A window is in the
pairs and the context that the demands were counted for.
"""

from __future__ import annotations

from typing import Final

from costc.latency.form import BANDWIDTH, PEAK, Constant, Demand, Form, Pieces
from costc.minmax import Ceiling, Max

#: queries of a block
ROWS: Final = 128
#: bytes of an element of a query read and of its output written
QUERY_BYTE: Final = 4

FLOP = Demand("flop", "FLOP", "both products: 4 x pairs x heads x head_dim over all sequences")
BYTE = Demand("byte", "B", "queries and outputs once, keys and values read, and written where they are new")
ACTIVATION = Demand("activation_byte", "B", "queries read and outputs written")
SEQUENCES = Demand("sequences", "1", "sequences of the step")
KV_HEADS = Demand("kv_heads", "1", "KV heads on the device")
GROUP = Demand("group", "1", "query heads of a KV head")
HEAD_DIM = Demand("head_dim", "1", "elements of a head")
SEQ = Demand("seq", "1", "query tokens of a sequence")


def _common(launch: float, depth: float, compute: float, memory: float, block: float, overlap: float) -> tuple[Constant, ...]:
    """Constants of both phases with a phase's priors: medians over devices and engines, and their spread."""
    return (
        Constant("launch_latency", "s", "time to start the kernels", launch, 0.3, 1e-6, 1e-4, 0.0, per_dtype=True),
        Constant("compute_efficiency", "1", "achieved fraction of the peak", compute, 0.5, 0.01, 1.0, 1.0, per_dtype=True),
        Constant("memory_efficiency", "1", "achieved fraction of the bandwidth", memory, 0.35, 0.02, 1.0, 1.0, per_dtype=True),
        Constant("block_latency", "s", "time to start and store a block, over all processors", block, 1.0, 1e-11, 1e-6, 0.0,
                 per_dtype=True),
        Constant("depth", "1", "blocks that the device does in the time of one alone", depth, 0.7, 1e-3, 1e4, 0.0,
                 per_dtype=True),
        Constant("overlap", "1", "share of the shorter of computing and moving that hides", overlap, 0.3, 0.0, 1.0, 1.0,
                 log=False, per_dtype=True),
    )  # fmt: skip


def _prefill() -> Form:
    """Never falls as a size grows: flop / head_dim and flop / blocks count pairs, and the rest only adds.

    flop / blocks is the mean of keys that a query attends, which does not fall as a sequence grows.
    """
    constants = (
        *_common(13e-6, 200.0, 0.8, 0.65, 1.2e-8, 0.2),
        Constant("softmax", "1", "work of the softmax for a pair, in elements of a head", 55.0, 0.7, 1e-2, 500.0, 0.0,
                 per_dtype=True),
        Constant("passes", "1", "times that queries and outputs move", 1.6, 0.5, 1.0, 8.0, 1.0, per_dtype=True),
    )  # fmt: skip
    launch, compute, memory, block, depth, overlap, softmax, passes = (c.symbol for c in constants)
    heads = SEQUENCES.symbol * KV_HEADS.symbol * GROUP.symbol
    blocks = Max(1, heads * SEQ.symbol / ROWS)
    pieces = Pieces(
        launch,
        FLOP.symbol * (1 + softmax / HEAD_DIM.symbol) * (1 + depth / blocks) / (PEAK * compute)
        + block * heads * Ceiling(SEQ.symbol / ROWS),
        (BYTE.symbol + (passes - 1) * ACTIVATION.symbol) / (BANDWIDTH * memory),
        overlap,
    )
    demands = (FLOP, BYTE, ACTIVATION, SEQUENCES, KV_HEADS, GROUP, HEAD_DIM, SEQ)
    return Form("prefill_attention", "Attention, prefill", demands, constants, pieces.time, pieces)


def _decode() -> Form:
    """Never falls as a size grows: flop / streams is the work on one cache, and the rest only adds."""
    constants = _common(11e-6, 20.0, 0.3, 0.87, 1.1e-8, 0.6)
    launch, compute, memory, block, depth, overlap = (c.symbol for c in constants)
    streams = SEQUENCES.symbol * KV_HEADS.symbol
    pieces = Pieces(
        launch,
        FLOP.symbol * (1 + depth / streams) / (PEAK * compute) + block * streams,
        BYTE.symbol / (BANDWIDTH * memory),
        overlap,
    )
    return Form(
        "decode_attention", "Attention, decode", (FLOP, BYTE, SEQUENCES, KV_HEADS), constants, pieces.time, pieces
    )  # fmt: skip


PREFILL: Final = _prefill()
DECODE: Final = _decode()
FORMS: Final = (PREFILL, DECODE)
