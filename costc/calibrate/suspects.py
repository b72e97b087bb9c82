"""Rows of the sample that are not what they seem, by rules with their evidence. They stay in every total, and are reported apart.

The evidence lies in the measurements alone: series that other concurrencies, lengths, versions or Little's law contradict. No
rule looks at a prediction. Rows that are `real` are sound measurements of something that a configuration does not tell.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from costc.calibrate.runs import runs

if TYPE_CHECKING:
    import pandas as pd

    Frame = pd.DataFrame
    Flags = pd.Series[bool]

IMPLAUSIBLE, REAL = "implausible", "real"
#: share of the requests in flight that must run, by Little's law, unless a row counts as overloaded
BUSY = 0.75
#: prompt tokens per second and H200 at which an 8B model computes in FP8 at 0.65 of the datasheet's peak, beside its decode
FASTEST = 86_000


@dataclass(frozen=True)
class Suspicion:
    """A kind of row.

    Args:
        spoils: the times that are not to be trusted: ttft, tpot, or both.
        where: of a frame of the table's columns and those of `runs`.
    """

    name: str
    kind: str
    spoils: str
    evidence: str
    where: Callable[[Frame], Flags]


def _internal(f: Frame, engine: str) -> Flags:
    return (f["src"] == "nv-internal") & (f["backend"] == engine)


def _replicas(f: Frame) -> Flags:
    several = f["conc"] != f["batch"]
    return _internal(f, "trtllm") & (f["backend_version"] == "1.3.0rc1") & several


def _r1_on_b200(f: Frame, day: str) -> Flags:
    return (f["backend"] == "sglang") & (f["family"] == "deepseek-v3") & (f["system"] == "b200_sxm") & (f["date"] == day)


def _compiling(f: Frame) -> Flags:
    return _r1_on_b200(f, "2025-11-10") & (f["silicon_ttft_ms"] > 5000)


def _jump(f: Frame) -> Flags:
    long = (f["nominal_isl"] == 8192) & (f["conc"] >= 8)
    return _r1_on_b200(f, "2025-11-18") & (long | (f["conc"] == 64))


def _seat_short(f: Frame) -> Flags:
    return _internal(f, "trtllm") & (f["model"] == "llama-3.1-8b") & (f["conc"] <= 32)


def _not_admitted(f: Frame) -> Flags:
    return _internal(f, "trtllm") & (f["model"] == "llama-3.1-8b") & (f["conc"] > 32) & _waiting(f)


def _mislabelled(f: Frame) -> Flags:
    return (f["backend"] == "vllm") & (f["family"] == "gpt-oss") & (f["system"] == "h100_sxm") & (f["conc"] == 512)


def _warm_up(f: Frame) -> Flags:
    return _internal(f, "trtllm") & (f["family"] == "qwen3-moe") & (f["nominal_isl"] <= 256)


def _broken(f: Frame) -> Flags:
    """The same point measured again, or with more requests that run, has less than two thirds of the time per token."""
    keys = ["model", "scheme", "hardware", "engine", "tp", "dp", "ep", "isl", "osl"]
    sound = f[~_waiting(f) & (f["src"] != "nv-internal")].sort_values("conc", ascending=False)
    least = sound.groupby(keys)["silicon_tpot_ms"].cummin()
    least = least.groupby([sound[k] for k in (*keys, "conc")]).transform("min")
    return (f["silicon_tpot_ms"] > 1.5 * least.reindex(f.index)).fillna(False)


def _too_fast(f: Frame) -> Flags:
    cycle = f["silicon_ttft_ms"] + f["silicon_tpot_ms"] * (f["osl"] - 1)
    prompts = 1e3 * f["batch"] * f["isl"] / cycle / (f["tp"] * f["dp"])
    return _internal(f, "vllm") & (f["model"] == "llama-3.1-8b") & (prompts > FASTEST)


def _slow_decode(f: Frame) -> Flags:
    return _internal(f, "vllm") & (f["family"] == "qwen3-moe")


def _slow_prefill(f: Frame) -> Flags:
    r1 = (f["backend"] == "sglang") & (f["family"] == "deepseek-v3") & (f["system"] == "b300_sxm")
    return r1 & (f["nominal_isl"] == 8192)


def _waiting(f: Frame) -> Flags:
    """Fewer run than are in flight: conc x decode / (TTFT + decode)."""
    decode = f["silicon_tpot_ms"] * (f["osl"] - 1)
    return decode / (f["silicon_ttft_ms"] + decode) < BUSY


SUSPICIONS: Final = (
    Suspicion(
        "replicas",
        IMPLAUSIBLE,
        "both",
        "several replicas behind a router, engine 1.3.0rc1: TPOT is 8 to 67 times the time to read weights and cache, and rises "
        "and falls with concurrency (8, 42, 28, 42, 29, 38, 52 ms); version 1.3.0rc5 has none of it",
        _replicas,
    ),
    Suspicion(
        "compilation",
        IMPLAUSIBLE,
        "ttft",
        "5 to 9 s at any concurrency, where version 0.5.9 takes 0.25 to 0.8 s: some 70 s of compiling in the first of ten waves",
        _compiling,
    ),
    Suspicion("jump", IMPLAUSIBLE, "ttft", "TTFT jumps by 1.2 to 2 s from one concurrency to the next and is flat beyond", _jump),
    Suspicion(
        "seat short",
        IMPLAUSIBLE,
        "ttft",
        "TTFT holds 1 / concurrency of a whole generation in all 36 series: one request always waits, so the engine had a seat "
        "less than the client had requests",
        _seat_short,
    ),
    Suspicion(
        "not admitted",
        IMPLAUSIBLE,
        "both",
        "by Little's law 55 to 75 % of the requests run, though the cache has room for ten times as many: a limit of client or "
        "engine that the row does not tell",
        _not_admitted,
    ),
    Suspicion(
        "mislabelled",
        IMPLAUSIBLE,
        "both",
        "512 requests in flight by the row, 88 to 98 by Little's law, whatever plan and lengths: the script of those days "
        "(InferenceX e6d24b245 to 4e135fd3f) sent 512 whatever the seats of the engine, which were what was varied",
        _mislabelled,
    ),
    Suspicion(
        "warm-up",
        IMPLAUSIBLE,
        "ttft",
        "prompts of 128 and 256 tokens take 20 to 70 % longer than prompts of 512: first shapes of the run",
        _warm_up,
    ),
    Suspicion(
        "too fast",
        IMPLAUSIBLE,
        "both",
        "prompts are computed at 67 to 89 % of the FP8 peak over the whole run, decode included; the fastest large products in "
        "the kernel tables reach 72 %: some of the prompts must have been cached",
        _too_fast,
    ),
    Suspicion(
        "broken run",
        IMPLAUSIBLE,
        "tpot",
        "over 1.5 times the time per token of the same point measured again or with more requests",
        _broken,
    ),
    Suspicion(
        "slow prefill",
        REAL,
        "both",
        "DeepSeek-R1 on B300, SGLang 0.5.10, prompts of 8192: a prompt costs 1.6 s, by TTFT and by the stalls in TPOT alike, "
        "against 0.37 s on B200: a slow path of that version, which no constant of the device explains",
        _slow_prefill,
    ),
    Suspicion(
        "slow decode",
        REAL,
        "tpot",
        "Qwen3-235B on H200, vLLM 0.12: 51 to 59 ms on two devices and 34 to 46 on four, whether 4 or 48 requests run; SGLang "
        "takes 15 to 18 ms there: a slow path of that version",
        _slow_decode,
    ),
    Suspicion(
        "overload",
        REAL,
        "ttft",
        f"less than {BUSY:.0%} of the requests in flight run, by Little's law: TTFT is mostly waiting for a seat",
        _waiting,
    ),
)


def _late_start(f: Frame) -> Flags:
    return (f["backend"] == "trtllm") & (f["system"] == "h100_sxm") & (f["family"] == "deepseek-v3")


def _thrashing(f: Frame) -> Flags:
    return _internal(f, "sglang") & (f["silicon_tpot_ms"] > 100)


#: the same of disaggregated rows
APART: Final = (
    Suspicion(
        "late start",
        IMPLAUSIBLE,
        "ttft",
        "DeepSeek-R1 on H100: TTFT falls with concurrency (12.3 s with 6 requests in flight, 7.1 with 9, 5.1 with 30, prompts of "
        "1024): something that the first requests wait for, not their prefill",
        _late_start,
    ),
    Suspicion(
        "thrashing",
        IMPLAUSIBLE,
        "both",
        "Qwen3-32B on H100: 112 to 560 ms for a token on decode workers of two to eight devices, 22 ms on workers of one",
        _thrashing,
    ),
)


def suspects(table: Frame) -> pd.Series[str]:
    """Names of the suspicions of each row of one kind of serving, joined by `; `; empty for most. An implausible row is not asked
    whether it is overloaded.
    """
    import pandas as pd

    apart = bool(len(table)) and bool((table["mode"] == "disagg").all())
    frame = table if apart else table.rename(columns={"isl": "nominal_isl", "osl": "nominal_osl"}).join(runs(table))
    found = pd.Series("", index=table.index, dtype=object)
    for suspicion in APART if apart else SUSPICIONS:
        rows = suspicion.where(frame) & ((suspicion.name != "overload") | (found == ""))
        found[rows] = found[rows].where(found[rows] == "", found[rows] + "; ") + suspicion.name
    return found
