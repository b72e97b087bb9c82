"""Multi-head latent attention, one launch: prefill with expanded keys and values, decode on the latents (absorbed).

    time = launch + tiles x tile_latency + max(C, M) + (1 - overlap) min(C, M)
    C = flop / (peak e_c) x (1 + depth / running)
    M = (kv_byte / e_m x (1 + depth / streams) + activation_byte / e_a) / bandwidth

A stream is the loop over one cache: a sequence and KV head. The query rows that share it (tokens times query heads of a KV
head) are cut into tiles of 128, the height of a block in FlashAttention-2 (Dao 2023, arXiv 2307.08691, section 3.3); `tiles`
counts them whole and `running` in parts. To start and store a tile takes time of its own, which is what batches of
short prompts pay. A loop is read in order: alone it takes as long as the whole device for `depth` tiles like it, many where
the engine does not split a cache over processors, about one where it does (flash decoding). C and M are affine in pairs
and context at a fixed size of the step, so that sums over positions are exact.

Expanded, each head is a KV head of 192 (keys) and 128 (values): 2 x pairs x heads x 320 FLOP. Absorbed, one KV head of 576
(values: 512 of them) serves all heads and is read once: 2 x pairs x heads x 1088. One definition holds for both.
"""

from __future__ import annotations

from typing import Final

from costc.latency.form import BANDWIDTH, PEAK, Constant, Demand, Form, Pieces
from costc.minmax import Ceiling, Max

#: query rows of a tile
ROWS: Final = 128

FLOP = Demand("flop", "FLOP", "both products of attention")
KV = Demand("kv_byte", "B", "bytes read from the cache")
ACTIVATION = Demand("activation_byte", "B", "bytes of queries, outputs and expanded keys and values")
SEQUENCES = Demand("sequences", "1", "sequences of the step")
KV_HEADS = Demand("kv_heads", "1", "KV heads; one where absorbed")
GROUP = Demand("group", "1", "query heads of a KV head; all where absorbed")
SEQ = Demand("seq", "1", "query tokens of a sequence")
DEMANDS: Final = (FLOP, KV, ACTIVATION, SEQUENCES, KV_HEADS, GROUP, SEQ)


def _constants(launch: float, depth: float, compute: float, memory: float, overlap: float) -> tuple[Constant, ...]:
    """The constants with the priors of a phase: medians over devices and engines, and their spread."""
    rate = (0.02, 1.0, 1.0)
    return (
        Constant("launch_latency", "s", "time to start the kernels", launch, 0.25, 1e-6, 1e-4, 0.0, per_dtype=True),
        Constant("tile_latency", "s", "time to start and store a tile, over all processors", 22e-9, 0.4, 1e-10, 1e-6, 0.0,
                 per_dtype=True),
        Constant("depth", "1", "tiles that the device does in the time of one alone", depth, 0.9, 1e-2, 1e3, 0.0, per_dtype=True),
        Constant("compute_efficiency", "1", "achieved fraction of the peak", compute, 0.3, *rate, per_dtype=True),
        Constant("memory_efficiency", "1", "achieved fraction of the bandwidth, cache", memory, 0.2, *rate, per_dtype=True),
        Constant("activation_efficiency", "1", "achieved fraction of the bandwidth, others", 0.6, 0.4, *rate, per_dtype=True),
        Constant("overlap", "1", "share of the shorter of computing and moving that hides", overlap, 0.3, 0.0, 1.0, 1.0,
                 log=False, per_dtype=True),
    )  # fmt: skip


def _pieces(constants: tuple[Constant, ...]) -> Pieces:
    """Never falls as a size grows: a tile's own FLOP, flop / running, and a stream's bytes do not shrink with any size."""
    launch, tile, depth, compute, memory, activation, overlap = (c.symbol for c in constants)
    streams, rows = SEQUENCES.symbol * KV_HEADS.symbol, GROUP.symbol * SEQ.symbol / ROWS
    return Pieces(
        launch + tile * streams * Ceiling(rows),
        FLOP.symbol * (1 + depth / (streams * Max(1, rows))) / (PEAK * compute),
        (KV.symbol * (1 + depth / streams) / memory + ACTIVATION.symbol / activation) / BANDWIDTH,
        overlap,
    )


def _form(name: str, title: str, constants: tuple[Constant, ...]) -> Form:
    pieces = _pieces(constants)
    return Form(name, title, DEMANDS, constants, pieces.time, pieces)


PREFILL: Final = _form("prefill_mla", "MLA, prefill", _constants(15e-6, 150.0, 0.55, 0.6, 0.2))
DECODE: Final = _form("decode_mla", "MLA, decode", _constants(11e-6, 1.2, 0.65, 0.8, 0.8))
FORMS: Final = (PREFILL, DECODE)
