"""Kernel tables of attention with grouped or multiple heads: `context_attention_perf` (prefill) and
`generation_attention_perf` (decode, one new token).

Times are in milliseconds, heads are of one device, `isl` new tokens follow `step` cached ones. A shape's order for the split is
(batch_size, isl, step, num_heads, num_key_value_heads, head_dim, window_size), window 0 for none. The format is that
computed in, and the cache's behind a colon where it is another: `bf16`, `fp8`, `bf16:fp8`.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from costc.calibrate.kernels import Floats, Rule, Table, cleaned, floats, held_out, median, newest, opened, version
from costc.latency.form import Form
from costc.latency.forms.attention import DECODE, PREFILL, QUERY_BYTE

if TYPE_CHECKING:
    import pandas as pd

TABLES: Final = {PREFILL.name: "context_attention_perf", DECODE.name: "generation_attention_perf"}
SHAPE: Final = ("batch_size", "isl", "step", "num_heads", "num_key_value_heads", "head_dim", "window_size")
FORMATS: Final = ("attn_dtype", "kv_cache_dtype")
ENGINES: Final = ("sglang", "trtllm", "vllm")
#: head size that every engine measures; what runs it is the engine's kernel
COMMON_HEAD: Final = 128
#: MB of the last-level cache (NVIDIA's architecture whitepapers)
ON_CHIP: Final = {
    "a100": 40,
    "h100": 50,
    "h200": 50,
    "b200": 126,
    "gb200": 126,
    "b300": 126,
    "gb300": 126,
    "l40s": 96,
    "rtx": 128,
}
#: tables that are not of what they say, by start of the device's name, engine and form: a tenth of the rows that are too large
#: for the cache on chip are read faster than memory can, so the others are no measure of reading either
UNFIT: Final = {("a100", "trtllm", DECODE.name)}
#: of what the cache on chip holds, a part this small is read in little time wherever it lies
LITTLE: Final = 1 / 16


def read(folder: Path, device: str, engine: str, bandwidth: float, peaks: dict[str, float]) -> Iterator[Table]:
    """Both phases' tables of an engine's newest version, one for each format.

    Args:
        bandwidth: of the device's memory, B/s.
        peaks: FLOP/s by the format computed in.
    """
    for form in (PREFILL, DECODE):
        path = newest(folder, device, "attention", engine, TABLES[form.name])
        if path is None or any(device.startswith(d) and (engine, form.name) == (e, f) for d, e, f in UNFIT):
            continue
        for (computed, cached), rows in _frame(path).groupby(list(FORMATS), sort=True):
            formats = _short(str(computed)), _short(str(cached))
            asked = demands(rows, form, *formats)
            kept, removed = cleaned(asked, rules(form, device, bandwidth, peaks[formats[0]]))
            if len(kept):
                columns = {d.name: floats(kept[d.name]) for d in form.demands}
                seconds, dtype = floats(kept["latency"]) * 1e-3, formats[0] if formats[0] == formats[1] else ":".join(formats)
                yield Table(form.name, device, engine, dtype, version(path), columns, seconds, held_out(kept, SHAPE), removed)


def _frame(path: Path) -> pd.DataFrame:
    """The table, one row for each shape, format and kernel; tables of old versions know no windows."""
    import pyarrow.parquet as parquet

    there = set(parquet.read_schema(path).names)
    frame = opened(path, [n for n in (*SHAPE, *FORMATS, "kernel_source", "latency") if n in there or n != "window_size"])
    window = frame["window_size"].fillna(0).clip(lower=0) if "window_size" in there else 0
    return median(frame.assign(window_size=window), SHAPE, "latency", (*FORMATS, "kernel_source"))


def _short(name: str) -> str:
    return "fp8" if "fp8" in name else "bf16"


def demands(frame: pd.DataFrame, form: Form, computed: str, cached: str) -> pd.DataFrame:
    """The frame with a column for each demand of the form, and the bytes read from the cache."""
    batch, new, step, heads, kv, dim, window = (floats(frame[n]) for n in SHAPE)
    context, element = new + step, 1 if cached == "fp8" else 2
    seen = np.where(window > 0, np.minimum(context, window + new - 1), context)
    one_by_one = batch * 2 * kv * dim * element
    return frame.assign(
        flop=4 * batch * heads * dim * pairs(new, step, window),
        byte=batch * new * heads * dim * QUERY_BYTE + one_by_one * (seen + new),
        activation_byte=batch * new * heads * dim * QUERY_BYTE,
        cache_byte=one_by_one * seen,
        sequences=batch,
        kv_heads=kv,
        group=heads / kv,
        head_dim=dim,
        seq=new,
    )


def pairs(new: Floats, step: Floats, window: Floats) -> Floats:
    """Query-key pairs of a sequence: each query attends itself and what lies before it, at most `window` (0: all)."""
    reach = np.where(window > 0, window, np.inf)
    growing = np.clip(reach - step, 0, new)
    return growing * step + growing * (growing + 1) / 2 + np.where(growing < new, (new - growing) * np.minimum(reach, 1e18), 0)


def rules(form: Form, device: str, bandwidth: float, peak: float) -> tuple[Rule, ...]:
    """What to leave out of a phase's table on a device."""
    other = Rule(
        "other_kernel",
        "of another kernel than the one that runs most rows of head size 128 without a window: constants are of one kernel",
        lambda f: f["kernel_source"] != _kernel(f),
    )
    fast = Rule(
        "above_datasheet",
        "faster than the datasheet's peak and bandwidth allow",
        lambda f: f["latency"] * 1e-3 < f["flop"] / peak,
    )
    if form is PREFILL:
        return other, fast
    held = _on_chip(device)
    warm = Rule(
        "on_chip",
        "the cache fits on chip, where one launch leaves it for the next; in a model weights pass between",
        lambda f: (f["cache_byte"] > held * LITTLE) & (f["cache_byte"] <= held),
    )
    return other, warm, Rule(fast.name, fast.reason, lambda f: fast.bad(f) | (f["latency"] * 1e-3 < f["byte"] / bandwidth))


def _kernel(frame: pd.DataFrame) -> str:
    common = frame[(frame["head_dim"] == COMMON_HEAD) & (frame["window_size"] == 0)]
    counts = (common if len(common) else frame)["kernel_source"].value_counts()
    return str(min(counts.index[counts == counts.max()]))


def _on_chip(device: str) -> float:
    """Bytes of the last-level cache; 0 where unknown, which removes nothing."""
    return next((mb * 1e6 for name, mb in ON_CHIP.items() if device.startswith(name)), 0.0)
