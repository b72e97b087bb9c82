"""Kernel tables of mixtures of experts: `moe_perf`, and behind an all-to-all `wideep_moe_perf` (TensorRT-LLM),
`wideep_context_moe_perf` and `wideep_generation_moe_perf` (SGLang with DeepEP).

Times are in milliseconds, of the whole routed block on one rank: sorting, both products, activation, adding up; neither the
router nor any communication. `num_tokens` are those of all ranks that share the experts. What the rank is asked for follows
from how the collector routes (`routing`). A shape's order for the split is (num_tokens, hidden_size, inter_size, topk,
num_experts, moe_tp_size, moe_ep_size); the three ways of routing a shape are one shape.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from costc.calibrate.kernels import (
    Floats,
    Rule,
    Table,
    cleaned,
    files,
    floats,
    held_out,
    median,
    newest,
    opened,
    version,
    version_key,
)
from costc.calibrate.kernels.routing import seen
from costc.latency.forms.grouped_gemm import DISPATCHED, FORM, MASKED

if TYPE_CHECKING:
    import pandas as pd

FAMILY: Final = "moe"
SHAPE: Final = ("num_tokens", "hidden_size", "inter_size", "topk", "num_experts", "moe_tp_size", "moe_ep_size")
PLAN: Final = SHAPE[1:]
MODEL: Final = SHAPE[1:5]
#: gate, up and down
MATRICES: Final = 3
#: the tables' other forms
WIDE: Final = {"wideep_moe_perf": DISPATCHED, "wideep_context_moe_perf": DISPATCHED, "wideep_generation_moe_perf": MASKED}
#: megabytes of the last-level cache, by the folder's first word (NVIDIA's architecture whitepapers; Intel's for B60)
CACHE: Final = {"a100": 40, "h100": 50, "h200": 50, "b200": 126, "gb200": 126, "b300": 126, "gb300": 126, "l40s": 96,
                "rtx": 128, "b60": 18}  # fmt: skip
#: experts without a gate (Nemotron), by hidden and intermediate size
UNGATED: Final = ((1024, 2688), (2048, 5120), (2688, 1856), (4096, 2688), (8192, 5120))
#: hidden and intermediate size, experts of a token and in all, where a token's experts lie in few groups (DeepSeek-V3)
GROUPED: Final = (7168, 2048, 8, 256)
#: engines that are asked to route by groups what the collector drew without
ROUTES_AGAIN: Final = ("sglang", "vllm")
#: kernels of a format, by what their name says
KERNELS: Final = ("trtllm", "cutlass", "triton", "marlin", "deepgemm")
#: engine, version and format of tables slower than the kernels that serve, with devices by first word
SLOW: Final = {
    ("trtllm", "1.3", "w4a16_mxfp4"): ("h100", "h200", "b200", "gb200", "b300", "gb300"),
    ("vllm", "0.24.0", "fp8"): ("h100", "h200"),
}
#: a launch is slower than one with more tokens by so much, or than another routing of its shape
FALLS, APART = 1.3, 2.0
#: the shortest launch is this quantile of a table's times
SHORTEST: Final = 0.01
LOW_LATENCY: Final = "moe_torch_flow_min_latency"


@dataclass(frozen=True)
class Format:
    """Bytes of a weight with its share of scales, and the format computed in."""

    name: str
    weight: float
    computed: str


#: by the tables' name. fp8_block: fp32 scales of 128 x 128; nvfp4: fp8 scales of 16; mxfp4: 8-bit scales of 32; int4: bf16
#: scales of 32 (Kimi K2)
FORMATS: Final = {
    "bfloat16": Format("bf16", 2, "bf16"),
    "fp8": Format("fp8", 1, "fp8"),
    "fp8_block": Format("fp8_block", 1 + 4 / 128**2, "fp8"),
    "nvfp4": Format("nvfp4", 0.5 + 1 / 16, "nvfp4"),
    "int4_wo": Format("w4a16", 0.5 + 2 / 32, "bf16"),
    "w4a16_mxfp4": Format("w4a16_mxfp4", 0.5 + 1 / 32, "bf16"),
    "w4a8_mxfp4_mxfp8": Format("w4a8_mxfp4", 0.5 + 1 / 32, "fp8"),
}
#: TensorRT-LLM's kernels for few tokens; no table says which the engine takes
QUICK: Final = Format("nvfp4_low_latency", 0.5 + 1 / 16, "nvfp4")

EPLB: Final = Rule("replicas", "experts were copied to balance ranks", lambda f: f["distribution"].str.endswith("_eplb"))
HEAPED: Final = Rule(
    "heaped",
    "the collector's uniform prompts give one token the same expert several times",
    lambda f: f["distribution"] == "uniform",
)
UNGATED_ROWS: Final = Rule(
    "ungated",
    "experts without a gate run on other kernels, with the activation apart",
    lambda f: f["kernel_source"].str.contains("nongated") | np.array([s in UNGATED for s in _sizes(f)], dtype=bool),
)
STAND_IN: Final = Rule(
    "stand-in", "another activation was timed than the model has", lambda f: f["kernel_source"].str.contains("_as_")
)
FEW: Final = Rule(
    "fallback",
    "the kernel that only some models get: another one times most shapes of the format on such plans",
    lambda f: _kernel(f) != _kernel(f).groupby(f["moe_ep_size"] > 1).transform(lambda k: k.mode().iloc[0]),
)
GROUPED_ROWS: Final = Rule(
    "grouped",
    "experts by groups from scores that are equal for all chosen: ties, not the routing named, say where tokens went",
    lambda f: (f[list(MODEL)] == GROUPED).all(axis=1),
)
FALLING: Final = Rule(
    "falls",
    f"takes over {FALLS:g} times as long as the same plan and routing with more tokens: a tactic that the tuner chose badly",
    lambda f: f["latency"] > FALLS * _later(f),
)
MISTUNED: Final = Rule(
    "mistuned",
    f"takes over {APART:g} times as long as the shape routed otherwise, both outright and for what is asked",
    lambda f: _apart(f, f["latency"]) & _apart(f, f["latency"] / f["ideal"]),
)


def read(folder: Path, device: str, engine: str, rates: Mapping[str, float] | None = None) -> Iterator[Table]:
    """The tables of an engine: for each format that of the newest release's `moe_perf`, then wide-EP's.

    Args:
        rates: the datasheet's `bandwidth` (B/s) and peaks (FLOP/s) by format computed in, for the rules about rates.

    Where the newest release's table of a format is unfit, an older one's stands in; where all are, the table is given without
    rows, so that the ledger names it.
    """
    given: dict[str, Table] = {}
    for paths in _releases(files(folder, device, FAMILY, engine, "moe_perf")):
        for table in _block(paths, device, engine, rates or {}):
            if len(table) or table.dtype not in given:
                given[table.dtype] = table
    yield from given.values()
    for name, form in WIDE.items():
        last = newest(folder, device, FAMILY, engine, name)
        if last is not None:
            yield from _wide(last, form.name, device, engine, rates or {})


def _releases(paths: Sequence[Path]) -> Iterator[list[Path]]:
    """Candidates of one release together, oldest first: some time a few models alone."""
    for _, group in groupby(paths, lambda path: version_key(version(path))[0]):
        yield list(group)


def _block(paths: Sequence[Path], device: str, engine: str, rates: Mapping[str, float]) -> Iterator[Table]:
    frame = _timed(paths)
    quick = frame["kernel_source"] == LOW_LATENCY
    parts = [(FORMATS[str(n)], rows) for n, rows in frame[~quick].groupby("moe_dtype", sort=True) if n in FORMATS]
    for form, rows in [*parts, (QUICK, frame[quick])]:
        if len(rows):
            of = version(paths[rows["file"].iloc[0]])
            rules = [slow(device, engine, of, form), UNGATED_ROWS, STAND_IN, FEW, *[GROUPED_ROWS] * (engine in ROUTES_AGAIN)]
            yield _table(rows, form, FORM.name, device, engine, of, rates, rules)


def _timed(paths: Sequence[Path]) -> pd.DataFrame:
    """The rows of each format in the file that times most models in it, the last of such."""
    import pandas as pd

    columns = ["kernel_source", "moe_dtype", "distribution", *SHAPE]
    frames = [opened(path, [*columns, "latency"]).assign(file=place) for place, path in enumerate(paths)]
    frame = pd.concat(frames, ignore_index=True)
    models = frame.groupby(["moe_dtype", "file"])[list(MODEL)].apply(lambda rows: len(rows.drop_duplicates()))
    best = models.reset_index(name="models").sort_values(["models", "file"]).groupby("moe_dtype")["file"].last()
    return median(frame[frame["file"] == frame["moe_dtype"].map(best)], ["file", *columns], "latency")


def _wide(path: Path, name: str, device: str, engine: str, rates: Mapping[str, float]) -> Iterator[Table]:
    frame = _timed([path])
    rules = (EPLB, HEAPED) if name == DISPATCHED.name else (EPLB,)
    for dtype, rows in frame.groupby("moe_dtype", sort=True):
        yield _table(rows, FORMATS[str(dtype)], name, device, engine, version(path), rates, rules)


def _table(
    frame: pd.DataFrame,
    form: Format,
    name: str,
    device: str,
    engine: str,
    of: str,
    rates: Mapping[str, float],
    rules: Sequence[Rule],
) -> Table:
    frame, before = cleaned(frame, rules)
    columns = demands(frame, form, own=name != FORM.name)
    bandwidth, peak = rates.get("bandwidth", math.inf), rates.get(form.computed, math.inf)
    ideal = np.maximum(columns["flop"] / peak, columns["weight_byte"] / bandwidth)
    # without rates all launches are asked for equally much
    frame = frame.assign(**columns, ideal=np.where(ideal > 0, ideal, 1.0), read=columns["weight_byte"] / bandwidth)
    kept, after = cleaned(frame, (_above(peak, bandwidth), cached(device), FALLING, MISTUNED))
    seconds = floats(kept["latency"]) * 1e-3
    used = {column: floats(kept[column]) for column in columns}
    return Table(name, device, engine, form.name, of, used, seconds, held_out(kept, SHAPE), before + after)


def demands(frame: pd.DataFrame, form: Format, *, own: bool = False) -> dict[str, Floats]:
    """The form's demands, shape (rows of the frame,).

    Args:
        own: the launch sees the rank's pairs alone, behind an all-to-all.
    """
    tokens, hidden, inter, topk, experts, tp, ep = (floats(frame[n]) for n in SHAPE)
    keys = zip(tokens.astype(int), experts.astype(int), topk.astype(int), ep.astype(int), frame["distribution"], strict=True)
    routed = np.array([seen(*key) for key in keys], dtype=np.float64).reshape(-1, 2)
    pairs, touched = routed.T
    width, inter = hidden + inter / tp, inter / tp
    selections = pairs if own else tokens * topk
    weights = MATRICES * hidden * inter
    return {
        "flop": 2 * weights * pairs,
        "weight_byte": weights * touched * form.weight,
        "row_byte": 4 * pairs * width,
        "selected_byte": 4 * selections * width,
        "selections": selections,
        "touched": touched,
        "depth": width,
    }


def slow(device: str, engine: str, of: str, form: Format) -> Rule:
    """All rows of a table, or none."""
    devices = [d for (e, v, n), d in SLOW.items() if e == engine and of.startswith(v) and n == form.name]
    unfit = any(_word(device) in d for d in devices)
    reason = "starts or reads 3 to 5 times slower than other engines' kernels of the format: not those that serve"
    return Rule("slow", reason, lambda f: f["latency"].notna() & np.full(len(f), unfit))


def _above(peak: float, bandwidth: float) -> Rule:
    def bad(frame: pd.DataFrame) -> pd.Series[bool]:
        seconds = frame["latency"] * 1e-3
        return (frame["flop"] > peak * seconds) | (frame["weight_byte"] > bandwidth * seconds)

    return Rule("above", "a rate above the datasheet's", bad)


def cached(device: str) -> Rule:
    """Repetitions leave weights in the last-level cache, which other layers empty in serving."""
    size = CACHE.get(_word(device), 0) * 1e6

    def bad(frame: pd.DataFrame) -> pd.Series[bool]:
        shortest = 1e-3 * frame["latency"].quantile(SHORTEST)
        return (frame["weight_byte"] <= size) & (frame["read"] > shortest / 2)

    return Rule("cached", "weights fit the cache, and reading them from memory would take half a launch or more", bad)


def _word(device: str) -> str:
    return device.replace("_", "-").split("-")[0]


def _sizes(frame: pd.DataFrame) -> list[tuple[int, int]]:
    return [(int(h), int(i)) for h, i in zip(frame["hidden_size"], frame["inter_size"], strict=True)]


def _kernel(frame: pd.DataFrame) -> pd.Series[str]:
    found: pd.Series[str] = frame["kernel_source"].map(lambda s: next((k for k in KERNELS if k in s), ""))
    return found


def _later(frame: pd.DataFrame) -> pd.Series[float]:
    """The least time of a plan and routing with as many tokens or more."""
    keys = ["kernel_source", "distribution", *PLAN]
    ordered = frame.sort_values("num_tokens", ascending=False)
    least: pd.Series[float] = ordered.groupby(keys)["latency"].cummin()
    return least.reindex(frame.index)


def _apart(frame: pd.DataFrame, values: pd.Series[float]) -> pd.Series[bool]:
    least = values.groupby([frame[n] for n in ("kernel_source", *SHAPE)]).transform("min")
    found: pd.Series[bool] = values > APART * least
    return found
