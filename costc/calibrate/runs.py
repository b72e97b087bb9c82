"""From a cleaned silicon row to what was run: model, scheme, device, plan, load, and the engine's settings (`settings.RULES`)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from costc.calibrate.recipes import told
from costc.calibrate.settings import DEFAULTS, INFERRED, RULES
from costc.calibrate.silicon import DUMPS
from costc.errors import CostcError

if TYPE_CHECKING:
    import pandas as pd

    Frame = pd.DataFrame

DEVICES: Final = {
    "b200_sxm": "b200",
    "b300_sxm": "b300",
    "gb200": "gb200",
    "gb300": "gb300",
    "h100_sxm": "h100-sxm",
    "h200_sxm": "h200",
}
BLACKWELL: Final = ("b200_sxm", "b300_sxm", "gb200", "gb300")
#: (family, word of the model's path, precision as the sample writes it) and the spec and scheme for it; R1's NVFP4 form has the
#: shape of V3.1's. An empty scheme is that in which the model is published
MODELS: Final = {
    ("deepseek-v3", "", "fp8"): ("deepseek-r1", ""),
    ("deepseek-v3", "", "fp4"): ("deepseek-v3.1-nvfp4", ""),
    ("gpt-oss", "", "fp4"): ("gpt-oss-120b", ""),
    ("gpt-oss", "", "fp8"): ("gpt-oss-120b", ""),
    ("kimi-k2", "", "int4"): ("kimi-k2.5", ""),
    ("kimi-k2", "", "fp4"): ("kimi-k2.5-nvfp4", ""),
    ("llama-3.1", "8B", ""): ("llama-3.1-8b", "bf16"),
    ("llama-3.1", "8B", "fp8"): ("llama-3.1-8b", "fp8"),
    ("llama-3.1", "70B", "fp8"): ("llama-3.1-70b-fp8", ""),
    ("llama-3.1", "70B", "fp4"): ("llama-3.1-70b", "nvfp4"),
    ("minimax-m2", "", "fp8"): ("minimax-m2.5", ""),
    ("minimax-m2", "", "fp4"): ("minimax-m2.5-nvfp4", ""),
    ("qwen3-dense", "", ""): ("qwen3-32b", "bf16"),
    ("qwen3-dense", "", "fp8"): ("qwen3-32b", "fp8"),
    ("qwen3-dense", "", "fp4"): ("qwen3-32b", "nvfp4"),
    ("qwen3-moe", "", "fp8"): ("qwen3-235b-a22b-fp8", ""),
    ("qwen3.5", "", "bf16"): ("qwen3.5-397b-a17b", "bf16"),
    ("qwen3.5", "", "fp8"): ("qwen3.5-397b-a17b", "fp8-block"),
    ("qwen3.5", "", "fp4"): ("qwen3.5-397b-a17b-nvfp4", ""),
}
#: what identifies a compiled model and its rates, and what varies from point to point
PLATFORM: Final = ("model", "scheme", "hardware", "engine", "kv_cache")
POINT: Final = ("tp", "dp", "ep", "batch", "isl", "osl")
SETTINGS: Final = tuple(name for name in DEFAULTS if name not in (*PLATFORM, "mean_length", "requests"))


def runs(table: Frame, inferred: bool = False) -> Frame:
    """What each row of a cleaned table ran, one row a row with its index: PLATFORM, POINT and SETTINGS; lengths are means.

    `batch` is the requests in flight of one replica, so that of several replicas each has its share. `inferred`: with the
    settings that were found by looking at the rows' times.

    Raises:
        CostcError: a model and precision without a spec, or a device without one.
    """
    import pandas as pd

    frame = table.assign(precision=table["precision"].fillna(""), date=table["date"].fillna(""))
    frame["public"] = frame["src"].isin(DUMPS) | frame["src"].str.contains("gap-analysis")
    named = [_model(*row) for row in zip(*(frame[k] for k in ("family", "model_path", "precision")), strict=True)]
    found = pd.DataFrame(DEFAULTS, index=frame.index)
    for rule in (*RULES, *(INFERRED if inferred else ())):
        rows = rule.rows(frame)
        for setting, value in rule.set.items():
            found.loc[rows, setting] = value(frame[rows]) if callable(value) else value
    found["model"], found["scheme"] = [m for m, _ in named], [s for _, s in named]
    found.loc[(found["model"] == "gpt-oss-120b") & frame["system"].isin(BLACKWELL), "scheme"] = "mxfp4-mxfp8"
    found.loc[(found["scheme"] == "fp8") & (frame["gemm_quant_mode"] == "fp8_block"), "scheme"] = "fp8-block"
    found["hardware"], found["engine"] = frame["system"].map(DEVICES), frame["backend"]
    found["tp"], found["dp"], found["ep"] = frame["c_tp"], frame["c_adp"], frame["c_mep"].where(frame["is_moe"], 1.0)
    found["batch"] = (frame["c_bs"] * frame["c_adp"]).where(found["requests"] == 0.0, found["requests"])
    for name, least in (("isl", 1.0), ("osl", 2.0)):
        found[name] = (found["mean_length"] * frame[name]).round().clip(lower=least)
    unknown = frame.loc[found["hardware"].isna(), "system"]
    if len(unknown):
        raise CostcError(f"no device for {sorted(set(unknown))}; known: {', '.join(DEVICES)}")
    return found.drop(columns=["mean_length", "requests"])


#: phases of disaggregated serving; columns of the sample for each begin with its name
PHASES: Final = ("prefill", "decode")
#: tokens of a prefill step, and prompts, where a pool's recipe was not looked up: the recipes' most frequent values
POOL_TOKENS, POOL_PROMPTS = 16384.0, {"trtllm": (8.0, 2.0)}
#: share of the memory that SGLang's workers take, where most hold weights of the largest model on few devices
POOL_MEMORY = {"sglang": 0.95}
#: input length beyond which the second number of prompts holds
LONG = 2000


def pools(table: Frame) -> dict[str, Frame]:
    """What the workers of each phase ran, of disaggregated rows: as `runs`, with `workers`, `experts` (the kernels of experts
    behind an all-to-all, '' for the usual ones), and with all requests in flight in `batch`.

    A phase with attention data parallelism has its experts over all devices of a worker.
    """
    import numpy as np

    found, recipes = {}, told(table)
    for phase in PHASES:
        names = ("tp_size", "attention_dp_size", "moe_ep_size", "num_workers", "batch_size")
        tp, dp, ep, workers, batch = (table[f"{phase}_{name}"].fillna(1.0).clip(lower=1.0) for name in names)
        devices, ranks, given = tp * dp, recipes[phase]["dp"].fillna(dp), table["conc"].fillna(batch * dp * workers)
        own = runs(table.assign(c_tp=devices / ranks, c_adp=ranks, c_mep=_experts(ep, ranks, devices), c_bs=given, conc=given))
        own["batch"], own["workers"], own["experts"] = given, workers, recipes[phase]["experts"]
        own["kv_cache"] = np.where((table["backend"] == "sglang") & (table["system"] == "h200_sxm"), "", "fp8")
        seats = recipes[phase]["seats"].fillna(DEFAULTS["max_num_seqs"])
        found[phase] = own.assign(max_num_seqs=seats, batch_wait=DEFAULTS["batch_wait"])
        found[phase]["memory_utilization"] = table["backend"].map(POOL_MEMORY).fillna(DEFAULTS["memory_utilization"])
    before = found["prefill"]
    before["max_num_batched_tokens"] = recipes["prefill"]["tokens"].fillna(POOL_TOKENS)
    for engine, (short, long) in POOL_PROMPTS.items():
        most = (table["isl"] > LONG).map({True: long, False: short})
        before["max_num_seqs"] = before["max_num_seqs"].mask(table["backend"] == engine, most)
    before["max_num_seqs"] = recipes["prefill"]["prompts"].fillna(before["max_num_seqs"])
    before["batch"] = found["decode"]["batch"]
    return found


def _experts(ep: Any, ranks: Any, devices: Any) -> Any:
    """Expert-parallel degree: all devices where attention is data-parallel."""
    return ep.where(ranks == 1, devices).clip(upper=devices)


def _model(family: str, path: str, precision: str) -> tuple[str, str]:
    """The spec and scheme of a row."""
    for (kin, word, stored), named in MODELS.items():
        if kin == family and word in path and stored == precision:
            return named
    raise CostcError(f"no model spec for {path} in {precision or 'its own precision'} ({family})")
