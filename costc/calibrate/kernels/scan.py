"""Gated delta rules (`gdn_perf`), Kimi delta attention (`kda_perf`), and short convolutions, Mamba 2's too (`mamba2_perf`).

Times are in ms, sizes those of one device. A scan's FLOP are the products of `blocks/parts/delta.py`, in chunks of 64; states
are fp32, all else bf16. Convolutions are elementwise: a table each for prefill and decode. A table that says nothing is given
without rows, so that the ledger names it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from costc.calibrate.kernels import Removed, Rule, Table, cleaned, floats, held_out, median, newest, opened, version
from costc.calibrate.kernels.elementwise import cached

if TYPE_CHECKING:
    import pandas as pd

#: tokens of a chunk; multiply-adds for each pair of a chunk that solving its triangular system takes
CHUNK: Final = 64
SOLVED: Final = (CHUNK - 1) * (CHUNK - 2) / (3 * (CHUNK + 1))
FP32, BF16 = 4, 2
SHAPE: Final = ["batch_size", "seq_len", "num_k_heads", "num_v_heads", "head_k_dim", "head_v_dim"]
STATE_SPACE: Final = ["batch_size", "seq_len", "nheads", "head_dim", "n_groups", "d_state"]
SOURCES: Final = {"gdn": "linear_attention", "kda": "kda"}
#: columns of a table by its form
DEMANDS: Final = {"scan_prefill": ("flop", "byte", "sequences", "heads"), "scan_decode": ("byte",), "elementwise": ("byte",)}
#: kernels that fuse convolution and scan have no form of their own
FUSED: Final = ("kda_fused_decode", "fused_kda_decode")
#: kernels of which the tables do not say all: the convolutions reach 2.7 times the memory's rate, the scan that is not packed
#: 1.2 times, so they move fewer channels, and narrower or fewer states, than the sizes say
SMALLER: Final = {
    ("trtllm", "causal_conv1d_fn"), ("trtllm", "causal_conv1d_update"), ("sglang", "fused_recurrent_gated_delta_rule"),
    ("trtllm", "fused_recurrent_gated_delta_rule"),
}  # fmt: skip
#: worst repetition over best of one shape, in the worst tenth of shapes, from which on a table says little
DISAGREE: Final = 1.5
#: ms; the least time of a convolution's launch in a graph is 0.002 to 0.011
EAGER: Final = 0.03
HOST: Final = Rule(
    "eager",
    "convolutions that start at 0.4 ms, or 0.01 to 0.1 ms for a few: the host was timed, not the kernel",
    lambda f: f["latency"].gt(0) & f["what"].str.startswith("convolution") & (f["latency"].min() > EAGER),
)


def read(folder: Path, device: str, engine: str, rates: Mapping[str, float] | None = None) -> Iterator[Table]:
    """The scans and convolutions of an engine on a device, newest version of each table.

    Args:
        folder: the wheel's folder of devices.
        rates: the datasheet's `bandwidth` (B/s), for the rule about rates.
    """
    for op, family in SOURCES.items():
        path = newest(folder, device, family, engine, f"{op}_perf")
        if path is not None:
            frame = opened(path, ["kernel_source", "phase", *SHAPE, "latency"])
            frame = frame[(frame["phase"] != "verify") & ~frame["kernel_source"].isin(FUSED)]
            frame["what"] = _what(frame)
            for what, rows in frame.groupby("what"):
                rows, removed = cleaned(rows, [_smaller(engine), _disagreeing(), HOST])
                rows = _demands(median(rows, SHAPE, "latency"), op)
                name = what if str(what).startswith("scan") else f"{op}_{what}"
                yield _table(str(name), op, rows, SHAPE, (device, engine, version(path)), removed, cached(rates))
    path = newest(folder, device, "linear_attention", engine, "mamba2_perf")
    if path is not None:
        yield _mamba2(path, device, engine, cached(rates))


def _what(frame: pd.DataFrame) -> pd.Series[str]:
    step = frame["phase"].map({"context": "prefill", "generation": "decode"})
    kind = frame["kernel_source"].str.contains("conv1d").map({True: "convolution_", False: "scan_"})
    return kind + step


def _smaller(engine: str) -> Rule:
    names = [kernel for owner, kernel in SMALLER if owner == engine]
    reason = "moves less than the table's sizes say: above the memory's rate where no cache holds the data"
    return Rule("smaller", reason, lambda f: f["kernel_source"].isin(names))


def _disagreeing() -> Rule:
    """Models that share a shape repeat it: on an idle device within a few percent."""

    def bad(frame: pd.DataFrame) -> pd.Series[bool]:
        times = frame.groupby(SHAPE)["latency"].agg(["min", "max", "count"])
        spread = (times["max"] / times["min"])[times["count"] > 1]
        noisy = len(spread) > 0 and float(spread.quantile(0.9)) > DISAGREE
        return frame["latency"].gt(0) & noisy

    return Rule("disagreeing", "repetitions of a shape differ by half or more: the device was shared", bad)


def _demands(frame: pd.DataFrame, op: str) -> pd.DataFrame:
    """The demands of scans and, as `streamed`, a convolution's bytes: inputs, outputs, and its last inputs read and written."""
    batch, seq, keys, values, d_k, d_v = (frame[name] for name in SHAPE)
    tokens, whole, rest = batch * seq, seq // CHUNK, seq % CHUNK
    # a decay for each head and one step size; with Kimi's rule a decay for each key element
    gates = values * (d_k + 1 if op == "kda" else 2)
    state = 2 * FP32 * batch * values * d_k * d_v
    pairs = batch * (whole * CHUNK * (CHUNK + 1) + rest * (rest + 1)) / 2
    return frame.assign(
        flop=2 * values * (pairs * (3 * d_k + 2 * d_v + SOLVED) + 3 * tokens * d_k * d_v),
        byte=BF16 * tokens * (2 * keys * d_k + 2 * values * d_v + gates) + state,
        sequences=batch,
        heads=values,
        streamed=2 * BF16 * batch * (seq + 3) * (2 * keys * d_k + values * d_v),
    )


def _mamba2(path: Path, device: str, engine: str, rules: Iterable[Rule]) -> Table:
    """Decode only: in prefill each sequence is a launch of its own there, 7 us whatever its length."""
    frame = opened(path, ["phase", *STATE_SPACE, "latency"])
    frame = median(frame[frame["phase"] == "generation"], STATE_SPACE, "latency")
    batch, seq, heads, dim, groups, state = (frame[name] for name in STATE_SPACE)
    frame["streamed"] = 2 * BF16 * batch * (seq + 3) * (heads * dim + 2 * groups * state)
    where = device, engine, version(path)
    return _table("mamba2_convolution_decode", "mamba2", frame, STATE_SPACE, where, (), rules)


def _table(
    what: str, op: str, frame: pd.DataFrame, shape: Sequence[str], where: tuple[str, str, str], removed: tuple[Removed, ...],
    rules: Iterable[Rule],
) -> Table:  # fmt: skip
    form, dtype = (what, op) if what.startswith("scan") else ("elementwise", what)
    if form == "elementwise":
        frame = frame.assign(byte=frame["streamed"])
    frame, fast = cleaned(frame, rules)
    columns = {name: floats(frame[name]) for name in DEMANDS[form]}
    device, engine, release = where
    seconds, apart = floats(frame["latency"]) * 1e-3, held_out(frame, shape)
    return Table(form, device, engine, dtype, release, columns, seconds, apart, (*removed, *fast))
