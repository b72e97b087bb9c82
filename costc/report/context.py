"""What the report's template is given: plain words and rows, taken from the choices of a study."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from costc.facts import Fact
from costc.report import words as w
from costc.search import choose as c
from costc.search.choose import Candidate, Choice
from costc.search.grid import Grid
from costc.serving.metrics import BOUNDS
from costc.serving.phases import GROUPS
from costc.spec.study import Scenario, Study
from costc.spec.values import fallbacks

Row = dict[str, Any]
REASONS = {"memory": "does not fit", "ttft": "TTFT", "tpot": "TPOT", "both": "no batch meets TTFT and TPOT together", "untimed": "no compute format"}


@dataclass(frozen=True)
class Chosen:
    """A scenario with what every model scale offers and what is recommended."""

    scenario: Scenario
    choices: dict[str, Choice]
    recommended: Choice | None


def scenario_context(study: Study, found: Chosen) -> Row:
    """Everything the report says of one scenario."""
    s = found.scenario
    context: Row = {
        "name": s.name, "title": s.title, "isl": int(s.isl.value), "osl": int(s.osl.value),
        "limits": f"TTFT {w.second(s.ttft.value)}, TPOT {w.second(s.tpot.value)}",
        "floor": f"{s.benchmark} at least {w.number(s.floor.value)}",
        "scales": [_scale(study, found, choice) for choice in found.choices.values()],
    }  # fmt: skip
    choice = found.recommended
    if choice is None or choice.chosen is None:
        return context | {"recommended": None, "short": [_short(study, found, x) for x in found.choices.values()]}
    best = choice.chosen
    cells = c.by_cell(study, choice)
    return context | {
        "recommended": _deployment(study, best),
        "headline": _headline(study, best),
        "wins": _wins(study, found, choice, cells),
        "binds": _binds(study, s, choice),
        "alternatives": _alternatives(study, choice),
        "batches": _batches(s, choice),
        "hardware": _hardware(study, s, choice, cells),
        "matrix": _matrix(study, s, choice, cells),
        "memory": _memory(best),
        "command": w.command(study, s, best),
        "fallbacks": fallbacks(choice.grid.model, study.quantization[best.scheme], study.hardware[best.hardware]),
    }


def _deployment(study: Study, x: Candidate) -> Row:
    return {
        "model": x.model, "hardware": study.hardware[x.hardware].title, "devices": w.devices(x), "plan": w.plan(x),
        "quantization": study.quantization[x.scheme].name, "batch": x.batch, "ttft": w.second(x["ttft"]), "tpot": w.second(x["tpot"]),
        "e2el": w.second(x["e2el"]), "per_user": w.number(x["throughput_per_user"]), "per_device": w.number(x["throughput_per_device"]),
        "cost": w.dollars(x["cost_per_million_tokens"]), "energy": f"{w.number(x['energy_per_token'])} J" if math.isfinite(x["energy_per_token"]) else "no TDP",
    }  # fmt: skip


def _headline(study: Study, x: Candidate) -> str:
    n = w.devices(x)
    return f"{x.model} on {n} x {study.hardware[x.hardware].title}" + (f" ({w.plan(x)})" if n > 1 else "") + (
        f", {study.quantization[x.scheme].name}, batch {x.batch}"
    )


def _wins(study: Study, found: Chosen, choice: Choice, cells: dict[tuple[int, int], Candidate | None]) -> list[str]:
    """Why it is chosen: against other devices, other schemes, and other scales."""
    best = choice.chosen
    assert best is not None
    said = []
    if not choice.priced:
        said.append("No device that meets the limits has a known price: deployments are ranked by tokens per device, then by devices.")
    others = [x for (h, q), x in cells.items() if x and h != best.hardware and study.quantization[q].name in study.keeps_quality]
    if others:
        nearest = min(others, key=lambda x: (_worth(choice, x), x.hardware, x.scheme))
        ratio = _worth(choice, nearest) / _worth(choice, best)
        what = "costs per token" if choice.priced else "needs devices per token"
        said.append(f"The next best device, {study.hardware[nearest.hardware].title} ({study.quantization[nearest.scheme].name}), {what} {w.number(ratio)} times as much.")
    schemes = [x for (h, q), x in cells.items() if x and h == best.hardware and q != best.scheme and study.quantization[q].name in study.keeps_quality]
    if schemes:
        nearest = min(schemes, key=lambda x: (_worth(choice, x), x.scheme))
        said.append(f"On the same device the next best scheme, {study.quantization[nearest.scheme].name}, takes {w.number(_worth(choice, nearest) / _worth(choice, best))} times as much.")
    bolder = choice.any_scheme
    if bolder and bolder.scheme != best.scheme and _worth(choice, bolder) < _worth(choice, best):
        said.append(
            f"Cheaper still would be {_headline(study, bolder)} at {w.dollars(bolder['cost_per_million_tokens'])}; it is not recommended, "
            f"as no benchmark score of the model in {study.quantization[bolder.scheme].name} is cited."
        )
    return said + _against_scales(study, found, choice)


def _worth(choice: Choice, x: Candidate) -> float:
    """What is minimised: cost per token, or devices per token where nothing has a price."""
    if not choice.priced:
        return 1 / x["throughput_per_device"]
    cost = x["cost_per_million_tokens"]
    return cost if math.isfinite(cost) else math.inf


def _against_scales(study: Study, found: Chosen, choice: Choice) -> list[str]:
    said = []
    allowed = c.eligible(study, found.scenario)
    assert choice.chosen is not None
    for name, other in found.choices.items():
        if name == choice.model or not other.chosen:
            continue
        ratio = _worth(other, other.chosen) / _worth(choice, choice.chosen) if other.priced == choice.priced else math.nan
        if not allowed[name][0]:
            score = allowed[name][1]
            why = f"scores {w.number(score)}" if score is not None else "has no published score"
            said.append(f"{name} would cost {w.number(ratio)} times as much, but {why} on {found.scenario.benchmark}, where {w.number(found.scenario.floor.value)} is asked.")
        else:
            said.append(f"{name} meets the quality floor too, at {w.number(ratio)} times the cost.")
    return said


def _binds(study: Study, scenario: Scenario, choice: Choice) -> list[str]:
    """What the time goes into, and what stops a larger batch."""
    best = choice.chosen
    assert best is not None
    said = []
    for phase in ("prefill", "decode"):
        shares = {g: best.outputs.get(f"share_{phase}_{g}", 0.0) for g in GROUPS}
        first, second = sorted(shares, key=lambda g: (-round(shares[g], 6), g))[:2]
        said.append(
            f"{phase.capitalize()} is bound by {BOUNDS[int(best[f'bound_{phase}'])]} (MFU {w.percent(best[f'mfu_{phase}'])}, MBU {w.percent(best[f'mbu_{phase}'])}); "
            f"{w.percent(shares[first])} of its time is {first}, {w.percent(shares[second])} {second}."
        )
    said.append(_next_batch(scenario, choice))
    return said


def _next_batch(scenario: Scenario, choice: Choice) -> str:
    best = choice.chosen
    assert best is not None
    larger = [x for x in c.around(choice.grid, best) if x.batch > best.batch]
    if not larger:
        return f"Batch {best.batch} is the largest that the study tries."
    x = larger[0]
    missed = _missed(scenario, x)
    if missed:
        return f"A batch of {x.batch} is stopped by {', and by '.join(missed)}."
    return f"A batch of {x.batch} would meet the limits but not lower the cost."


def _missed(scenario: Scenario, x: Candidate) -> list[str]:
    """The limits that a candidate misses, in words."""
    missed = []
    if x["fits"] != 1:
        missed.append(f"memory ({w.gigabyte(x['memory_total'])} of {w.gigabyte(x['memory_limit'])})")
    if x["ttft"] > scenario.ttft.value:
        missed.append(f"TTFT ({w.second(x['ttft'])}, limit {w.second(scenario.ttft.value)})")
    if x["tpot"] > scenario.tpot.value:
        missed.append(f"TPOT ({w.second(x['tpot'])}, limit {w.second(scenario.tpot.value)})")
    return missed


def _alternatives(study: Study, choice: Choice) -> list[Row]:
    named = (("cheapest (recommended)", choice.chosen), ("lowest TPOT", choice.fastest), ("fewest devices", choice.fewest))
    return [{"aim": aim, **_deployment(study, x)} for aim, x in named if x]


def _batches(scenario: Scenario, choice: Choice) -> list[Row]:
    best = choice.chosen
    assert best is not None
    return [
        {
            "batch": f"**{x.batch}**" if x.batch == best.batch else x.batch, "ttft": w.second(x["ttft"]), "tpot": w.second(x["tpot"]),
            "per_device": w.number(x["throughput_per_device"]), "cost": w.dollars(x["cost_per_million_tokens"]),
            "verdict": "meets the limits" if not _missed(scenario, x) else "misses " + ", ".join(m.split(" (")[0] for m in _missed(scenario, x)),
        }
        for x in c.around(choice.grid, best)
    ]  # fmt: skip


def _scale(study: Study, found: Chosen, choice: Choice) -> Row:
    """A model scale's row: its best deployment, or why it has none."""
    good, score = c.eligible(study, found.scenario)[choice.model]
    row: Row = {"model": choice.model, "score": w.number(score) if score is not None else "none published", "floor": "met" if good else "not met"}
    best = choice.chosen
    if best is None:
        return row | {"deployment": _short(study, found, choice)["why"], "cost": "-", "ttft": "-", "tpot": "-"}
    head = _headline(study, best).removeprefix(f"{best.model} on ")
    return row | {"deployment": head, "cost": w.dollars(best["cost_per_million_tokens"]), "ttft": w.second(best["ttft"]), "tpot": w.second(best["tpot"])}


