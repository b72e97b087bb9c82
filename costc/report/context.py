"""What the report's template is given: plain words and rows, taken from the choices of a study."""

from __future__ import annotations

import math

import numpy as np

from costc.report import argue as a
from costc.report import words as w
from costc.report.argue import Chosen, Row
from costc.report.facts import assumptions, fallback_table, platforms
from costc.report.trust import trust
from costc.search import choose as c
from costc.search.choose import Candidate, Choice
from costc.spec.study import Scenario, Study
from costc.spec.values import fallbacks


def scenario_context(study: Study, found: Chosen) -> Row:
    """Everything the report says of one scenario."""
    s = found.scenario
    context: Row = {
        "name": s.name,
        "title": s.title,
        "isl": int(s.isl.value),
        "osl": int(s.osl.value),
        "limits": f"TTFT {w.second(s.ttft.value)}, TPOT {w.second(s.tpot.value)}",
        "floor": f"{s.benchmark} at least {w.number(s.floor.value)}",
        "scales": [_scale(study, found, choice) for choice in found.choices.values()],
    }
    choice = found.recommended
    if choice is None or choice.chosen is None:
        return context | {"recommended": None, "short": [_short(study, found, x) for x in found.choices.values()]}
    best = choice.chosen
    cells = c.by_cell(study, choice)
    return context | {
        "recommended": a.deployment(study, best),
        "headline": a.headline(study, best),
        "wins": a.wins(study, found, choice, cells),
        "binds": a.binds(s, choice),
        "alternatives": _alternatives(study, choice),
        "batches": _batches(study, s, choice),
        "hardware": _hardware(study, s, choice, cells),
        "matrix": _matrix(study, s, choice, cells),
        "memory": a.memory(best),
        "command": w.command(study, s, best),
        "trust": trust(study, s, choice),
        "fallbacks": fallbacks(choice.grid.model, study.quantization[best.scheme], study.hardware[best.hardware]),
    }


def _alternatives(study: Study, choice: Choice) -> list[Row]:
    named = (("cheapest (recommended)", choice.chosen), ("lowest TPOT", choice.fastest), ("fewest devices", choice.fewest))
    return [{"aim": aim, **a.deployment(study, x)} for aim, x in named if x]


def _batches(study: Study, scenario: Scenario, choice: Choice) -> list[Row]:
    best = choice.chosen
    assert best is not None
    return [
        {
            "batch": f"**{x.batch}**" if x.batch == best.batch else x.batch,
            "ttft": w.timed(study, x, "ttft"),
            "tpot": w.timed(study, x, "tpot"),
            "per_device": w.number(x["throughput_per_device"]),
            "cost": w.dollars(x["cost_per_million_tokens"]),
            "verdict": "meets the limits"
            if not a.missed(scenario, x)
            else "misses " + ", ".join(m.split(" (")[0] for m in a.missed(scenario, x)),
        }
        for x in c.around(choice.grid, best)
    ]


def _scale(study: Study, found: Chosen, choice: Choice) -> Row:
    """A model scale's row: its best deployment, or why it has none."""
    good, score = c.eligible(study, found.scenario)[choice.model]
    row: Row = {
        "model": choice.model,
        "score": w.number(score) if score is not None else "none published",
        "floor": "met" if good else "not met",
    }
    best = choice.chosen
    if best is None:
        return row | {"deployment": _short(study, found, choice)["why"], "cost": "-", "ttft": "-", "tpot": "-"}
    head = a.headline(study, best).removeprefix(f"{best.model} on ")
    return row | {
        "deployment": head,
        "cost": w.dollars(best["cost_per_million_tokens"]),
        "ttft": w.timed(study, best, "ttft"),
        "tpot": w.timed(study, best, "tpot"),
    }


def _short(study: Study, found: Chosen, choice: Choice) -> Row:
    """What a model lacks when nothing meets the limits."""
    everything = np.ones(len(choice.grid), dtype=bool)
    short = c.shortfall(choice, found.scenario, everything)
    return {"model": choice.model, "why": a.why(study, short)}


def _hardware(study: Study, scenario: Scenario, choice: Choice, cells: dict[tuple[int, int], Candidate | None]) -> list[Row]:
    """Every device for the recommended model: its best deployment and cost, or why it is rejected."""
    rows = []
    best = choice.chosen
    assert best is not None
    for h, device in enumerate(study.hardware):
        found = [x for (i, q), x in cells.items() if i == h and x and study.quantization[q].name in study.keeps_quality]
        if not found:
            short = c.shortfall(choice, scenario, c.keeping(study, choice.grid) & (choice.grid.hardware == h))
            rows.append(
                {
                    "hardware": device.title,
                    "deployment": "-",
                    "ttft": "-",
                    "tpot": "-",
                    "cost": "-",
                    "worth": math.inf,
                    "verdict": a.rejected(short),
                }
            )
            continue
        ranked = min(
            found, key=lambda x: (not x.measured, a.worth(choice, x), float(f"{-x['throughput_per_device']:.6g}"), x.scheme)
        )
        x = best if h == best.hardware else ranked
        worth = a.worth(choice, x)
        verdict = (
            "**recommended**"
            if h == best.hardware
            else f"{w.number(worth / a.worth(choice, best))} times the cost{'' if x.measured else ', ' + w.ASSUMED}"
            if math.isfinite(worth)
            else "no price known: not ranked"
        )
        head = a.headline(study, x).partition(" on ")[2].replace(f" x {device.title}", "")
        rows.append(
            {
                "hardware": device.title,
                "deployment": head,
                "ttft": w.timed(study, x, "ttft"),
                "tpot": w.timed(study, x, "tpot"),
                "cost": w.dollars(x["cost_per_million_tokens"]),
                "worth": worth,
                "verdict": verdict,
            }
        )
    return sorted(rows, key=lambda r: (float(f"{r['worth']:.6g}"), r["deployment"] == "-", r["hardware"]))


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
                row["cells"].append(
                    {"memory": "memory", "ttft": "TTFT", "tpot": "TPOT", "both": "SLO", "untimed": "-"}[short.reason]
                )
            else:
                cost = x["cost_per_million_tokens"]
                row["cells"].append(w.number(cost) if math.isfinite(cost) else f"fits ({w.devices(x)})")
        rows.append(row)
    return rows


def context(study: Study, found: list[Chosen], parameters: dict[str, int], digest: str) -> Row:
    """The whole context."""
    scenarios = [scenario_context(study, f) for f in found]
    return {
        "study": study,
        "title": study.title,
        "path": study.path,
        "digest": digest,
        "scenarios": scenarios,
        "models": [
            {
                "name": m.model.name,
                "title": m.model.title,
                "parameters": f"{parameters[m.model.name]:,}",
                "source": m.source,
                "note": m.note,
            }
            for m in study.models
        ],
        "schemes": [{"name": s.name, "title": s.title, "source": str(s.source), "note": s.note} for s in study.quantization],
        "fallbacks": fallback_table(study),
        "platforms": platforms(study),
        "assumptions": assumptions(study),
        "notes": study.notes,
        "sizes": {f.scenario.name: sum(len(x.grid) for x in f.choices.values()) for f in found},
        "invalid": {f.scenario.name: int(sum(np.sum(~x.masks.valid) for x in f.choices.values())) for f in found},
    }
