"""Study specs: which models, platforms, schemes and scenarios to compare, under which limits."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, PositiveInt

from costc.errors import CostcError, SpecError, not_among
from costc.facts import Fact
from costc.ir.platform import Efficiency, Engine, Hardware, Quantization
from costc.spec.catalog import Catalog
from costc.spec.model import ModelEntry
from costc.spec.platform import hardware_from
from costc.spec.reader import Document, KeyPath, mapping, read
from costc.spec.validate import FactSpec, SourceSpec, Strict, fact, validate

Degrees = Annotated[list[PositiveInt], Field(min_length=1)]


class FloorSpec(Strict):
    benchmark: str
    value: FactSpec


class ScenarioSpec(Strict):
    title: str
    isl: FactSpec
    osl: FactSpec
    ttft: FactSpec
    tpot: FactSpec
    quality: FloorSpec


class PlanSpec(Strict):
    """Degrees to try; `ep` 'all' is tp x dp. Combinations over `max_devices` are left out."""

    tp: Degrees
    pp: Degrees
    dp: Degrees
    ep: Annotated[list[PositiveInt | str], Field(min_length=1)]
    max_devices: PositiveInt


class StudySpec(Strict):
    name: Annotated[str, Field(pattern=r"^[a-z0-9_\-]+$")]
    title: str
    sources: dict[str, SourceSpec]
    models: Annotated[list[str], Field(min_length=1)]
    hardware: Annotated[list[str | dict[str, Any]], Field(min_length=1)]
    quantization: Annotated[list[str], Field(min_length=1)]
    efficiency: str
    engine: str = "default"
    scenarios: Annotated[dict[str, ScenarioSpec], Field(min_length=1)]
    plans: PlanSpec
    batches: Degrees
    notes: list[str] = []


@dataclass(frozen=True)
class Scenario:
    """Lengths in tokens, limits in seconds, and the least score on a benchmark."""

    name: str
    title: str
    isl: Fact
    osl: Fact
    ttft: Fact
    tpot: Fact
    benchmark: str
    floor: Fact


@dataclass(frozen=True)
class Study:
    """A study with everything it names resolved."""

    name: str
    title: str
    path: str
    models: tuple[ModelEntry, ...]
    hardware: tuple[Hardware, ...]
    quantization: tuple[Quantization, ...]
    efficiency: Efficiency
    engine: Engine
    scenarios: tuple[Scenario, ...]
    plans: PlanSpec
    batches: tuple[int, ...]
    notes: tuple[str, ...]


def study(path: Path) -> Study:
    """Read a study; names are looked up in the folders beside it, then in the shipped catalogue."""
    document = read(path)
    spec = validate(StudySpec, document, mapping(document))
    catalog = Catalog(path.parent)

    def named(kind: str, name: str, where: KeyPath) -> Any:
        try:
            return catalog.get(kind, name)
        except SpecError:
            raise
        except CostcError as error:
            raise document.error(where, str(error)) from None

    devices = tuple(
        named("hardware", h, ("hardware", i)) if isinstance(h, str) else hardware_from(document, h, ("hardware", i))[0]
        for i, h in enumerate(spec.hardware)
    )
    models = tuple(named("models", m, ("models", i)) for i, m in enumerate(spec.models))
    for i, given in enumerate(spec.plans.ep):
        if isinstance(given, str) and given != "all":
            raise document.error(("plans", "ep", i), not_among("expert-parallel degree", given, ["all"]))
    return Study(
        spec.name, spec.title, str(path), models, devices,
        tuple(named("quantization", q, ("quantization", i)) for i, q in enumerate(spec.quantization)),
        named("efficiency", spec.efficiency, ("efficiency",)), named("engine", spec.engine, ("engine",)),
        tuple(_scenario(document, name, s, spec.sources, models) for name, s in spec.scenarios.items()),
        spec.plans, tuple(spec.batches), tuple([*spec.notes, *catalog.notes]),
    )  # fmt: skip


def _scenario(document: Document, name: str, given: ScenarioSpec, sources: dict[str, SourceSpec], models: tuple[ModelEntry, ...]) -> Scenario:
    def of(key: str, unit: str) -> Fact:
        found = fact(document, ("scenarios", name, key), getattr(given, key), sources, unit)
        if unit == "1" and found.value != int(found.value):
            raise document.error(("scenarios", name, key, "value"), f"{found.value} is no whole number of tokens")
        return found

    known = {benchmark for m in models for benchmark in m.scores}
    if given.quality.benchmark not in known:
        message = not_among("benchmark (of the study's models' scores)", given.quality.benchmark, known)
        raise document.error(("scenarios", name, "quality", "benchmark"), message)
    floor = fact(document, ("scenarios", name, "quality", "value"), given.quality.value, sources, "1")
    return Scenario(name, given.title, of("isl", "1"), of("osl", "1"), of("ttft", "s"), of("tpot", "s"), given.quality.benchmark, floor)