def _short(study: Study, found: Chosen, choice: Choice) -> Row:
    """What a model lacks when nothing meets the limits."""
    everything = np.ones(len(choice.grid), dtype=bool)
    short = c.shortfall(choice, found.scenario, everything)
    return {"model": choice.model, "why": _why(study, short)}


def _why(study: Study, short: c.Shortfall) -> str:
    if short.candidate is None:
        return "no device computes in any of the formats"
    at = _headline(study, short.candidate)
    if short.reason == "memory":
        return f"nothing fits: the nearest, {at}, needs {w.gigabyte(short.nearest)} a device of {w.gigabyte(short.limit)}, {w.gigabyte(short.nearest - short.limit)} too much"
    return f"{REASONS[short.reason]}: the nearest, {at}, takes {w.second(short.nearest)} where {w.second(short.limit)} is asked"


def _hardware(study: Study, scenario: Scenario, choice: Choice, cells: dict[tuple[int, int], Candidate | None]) -> list[Row]:
    """Every device for the recommended model: its best deployment and cost, or why it is rejected."""
    rows = []
    best = choice.chosen
    assert best is not None
    for h, device in enumerate(study.hardware):
        found = [x for (i, q), x in cells.items() if i == h and x and study.quantization[q].name in study.keeps_quality]
        if not found:
            short = c.shortfall(choice, scenario, _keeping(study, choice.grid) & (choice.grid.hardware == h))
            rows.append({"hardware": device.title, "deployment": "-", "ttft": "-", "tpot": "-", "cost": "-", "worth": math.inf, "verdict": _rejected(short)})
            continue
        x = min(found, key=lambda x: (_worth(choice, x), w.devices(x), x.scheme))
        worth = _worth(choice, x)
        verdict = "**recommended**" if h == best.hardware else f"{w.number(worth / _worth(choice, best))} times the cost" if math.isfinite(worth) else "no price known: not ranked"
        head = _headline(study, x).partition(" on ")[2].replace(f" x {device.title}", "")
        rows.append({"hardware": device.title, "deployment": head, "ttft": w.second(x["ttft"]), "tpot": w.second(x["tpot"]),
                     "cost": w.dollars(x["cost_per_million_tokens"]), "worth": worth, "verdict": verdict})  # fmt: skip
    return sorted(rows, key=lambda r: (float(f"{r['worth']:.6g}"), r["verdict"].startswith("no") is False, r["hardware"]))


