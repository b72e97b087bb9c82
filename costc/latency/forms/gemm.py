"""A dense matrix product, one launch: rows of activations with a weight, or `groups` such products side by side.

    time = launch + converted x (row + move x depth / bandwidth) + max(C, M) + (1 - overlap) min(C, M)
    C = (flop + 2 groups x rows x columns x edge) / (peak e_c) + loop x min(depth, split) x (1 + tall x min(1, rows / 256))
    M = byte / (bandwidth e_m)

A product is computed in tiles of the output, each a loop over the depth. What a loop takes beyond its share of the peak
shows where the output is small: not every processor has a tile, and a tile's steps wait for one another. `loop` is that
time for a unit of depth, and the library cuts a depth beyond `split` over processors (split-K, as cuBLAS does; a kernel
that never does has a `split` beyond every depth). Where a kernel's tile grows with the rows whatever the grid (the CUTLASS
kernels for fp8 that vLLM and SGLang call), its loop takes `tall` times more at 256 rows and above. Filling the pipeline and
storing a tile takes the time of `edge` more units of depth. Whole waves of tiles and rows padded to a tile are left out:
libraries choose the tile to fit the grid, and such stairs take 0.2 points off the mean error over all tables (0.8 at most).

In a quantized product an engine first converts the activations, in kernels before this one that nothing overlaps: `move`
bytes for each element (two read and one written at least, more where a scale is found first), and `row` for each row where
one block of threads converts one row. `converted` counts the rows: zero where activations are kept in the format computed
in, where only weights are quantized, and where the operator before has converted them.

With merged projections (query, key and value of one input) the columns are those of all.
"""

from __future__ import annotations

from typing import Final

from costc.latency.form import BANDWIDTH, PEAK, Constant, Demand, Form, Pieces
from costc.minmax import Min

#: rows from which a tile is as tall as it gets
TALLEST: Final = 256

ROWS = Demand("rows", "1", "rows of activations: tokens")
COLUMNS = Demand("columns", "1", "columns of the weight: outputs of a row")
DEPTH = Demand("depth", "1", "what is summed over: inputs of a row")
GROUPS = Demand("groups", "1", "products side by side; one for a plain layer, the heads for absorbed latent attention")
CONVERTED = Demand("converted", "1", "rows that are converted to the format computed in before the product")
FLOP = Demand("flop", "FLOP", "2 groups x rows x columns x depth")
BYTE = Demand("byte", "B", "weights with scales and activations in the format computed in, and outputs")
DEMANDS: Final = (ROWS, COLUMNS, DEPTH, GROUPS, CONVERTED, FLOP, BYTE)


def _constants(launch: float, compute: float, overlap: float, loop: float) -> tuple[Constant, ...]:
    """The constants; priors are medians over devices, engines and formats that were measured, spreads theirs."""
    return (
        Constant("launch_latency", "s", "time to start the kernels", launch, 0.45, 1e-7, 1e-3, 0.0, per_dtype=True),
        Constant("compute_efficiency", "1", "achieved fraction of the peak", compute, 0.25, 0.02, 1.0, 1.0, per_dtype=True),
        Constant("memory_efficiency", "1", "achieved fraction of the bandwidth", 0.83, 0.1, 0.02, 1.0, 1.0, per_dtype=True),
        Constant("overlap", "1", "share of the shorter of computing and moving that hides", overlap, 0.2, 0.0, 1.0, 1.0,
                 log=False, per_dtype=True),
        Constant("loop", "s", "time that a unit of depth takes a tile by itself", loop, 0.65, 0.0, 1e-7, 0.0, per_dtype=True),
        Constant("split", "1", "depth beyond which it is cut over processors", 6000, 1.5, 32, 1e6, 32, per_dtype=True),
        Constant("tall", "1", "more time that a loop takes in the tallest tile", 0.1, 1.5, 0.0, 30.0, 0.0, per_dtype=True),
        Constant("edge", "1", "units of depth that starting and storing a tile takes", 120, 1.3, 0.0, 1e4, 0.0, per_dtype=True),
        Constant("row", "s", "time to convert a row, beyond its bytes", 3e-10, 2.0, 0.0, 1e-6, 0.0, per_dtype=True),
        Constant("move", "B", "bytes moved to convert an element", 3.5, 0.7, 0.0, 100.0, 0.0, per_dtype=True),
    )  # fmt: skip


def _form(name: str, title: str, constants: tuple[Constant, ...]) -> Form:
    """Grows with every size: each is under a sum, a product or a minimum with positive factors, and overlap is at most 1."""
    launch, compute, memory, overlap, loop, split, tall, edge, row, move = (c.symbol for c in constants)
    outputs = GROUPS.symbol * ROWS.symbol * COLUMNS.symbol
    pieces = Pieces(
        launch + CONVERTED.symbol * (row + move * DEPTH.symbol / BANDWIDTH),
        (FLOP.symbol + 2 * outputs * edge) / (PEAK * compute)
        + loop * Min(DEPTH.symbol, split) * (1 + tall * Min(1, ROWS.symbol / TALLEST)),
        BYTE.symbol / (BANDWIDTH * memory),
        overlap,
    )
    return Form(name, title, DEMANDS, constants, pieces.time, pieces)


PLAIN: Final = _form("gemm", "Matrix product", _constants(4e-6, 0.77, 0.65, 9e-10))
BATCHED: Final = _form("batched_gemm", "Matrix products of each head", _constants(4.5e-6, 0.7, 0.93, 1.7e-9))
FORM: Final = PLAIN
FORMS: Final = (PLAIN, BATCHED)
