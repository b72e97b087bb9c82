"""The routed block of a mixture of experts on one device, one launch: two grouped products with the activation between,
sorting tokens by expert before and adding their outputs up after.

    time = launch_latency + sort_latency s / (s + 256) + expert_latency touched + step_latency depth
           + max(C, M) + (1 - overlap) min(C, M)
    C = flop / (compute_efficiency peak)
    M = (weight_byte / memory_efficiency + row_passes row_byte + selected_passes selected_byte) / bandwidth

One expression for the whole block, as engines fuse it differently and tables time it whole. What binds is which experts'
weights are read: `touched` are those of the device that any token chose, and `weight_byte` counts these alone. Rows are
pairs of a token and an expert on the device; selections `s` are all pairs of the tokens that the launch sees, of which the
device's experts are a part under expert parallelism. Some kernels walk over all of them (`selected_passes` is near 2 for the
Triton kernels of vLLM and SGLang), others over little more than their own (0.1 to 0.5). An expert's
products end in a tile that is partly empty, whose cost does not depend on the rows: `expert_latency`. One tile runs along the
depth of both products whatever else there is: `step_latency`. Sorting costs more the more selections there are, until they
fill its blocks of 256.

Monotone: each demand stands alone, with a coefficient that is not negative, in the fixed part, C or M, and the larger plus a
share of the lesser grows with both.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from costc.latency.form import BANDWIDTH, PEAK, Constant, Demand, Form, Pieces

#: selections at which half of the sorting's full cost is paid: a block of its kernels
BLOCK: Final = 256

FLOP: Final = Demand("flop", "FLOP", "matrix FLOP of the device's pairs of token and expert")
WEIGHT: Final = Demand("weight_byte", "B", "weights with scales of the device's experts that a token chose, each once")
ROW: Final = Demand("row_byte", "B", "rows into and out of both products for the device's pairs, 2 B an element")
SELECTED: Final = Demand("selected_byte", "B", "the same for all pairs of the tokens that the launch sees")
SELECTIONS: Final = Demand("selections", "1", "all pairs of token and expert of the tokens that the launch sees")
TOUCHED: Final = Demand("touched", "1", "experts of the device that a token chose")
DEPTH: Final = Demand("depth", "1", "lengths along which the products sum: hidden size and local intermediate size")
DEMANDS: Final = (FLOP, WEIGHT, ROW, SELECTED, SELECTIONS, TOUCHED, DEPTH)


def _constant(
    name: str, unit: str, meaning: str, prior: float, spread: float, low: float, high: float, neutral: float = 0.0
) -> Constant:
    return Constant(name, unit, meaning, prior, spread, low, high, neutral, per_dtype=True)


LAUNCH: Final = _constant("launch_latency", "s", "starts of the block's kernels", 12e-6, 0.45, 1e-7, 2e-4)
SORT: Final = _constant("sort_latency", "s", "what sorting many selections takes beyond one", 8e-6, 1.0, 1e-8, 3e-4)
EXPERT: Final = _constant("expert_latency", "s", "start and partly empty tiles of one expert", 1.2e-7, 1.2, 1e-11, 1e-5)
STEP: Final = _constant("step_latency", "s", "one element further along the depth, in the longest tile", 1.3e-9, 0.6, 1e-12, 1e-7)
COMPUTE: Final = _constant("compute_efficiency", "1", "achieved fraction of the peak", 0.4, 0.5, 0.02, 1.0, 1.0)
MEMORY: Final = _constant(
    "memory_efficiency", "1", "achieved fraction of the bandwidth in reading weights", 0.9, 0.15, 0.05, 1.0, 1.0
)
ROWS: Final = _constant("row_passes", "1", "times the device's rows move at the full bandwidth", 2.0, 1.0, 1e-2, 30.0, 1.0)
PASSES: Final = _constant("selected_passes", "1", "times all selected rows move at the full bandwidth", 0.45, 0.9, 1e-3, 30.0)
OVERLAP: Final = Constant(
    "overlap", "1", "share of the lesser of computing and moving that hides", 0.4, 0.3, 0.0, 1.0, 1.0, log=False, per_dtype=True
)
CONSTANTS: Final = (LAUNCH, SORT, EXPERT, STEP, COMPUTE, MEMORY, ROWS, PASSES, OVERLAP)

PIECES: Final = Pieces(
    LAUNCH.symbol
    + SORT.symbol * SELECTIONS.symbol / (SELECTIONS.symbol + BLOCK)
    + EXPERT.symbol * TOUCHED.symbol
    + STEP.symbol * DEPTH.symbol,
    FLOP.symbol / (COMPUTE.symbol * PEAK),
    (WEIGHT.symbol / MEMORY.symbol + ROWS.symbol * ROW.symbol + PASSES.symbol * SELECTED.symbol) / BANDWIDTH,
    OVERLAP.symbol,
)
FORM: Final = Form("grouped_gemm", "Routed experts", DEMANDS, CONSTANTS, PIECES.time, PIECES)
#: kernels behind an all-to-all, which sees pairs of the device alone: on rows in experts' order, or on a masked block of
#: fixed size for each expert (decode under DeepEP)
DISPATCHED: Final = replace(FORM, name="grouped_gemm_dispatched", title="Routed experts behind an all-to-all")
MASKED: Final = replace(FORM, name="grouped_gemm_masked", title="Routed experts behind a low-latency all-to-all")
FORMS: Final = (FORM, DISPATCHED, MASKED)
