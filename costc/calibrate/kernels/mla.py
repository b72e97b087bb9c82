"""Kernel tables of latent attention: `context_mla_perf` (prefill) and `generation_mla_perf` (decode, one new token).

Times are in milliseconds, `num_heads` is of one device, `isl` new tokens after `step` cached ones; sizes are DeepSeek-V3's.
A shape's order for the split is (batch_size, isl, step, num_heads). The format is the cache's: `fp8` or `bf16`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from costc.calibrate.kernels import Rule, Table, cleaned, floats, held_out, median, newest, opened, version
from costc.calibrate.kernels.attention import LITTLE, ON_CHIP
from costc.latency.form import Form
from costc.latency.forms.mla import DECODE, PREFILL

if TYPE_CHECKING:
    import pandas as pd

TABLES: Final = {PREFILL.name: "context_mla_perf", DECODE.name: "generation_mla_perf"}
SHAPE: Final = ("batch_size", "isl", "step", "num_heads")
ENGINES: Final = ("sglang", "trtllm", "vllm")
#: kernels that the benchmark runs on the latents in prefill too, where they do 3.4 times the work. The engine expands (its block
#: in `wideep_context_mla_perf` takes what expanded attention does), so their constants go with the expanded demands there
ABSORBED: Final = ("flash_attention", "triton")
#: elements of a latent, of its rotary part and of a head's query, expanded key and value, and value
LATENT, LORA, ROTARY, QUERY, EXPANDED, VALUE = 576, 512, 64, 192, 256, 128
ACTIVATION_BYTE: Final = 2
#: tables that are not of what they say, by start of the device's name, engine, form and format. RTX: of two kernels, one four
#: times faster that runs for 128 heads alone. Hopper: the benchmark converts the cache, so that 8 bits take seven times as long
#: as 16; in the same engine's whole block (`wideep_generation_mla_perf`) they take no longer
UNFIT: Final = {
    ("rtx", "trtllm", DECODE.name, "fp8"),
    ("h100", "sglang", DECODE.name, "fp8"),
    ("h200", "sglang", DECODE.name, "fp8"),
}
BY: Final = ("kv_cache_dtype", "kernel_source")


def read(folder: Path, device: str, engine: str, rates: Mapping[str, float] | None = None) -> Iterator[Table]:
    """Both phases' tables of an engine's newest version, one for each format of the cache.

    Args:
        rates: the datasheet's `bandwidth` (B/s) and peaks (FLOP/s) by format of the cache, for the rule about rates.
    """
    for form in (PREFILL, DECODE):
        path = newest(folder, device, "mla", engine, TABLES[form.name])
        if path is None:
            continue
        frame = median(opened(path, [*SHAPE, *BY, "latency"]), SHAPE, "latency", BY)
        for (cache, kernel), rows in frame.groupby(list(BY), sort=True):
            dtype = "fp8" if "fp8" in str(cache) else "bf16"
            if (device.split("-")[0], engine, form.name, dtype) in UNFIT:
                continue
            asked = demands(rows, dtype, absorbed=form is DECODE or kernel in ABSORBED)
            kept, removed = cleaned(asked, rules(form, device, dtype, rates))
            columns = {d.name: floats(kept[d.name]) for d in form.demands}
            seconds = floats(kept["latency"]) * 1e-3
            yield Table(form.name, device, engine, dtype, version(path), columns, seconds, held_out(kept, SHAPE), removed)


def rules(form: Form, device: str, dtype: str, rates: Mapping[str, float] | None = None) -> tuple[Rule, ...]:
    """What to leave out: stalls in both phases, and in decode what the benchmark's repetitions found on the chip.

    Prefill reads what kernels just before it wrote, in an engine as in the benchmark; a cache is read once a step, after all
    weights and the other layers' caches, so it never comes from the chip.
    """
    held = next((mb * 1e6 for name, mb in ON_CHIP.items() if device.startswith(name)), 0.0)
    warm = Rule(
        "on_chip",
        "the cache fits on chip, where one launch leaves it for the next; in a model weights pass between",
        lambda f: (f["kv_byte"] <= held) & (f["kv_byte"] > held * LITTLE),
    )
    found = (STALL,) if form is PREFILL else (STALL, warm)
    return (*found, above("kv_byte", rates["bandwidth"], rates[dtype])) if rates else found


def above(byte: str, bandwidth: float, peak: float) -> Rule:
    """The rule about rates. Activations may lie on the chip, so that of latent attention the cache's bytes alone count."""
    return Rule(
        "above_datasheet",
        "faster than the datasheet's peak and bandwidth allow",
        lambda f: f["latency"] * 1e-3 < np.maximum(f["flop"] / peak, f[byte] / bandwidth),
    )


def _stalled(frame: pd.DataFrame) -> pd.Series[bool]:
    """Rows that took more than twice as long as a shape no smaller in any size, with as many heads."""
    import pandas as pd

    sizes, times = frame[list(SHAPE)].to_numpy(dtype=np.float64), floats(frame["latency"])
    heads = sizes[:, -1]
    least = [times[(sizes >= one).all(axis=1) & (heads == one[-1])].min() for one in sizes]
    return pd.Series(times > 2 * np.array(least), index=frame.index, dtype=bool)


STALL: Final = Rule("stall", "more than twice the time of a shape that is no smaller in any size", _stalled)


def demands(frame: pd.DataFrame, dtype: str, *, absorbed: bool) -> pd.DataFrame:
    """The frame with a column for each demand of both forms."""
    batch, new, heads = (floats(frame[n]) for n in ("batch_size", "isl", "num_heads"))
    context = new + floats(frame["step"])
    pairs = batch * new * (context - (new - 1) / 2)
    one = np.ones_like(batch)
    latent_byte = 1 if dtype == "fp8" else ACTIVATION_BYTE
    if absorbed:
        flop, latent = 2 * pairs * heads * (LATENT + LORA), LATENT
        activations = new * heads * (LATENT + LORA)
    else:
        flop, latent = 2 * pairs * heads * (QUERY + VALUE), ROTARY
        activations = (new * (QUERY + VALUE) + context * EXPANDED) * heads
    cached = batch * context * latent * latent_byte
    return frame.assign(
        flop=flop,
        kv_byte=cached,
        activation_byte=batch * activations * ACTIVATION_BYTE,
        byte=cached + batch * activations * ACTIVATION_BYTE,
        sequences=batch,
        kv_heads=one if absorbed else heads,
        group=heads if absorbed else one,
        seq=new,
    )
