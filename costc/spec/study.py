"""Study specs: which models, platforms, schemes and scenarios to compare, under which limits."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, create_model

from costc.errors import CostcError, SpecError, not_among
from costc.facts import Fact
from costc.ir.platform import Efficiency, Engine, Hardware, Quantization
from costc.place.mesh import STRATEGIES
from costc.spec.catalog import Catalog
from costc.spec.model import ModelEntry
from costc.spec.platform import hardware_from
from costc.spec.profiles import FITTED, fitted_profile
from costc.spec.reader import Document, KeyPath, mapping, read
from costc.spec.validate import BlockName, FactSpec, Name, SourceSpec, Strict, Title, fact, validate

#: title of profiles that differ by device
FITTED_TITLE = "fitted to kernel tables of each device"
#: no deployment comes near
Degree = Annotated[int, Field(gt=0, le=10**6)]
Degrees = Annotated[list[Degree], Field(min_length=1)]
Words = Annotated[list[Degree | str], Field(min_length=1)]
MAX_TOKENS = 10**9


class FloorSpec(Strict):
    """The least score on a benchmark."""

    benchmark: str
    value: FactSpec


class ScenarioSpec(Strict):
    """Lengths and limits of a kind of request."""

    title: Title
    isl: FactSpec
    osl: FactSpec
    ttft: FactSpec
    tpot: FactSpec
    quality: FloorSpec


@dataclass(frozen=True)
class Plans:
    """Degrees to try by strategy; 'all' is every device that the strategy lies over. At most `max_devices` in a replica."""

    degrees: dict[str, tuple[int | str, ...]]
    max_devices: int


def _plans(document: Document, data: Any) -> Plans:
    """Read the plans: a key for each registered strategy (default: degree 1), and `max_devices`."""
    keys: dict[str, Any] = {s.name: (Words if s.over else Degrees, [1]) for s in STRATEGIES.values()}
    spec = validate(create_model("PlanSpec", __base__=Strict, max_devices=(Degree, ...), **keys), document, data, ("plans",))
    degrees = {name: tuple(getattr(spec, name)) for name in STRATEGIES}
    for name, given in degrees.items():
        for i, degree in enumerate(given):
            if isinstance(degree, str) and degree != "all":
                raise document.error(
                    ("plans", name, i), not_among(f"degree of {name} (a whole number, or a word)", degree, ["all"])
                )
    return Plans(degrees, spec.max_devices)  # type: ignore[attr-defined]


class KeepsQualitySpec(Strict):
    """Schemes taken to keep a model's benchmark scores, and who says so."""

    schemes: Annotated[list[str], Field(min_length=1)]
    source: str
    note: str = ""


class StudySpec(Strict):
    """What to compare, and under which limits."""

    name: Name
    title: Title
    sources: dict[str, SourceSpec]
    models: Annotated[list[str], Field(min_length=1)]
    hardware: Annotated[list[str | dict[str, Any]], Field(min_length=1)]
    quantization: Annotated[list[str], Field(min_length=1)]
    keeps_quality: KeepsQualitySpec
    efficiency: str
    engine: str = "default"
    serving: Literal["batch", "continuous"] = "batch"
    scenarios: Annotated[dict[BlockName, ScenarioSpec], Field(min_length=1)]
    plans: dict[str, Any]
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
    """A study with everything it names resolved; `taken` says which of two specs of one name was taken.

    `profiles`: the efficiency of each device, which is `efficiency` but where that is `fitted`.
    """

    name: str
    title: str
    path: str
    models: tuple[ModelEntry, ...]
    hardware: tuple[Hardware, ...]
    quantization: tuple[Quantization, ...]
    keeps_quality: tuple[str, ...]
    quality_source: Fact
    efficiency: Efficiency
    profiles: tuple[Efficiency, ...]
    engine: Engine
    continuous: bool
    scenarios: tuple[Scenario, ...]
    plans: Plans
    batches: tuple[int, ...]
    notes: tuple[str, ...]
    taken: tuple[str, ...]


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
    _distinct(document, "hardware", [d.name for d in devices])
    models = tuple(named("models", m, ("models", i)) for i, m in enumerate(spec.models))
    _distinct(document, "models", [m.model.name for m in models])
    schemes = tuple(named("quantization", q, ("quantization", i)) for i, q in enumerate(spec.quantization))
    _distinct(document, "quantization", [s.name for s in schemes])
    engine = named("engine", spec.engine, ("engine",))
    profiles = tuple(
        fitted_profile(catalog, d.name, engine.name)
        if spec.efficiency == FITTED
        else named("efficiency", spec.efficiency, ("efficiency",))
        for d in devices
    )
    return Study(
        spec.name,
        spec.title,
        str(path),
        models,
        devices,
        schemes,
        *_keeping(document, spec),
        replace(profiles[0], name=FITTED, title=FITTED_TITLE) if spec.efficiency == FITTED else profiles[0],
        profiles,
        engine,
        spec.serving == "continuous",
        tuple(_scenario(document, name, s, spec.sources, models) for name, s in spec.scenarios.items()),
        _plans(document, spec.plans),
        tuple(spec.batches),
        (*spec.notes, *catalog.notes),
        tuple(catalog.notes),
    )


def _keeping(document: Document, spec: StudySpec) -> tuple[tuple[str, ...], Fact]:
    kept = spec.keeps_quality
    for i, name in enumerate(kept.schemes):
        if name not in spec.quantization:
            raise document.error(("keeps_quality", "schemes", i), not_among("scheme of the study", name, spec.quantization))
    said = FactSpec(value=len(kept.schemes), source=kept.source, kind="assumed", note=kept.note)
    return tuple(kept.schemes), fact(document, ("keeps_quality",), said, spec.sources, "1")


def _distinct(document: Document, kind: str, names: list[str]) -> None:
    """No two entries of a list have one name, or names that make one file name: a report could not tell them apart."""
    files = [re.sub(r"\W", "_", name) for name in names]
    for i, name in enumerate(names):
        if files[i] in files[:i]:
            first = files.index(files[i])
            same = f"{name!r} stands twice" if names[first] == name else f"{name!r} is too much like {names[first]!r}"
            raise document.error((kind, i), f"{same} in {kind!r}; first as item {first + 1}")


def _scenario(
    document: Document, name: str, given: ScenarioSpec, sources: dict[str, SourceSpec], models: tuple[ModelEntry, ...]
) -> Scenario:
    def of(key: str, unit: str) -> Fact:
        found = fact(document, ("scenarios", name, key), getattr(given, key), sources, unit)
        at = ("scenarios", name, key, "value")
        if unit == "1" and not found.value.is_integer():
            raise document.error(at, f"{found.value:g} is not a whole number of tokens")
        if unit == "1" and found.value > MAX_TOKENS:
            raise document.error(at, f"{found.value:g} tokens; at most {MAX_TOKENS} are read")
        if found.value == 0:
            raise document.error(at, f"a {key} of 0 s cannot be met; expected more than 0")
        return found

    known = {benchmark for m in models for benchmark in m.scores}
    if given.quality.benchmark not in known:
        message = not_among("benchmark (of the study's models' scores)", given.quality.benchmark, known)
        raise document.error(("scenarios", name, "quality", "benchmark"), message)
    floor = fact(document, ("scenarios", name, "quality", "value"), given.quality.value, sources, "1")
    limits = of("isl", "1"), of("osl", "1"), of("ttft", "s"), of("tpot", "s")
    return Scenario(name, given.title, *limits, given.quality.benchmark, floor)
