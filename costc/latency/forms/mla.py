"""Multi-head latent attention, one launch: prefill with expanded keys and values, decode on the latents (absorbed).

    time = launch + blocks x block_latency + max(C, M) + (1 - overlap) min(C, M)
    C = flop / (peak e_c) x (1 + depth / running)
    M = byte / (bandwidth e_m)                                                                       in prefill
    M = (kv_byte / e_m x (1 + depth / sequences) + activation_byte / e_a) / bandwidth                in decode

A stream is the loop over one cache: a sequence and KV head. The query rows that share it (tokens times query heads of a KV
head) are cut into blocks of 128, as in FlashAttention-2 (Dao 2023, arXiv 2307.08691, section 3.3); `blocks` counts them whole and
`running` in parts. To start and store a block takes time of its own, which is what batches of short prompts pay. A loop is
read in order: alone it takes as long as the whole device for `depth` blocks like it, many where the engine does not split
a cache over processors, about one where it does (flash decoding). C and M are affine in pairs and context at a fixed size of
the step, so that sums over positions are exact.

Expanded, each head is a KV head of 192 (keys) and 128 (values): 2 x pairs x heads x 320 FLOP. Absorbed, one KV head of 576
(values: 512 of them) serves all heads and is read once: 2 x pairs x heads x 1088. One definition holds for both.

Where an indexer chooses what is attended (DeepSeek-V3.2-Exp, arXiv 2512.02556), with tokens = sequences x seq:

    attention:  launch + max(flop / (peak e_c) x max(1, slots / tokens), byte / (bandwidth e_m))
    its choice: launch + tokens x row_latency + max(flop / (peak e_c) x (1 + depth / tokens), byte / (bandwidth e_m))

Each token attends a set of its own, which one processor gathers, so fewer tokens than `slots` take no less time. The choice
is two kernels, scores and a partial sort, whose passes over the scores are in the achieved fraction of the peak.
"""

from __future__ import annotations

from typing import Final

import sympy as sp

from costc.latency.form import BANDWIDTH, PEAK, Constant, Demand, Form, Pieces
from costc.minmax import Ceiling, Max

#: query rows of a block
ROWS: Final = 128

FLOP = Demand("flop", "FLOP", "the products of queries, keys and values")
KV = Demand("kv_byte", "B", "bytes read from the cache")
ACTIVATION = Demand("activation_byte", "B", "bytes of queries and outputs")
SEQUENCES = Demand("sequences", "1", "sequences of the step")
KV_HEADS = Demand("kv_heads", "1", "KV heads; one where absorbed")
GROUP = Demand("group", "1", "query heads of a KV head; all where absorbed")
SEQ = Demand("seq", "1", "query tokens of a sequence")
BYTE = Demand("byte", "B", "bytes read and written, all of them")
SPARSE: Final = (FLOP, BYTE, SEQUENCES, SEQ)


def _common(launch: float, depth: float, compute: float, memory: float, overlap: float) -> tuple[Constant, ...]:
    """Constants of both phases with a phase's priors: medians over devices and engines, and their spread."""
    rate = (0.02, 1.0, 1.0)
    return (
        Constant("launch_latency", "s", "time to start the kernels", launch, 0.25, 1e-6, 1e-4, 0.0, per_dtype=True),
        Constant("block_latency", "s", "time to start and store a block, over all processors", 22e-9, 0.4, 1e-10, 1e-6, 0.0,
                 per_dtype=True),
        Constant("depth", "1", "blocks that the device does in the time of one", depth, 0.9, 1e-2, 1e3, 0.0, per_dtype=True),
        Constant("compute_efficiency", "1", "achieved fraction of the peak", compute, 0.3, *rate, per_dtype=True),
        Constant("memory_efficiency", "1", "achieved fraction of the bandwidth", memory, 0.3, *rate, per_dtype=True),
        Constant("overlap", "1", "share of the shorter of computing and moving that hides", overlap, 0.3, 0.0, 1.0, 1.0,
                 log=False, per_dtype=True),
    )  # fmt: skip


def _blocks(constants: tuple[Constant, ...]) -> tuple[sp.Expr, sp.Expr]:
    """The fixed time and C. A block's own FLOP, flop / running, do not shrink as a size grows, so neither does C."""
    launch, block, depth, compute = (c.symbol for c in constants[:4])
    streams, rows = SEQUENCES.symbol * KV_HEADS.symbol, GROUP.symbol * SEQ.symbol / ROWS
    fixed = launch + block * streams * Ceiling(rows)
    return fixed, FLOP.symbol * (1 + depth / (streams * Max(1, rows))) / (PEAK * compute)