def _keeping(study: Study, grid: Grid) -> np.ndarray:
    return np.isin(grid.scheme, [i for i, s in enumerate(study.quantization) if s.name in study.keeps_quality])


def _rejected(short: c.Shortfall) -> str:
    if short.reason == "memory":
        return f"does not fit: {w.gigabyte(short.nearest - short.limit)} a device too much on {w.devices(short.candidate)}" if short.candidate else ""
    if short.candidate is None:
        return "computes in none of the formats"
    return f"{REASONS[short.reason]}: {w.second(short.nearest)} at best, limit {w.second(short.limit)}"


def _matrix(study: Study, scenario: Scenario, choice: Choice, cells: dict[tuple[int, int], Candidate | None]) -> list[Row]:
    """Cost per million output tokens for each device and scheme, or a word for what is missed."""
    rows = []
    grid = choice.grid
    for h, device in enumerate(study.hardware):
        row: Row = {"hardware": device.title, "cells": []}
        for q in range(len(study.quantization)):
            x = cells[(h, q)]
            if x is None:
                short = c.shortfall(choice, scenario, (grid.hardware == h) & (grid.scheme == q))
                row["cells"].append({"memory": "memory", "ttft": "TTFT", "tpot": "TPOT", "both": "SLO", "untimed": "no format"}[short.reason])
            else:
                cost = x["cost_per_million_tokens"]
                row["cells"].append(w.number(cost) if math.isfinite(cost) else f"fits ({w.devices(x)})")
        rows.append(row)
    return rows


