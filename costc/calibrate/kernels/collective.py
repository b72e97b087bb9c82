"""Collectives: NCCL's, the engines' own all-reduce, and dispatch and combine of mixture-of-experts.

Tables and their units: `nccl_perf` (ms; `message_size` in elements of half or int8, the whole output for an all-gather),
`custom_allreduce_perf` (ms; elements of bf16), `wideep_deepep_ll_perf`, `wideep_deepep_normal_perf` and `moe_a2a_perf`
(microseconds; tokens of one rank). The form says the link: `scale_out` where the group spans servers without a common
switch; bytes are then those that leave the server.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from costc.calibrate.kernels import (
    Floats,
    Removed,
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
)

if TYPE_CHECKING:
    import pandas as pd

FAMILY: Final = "comm"
ELEMENT: Final = {"half": 2, "int8": 1}
#: NCCL's word and ours
KINDS: Final = {
    "all_reduce": "all_reduce_ring",
    "all_gather": "all_gather",
    "reduce_scatter": "reduce_scatter",
    "alltoall": "all_to_all",
}
#: devices of one server, where they are not 8; a rack's servers still share the switch
SERVER: Final = {"gb200": 4, "gb300": 4}
#: multiprocessors that engines leave to the high-throughput kernels (DeepEP's default); 23 is the older table's combine
PROCESSORS: Final = (20, 23)
#: a launch floor this many times that of the same kernel under SGLang is the host's, not the kernel's; decode replays
#: low-latency kernels from a graph, high-throughput ones are always launched by the host
EAGER: Final = {"dispatch": 2.0, "combine": 2.0, "dispatch_large": 3.0, "combine_large": 3.0}
#: an all-reduce for which engines call NCCL, of so many bytes or more, and how much slower than NCCL's own table it may be
HANDED_ON, SLOWER = 2**23, 1.5
SHAPE: Final = ["kind", "ranks", "message"]
TOKENS: Final = ["kind", "ranks", "nodes", "hidden", "tokens", "topk", "experts"]
#: bytes of an element with its scale: fp8 has a 4-byte scale for 128, nvfp4 a 1-byte scale for 16
ROW: Final = {"bf16": 2.0, "fp8": 1 + 4 / 128, "nvfp4": 0.5 + 1 / 16}

INT8_SUM: Final = Rule(
    "int8-sum",
    "sums of int8: engines reduce 16-bit activations",
    lambda f: (f["nccl_dtype"] == "int8") & f["op_name"].isin(["all_reduce", "reduce_scatter"]),
)
EAGER_ROWS: Final = Rule(
    "eager",
    "launched by the host one by one, 17 to 70 us whatever the size; decode replays a graph",
    lambda f: f["kernel_source"].str.endswith("_eager"),
)
FEW_EXPERTS: Final = Rule(
    "few-experts",
    "low-latency kernels work expert by expert: below 64 experts most of the device idles, and no such model runs on them",
    lambda f: f["experts"] < 64,
)
OTHER_SMS: Final = Rule(
    "multiprocessors",
    "high-throughput kernels given more or fewer multiprocessors than engines give them",
    lambda f: ~f["sms"].isin(PROCESSORS),
)


def read(folder: Path, device: str, engine: str) -> Iterator[Table]:
    """The collectives of an engine (or of `nccl`) on a device, newest version of each table.

    Args:
        folder: the wheel's folder of devices.
    """
    if engine == "nccl":
        yield from _nccl(folder, device)
        return
    yield from _all_reduce(folder, device, engine)
    yield from _deepep(folder, device, engine)
    yield from _moe(folder, device, engine)


def _nccl(folder: Path, device: str) -> Iterator[Table]:
    path = newest(folder, device, FAMILY, "nccl", "nccl_perf")
    if path is None:
        return
    frame = opened(path, ["op_name", "nccl_dtype", "num_gpus", "message_size", "latency"])
    frame, removed = cleaned(frame, [INT8_SUM])
    frame["message"] = frame["message_size"] * frame["nccl_dtype"].map(ELEMENT)
    frame["kind"], frame["ranks"] = frame["op_name"].map(KINDS), frame["num_gpus"]
    for kind, rows in frame.groupby("kind"):
        yield _rings(str(kind), device, "nccl", version(path), rows, removed)


def _all_reduce(folder: Path, device: str, engine: str) -> Iterator[Table]:
    """The engine's all-reduce; across servers it leaves the work to NCCL, which makes a table of the ring's form."""
    path = newest(folder, device, FAMILY, engine, "custom_allreduce_perf")
    if path is None:
        return
    frame = opened(path, ["kernel_source", "num_gpus", "message_size", "latency"])
    frame["message"], frame["ranks"] = 2 * frame["message_size"], frame["num_gpus"]
    frame, removed = cleaned(frame, [EAGER_ROWS, _busy(folder, device)])
    across = (frame["ranks"] > SERVER.get(device, 8)) & ~frame["kernel_source"].str.contains("MNNVL")
    for kind, rows in (("all_reduce", frame[~across]), ("all_reduce_ring", frame[across])):
        if len(rows):
            yield _rings(kind, device, engine, version(path), rows.assign(kind=kind), removed)


def _busy(folder: Path, device: str) -> Rule:
    """Engines hand large messages to NCCL: rows that took far longer than NCCL's own table found a busy link."""
    own = {
        (int(n), int(m)): s
        for table in _nccl(folder, device)
        if table.form == "all_reduce_ring_scale_up"
        for n, m, s in zip(table.columns["ranks"], table.columns["message"], table.seconds, strict=True)
    }

    def bad(frame: pd.DataFrame) -> pd.Series[bool]:
        found = [own.get(key, np.inf) for key in zip(frame["ranks"], frame["message"], strict=True)]
        slow: pd.Series[bool] = frame["latency"] > 1e3 * SLOWER * np.array(found)
        return slow & (frame["message"] >= HANDED_ON)

    return Rule("busy-link", f"messages that NCCL takes over, {SLOWER:g} times slower than in NCCL's own table", bad)


