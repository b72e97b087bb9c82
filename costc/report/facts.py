"""The report's tables of facts: devices with sources, and everything that was assumed."""

from __future__ import annotations

from typing import Any

from costc.facts import Fact
from costc.report import words as w
from costc.spec.study import Study
from costc.spec.values import computing

Row = dict[str, Any]


def assumptions(study: Study) -> list[Row]:
    """Every assumed fact that the study used, with what it is and its source."""
    found: dict[tuple[str, str], Fact] = {}
    for device in study.hardware:
        found |= {(device.title, name): f for name, f in device.facts().items()}
    for owner in (study.efficiency, study.engine):
        found |= {(owner.title, name): f for name, f in owner.values.items()}
    for s in study.scenarios:
        found |= {
            (s.title, n): f
            for n, f in {"ttft": s.ttft, "tpot": s.tpot, "isl": s.isl, "osl": s.osl, f"{s.benchmark} floor": s.floor}.items()
        }
    found[("Schemes that keep quality", ", ".join(study.keeps_quality))] = study.quality_source
    return [
        {
            "of": owner,
            "what": name,
            "value": "" if owner.startswith("Schemes") else quantity(f),
            "note": f.note,
            "source": str(f.source),
        }
        for (owner, name), f in found.items()
        if f.kind == "assumed"
    ]


def fallback_table(study: Study) -> list[Row]:
    """For each device, the formats of the study's schemes that it lacks, and what stands in."""
    rows = []
    for device in study.hardware:
        pairs = {
            (c.asked, c.used)
            for m in study.models
            for s in study.quantization
            for c in computing(m.model, s, device)
            if c.asked != c.used
        }
        if pairs:
            said = sorted(f"{asked} in {used}" if used else f"{asked} not at all" for asked, used in pairs)
            rows.append({"hardware": device.title, "computes": "; ".join(said)})
    return rows


def quantity(f: Fact) -> str:
    """A fact's value in the unit people use."""
    scale = {
        "B": (1e9, "GB"),
        "B/s": (1e9, "GB/s"),
        "FLOP/s": (1e12, "TFLOP/s"),
        "USD/s": (1 / 3600, "USD/h"),
        "W": (1, "W"),
        "1": (1, ""),
    }
    if f.unit == "B" and f.value < 1e6:
        return f"{w.plain(f.value)} B"
    if f.unit == "s":
        return f"{w.number(f.value * 1e6)} us" if f.value < 1e-3 else w.second(f.value)
    factor, unit = scale[f.unit]
    return f"{w.plain(f.value / factor)} {unit}".strip()


def platforms(study: Study) -> list[Row]:
    """The table of devices with their figures and sources."""
    rows = []
    for d in study.hardware:
        facts = d.facts()
        sources = dict.fromkeys(str(f.source) for f in facts.values())
        rows.append(
            {
                "title": d.title,
                "memory": quantity(d.memory),
                "bandwidth": quantity(d.memory_bandwidth),
                "bf16": quantity(d.peak["bf16"]) if "bf16" in d.peak else "-",
                "fp8": quantity(d.peak["fp8"]) if "fp8" in d.peak else "-",
                "link": f"{d.scale_up_link}: {quantity(d.scale_up)} x {int(d.domain.value)}",
                "tdp": quantity(d.tdp) if d.tdp else "-",
                "price": f"{quantity(d.price)} ({d.price.date})" if d.price else "-",
                "sources": "; ".join(sources),
            }
        )
    return rows