def _memory(x: Candidate) -> str:
    parts = ", ".join(f"{part} {w.gigabyte(x[f'memory_{part}'])}" for part in ("weights", "kv", "activation", "framework"))
    return f"{parts}; together {w.gigabyte(x['memory_total'])} of the {w.gigabyte(x['memory_limit'])} that the engine may use. The largest batch that fits is {int(x['max_batch'])}."


def assumptions(study: Study) -> list[Row]:
    """Every assumed fact that the study used, with what it is and its source."""
    found: dict[tuple[str, str], Fact] = {}
    for device in study.hardware:
        found |= {(device.title, name): f for name, f in device.facts().items()}
    for owner in (study.efficiency, study.engine):
        found |= {(owner.title, name): f for name, f in owner.values.items()}
    for s in study.scenarios:
        found |= {(s.title, n): f for n, f in {"ttft": s.ttft, "tpot": s.tpot, "isl": s.isl, "osl": s.osl, f"{s.benchmark} floor": s.floor}.items()}
    found[("Schemes that keep quality", ", ".join(study.keeps_quality))] = study.quality_source
    return [
        {"of": owner, "what": name, "value": "" if owner.startswith("Schemes") else quantity(f), "note": f.note, "source": str(f.source)}
        for (owner, name), f in found.items()
        if f.kind == "assumed"
    ]


def quantity(f: Fact) -> str:
    """A fact's value in the unit people use."""
    scale = {"B": (1e9, "GB"), "B/s": (1e9, "GB/s"), "FLOP/s": (1e12, "TFLOP/s"), "USD/s": (1 / 3600, "USD/h"), "W": (1, "W"), "1": (1, "")}
    if f.unit == "s":
        return f"{w.number(f.value * 1e6)} us" if f.value < 1e-3 else w.second(f.value)
    factor, unit = scale[f.unit]
    return f"{w.number(f.value / factor, 5)} {unit}".strip()


def platforms(study: Study) -> list[Row]:
    """The table of devices with their figures and sources."""
    rows = []
    for d in study.hardware:
        facts = d.facts()
        sources = dict.fromkeys(str(f.source) for f in facts.values())
        rows.append({
            "title": d.title, "memory": quantity(d.memory), "bandwidth": quantity(d.memory_bandwidth),
            "bf16": quantity(d.peak["bf16"]) if "bf16" in d.peak else "-", "fp8": quantity(d.peak["fp8"]) if "fp8" in d.peak else "-",
            "link": f"{quantity(d.scale_up)} x {int(d.domain.value)}", "tdp": quantity(d.tdp) if d.tdp else "-",
            "price": f"{quantity(d.price)} ({d.price.date})" if d.price else "-", "sources": "; ".join(sources),
        })  # fmt: skip
    return rows


def context(study: Study, found: list[Chosen], parameters: dict[str, int], digest: str) -> Row:
    """The whole context."""
    scenarios = [scenario_context(study, f) for f in found]
    return {
        "study": study, "title": study.title, "path": study.path, "digest": digest, "scenarios": scenarios,
        "models": [{"name": m.model.name, "title": m.model.title, "parameters": f"{parameters[m.model.name]:,}", "source": m.source,
                    "note": m.note} for m in study.models],
        "schemes": [{"name": s.name, "title": s.title, "source": str(s.source), "note": s.note} for s in study.quantization],
        "fallbacks": sorted({line for m in study.models for s in study.quantization for d in study.hardware for line in fallbacks(m.model, s, d)}),
        "platforms": platforms(study), "assumptions": assumptions(study), "notes": study.notes,
        "sizes": {f.scenario.name: sum(len(x.grid) for x in f.choices.values()) for f in found},
        "invalid": {f.scenario.name: int(sum(np.sum(~x.masks.valid) for x in f.choices.values())) for f in found},
    }  # fmt: skip
