"""The report's arguments: why a deployment wins, what binds it, why others are rejected."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from costc.report import words as w
from costc.search import choose as c
from costc.search.choose import Candidate, Choice
from costc.serving.metrics import BOUNDS
from costc.serving.phases import GROUPS
from costc.spec.study import Scenario, Study

Row = dict[str, Any]
REASONS = {
    "memory": "does not fit",
    "ttft": "TTFT",
    "tpot": "TPOT",
    "both": "no batch meets TTFT and TPOT together",
    "untimed": "no valid plan",
}


@dataclass(frozen=True)
class Chosen:
    """A scenario with what every model scale offers and what is recommended."""

    scenario: Scenario
    choices: dict[str, Choice]
    recommended: Choice | None


def deployment(study: Study, x: Candidate) -> Row:
    """A candidate in words, for a table's row."""
    return {
        "model": x.model,
        "hardware": study.hardware[x.hardware].title,
        "devices": w.devices(x),
        "plan": w.plan(x),
        "quantization": study.quantization[x.scheme].name,
        "batch": x.batch,
        "ttft": w.timed(study, x, "ttft"),
        "tpot": w.timed(study, x, "tpot"),
        "e2el": w.second(x["e2el"]),
        "per_user": w.number(x["throughput_per_user"]),
        "per_device": w.number(x["throughput_per_device"]),
        "cost": w.dollars(x["cost_per_million_tokens"]),
        "energy": f"{w.number(x['energy_per_token'])} J" if math.isfinite(x["energy_per_token"]) else "no TDP",
    }


def headline(study: Study, x: Candidate) -> str:
    """A candidate in a line."""
    n = w.devices(x)
    return (
        f"{x.model} on {n} x {study.hardware[x.hardware].title}"
        + (f" ({w.plan(x)})" if n > 1 else "")
        + (f", {study.quantization[x.scheme].name}, batch {x.batch}")
    )


def wins(study: Study, found: Chosen, choice: Choice, cells: dict[tuple[int, int], Candidate | None]) -> list[str]:
    """Why it is chosen: against other devices, other schemes, and other scales."""
    best = choice.chosen
    assert best is not None
    said = []
    if not choice.priced:
        said.append(
            "No device that meets the limits has a known price: deployments are ranked by the number of devices, "
            "then by tokens per device."
        )
    kept = {(h, q): x for (h, q), x in cells.items() if x and math.isfinite(worth(choice, x)) and _keeps(study, q)}
    kept = {cell: x for cell, x in kept.items() if x.measured == best.measured}
    others = [x for (h, _), x in kept.items() if h != best.hardware]
    said += _against_devices(study, choice, others) + _unmeasured(study, choice)
    said += _against_schemes(study, choice, [x for (h, q), x in kept.items() if h == best.hardware and q != best.scheme])
    bolder = choice.any_scheme
    if bolder and bolder.scheme != best.scheme and worth(choice, bolder) < worth(choice, best) * (1 - c.NO_DIFFERENCE):
        said.append(
            f"Cheaper still would be {headline(study, bolder)} at {w.dollars(bolder['cost_per_million_tokens'])}; "
            f"it is not recommended, as no benchmark score of the model in {study.quantization[bolder.scheme].name} is cited."
        )
    return said + _against_scales(study, found, choice)


def _unmeasured(study: Study, choice: Choice) -> list[str]:
    """What would be cheaper if the assumed constants of a device were true."""
    best, hope = choice.chosen, choice.unmeasured
    if best is None or hope is None:
        return []
    ratio = w.number(worth(choice, hope) / worth(choice, best))
    return [
        f"By assumed constants {headline(study, hope)} would need {ratio} times the "
        f"{'cost' if choice.priced else 'devices'}; its matrix products were not measured, so it is not recommended: "
        "measure it first."
    ]


def _keeps(study: Study, scheme: int) -> bool:
    return study.quantization[scheme].name in study.keeps_quality


#: a lead below this is within what the model and its prices can tell apart
CLOSE = 1.1


def _against_devices(study: Study, choice: Choice, others: list[Candidate]) -> list[str]:
    """The next best device, and the price at which it would win."""
    best = choice.chosen
    if best is None or not others:
        return []
    nearest = min(others, key=lambda x: (worth(choice, x), x.hardware, x.scheme))
    ratio = worth(choice, nearest) / worth(choice, best)
    device = study.hardware[nearest.hardware]
    name = f"{device.title} ({study.quantization[nearest.scheme].name})"
    if not choice.priced or device.price is None:
        return [f"The next best device, {name}, needs {w.number(ratio)} times as many devices."]
    hourly = device.price.value * 3600
    said = [
        f"The next best device, {name}, costs {w.number(ratio)} times as much per token; it would win at less than "
        f"{w.dollars(hourly / ratio)} an hour instead of {w.dollars(hourly)}."
    ]
    if ratio < CLOSE:
        said.append("That lead is within what these estimates and list prices can tell apart: treat the two as equal.")
    return said


