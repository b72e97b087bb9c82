"""Hardware, quantization, efficiency and engine specs."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from costc.blocks.refine import base
from costc.dtypes import DTYPES, UNITS
from costc.errors import not_among
from costc.facts import Fact
from costc.ir.platform import ANY, Accuracy, Efficiency, Engine, Format, Hardware, HeldOut, Quantization
from costc.serving.constants import FORM as SERVING
from costc.serving.constants import POOL_FORM as POOLS
from costc.spec.fitted import Classes, HeldOutSpec, classes
from costc.spec.reader import Document, KeyPath, mapping
from costc.spec.validate import FactSpec, Name, SourceSpec, Strict, Title, fact, validate
from costc.symbols import MODULES


class ScaleUpSpec(Strict):
    """The link inside a scale-up domain, and the devices of one; `peer`: to one peer, in a mesh or torus."""

    link: str
    bandwidth: FactSpec
    peer: FactSpec | None = None
    domain: FactSpec


class ScaleOutSpec(Strict):
    """The link between domains."""

    link: str
    bandwidth: FactSpec


class HardwareSpec(Strict):
    """A device; peaks are dense, links per direction."""

    name: Name
    title: Title
    vendor: str
    aliases: list[str] = []
    sources: dict[str, SourceSpec]
    memory: FactSpec
    memory_bandwidth: FactSpec
    peak: Annotated[dict[str, FactSpec], Field(min_length=1)]
    scale_up: ScaleUpSpec
    scale_out: ScaleOutSpec | None = None
    tdp: FactSpec | None = None
    price: FactSpec | None = None


def hardware(document: Document) -> tuple[Hardware, tuple[str, ...]]:
    """Build a device from its spec; also its aliases."""
    return hardware_from(document, mapping(document), ())


def hardware_from(document: Document, data: object, path: KeyPath) -> tuple[Hardware, tuple[str, ...]]:
    """Build a device from a mapping inside a document (an inline definition in a study)."""
    spec = validate(HardwareSpec, document, data, path)

    def of(where: tuple[str, ...], given: FactSpec, unit: str) -> Fact:
        return fact(document, (*path, *where), given, spec.sources, unit)

    for name in spec.peak:
        if name not in UNITS:
            raise document.key_error((*path, "peak", name), not_among("peak format", name, UNITS))
    domain = of(("scale_up", "domain"), spec.scale_up.domain, "1")
    if domain.value != int(domain.value):
        raise document.error((*path, "scale_up", "domain", "value"), f"{domain.value:g} devices are not a whole number")
    built = Hardware(
        spec.name,
        spec.title,
        spec.vendor,
        of(("memory",), spec.memory, "B"),
        of(("memory_bandwidth",), spec.memory_bandwidth, "B/s"),
        {n: of(("peak", n), f, "FLOP/s") for n, f in spec.peak.items()},
        of(("scale_up", "bandwidth"), spec.scale_up.bandwidth, "B/s"),
        of(("scale_up", "peer"), spec.scale_up.peer, "B/s") if spec.scale_up.peer else None,
        spec.scale_up.link,
        domain,
        of(("scale_out", "bandwidth"), spec.scale_out.bandwidth, "B/s") if spec.scale_out else None,
        spec.scale_out.link if spec.scale_out else "",
        of(("tdp",), spec.tdp, "W") if spec.tdp else None,
        of(("price",), spec.price, "USD/s") if spec.price else None,
        document.source,
    )
    if built.price and not built.price.date:
        raise document.key_error((*path, "price"), "missing key 'date'; a price needs the month it was read, YYYY-MM")
    return built, tuple(spec.aliases)


ScaleByte = Annotated[float, Field(ge=0, le=1024)]
BlockSize = Annotated[int, Field(gt=0, le=10**9)]


class WeightSpec(Strict):
    """`block`: [output rows, input columns] that share a scale, null for the whole extent; bytes of a scale and a zero point."""

    dtype: str
    block: Annotated[list[BlockSize | None], Field(min_length=2, max_length=2)] = [None, None]
    scale_byte: ScaleByte = 0.0
    tensor_byte: ScaleByte = 0.0


class ModuleSpec(WeightSpec):
    """How one module's weights are stored where that is not the scheme's own way; `compute`: what it multiplies in."""

    compute: str


class QuantizationSpec(Strict):
    """A scheme: how weights are stored, and in what the rest is kept and computed.

    `modules`: exceptions, for modules stored in another way.
    """

    name: Name
    title: Title
    aliases: list[str] = []
    sources: dict[str, SourceSpec]
    source: str
    weights: WeightSpec
    converts: list[str]
    modules: dict[str, ModuleSpec] = {}
    others: str
    activations: str
    dispatch: str
    kv_cache: str
    compute: str
    attention_compute: str
    note: str = ""


def quantization(document: Document) -> tuple[Quantization, tuple[str, ...]]:
    """Build a quantization scheme from its spec; also its aliases."""
    return quantization_from(document, mapping(document), ())


def quantization_from(document: Document, data: object, path: KeyPath) -> tuple[Quantization, tuple[str, ...]]:
    """Build a scheme from a mapping inside a document (a model's own)."""
    spec = validate(QuantizationSpec, document, data, path)
    named = {k: getattr(spec, k) for k in ("others", "activations", "dispatch", "kv_cache", "compute", "attention_compute")}
    given: dict[KeyPath, str] = {(k,): v for k, v in named.items()} | {("weights", "dtype"): spec.weights.dtype}
    for module, own in spec.modules.items():
        given |= {("modules", module, "dtype"): own.dtype, ("modules", module, "compute"): own.compute}
        if base(module) not in MODULES:
            raise document.key_error((*path, "modules", module), not_among("module", base(module), MODULES))
    for where, name in given.items():
        if name not in DTYPES:
            raise document.error((*path, *where), not_among("dtype", name, DTYPES))
    for i, module in enumerate(spec.converts):
        if module not in MODULES:
            raise document.error((*path, "converts", i), not_among("module", module, MODULES))
    if spec.source not in spec.sources:
        raise document.error((*path, "source"), not_among("source", spec.source, spec.sources))
    built = Quantization(
        spec.name,
        spec.title,
        _format(spec.weights),
        tuple(spec.converts),
        **named,
        modules={name: (_format(own), own.compute) for name, own in spec.modules.items()},
        source=spec.sources[spec.source].build(),
        note=spec.note,
        origin=document.source,
    )
    return built, tuple(spec.aliases)


def _format(given: WeightSpec) -> Format:
    return Format(given.dtype, (given.block[0], given.block[1]), given.scale_byte, given.tensor_byte)


EFFICIENCY_UNITS = {
    "compute_efficiency": "1",
    "memory_efficiency": "1",
    "link_efficiency": "1",
    "launch_latency": "s",
    "scale_up_latency": "s",
    "scale_out_latency": "s",
}
ENGINE_UNITS = {
    "framework_byte": "B",
    "memory_utilization": "1",
    "memory_weight_share": "1",
    "memory_reserved_share": "1",
    "kv_block": "1",
    "max_num_batched_tokens": "1",
    "logit_byte": "B",
    "expert_skew": "1",
    "max_num_seqs": "1",
    "prefill_first": "1",
    "scheduler_interval": "1",
    "batch_wait": "1",
    "dependent_launch": "1",
    "synchronous": "1",
    "unfused_experts": "1",
}


#: settings that an engine may not have
MAY_BE_ZERO = (
    "prefill_first",
    "memory_reserved_share",
    "batch_wait",
    "dependent_launch",
    "synchronous",
    "unfused_experts",
)


class ProfileSpec(Strict):
    """Named values: an efficiency profile or engine settings."""

    name: Name
    title: Title
    aliases: list[str] = []
    sources: dict[str, SourceSpec]
    values: dict[str, FactSpec]


class EfficiencySpec(ProfileSpec):
    """A profile, with constants of operator classes where it was fitted: to what device and engine.

    `rules`: why rows of tables were left out; `removed`: how many each took out, by form and format.
    """

    device: str = ""
    engine: str = ""
    classes: Classes = {}
    rules: dict[str, str] = {}
    removed: dict[str, dict[str, dict[str, Annotated[int, Field(gt=0)]]]] = {}


class AccuracySpec(Strict):
    """Errors of both times on a device."""

    ttft: HeldOutSpec
    tpot: HeldOutSpec


class EngineSpec(ProfileSpec):
    """Settings of an engine, with the constants that were fitted, and errors by device."""

    classes: Classes = {}
    accuracy: dict[str, AccuracySpec] = {}


def efficiency(document: Document) -> tuple[Efficiency, tuple[str, ...]]:
    """Build an efficiency profile from its spec; also its aliases."""
    spec = validate(EfficiencySpec, document, mapping(document))
    values = _values(document, spec, EFFICIENCY_UNITS)
    _at_most_one(document, values, ("compute_efficiency", "memory_efficiency", "link_efficiency"))
    fitted = classes(document, spec.classes, spec.sources)
    removed = {(form, dtype): rows for form, formats in spec.removed.items() for dtype, rows in formats.items()}
    for (form, dtype), rows in removed.items():
        for rule in rows:
            if rule not in spec.rules:
                raise document.key_error(("removed", form, dtype, rule), not_among("rule", rule, spec.rules))
    built = Efficiency(spec.name, spec.title, values, document.source, fitted, spec.device, spec.engine, spec.rules, removed)
    return built, tuple(spec.aliases)


def engine(document: Document) -> tuple[Engine, tuple[str, ...]]:
    """Build engine settings from their spec; also their aliases."""
    spec = validate(EngineSpec, document, mapping(document))
    values = _values(document, spec, ENGINE_UNITS)
    _at_most_one(document, values, ("memory_utilization", "memory_weight_share", "memory_reserved_share", "prefill_first"))
    for name in ("kv_block", "max_num_batched_tokens", "max_num_seqs"):
        if not values[name].value.is_integer():
            raise document.error(("values", name, "value"), f"{values[name].value:g} is not a whole number")
    found = classes(document, spec.classes, spec.sources, {form.name: form for form in (SERVING, POOLS)})
    fitted, pools = (found.get((form.name, ANY)) for form in (SERVING, POOLS))
    off = {device: Accuracy(_errors(a.ttft), _errors(a.tpot)) for device, a in spec.accuracy.items()}
    return Engine(spec.name, spec.title, values, document.source, fitted, pools, off), tuple(spec.aliases)


def _errors(given: HeldOutSpec) -> HeldOut:
    return HeldOut(given.n, given.mean, given.median)


def _at_most_one(document: Document, values: dict[str, Fact], names: tuple[str, ...]) -> None:
    """Fractions are at most 1 (that they are positive, every fact must be)."""
    for name in names:
        if values[name].value > 1:
            raise document.error(("values", name, "value"), f"{name} is a fraction of at most 1, not {values[name].value:g}")


def _values(document: Document, spec: ProfileSpec, units: dict[str, str]) -> dict[str, Fact]:
    """The named values of a profile, all that there are and no others."""
    for name in spec.values:
        if name not in units:
            raise document.key_error(("values", name), not_among("value", name, units))
    missing = [name for name in units if name not in spec.values]
    if missing:
        raise document.key_error(("values",), f"missing values: {', '.join(missing)}; needed: {', '.join(units)}")
    return {k: fact(document, ("values", k), v, spec.sources, units[k], k in MAY_BE_ZERO) for k, v in spec.values.items()}