def _rings(kind: str, device: str, engine: str, release: str, rows: pd.DataFrame, removed: Sequence[Removed]) -> Table:
    frame = median(rows, SHAPE, "latency")
    ranks, message = floats(frame["ranks"]), floats(frame["message"])
    passes = 2 if kind.startswith("all_reduce") else 1
    columns = {"byte": passes * message * (ranks - 1) / ranks, "message": message, "ranks": ranks}
    seconds = floats(frame["latency"]) * 1e-3
    apart = held_out(frame, SHAPE)
    return Table(f"{kind}_scale_up", device, engine, "bf16", release, columns, seconds, apart, tuple(removed))


def _deepep(folder: Path, device: str, engine: str) -> Iterator[Table]:
    """SGLang's tables: within a domain of the newest version, across servers of the newest that has such rows."""
    for table, large in (("wideep_deepep_ll_perf", False), ("wideep_deepep_normal_perf", True)):
        waiting = {"scale_up", "scale_out"}
        for path in reversed(files(folder, device, FAMILY, engine, table)):
            frame = _phases(path, large)
            rule = Rule("device", "rows of another device's table", lambda f: ~f["device"].str.contains(_name(device)))
            frame, removed = cleaned(frame, [rule, OTHER_SMS if large else FEW_EXPERTS])
            frame["ranks"] = frame["nodes"] * SERVER.get(device, 8)
            for link, rows in (("scale_up", frame[frame["nodes"] == 1]), ("scale_out", frame[frame["nodes"] > 1])):
                if len(rows) and link in waiting:
                    waiting.remove(link)
                    for kind, phase in rows.groupby("kind"):
                        yield _exchange(str(kind), device, engine, version(path), link, phase, removed)


def _name(device: str) -> str:
    return device.split("-")[0].upper()


