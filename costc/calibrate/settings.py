"""Settings of the engines behind the measured rows, as rules with their sources.

The sample says neither which format the cache had nor how many tokens a step took; the launch scripts of the public benchmark
say it for its rows (SemiAnalysisAI/InferenceX, by commit and path; scripts changed over time, so dates are part of some rules).
Later rules override earlier ones. What no rule names are the engine's defaults. No rule looks at measured times.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    import pandas as pd

    Frame = pd.DataFrame
    Flags = pd.Series[bool]

#: settings where no rule says anything: no limit of running requests, a scheduler that looks before each step, and a run of ten
#: prompts a seat (the waves of each series of the sample were told apart by simulation: 10 to 20, none a single burst)
DEFAULTS: Final[dict[str, Any]] = {
    "kv_cache": "",
    "max_num_batched_tokens": 8192.0,
    "memory_utilization": 0.9,
    "max_num_seqs": 1e9,
    "scheduler_interval": 1.0,
    "batch_wait": 0.0,
    "waves": 10.0,
    "length_spread": 0.0,
    "mean_length": 1.0,
    "prefix_hit_rate": 0.0,
    "dependent_launch": 0.0,
    "synchronous": 0.0,
    "unfused_experts": 0.0,
    "requests": 0.0,
}


def _script(commit: str, *paths: str) -> str:
    return f"github.com/SemiAnalysisAI/InferenceX {commit[:9]} {' '.join(paths)}"


_LLAMA = _script("ac1998a504dff8f944cef2c05925fb1edac48382", "benchmarks/70b_*.sh")
_APRIL = "b562888f896d1de0044d7d75cbf5d08e565e4170"
_LIBRARY = _script(_APRIL, "benchmarks/benchmark_lib.sh")


def _single(*names: str) -> str:
    return _script(_APRIL, *(f"benchmarks/single_node/{name}.sh" for name in names))


Value = float | str | Callable[["Frame"], Any]


@dataclass(frozen=True)
class Rule:
    """Settings of some rows.

    Args:
        where: column: value or values that it must have; `also`: a further condition.
        set: setting: value, or values of the rows in question.
        source: where the settings are written.
    """

    where: Mapping[str, str | tuple[str, ...]]
    set: Mapping[str, Value]
    source: str
    also: Callable[[Frame], Flags] | None = None

    def rows(self, frame: Frame) -> Flags:
        """The rows that it is about."""
        found = frame["public"] == (self.where.get("public") != "no")
        for column, value in self.where.items():
            if column != "public":
                found = found & frame[column].isin([value] if isinstance(value, str) else list(value))
        return found & self.also(frame) if self.also else found


def _two_prompts(frame: Frame) -> Any:
    return 2.0 * frame["isl"]


def _in_flight(frame: Frame) -> Any:
    return frame["conc"] / frame["c_adp"]


def _interval(frame: Frame) -> Any:
    return 10.0 + 20.0 * (frame["conc"] >= 16)


def _one_step(frame: Frame) -> Any:
    """A multiple of 64 tokens that holds a prompt and a token of each request, and some."""
    return (frame["conc"] + frame["isl"] + 64 + 63) // 64 * 64


def _one_step_or_8192(frame: Frame) -> Any:
    return _one_step(frame).clip(lower=8192.0)


def _short(frame: Frame) -> Flags:
    return (frame["isl"] == 1024) & (frame["osl"] == 1024)


R1, GPT_OSS, KIMI, MINIMAX, QWEN, LLAMA = "deepseek-v3", "gpt-oss", "kimi-k2", "minimax-m2", "qwen3.5", "llama-3.1"
_R1_SGLANG = {"family": R1, "backend": "sglang"}
_R1_TRT = {"family": R1, "backend": "trtllm"}
_QWEN = {"family": QWEN, "backend": "sglang"}
_B = {"system": ("b200_sxm", "b300_sxm")}
RULES: Final = (
    Rule({}, {"length_spread": 0.2, "mean_length": 0.9}, f"{_LIBRARY}: random lengths of 0.8 to 1 of the nominal"),
    Rule(
        {"public": "no", "backend": "trtllm", "precision": ("fp8", "fp4")},
        {"kv_cache": "fp8"},
        "TensorRT-LLM takes the cache's format from the checkpoint, and ModelOpt's FP8 and NVFP4 checkpoints say FP8",
    ),
    Rule(
        {**_R1_SGLANG, **_B, "precision": "fp4"},
        {
            "kv_cache": "fp8",
            "max_num_batched_tokens": 16384.0,
            "memory_utilization": 0.85,
            "max_num_seqs": 256.0,
            "scheduler_interval": _interval,
        },
        _single("dsr1_fp4_b200", "dsr1_fp4_b300"),
    ),
    Rule(
        {**_R1_SGLANG, **_B, "precision": "fp8"},
        {
            "kv_cache": "fp8",
            "max_num_batched_tokens": 32768.0,
            "memory_utilization": 0.82,
            "max_num_seqs": 128.0,
            "scheduler_interval": _interval,
        },
        _single("dsr1_fp8_b200", "dsr1_fp8_b300"),
    ),
    Rule(
        {**_R1_SGLANG, **_B, "precision": "fp8"},
        {"max_num_batched_tokens": 8192.0, "memory_utilization": 0.95, "max_num_seqs": 32.0, "scheduler_interval": 10.0},
        _single("dsr1_fp8_b200", "dsr1_fp8_b300"),
        lambda f: f["c_tp"] == 4,
    ),
    Rule(
        {**_R1_SGLANG, "system": "h200_sxm"},
        {"max_num_batched_tokens": 32768.0, "memory_utilization": 0.82} | {"max_num_seqs": lambda f: 256.0 + 256.0 * _short(f)},
        _single("dsr1_fp8_h200"),
    ),
    Rule(
        _R1_TRT,
        {"kv_cache": "fp8", "max_num_batched_tokens": _one_step, "memory_utilization": 0.8},
        _script("97f253b511717a021e6e539c5bbe0b1871901274", "benchmarks/dsr1_fp4_b200_trt_slurm.sh"),
    ),
    Rule({**_R1_TRT, "system": "h200_sxm"}, {"memory_utilization": 0.75}, _single("dsr1_fp8_h200_trt")),
    Rule(
        _R1_TRT,
        {"max_num_batched_tokens": _one_step_or_8192},
        _script("64af5a771b8a14915d907e0dc8abb2af40d9eaf0", "benchmarks/dsr1_fp8_b200_trt_slurm.sh"),
        lambda f: f["date"] >= "2026-01-21",
    ),
    Rule(
        {**_R1_TRT, "system": "b200_sxm", "precision": "fp8"},
        {"batch_wait": 40.0},
        _script("ec7bafaae", "benchmarks/dsr1_fp8_b200_trt_slurm.sh"),
        lambda f: _short(f) & (f["conc"] >= 64) & (f["date"] >= "2026-01-29"),
    ),
    Rule(
        {**_R1_TRT, "system": "b200_sxm", "precision": "fp8"},
        {"memory_utilization": 0.75},
        _script("ec7bafaae", "benchmarks/dsr1_fp8_b200_trt_slurm.sh"),
        lambda f: (f["c_tp"] == 4) & (f["isl"] == 8192) & (f["date"] >= "2026-01-29"),
    ),
    Rule(
        {"family": GPT_OSS, "backend": "trtllm"},
        {"max_num_batched_tokens": 20000.0, "memory_utilization": 0.85, "max_num_seqs": _in_flight},
        _single("gptoss_fp4_b200_trt", "gptoss_fp4_h200_trt"),
    ),
    Rule({"family": GPT_OSS, "backend": "trtllm", "system": "b200_sxm"}, {"kv_cache": "fp8"}, _single("gptoss_fp4_b200_trt")),
    Rule(
        {"family": GPT_OSS, "backend": "vllm"},
        {"max_num_seqs": _in_flight},
        _single("gptoss_fp4_h100", "gptoss_fp4_h200"),
    ),
    Rule({"family": GPT_OSS, "backend": "vllm", "system": "b200_sxm"}, {"max_num_seqs": 512.0}, _single("gptoss_fp4_b200")),
    Rule(
        {"family": GPT_OSS, "backend": "vllm", "system": "b200_sxm"},
        {"kv_cache": "fp8"},
        _script("25506e87c8e4ebce9e45494843e3498aa9f57307", "benchmarks/gptoss_fp4_b200_docker.sh"),
        lambda f: f["date"] >= "2025-12-05",
    ),
    Rule(
        {"family": KIMI}, {"max_num_seqs": _in_flight}, _single("kimik2.5_int4_b200", "kimik2.5_int4_h200", "kimik2.5_fp4_b200")
    ),
    Rule(
        {"family": KIMI, "precision": "int4"}, {"memory_utilization": 0.95}, _single("kimik2.5_int4_b200", "kimik2.5_int4_h200")
    ),
    Rule(
        {"family": KIMI, "precision": "fp4", "system": "b200_sxm"},
        {"max_num_batched_tokens": _two_prompts},
        _script("6c3acebfad91f32ea6b9233afbc6013db2f1f6b5", "benchmarks/single_node/kimik2.5_fp4_b200.sh"),
        lambda f: f["date"] >= "2026-04-20",
    ),
    Rule({"family": MINIMAX, "system": "h100_sxm"}, {"max_num_seqs": 256.0}, _single("minimaxm2.5_fp8_h100")),
    Rule({"family": MINIMAX, "system": "h200_sxm"}, {"memory_utilization": 0.95}, _single("minimaxm2.5_fp8_h200")),
    Rule(
        {"family": MINIMAX, "system": "b200_sxm"},
        {"memory_utilization": 0.95},
        _script("79a42e20a8559784641ca2279994c75c0608dc39", "benchmarks/single_node/minimaxm2.5_fp8_b200.sh"),
    ),
    Rule(
        {"family": MINIMAX, **_B},
        {"kv_cache": "fp8", "max_num_batched_tokens": _two_prompts, "memory_utilization": 0.9},
        _script("bddbf4031771240060101d349900c51e0beb934e", "benchmarks/single_node/minimaxm2.5_fp8_b200.sh"),
        lambda f: f["date"] >= "2026-04-03",
    ),
    Rule(
        _QWEN,
        {"max_num_batched_tokens": 32768.0, "memory_utilization": 0.82, "max_num_seqs": 128.0, "scheduler_interval": _interval},
        _single("qwen3.5_bf16_b200", "qwen3.5_bf16_b300", "qwen3.5_fp8_b200"),
    ),
    Rule(
        {**_QWEN, "precision": ("fp8", "fp4")},
        {"kv_cache": "fp8"},
        _single("qwen3.5_fp8_b200", "qwen3.5_fp8_h200", "qwen3.5_fp4_b200", "qwen3.5_fp4_b300"),
    ),
    Rule({**_QWEN, "precision": "fp4", "system": "b200_sxm"}, {"memory_utilization": 0.85}, _single("qwen3.5_fp4_b200")),
    Rule({**_QWEN, "precision": "fp4", "system": "b300_sxm"}, {"memory_utilization": 0.8}, _single("qwen3.5_fp4_b300")),
    Rule(
        {**_QWEN, "precision": "fp8", "system": "b300_sxm"},
        {"max_num_batched_tokens": 16384.0, "memory_utilization": 0.8, "scheduler_interval": 10.0, "max_num_seqs": _in_flight},
        _single("qwen3.5_fp8_b300"),
    ),
    Rule(
        {**_QWEN, "precision": "fp8", "system": "h200_sxm"},
        {"max_num_batched_tokens": 16384.0, "memory_utilization": 0.8, "scheduler_interval": 1.0},
        _single("qwen3.5_fp8_h200"),
    ),
    Rule(
        {"src": "qwen3.5-397b-gap-analysis"},
        {"max_num_seqs": 1e9},
        "runs of another party with the public settings, also at 256 in flight: above the public limit, so not under it",
    ),
    Rule({"family": LLAMA}, {"kv_cache": "fp8"}, _LLAMA),
    Rule({"family": LLAMA, "backend": "trtllm"}, {"max_num_batched_tokens": 16384.0, "max_num_seqs": 1024.0}, _LLAMA),
    Rule({"family": LLAMA, "backend": "trtllm"}, {"batch_wait": 20.0}, _LLAMA, lambda f: _short(f) & (f["c_tp"] < 8)),
    Rule({"family": LLAMA, "backend": "vllm"}, {"max_num_seqs": _in_flight}, _LLAMA),
    Rule({"family": LLAMA, "backend": "vllm", "system": "b200_sxm"}, {"max_num_seqs": 512.0}, _LLAMA),
    Rule(
        # 160 prompts at once on 16 seats: ten for each seat, 4 to 64 seats were tried, and 16 is the middle of these
        {"family": GPT_OSS, "backend": "vllm", "system": "h100_sxm"},
        {"max_num_seqs": 16.0, "requests": 160.0, "waves": 1.0},
        f"{_script('25506e87c', 'benchmarks/gptoss_fp4_h100_docker.sh')}: from 2025-11-21 to 2025-12-08 512 clients whatever the "
        "seats (max_num_seqs, which is what was varied) and ten prompts a seat; the seats are not in the row and assumed",
        lambda f: f["conc"] == 512,
    ),
    Rule({"backend": "trtllm"}, {"dependent_launch": 1.0}, f"{_single('gptoss_fp4_b200_trt')}: PDL, assumed of all"),
    Rule(
        {"public": "no", "backend": "trtllm"},
        {"dependent_launch": 1.0},
        "assumed of TensorRT-LLM since 1.1, as in the public runs",
        lambda f: f["backend_version"] != "1.0.0rc3",
    ),
    Rule(
        {"public": "no", "backend": "vllm"},
        {"synchronous": 1.0},
        "asynchronous scheduling is set in the public runs and assumed to be off in vLLM 0.12.0 unless set",
        lambda f: f["backend_version"] == "0.12.0",
    ),
    *(
        Rule(
            {"public": public, "backend": "trtllm", "system": ("h100_sxm", "h200_sxm")},
            {"unfused_experts": 1.0},
            f"{_single('dsr1_fp8_h200_trt', 'gptoss_fp4_h200_trt')}: CUTLASS and Triton experts, where Blackwell has TRTLLM",
            lambda f: f["is_moe"].astype(bool),
        )
        for public in ("yes", "no")
    ),
)


def _missed(frame: Frame) -> Any:
    """100 prompts, each of 20 in flight sent again: the part that was not sent before is 100 / 20 N."""
    return 1.0 - (5.0 / frame["c_bs"]).clip(upper=1.0)


#: settings that no source names, found by looking at the times of the rows in question: errors are told with and without them
INFERRED: Final = (
    Rule(
        {"public": "no", "backend": "vllm", "system": "h200_sxm"},
        {"prefix_hit_rate": _missed},
        "prompts' share of the decode falls as 5 / N, as if 100 prompts were drawn again with prefix caching (vLLM's default) on",
    ),
    Rule(
        {"public": "no", "backend": "sglang"},
        {"length_spread": 0.2},
        "requests of SGLang 0.5.6.post2 do not stay in step as those of 0.5.1 and 0.5.8 do: another client",
        lambda f: f["backend_version"] == "0.5.6.post2",
    ),
)