def _against_schemes(study: Study, choice: Choice, others: list[Candidate]) -> list[str]:
    """The next scheme on the same device that differs at all."""
    best = choice.chosen
    unlike = [x for x in others if best and worth(choice, x) > worth(choice, best) * (1 + 5 * c.NO_DIFFERENCE)]
    if best is None or not unlike:
        return []
    nearest = min(unlike, key=lambda x: (worth(choice, x), x.scheme))
    ratio = worth(choice, nearest) / worth(choice, best)
    return [
        f"On the same device the next scheme that differs, {study.quantization[nearest.scheme].name}, costs "
        f"{w.number(ratio)} times as much."
    ]


def worth(choice: Choice, x: Candidate) -> float:
    """What is minimised: cost per token, or devices where nothing has a price."""
    if not choice.priced:
        return x["devices"]
    cost = x["cost_per_million_tokens"]
    return cost if math.isfinite(cost) else math.inf


def _against_scales(study: Study, found: Chosen, choice: Choice) -> list[str]:
    said = []
    allowed = c.eligible(study, found.scenario)
    assert choice.chosen is not None
    for name, other in found.choices.items():
        if name == choice.model or not other.chosen:
            continue
        ratio = worth(other, other.chosen) / worth(choice, choice.chosen) if other.priced == choice.priced else math.nan
        if not allowed[name][0]:
            score = allowed[name][1]
            reason = f"scores {w.number(score)}" if score is not None else "has no published score"
            said.append(
                f"{name} would cost {w.number(ratio)} times as much, but {reason} on {found.scenario.benchmark}, "
                f"where {w.number(found.scenario.floor.value)} is asked."
            )
        else:
            said.append(f"{name} meets the quality floor too, at {w.number(ratio)} times the cost.")
    return said


def binds(scenario: Scenario, choice: Choice) -> list[str]:
    """What the time goes into, and what stops a larger batch."""
    best = choice.chosen
    assert best is not None
    said = []
    for phase in ("prefill", "decode"):
        shares = {g: best.outputs.get(f"share_{phase}_{g}", 0.0) for g in GROUPS}
        first, second = sorted(shares, key=lambda g: (-round(shares[g], 6), g))[:2]
        said.append(
            f"{phase.capitalize()} is bound by {BOUNDS[int(best[f'bound_{phase}'])]} "
            f"(MFU {w.percent(best[f'mfu_{phase}'])}, MBU {w.percent(best[f'mbu_{phase}'])}); "
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
    found = missed(scenario, x)
    if found:
        return f"A batch of {x.batch} is stopped by {', and by '.join(found)}."
    return f"A batch of {x.batch} would meet the limits but not lower the cost."


def missed(scenario: Scenario, x: Candidate) -> list[str]:
    """The limits that a candidate misses, in words."""
    found = []
    if x["fits"] != 1:
        found.append(f"memory ({w.gigabyte(x['memory_total'])} of {w.gigabyte(x['memory_limit'])})")
    if x["ttft"] > scenario.ttft.value:
        found.append(f"TTFT ({w.second(x['ttft'])}, limit {w.second(scenario.ttft.value)})")
    if x["tpot"] > scenario.tpot.value:
        found.append(f"TPOT ({w.second(x['tpot'])}, limit {w.second(scenario.tpot.value)})")
    return found


def why(study: Study, short: c.Shortfall) -> str:
    """Why a model scale has no deployment, and what the nearest lacks."""
    if short.candidate is None:
        return "no plan is valid: its degrees divide neither heads nor experts, or no device computes in any of the formats"
    at = headline(study, short.candidate)
    if short.reason == "memory":
        return (
            f"nothing fits: the nearest, {at}, needs {w.gigabyte(short.nearest)} a device of "
            f"{w.gigabyte(short.limit)}, {w.gigabyte(short.nearest - short.limit)} too much"
        )
    return f"{REASONS[short.reason]}: the nearest, {at}, takes {w.second(short.nearest)} where {w.second(short.limit)} is asked"


def rejected(short: c.Shortfall) -> str:
    """Why a device is rejected, in a few words."""
    if short.reason == "memory":
        return (
            f"does not fit: {w.gigabyte(short.nearest - short.limit)} a device too much on {w.devices(short.candidate)}"
            if short.candidate
            else ""
        )
    if short.candidate is None:
        return "no valid plan, or computes in none of the formats"
    return f"{REASONS[short.reason]}: {w.second(short.nearest)} at best, limit {w.second(short.limit)}"


def memory(x: Candidate) -> str:
    """Memory of a device by part."""
    parts = ", ".join(f"{part} {w.gigabyte(x[f'memory_{part}'])}" for part in ("weights", "kv", "activation", "framework"))
    return (
        f"{parts}; together {w.gigabyte(x['memory_total'])} of the {w.gigabyte(x['memory_limit'])} that the engine may use. "
        f"The largest batch that fits is {int(x['max_batch'])}."
    )