def _phases(path: Path, large: bool) -> pd.DataFrame:
    """Dispatch and combine as rows of their own, times in microseconds."""
    import pandas as pd

    shape = {"node_num": "nodes", "hidden_size": "hidden", "num_token": "tokens", "num_topk": "topk", "num_experts": "experts"}
    parts = []
    for phase in ("dispatch", "combine"):
        times = [f"{phase}_transmit_us", f"{phase}_notify_us"] if large else [f"{phase}_avg_t_us"]
        sms = [f"{phase}_sms"] if large else []
        frame = opened(path, ["device", *shape, *times, *sms]).rename(columns=shape)
        frame["us"] = frame[times].sum(axis=1)
        frame["sms"] = frame[sms[0]] if large else 0
        # experts' inputs are quantized to fp8, their outputs return in bf16
        frame["format"] = "bf16" if phase == "combine" else "fp8"
        parts.append(frame.assign(kind=phase + "_large" * large))
    return pd.concat(parts, ignore_index=True)


def _moe(folder: Path, device: str, engine: str) -> Iterator[Table]:
    """DeepEP's kernels as TensorRT-LLM and vLLM call them."""
    path = newest(folder, device, FAMILY, engine, "moe_a2a_perf")
    if path is None:
        return
    names = {"ep_size": "ranks", "node_num": "nodes", "hidden_size": "hidden", "num_tokens": "tokens", "num_experts": "experts"}
    frame = opened(path, ["comm_backend", "phase", "comm_dtype", "topk", "latency", *names]).rename(columns=names)
    frame = frame[frame["comm_backend"].str.endswith(("_ht", "_ll")) & (frame["nodes"] == 1)]
    frame["kind"] = frame["phase"] + np.where(frame["comm_backend"].str.endswith("_ht"), "_large", "")
    wire = frame["comm_dtype"].map({"bfloat16": "bf16", "nvfp4": "nvfp4"}).fillna("fp8")
    frame["format"] = wire.where(frame["phase"] == "dispatch", "bf16")
    frame["us"] = frame["latency"]
    quickest = {t.form: float(t.seconds.min()) for t in _deepep(folder, device, "sglang")}
    for (kind, _), rows in frame.groupby(["kind", "format"]):
        kept, removed = cleaned(rows, [_eager(str(kind), quickest)])
        table = _exchange(str(kind), device, engine, version(path), "scale_up", rows, removed)
        yield table if len(kept) else _emptied(table)


def _eager(kind: str, quickest: dict[str, float]) -> Rule:
    least = 1e6 * EAGER[kind] * quickest.get(f"{kind}_scale_up", np.inf)
    reason = f"times start above {EAGER[kind]:g} times those of the same kernel under SGLang: the host's launches"
    return Rule("eager-table", reason, lambda f: (f["us"] > 0) & (f["us"].min() > least))


def _exchange(
    kind: str, device: str, engine: str, release: str, link: str, rows: pd.DataFrame, removed: Sequence[Removed]
) -> Table:
    frame = median(rows, [*TOKENS, "format"], "us")
    ranks, topk = floats(frame["ranks"]), floats(frame["topk"])
    copies = _copies(kind.endswith("_large"), topk, ranks if link == "scale_up" else floats(frame["nodes"]))
    byte = floats(frame["tokens"]) * floats(frame["hidden"]) * floats(frame["format"].map(ROW)) * copies
    columns, seconds = {"byte": byte, "ranks": ranks}, floats(frame["us"]) * 1e-6
    dtype, apart = str(frame["format"].iloc[0]), held_out(frame, TOKENS)
    return Table(f"{kind}_{link}", device, engine, dtype, release, columns, seconds, apart, tuple(removed))


def _emptied(table: Table) -> Table:
    """The table without its rows, so that the ledger names it."""
    none = table.seconds[:0]
    return replace(table, columns=dict.fromkeys(table.columns, none), seconds=none, held_out=table.held_out[:0])


def _copies(once: bool, topk: Floats, members: Floats) -> Floats:
    """Copies of a token that leave its device (or server) under uniform routing: one for each expert elsewhere, or one
    for each other member that has a wanted expert."""
    if once:
        return (members - 1) * (1 - (1 - 1 / members) ** topk)
    return topk * (members - 1) / members
