"""Hardware, quantization, efficiency and engine specs."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from costc.dtypes import DTYPES, UNITS
from costc.errors import not_among
from costc.ir.platform import Efficiency, Engine, Format, Hardware, Quantization
from costc.spec.reader import Document, KeyPath, mapping
from costc.spec.validate import FactSpec, SourceSpec, Strict, fact, validate
from costc.symbols import MODULES


class ScaleUpSpec(Strict):
    link: str
    bandwidth: FactSpec
    domain: FactSpec


class ScaleOutSpec(Strict):
    link: str
    bandwidth: FactSpec


class HardwareSpec(Strict):
    """A device; peaks are dense, links per direction."""

    name: str
    title: str
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

    def of(where: tuple[str, ...], given: FactSpec, unit: str):  # type: ignore[no-untyped-def]
        return fact(document, (*path, *where), given, spec.sources, unit)

    for name in spec.peak:
        if name not in UNITS:
            raise document.error((*path, "peak", name), not_among("peak format", name, UNITS))
    domain = of(("scale_up", "domain"), spec.scale_up.domain, "1")
    if domain.value != int(domain.value):
        raise document.error((*path, "scale_up", "domain", "value"), f"{domain.value} devices are no whole number")
    built = Hardware(
        spec.name, spec.title, spec.vendor,
        of(("memory",), spec.memory, "B"), of(("memory_bandwidth",), spec.memory_bandwidth, "B/s"),
        {n: of(("peak", n), f, "FLOP/s") for n, f in spec.peak.items()},
        of(("scale_up", "bandwidth"), spec.scale_up.bandwidth, "B/s"), spec.scale_up.link, domain,
        of(("scale_out", "bandwidth"), spec.scale_out.bandwidth, "B/s") if spec.scale_out else None,
        spec.scale_out.link if spec.scale_out else "",
        of(("tdp",), spec.tdp, "W") if spec.tdp else None,
        of(("price",), spec.price, "USD/s") if spec.price else None,
        document.source,
    )  # fmt: skip
    if built.price and not built.price.date:
        raise document.error((*path, "price"), "a price needs a date: `date: YYYY-MM`")
    return built, tuple(spec.aliases)


class WeightSpec(Strict):
    """`block`: [output rows, input columns] that share a scale, null for the whole extent; bytes of a scale and a zero point."""

    dtype: str
    block: Annotated[list[Annotated[int, Field(gt=0)] | None], Field(min_length=2, max_length=2)] = [None, None]
    scale_byte: Annotated[float, Field(ge=0, strict=False)] = 0.0
    tensor_byte: Annotated[float, Field(ge=0, strict=False)] = 0.0


class QuantizationSpec(Strict):
    name: str
    title: str
    aliases: list[str] = []
    sources: dict[str, SourceSpec]
    source: str
    weights: WeightSpec
    converts: list[str]
    others: str
    activations: str
    dispatch: str
    kv_cache: str
    compute: str
    attention_compute: str
    note: str = ""


def quantization(document: Document) -> tuple[Quantization, tuple[str, ...]]:
    """Build a quantization scheme from its spec; also its aliases."""
    spec = validate(QuantizationSpec, document, mapping(document))
    named = {k: getattr(spec, k) for k in ("others", "activations", "dispatch", "kv_cache", "compute", "attention_compute")}
    for key, name in [*named.items(), ("weights", spec.weights.dtype)]:
        if name not in DTYPES:
            raise document.error((key, "dtype") if key == "weights" else (key,), not_among("dtype", name, DTYPES))
    for i, module in enumerate(spec.converts):
        if module not in MODULES:
            raise document.error(("converts", i), not_among("module", module, MODULES))
    if spec.source not in spec.sources:
        raise document.error(("source",), not_among("source", spec.source, spec.sources))
    w = spec.weights
    stored = Format(w.dtype, (w.block[0], w.block[1]), w.scale_byte, w.tensor_byte)
    built = Quantization(
        spec.name, spec.title, stored, tuple(spec.converts), **named,
        source=spec.sources[spec.source].build(), note=spec.note, origin=document.source,
    )  # fmt: skip
    return built, tuple(spec.aliases)


EFFICIENCY_UNITS = {
    "compute_efficiency": "1", "memory_efficiency": "1", "link_efficiency": "1",
    "launch_latency": "s", "scale_up_latency": "s", "scale_out_latency": "s",
}  # fmt: skip
ENGINE_UNITS = {
    "framework_byte": "B", "memory_utilization": "1", "kv_block": "1", "max_num_batched_tokens": "1",
    "logit_byte": "B", "expert_skew": "1",
}  # fmt: skip


class ProfileSpec(Strict):
    name: str
    title: str
    aliases: list[str] = []
    sources: dict[str, SourceSpec]
    values: dict[str, FactSpec]


def efficiency(document: Document) -> tuple[Efficiency, tuple[str, ...]]:
    """Build an efficiency profile from its spec; also its aliases."""
    spec, values = _profile(document, EFFICIENCY_UNITS)
    for name in ("compute_efficiency", "memory_efficiency", "link_efficiency"):
        if values[name].value > 1:
            raise document.error(("values", name, "value"), f"an efficiency is at most 1, not {values[name].value}")
    return Efficiency(spec.name, spec.title, values, document.source), tuple(spec.aliases)


def engine(document: Document) -> tuple[Engine, tuple[str, ...]]:
    """Build engine settings from their spec; also their aliases."""
    spec, values = _profile(document, ENGINE_UNITS)
    return Engine(spec.name, spec.title, values, document.source), tuple(spec.aliases)


def _profile(document: Document, units: dict[str, str]):  # type: ignore[no-untyped-def]
    spec = validate(ProfileSpec, document, mapping(document))
    for name in spec.values:
        if name not in units:
            raise document.error(("values", name), not_among("value", name, units))
    missing = [name for name in units if name not in spec.values]
    if missing:
        raise document.error(("values",), f"missing values: {', '.join(missing)}")
    return spec, {k: fact(document, ("values", k), v, spec.sources, units[k]) for k, v in spec.values.items()}
