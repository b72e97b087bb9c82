"""Kernels that stream through memory: quantizing an activation matrix, and merging and mixing residual streams.

Times are in ms. `scale_matrix_perf` reads bf16 and writes fp8; `mhc_module_perf` times the kernels of `num_sites` blocks. The
third table of the kind, `computescale_perf`, is not read: it holds differences of two timings (vLLM), zeros (SGLang), or the
several unfused kernels of a framework's reductions (TensorRT-LLM), none of which is one kernel's time. A table that says
nothing is given without rows, so that the ledger names it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from costc.calibrate.kernels import Removed, Rule, Table, cleaned, floats, held_out, median, newest, opened, version

if TYPE_CHECKING:
    import pandas as pd

#: bytes of bf16 read and of fp8 written for an element
QUANTIZED: Final = 3
#: bytes that no second-level cache holds
STREAMED: Final = 2**29
SIZES: Final = ["m", "k"]
STREAMS: Final = ["op_name", "num_tokens", "hidden_size", "hc_mult"]
#: what the kernels before and after a block are called here
PARTS: Final = {"pre": "stream_merge", "post": "stream_mix"}
UNFUSED: Final = Rule(
    "unfused",
    "a table whose least time exceeds 3 us: several kernels of a framework, where one quantizing kernel takes 1.2 to 2.6 us",
    lambda f: f["latency"].ge(0) & (f["latency"].min() > 3e-3),
)


def read(folder: Path, device: str, engine: str, rates: Mapping[str, float] | None = None) -> Iterator[Table]:
    """The elementwise kernels of an engine on a device, newest version of each table.

    Args:
        folder: the wheel's folder of devices.
        rates: the datasheet's `bandwidth` (B/s), for the rule about rates.
    """
    path = newest(folder, device, "quantize", engine, "scale_matrix_perf")
    if path is not None:
        frame, removed = cleaned(median(opened(path, [*SIZES, "latency"]), SIZES, "latency"), [UNFUSED])
        frame["byte"] = QUANTIZED * frame["m"] * frame["k"]
        yield _table("quantize", frame, SIZES, (device, engine, version(path)), removed, rates)
    path = newest(folder, device, "mhc", engine, "mhc_module_perf")
    if path is not None:
        for part, rows in _streams(path).groupby("op_name"):
            yield _table(PARTS[str(part)], rows, STREAMS, (device, engine, version(path)), (), rates)


def cached(rates: Mapping[str, float] | None) -> tuple[Rule, ...]:
    """Rows faster than memory: between two repetitions of a launch its data stays in the cache, in a served model it does not.
    A table that is so with more data than any cache holds moved something else than its sizes say."""
    if not rates:
        return ()

    def fast(frame: pd.DataFrame) -> pd.Series[bool]:
        return frame["byte"] > rates["bandwidth"] * frame["latency"] * 1e-3

    def other(frame: pd.DataFrame) -> pd.Series[bool]:
        return frame["byte"].ge(0) & bool((fast(frame) & (frame["byte"] > STREAMED)).any())

    return (
        Rule("impossible", "a table above the memory's rate where no cache holds the data", other),
        Rule("cached", "above the memory's rate: repetitions of the launch find its data in the cache", fast),
    )


def _streams(path: Path) -> pd.DataFrame:
    """Hyper-connections: before a block the streams are read and merged to one, after it read, mixed and written."""
    frame = opened(path, [*STREAMS, "num_sites", "latency"])
    frame["latency"] = frame["latency"] / frame["num_sites"]
    frame = median(frame, STREAMS, "latency")
    before = frame["op_name"] == "pre"
    moved = (2 * frame["hc_mult"] + 1).mask(before, frame["hc_mult"] + 1)
    return frame.assign(byte=2 * frame["num_tokens"] * frame["hidden_size"] * moved)


def _table(
    what: str, frame: pd.DataFrame, shape: Sequence[str], where: tuple[str, str, str], removed: tuple[Removed, ...],
    rates: Mapping[str, float] | None,
) -> Table:  # fmt: skip
    device, engine, release = where
    frame, fast = cleaned(frame, cached(rates))
    columns, seconds = {"byte": floats(frame["byte"])}, floats(frame["latency"]) * 1e-3
    return Table("elementwise", device, engine, what, release, columns, seconds, held_out(frame, shape), (*removed, *fast))
