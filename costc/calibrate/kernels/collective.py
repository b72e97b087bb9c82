"""Collectives: NCCL's, the engines' own all-reduce, and dispatch and combine of mixture-of-experts.

Tables and their units: `nccl_perf` (ms; `message_size` in elements of half or int8, the whole output for an all-gather),
`custom_allreduce_perf` (ms; elements of bf16), `wideep_deepep_ll_perf`, `wideep_deepep_normal_perf` and `moe_a2a_perf`
(microseconds; tokens of one rank). A table's format is the link class it was measured on: `scale_up`, or `scale_out` where
the group spans servers without a common switch; then bytes and ranks are those of that link.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from costc.calibrate.kernels import Floats, Removed, Rule, Table, cleaned, files, floats, held_out, median, newest, opened, version

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
#: a launch floor this many times that of the same kernel under another engine is the host's, not the kernel's
EAGER: Final = 3.0
SHAPE: Final = ["kind", "ranks", "message"]
TOKENS: Final = ["kind", "ranks", "nodes", "hidden", "tokens", "topk", "experts"]

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
    frame, removed = cleaned(frame, [EAGER_ROWS])
    frame["message"], frame["ranks"] = 2 * frame["message_size"], frame["num_gpus"]
    across = (frame["ranks"] > SERVER.get(device, 8)) & ~frame["kernel_source"].str.contains("MNNVL")
    for kind, rows in (("all_reduce", frame[~across]), ("all_reduce_ring", frame[across])):
        if len(rows):
            yield _rings(kind, device, engine, version(path), rows.assign(kind=kind), removed)


def _rings(kind: str, device: str, engine: str, release: str, rows: pd.DataFrame, removed: Sequence[Removed]) -> Table:
    frame = median(rows, SHAPE, "latency")
    ranks, message = floats(frame["ranks"]), floats(frame["message"])
    passes = 2 if kind.startswith("all_reduce") else 1
    columns = {"byte": passes * message * (ranks - 1) / ranks, "message": message, "ranks": ranks}
    seconds = floats(frame["latency"]) * 1e-3
    apart = held_out(frame, SHAPE)
    return Table(f"{kind}_scale_up", device, engine, "scale_up", release, columns, seconds, apart, tuple(removed))


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
        # dispatch is quantized to fp8, with one 4-byte scale for 128 elements; combine returns bf16
        frame["row"] = frame["hidden"] * (2.0 if phase == "combine" else 1 + 4 / 128)
        parts.append(frame.assign(kind=phase + "_large" * large))
    return pd.concat(parts, ignore_index=True)


def _moe(folder: Path, device: str, engine: str) -> Iterator[Table]:
    """High-throughput kernels as TensorRT-LLM and vLLM call them; all low-latency rows are launched by the host."""
    path = newest(folder, device, FAMILY, engine, "moe_a2a_perf")
    if path is None:
        return
    names = {"ep_size": "ranks", "node_num": "nodes", "hidden_size": "hidden", "num_tokens": "tokens", "num_experts": "experts"}
    frame = opened(path, ["comm_backend", "phase", "comm_dtype", "topk", "latency", *names]).rename(columns=names)
    frame = frame[frame["comm_backend"].str.endswith(("_ht", "_ll")) & (frame["nodes"] == 1)]
    large = frame["comm_backend"].str.endswith("_ht")
    frame["kind"] = frame["phase"] + np.where(large, "_large", "")
    frame["us"] = frame["latency"]
    packed = (frame["comm_dtype"] == "nvfp4") & (frame["phase"] == "dispatch")
    half = (frame["phase"] == "combine") | (frame["comm_dtype"] == "bfloat16")
    # nvfp4 has a 1-byte scale for 16 elements, fp8 a 4-byte scale for 128
    frame["row"] = frame["hidden"] * np.select([packed, half], [0.5 + 1 / 16, 2.0], 1 + 4 / 128)
    quickest = {t.form: float(t.seconds.min()) for t in _deepep(folder, device, "sglang") if t.dtype == "scale_up"}
    for (kind, _), rows in frame.groupby(["kind", "comm_dtype"]):
        reason = f"times start above {EAGER:g} times those of the same kernel under SGLang: the host's launches"
        floor = EAGER * quickest.get(f"{kind}_scale_up", np.inf)
        eager = Rule("eager-table", reason, lambda f, floor=floor: f["us"].ge(0) & (1e-6 * f["us"].min() > floor))  # type: ignore[misc]
        rows, removed = cleaned(rows, [eager])
        if len(rows):
            yield _exchange(str(kind), device, engine, version(path), "scale_up", rows, removed)


def _exchange(
    kind: str, device: str, engine: str, release: str, link: str, rows: pd.DataFrame, removed: Sequence[Removed]
) -> Table:
    frame = median(rows, [*TOKENS, "row"], "us")
    nodes, ranks = floats(frame["nodes"]), floats(frame["ranks"])
    members = ranks if link == "scale_up" else nodes
    copies = _copies(kind.endswith("_large"), floats(frame["topk"]), members)
    columns = {"byte": floats(frame["tokens"]) * floats(frame["row"]) * copies, "ranks": ranks}
    seconds = floats(frame["us"]) * 1e-6
    return Table(f"{kind}_{link}", device, engine, link, release, columns, seconds, held_out(frame, TOKENS), tuple(removed))


def _copies(once: bool, topk: Floats, members: Floats) -> Floats:
    """Copies of a token that leave its device (or server) under uniform routing: one for each expert elsewhere, or one
    for each other member that has a wanted expert."""
    if once:
        return (members - 1) * (1 - (1 - 1 / members) ** topk)
    return topk * (members - 1) / members
