"""Kernel tables of matrix products: `gemm_perf`, `mla_bmm_perf`, and `computescale_perf` for static scales.

Times are in milliseconds. A shape's order for the split is (m, n, k): rows, columns, depth; of the products of absorbed
latent attention (num_tokens, num_heads, columns, depth). A table's times hold what the engine calls for a layer: in a
format that activations are converted to, the conversion too. Outputs are bf16.

`fp8_static` is `fp8` less the time to find the scales (`computescale_perf`, by rows and depth), as AIConfigurator reads
these tables: what a checkpoint with scales of its activations costs.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from costc.calibrate.kernels import Floats, Rule, Table, cleaned, floats, held_out, median, newest, opened, version
from costc.latency.forms.gemm import BATCHED, PLAIN

if TYPE_CHECKING:
    import pandas as pd

ENGINES: Final = ("sglang", "trtllm", "vllm")
SHAPE: Final = ("m", "n", "k")
BMM_SHAPE: Final = ("num_tokens", "num_heads", "n", "k")
#: DeepSeek-V3: the latent without its rotary part, and a head without its own
LATENT, HEAD = 512, 128
#: a table whose fastest launch takes so many times as long as another engine's for the same format was timed eagerly. The
#: largest ratio with a kernel's cause is 3.5: TensorRT-LLM's fp8 finds its scales in kernels of their own
EAGER: Final = 5.0
#: the fastest launch is this quantile of a table's times
FASTEST: Final = 0.01
OUTPUT_BYTE: Final = 2


@dataclass(frozen=True)
class Format:
    """Bytes of an element with its share of scales, the format computed in, and whether activations are converted first."""

    name: str
    weight: float
    activation: float
    computed: str
    converted: bool


#: by the tables' name. fp8_block: fp32 scales of 128 x 128 weights and 128 activations; nvfp4: fp8 scales of 16
FORMATS: Final = {
    "bfloat16": Format("bf16", 2, 2, "bf16", converted=False),
    "fp8": Format("fp8", 1, 1, "fp8", converted=True),
    "fp8_block": Format("fp8_block", 1 + 4 / 128**2, 1 + 4 / 128, "fp8", converted=True),
    "nvfp4": Format("nvfp4", 0.5 + 1 / 16, 0.5 + 1 / 16, "nvfp4", converted=True),
    "sq": Format("int8", 1, 1, "int8", converted=True),
    "int8_wo": Format("w8a16", 1, 2, "bf16", converted=False),
    "int4_wo": Format("w4a16", 0.5, 2, "bf16", converted=False),
}
STATIC: Final = Format("fp8_static", 1, 1, "fp8", converted=True)


def read(folder: Path, device: str, engine: str, rates: Mapping[str, float] | None = None) -> Iterator[Table]:
    """The tables of an engine's newest version: a layer's product in each format, with static scales where there are
    such times, then the products of latent attention.

    Args:
        rates: the datasheet's `bandwidth` (B/s) and peaks (FLOP/s) by format computed in, for the rule about rates.

    A table that was timed eagerly is given without rows, so that the ledger names it.
    """
    path = newest(folder, device, "gemm", engine, "gemm_perf")
    if path is not None:
        frame = median(opened(path, [*SHAPE, "gemm_dtype", "latency"]), SHAPE, "latency", ["gemm_dtype"])
        for name, rows in frame.groupby("gemm_dtype", sort=True):
            floor = least_floor(folder, device, engine, str(name))
            rules = (eager(floor), above(FORMATS[str(name)], rates or {}))
            yield _plain(rows, FORMATS[str(name)], device, engine, version(path), rules)
        yield from _static(frame[frame["gemm_dtype"] == "fp8"], folder, device, engine, version(path), rates or {})
    yield from _batched(folder, device, engine, rates or {})


def least_floor(folder: Path, device: str, engine: str, name: str) -> float:
    """Milliseconds of the fastest launch in a format that another engine shows on the device; infinite if none was measured."""
    floors: list[float] = []
    for other in ENGINES:
        path = newest(folder, device, "gemm", other, "gemm_perf") if other != engine else None
        if path is not None:
            frame = opened(path, ["gemm_dtype", "latency"])
            floors.append(_floor(frame[frame["gemm_dtype"] == name]))
    return min((f for f in floors if f > 0), default=math.inf)


def _floor(frame: pd.DataFrame) -> float:
    """Milliseconds of the fastest launches of a table; 0 of none."""
    return float(np.quantile(floats(frame["latency"]), FASTEST)) if len(frame) else 0.0


def eager(floor: float) -> Rule:
    """All rows of a table, or none."""
    return Rule(
        "eager",
        f"the fastest launch takes more than {EAGER:g} times as long as another engine's: the host was timed, not the kernel",
        lambda f: f["latency"] > (0 if _floor(f) > EAGER * floor else math.inf),
    )


def above(form: Format, rates: Mapping[str, float]) -> Rule:
    """Rows faster than the datasheet allows: operands came from the cache, which repetitions of small shapes leave full."""
    bandwidth, peak = rates.get("bandwidth", math.inf), rates.get(form.computed, math.inf)

    def bad(frame: pd.DataFrame) -> pd.Series[bool]:
        asked, seconds = frame.assign(**demands(frame, form)), frame["latency"] * 1e-3
        return (asked["byte"] > bandwidth * seconds) | (asked["flop"] > peak * seconds)

    return Rule("above", "a rate above the datasheet's", bad)


def demands(frame: pd.DataFrame, form: Format) -> dict[str, Floats]:
    """The form's demands, shape (rows of the frame,); groups are in column `num_heads` where there is one."""
    rows, columns, depth = (floats(frame[n]) for n in SHAPE)
    groups = floats(frame["num_heads"]) if "num_heads" in frame else np.ones_like(rows)
    byte = columns * depth * form.weight + rows * depth * form.activation + rows * columns * OUTPUT_BYTE
    return {
        "rows": rows,
        "columns": columns,
        "depth": depth,
        "groups": groups,
        "converted": rows * groups * form.converted,
        "flop": 2 * groups * rows * columns * depth,
        "byte": groups * byte,
    }