def _prefill() -> Form:
    constants = _common(15e-6, 150.0, 0.55, 0.6, 0.2)
    memory, overlap = (c.symbol for c in constants[4:])
    pieces = Pieces(*_blocks(constants), BYTE.symbol / (BANDWIDTH * memory), overlap)
    demands = (FLOP, BYTE, SEQUENCES, KV_HEADS, GROUP, SEQ)
    return Form("prefill_mla", "MLA, prefill", demands, constants, pieces.time, pieces)


def _decode() -> Form:
    """M does not fall either: kv_byte / sequences is what one sequence has cached."""
    meaning = "achieved fraction of the bandwidth, queries and outputs"
    activation = Constant("activation_efficiency", "1", meaning, 0.5, 0.5, 0.02, 1.0, 1.0, per_dtype=True)
    constants = (*_common(11e-6, 1.2, 0.65, 0.8, 0.8), activation)
    depth, memory, overlap = (constants[i].symbol for i in (2, 4, 5))
    cache = KV.symbol * (1 + depth / SEQUENCES.symbol) / memory
    pieces = Pieces(*_blocks(constants), (cache + ACTIVATION.symbol / activation.symbol) / BANDWIDTH, overlap)
    demands = (FLOP, KV, ACTIVATION, SEQUENCES, KV_HEADS, GROUP, SEQ)
    return Form("decode_mla", "MLA, decode", demands, constants, pieces.time, pieces)


PREFILL: Final = _prefill()
DECODE: Final = _decode()


def _rates(compute: float) -> tuple[Constant, Constant]:
    return (
        Constant("compute_efficiency", "1", "achieved fraction of the peak", compute, 0.3, 0.02, 1.0, 1.0, per_dtype=True),
        Constant("memory_efficiency", "1", "achieved fraction of the bandwidth", 0.8, 0.2, 0.02, 1.0, 1.0, per_dtype=True),
    )


def _sparse() -> Form:
    """Never falls as a size grows: flop / tokens, what a token attends, does not shrink with any size."""
    launch = Constant("launch_latency", "s", "time to start the kernel", 8e-6, 0.5, 1e-7, 1e-4, 0.0, per_dtype=True)
    slots = Constant("slots", "1", "tokens that the device works on at once", 80.0, 0.5, 1.0, 1e3, 0.0, per_dtype=True)
    compute, memory = rates = _rates(0.45)
    least = Max(1, slots.symbol / (SEQUENCES.symbol * SEQ.symbol))
    move = BYTE.symbol / (BANDWIDTH * memory.symbol)
    pieces = Pieces(launch.symbol, FLOP.symbol * least / (PEAK * compute.symbol), move, sp.Integer(1))
    return Form("sparse_mla", "MLA on chosen tokens", SPARSE, (launch, slots, *rates), pieces.time, pieces)


def _index() -> Form:
    """Never falls as a size grows: flop / tokens, the keys that a token scores, does not shrink with any size."""
    launch = Constant("launch_latency", "s", "time to start both kernels", 6e-6, 0.3, 1e-7, 1e-4, 0.0, per_dtype=True)
    row = Constant("row_latency", "s", "time to sort one token's scores, over all processors", 7e-9, 0.5, 1e-10, 1e-6, 0.0,
                   per_dtype=True)  # fmt: skip
    depth = Constant(
        "depth", "1", "tokens that the device does in the time of one alone", 27.0, 0.7, 1e-2, 1e3, 0.0, per_dtype=True
    )
    compute, memory = rates = _rates(0.3)
    tokens = SEQUENCES.symbol * SEQ.symbol
    move = BYTE.symbol / (BANDWIDTH * memory.symbol)
    work = FLOP.symbol * (1 + depth.symbol / tokens) / (PEAK * compute.symbol)
    pieces = Pieces(launch.symbol + row.symbol * tokens, work, move, sp.Integer(1))
    return Form("index", "Choice of attended tokens", SPARSE, (launch, row, depth, *rates), pieces.time, pieces)


SPARSE_MLA: Final = _sparse()
INDEX: Final = _index()
FORMS: Final = (PREFILL, DECODE, SPARSE_MLA, INDEX)
