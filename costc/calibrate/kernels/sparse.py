"""Kernel tables of attention on chosen tokens, measured of SGLang alone: `sparse_mla` and `index`.

Times are in milliseconds; `isl` new tokens after `step` cached ones. A shape's order for the split is (batch_size, isl, step).

* `glm5_dsa_attn_module_perf`: attention of GLM-5 with 64 heads on the latents of 2048 chosen tokens, in bf16. The kernel works
  on 2048 places for each token however few are filled, so that is what it is charged for.
* `dsv4_paged_mqa_logits_module_perf` and `dsv4_csa_topk_calib_perf`: scores of DeepSeek-V4's indexer (64 heads of 128, in fp8,
  one key for 4 tokens) and the choice of the best, added up. Scores are those with distinct values (`v1_top_last`): equal ones
  (`v1_flat`), which no model has, take the sort three times as long.

`glm5_mqa_logits_module_perf` is not read: it times the kernel for whole prompts at decode too, where engines run the paged one.
The tables of whole modules (`dsa_*`, `dsv4_*`, `msa_*`, `mla_*_module`) are for checking sums of forms and not for fitting.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final

from costc.calibrate.kernels import Rule, Table, cleaned, floats, held_out, median, newest, opened, version
from costc.calibrate.kernels.mla import above
from costc.latency.forms.mla import INDEX, SPARSE_MLA

if TYPE_CHECKING:
    import pandas as pd

FAMILY: Final = "sparse_attention"
SHAPE: Final = ("batch_size", "isl", "step")
ATTENTION, SCORES, SORT = "glm5_dsa_attn_module_perf", "dsv4_paged_mqa_logits_module_perf", "dsv4_csa_topk_calib_perf"
#: GLM-5: chosen tokens, heads, elements of a latent and of its value
CHOSEN, HEADS, LATENT, LORA = 2048, 64, 576, 512
#: DeepSeek-V4: tokens of an entry, heads of the indexer, elements of a key, its bytes with a scale
RATIO, INDEX_HEADS, KEY, KEY_BYTE = 4, 64, 128, 132
#: heads of the model whose choice was measured; the larger model's rows repeat it with more entries chosen
MODEL_HEADS: Final = 64
ACTIVATION_BYTE: Final = 2
EMPTY: Final = Rule(
    "empty", "the table holds a zero where every key is kept and nothing is sorted", lambda f: f["latency_sort"] <= 0
)


def read(folder: Path, device: str, engine: str, rates: Mapping[str, float] | None = None) -> Iterator[Table]:
    """The tables of both kernels, where an engine's were measured.

    Args:
        rates: the datasheet's `bandwidth` (B/s) and peaks (FLOP/s) by format computed in, for the rule about rates.
    """
    path = newest(folder, device, FAMILY, engine, ATTENTION)
    if path is not None:
        frame = attention(median(opened(path, [*SHAPE, "latency"]), SHAPE, "latency"))
        yield _table(SPARSE_MLA.name, device, engine, "bf16", path, frame, _above(rates, "bf16"))
    path, sort = (newest(folder, device, FAMILY, engine, name) for name in (SCORES, SORT))
    if path is not None and sort is not None:
        scores = median(opened(path, [*SHAPE, "latency"]), SHAPE, "latency")
        choice = opened(sort, [*SHAPE, "num_heads", "score_mode", "latency"])
        choice = choice[(choice["score_mode"] == "v1_top_last") & (choice["num_heads"] == MODEL_HEADS)]
        frame = index(scores.merge(median(choice, SHAPE, "latency"), on=list(SHAPE), suffixes=("", "_sort")))
        yield _table(INDEX.name, device, engine, "fp8", path, frame, (EMPTY, *_above(rates, "fp8")))


def _above(rates: Mapping[str, float] | None, dtype: str) -> tuple[Rule, ...]:
    return (above("byte", rates["bandwidth"], rates[dtype]),) if rates else ()


def attention(frame: pd.DataFrame) -> pd.DataFrame:
    """The frame with the demands of attention on chosen tokens."""
    tokens = frame["batch_size"] * frame["isl"]
    touched = (frame["isl"] * CHOSEN).clip(upper=frame["isl"] + frame["step"]) * frame["batch_size"]
    return frame.assign(
        flop=2.0 * tokens * CHOSEN * HEADS * (LATENT + LORA),
        byte=(touched * LATENT + tokens * HEADS * (LATENT + LORA)) * ACTIVATION_BYTE,
        sequences=frame["batch_size"],
        seq=frame["isl"],
    )


def index(frame: pd.DataFrame) -> pd.DataFrame:
    """The frame with the demands of scoring all entries and choosing the best; `latency` becomes the sum of both kernels."""
    tokens = frame["batch_size"] * frame["isl"]
    pairs = tokens * (frame["step"] + (frame["isl"] + 1) / 2) / RATIO
    entries = frame["batch_size"] * (frame["isl"] + frame["step"]) / RATIO
    return frame.assign(
        flop=2.0 * pairs * INDEX_HEADS * KEY,
        byte=entries * KEY_BYTE + tokens * INDEX_HEADS * KEY,
        sequences=frame["batch_size"],
        seq=frame["isl"],
        latency=frame["latency"] + frame["latency_sort"],
    )


def _table(form: str, device: str, engine: str, dtype: str, path: Path, frame: pd.DataFrame, rules: tuple[Rule, ...]) -> Table:
    kept, removed = cleaned(frame, rules)
    columns = {name: floats(kept[name]) for name in ("flop", "byte", "sequences", "seq")}
    seconds = floats(kept["latency"]) * 1e-3
    return Table(form, device, engine, dtype, version(path), columns, seconds, held_out(kept, SHAPE), removed)