def _plain(frame: pd.DataFrame, form: Format, device: str, engine: str, of: str, rules: tuple[Rule, ...]) -> Table:
    kept, removed = cleaned(frame, rules)
    seconds = floats(kept["latency"]) * 1e-3
    return Table(PLAIN.name, device, engine, form.name, of, demands(kept, form), seconds, held_out(kept, SHAPE), removed)


def _static(frame: pd.DataFrame, folder: Path, device: str, engine: str, of: str, rates: Mapping[str, float]) -> Iterator[Table]:
    """The fp8 table less the time to find scales; none where that was not measured or is zero."""
    path = newest(folder, device, "quantize", engine, "computescale_perf")
    if path is None or not len(frame):
        return
    scale = median(opened(path, ["m", "k", "latency"]), ["m", "k"], "latency").rename(columns={"latency": "scale"})
    if scale["scale"].median() <= 0:
        return
    joined = frame.merge(scale, on=["m", "k"])
    joined = joined.assign(latency=joined["latency"] - joined["scale"])
    slower = Rule("slower", "finding the scales alone took as long as the whole", lambda f: f["latency"] <= 0)
    yield _plain(joined, STATIC, device, engine, of, (slower, above(STATIC, rates)))


def _batched(folder: Path, device: str, engine: str, rates: Mapping[str, float]) -> Iterator[Table]:
    """Products of absorbed latent attention: queries into the latent space before, outputs out of it after."""
    path = newest(folder, device, "mla_bmm", engine, "mla_bmm_perf")
    if path is None:
        return
    frame = opened(path, ["op_name", "bmm_dtype", "num_tokens", "num_heads", "latency"])
    before = (frame["op_name"] == "mla_gen_pre").to_numpy()
    frame = frame.assign(m=frame["num_tokens"], n=np.where(before, LATENT, HEAD), k=np.where(before, HEAD, LATENT))
    frame = median(frame, ["num_tokens", "num_heads", "m", "n", "k"], "latency", ["bmm_dtype"])
    for name, rows in frame.groupby("bmm_dtype", sort=True):
        form = FORMATS[str(name)]
        kept, removed = cleaned(rows, (above(form, rates),))
        seconds = floats(kept["latency"]) * 1e-3
        columns = demands(kept, form)
        yield Table(BATCHED.name, device, engine, form.name, version(path), columns, seconds, held_out(kept, BMM_SHAPE), removed)
