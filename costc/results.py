"""One evaluated point as people and programs read it: nested, in SI units, with notes."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from costc.compiled import PHASES, CostModel, bound_name
from costc.emit.evaluator import Evaluator
from costc.insight import hull
from costc.ir.platform import Engine, Hardware, Quantization
from costc.place.mesh import STRATEGIES, mesh
from costc.serving.compose import compose
from costc.serving.phases import GROUPS
from costc.spec.profiles import efficiency_profile
from costc.spec.values import fallbacks

if TYPE_CHECKING:
    import pandas as pd

MEMORY = ("weights", "kv", "activation", "framework", "total", "limit")
PHASE_KEYS = (
    "flop",
    "weight_byte",
    "kv_byte",
    "activation_byte",
    "scale_up_byte",
    "scale_out_byte",
    "arithmetic_intensity",
    "mfu",
    "mbu",
)
TOP = (
    "ttft",
    "tpot",
    "e2el",
    "output_throughput",
    "total_throughput",
    "request_throughput",
    "throughput_per_user",
    "throughput_per_device",
    "cost_per_million_tokens",
    "cost_per_million_total_tokens",
    "energy_per_token",
)


def result(
    model: CostModel, hardware: str | Hardware, quantization: str | Quantization | None = None, **given: Any
) -> dict[str, Any]:
    """Evaluate one point; the object that `costc eval --json` prints (its schema: eval.schema.json)."""
    device = hardware if isinstance(hardware, Hardware) else model.catalog.hardware(hardware)
    scheme = model.scheme(quantization, given.get("kv_cache_dtype"))
    flat = model.point(device, quantization, **given)
    inputs = model.values(device, scheme, given.get("efficiency", "uniform"), given.get("engine", "default"))
    plan = model._plan({k: v for k, v in given.items() if k not in ("efficiency", "engine", "kv_cache_dtype")}, inputs)
    settings = given.get("engine", "default")
    settings = settings if isinstance(settings, Engine) else model.catalog.engine(settings)
    profile = efficiency_profile(model.catalog, given.get("efficiency", "uniform"), device, settings)
    found: dict[str, Any] = {
        "model": model.model.name,
        "parameters": model.parameters,
        "hardware": device.name,
        "quantization": scheme.name,
        "efficiency": profile.name,
        "plan": {name: int(plan[name]) for name in (*STRATEGIES, "microbatches")},
        "workload": {name: int(plan[name]) for name in ("batch", "isl", "osl", "max_num_batched_tokens")},
        "devices": int(flat["devices"]),
    }
    found |= {name: flat[name] for name in TOP}
    found["memory"] = {part: flat[f"memory_{part}"] for part in MEMORY}
    found["memory"] |= {"fits": bool(flat["fits"]), "max_batch": int(flat["max_batch"])}
    found |= {phase: _phase(flat, phase) for phase in PHASES}
    found["notes"] = _unfit(found["memory"]) + notes(model, device, scheme, plan)
    found["notes"] += hull.notes(model, device, scheme, profile, {**inputs, **plan})
    return found


def _unfit(memory: dict[str, Any]) -> list[str]:
    """What is short where a point does not fit."""
    if memory["fits"]:
        return []
    short = (memory["total"] - memory["limit"]) / 1e9
    return [f"does not fit: {short:.4g} GB a device too much; the largest batch that fits is {memory['max_batch']}"]


def _phase(flat: dict[str, Any], phase: str) -> dict[str, Any]:
    found = {key: flat[f"{key}_{phase}"] for key in PHASE_KEYS}
    bound = flat[f"bound_{phase}"]
    found["bound"] = None if bound is None else bound_name(bound)
    shares = {g: flat.get(f"share_{phase}_{g}") for g in GROUPS}
    return found | {"share": {g: v for g, v in shares.items() if v is not None}}


def notes(model: CostModel, device: Hardware, scheme: Quantization, plan: dict[str, Any]) -> list[str]:
    """What the reader should know about a point."""
    found = fallbacks(model.model, scheme, device)
    length = int(plan["isl"]) + int(plan["osl"])
    if length > model.model.max_position_embeddings:
        found.append(
            f"{length} tokens are more than {model.model.name}'s max_position_embeddings {model.model.max_position_embeddings}"
        )
    if device.scale_out is None:
        found.append(f"{device.title} has no scale-out link; plans beyond its domain of {int(device.domain.value)} cannot run")
    missing = [name for name in ("price", "tdp") if getattr(device, name) is None]
    if missing:
        found.append(f"{device.title} has no known {' and no known '.join(missing)}; what depends on it is null")
    beside = {f"{name} tower": size for name, size in model.model.towers.items()} | {"draft layers": model.mtp_parameters}
    left_out = [f"{name} ({size:,} parameters)" for name, size in beside.items() if size]
    if left_out:
        found.append(f"not part of memory and time: {', '.join(left_out)}")
    if model.entry.note:
        found.append(model.entry.note)
    return found + model.catalog.notes


def operators(
    model: CostModel, hardware: str | Hardware, quantization: str | Quantization | None = None, **given: Any
) -> pd.DataFrame:
    """The operators of both phases at one point: counts and times of one rank, all layers, whole phase."""
    import pandas as pd

    platform = {k: given.pop(k) for k in ("efficiency", "engine", "kv_cache_dtype") if k in given}
    inputs = model.values(hardware, quantization, **platform)
    plan = model._plan(given, inputs)
    model.check(plan, inputs)
    detailed = compose(model.model.name, model.lowered["prefill"], model.lowered["decode"], mesh(), detail=True)
    found = Evaluator(detailed)({**inputs, **plan})
    rows: dict[tuple[str, str, str], dict[str, Any]] = {}
    for name, value in found.items():
        if name.startswith("operator."):
            path, _, column = name.removeprefix("operator.").rpartition(".")
            phase, _, scope = path.partition(".")
            section, _, kernel = scope.rpartition(".")
            rows.setdefault((phase, section, kernel), {})[column] = float(value)
    frame = pd.DataFrame([{"phase": p, "section": s, "operator": k, **columns} for (p, s, k), columns in rows.items()])
    frame["bound"] = [_bound(columns) for columns in rows.values()]
    return frame


def _bound(row: dict[str, float]) -> str:
    needs = {"compute": row["compute_time"], "memory": row["memory_time"], "communication": row["link_time"]}
    return max(needs, key=lambda k: needs[k]) if any(v > 0 and not math.isnan(v) for v in needs.values()) else "-"


def summary(frame: pd.DataFrame) -> pd.DataFrame:
    """Operators summed by phase and section: counts, time, and its share of the phase."""
    columns = ["flop", "memory_byte", "link_byte", "time"]
    grouped = frame.groupby(["phase", "section"], sort=False)[columns].sum().reset_index()
    grouped["share"] = grouped["time"] / grouped.groupby("phase")["time"].transform("sum")
    return grouped
