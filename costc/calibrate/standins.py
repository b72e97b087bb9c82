"""Constants of another table where an engine's own is absent or unfit. What stands in is marked as assumed, with the spread that
the class has over devices and engines, and its source says whose it is and why.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from costc.calibrate.device import Key, Measured
from costc.calibrate.fit import Fit
from costc.calibrate.profile import VALUE, rounded, tables_source
from costc.dtypes import DTYPES
from costc.facts import Source
from costc.ir.platform import ANY, FittedClass, FittedConstant
from costc.latency.form import Constant, Form
from costc.latency.forms import FORMS
from costc.spec.profiles import ENGINES

Found = Mapping[tuple[str, str], Sequence[Measured]]
MLA: Final = ("prefill_mla", "decode_mla")
HOPPER: Final = ("h100", "h200")
BLACKWELL: Final = ("b200", "gb200", "b300", "gb300")
#: devices with the same processors
SIBLINGS: Final = {
    "h100-sxm": ("h200",),
    "h200": ("h100-sxm",),
    "b200": ("gb200", "b300"),
    "gb200": ("b200", "gb300"),
    "b300": ("gb300", "b200"),
    "gb300": ("b300", "gb200"),
}


@dataclass(frozen=True)
class StandIn:
    """Whose constants stand in, for an engine's forms in some formats on some devices.

    Args:
        formats: as programs ask for them; empty: all.
        devices: first words of their names; empty: all.
        engine, dtype, device: of what stands in; empty: the same.
    """

    owner: str
    forms: tuple[str, ...]
    formats: tuple[str, ...]
    reason: str
    engine: str = ""
    dtype: str = ""
    device: str = ""
    devices: tuple[str, ...] = ()

    def holds(self, key: Key, device: str, engine: str) -> bool:
        """Whether it is about this form and format of this engine on this device."""
        form, dtype = key
        near = not self.devices or device.split("-")[0] in self.devices
        return near and engine == self.owner and form in self.forms and (not self.formats or dtype in self.formats)


#: in this order, before what `_others` says of all
TABLE: Final = (
    StandIn("vllm", MLA, (), "vLLM's MLA was measured as whole blocks alone, which take 0.94 to 1.02 of what follows from"
            " TensorRT-LLM's kernels", engine="trtllm"),
    StandIn("sglang", ("decode_mla",), ("bf16:fp8",), "the benchmark converts the cache of fp8; in the engine's whole block it"
            " takes no longer than bf16", dtype="bf16", devices=HOPPER),
    StandIn("trtllm", ("grouped_gemm",), ("bf16:mxfp4",), "the table starts or reads several times slower than the kernels that"
            " serve gpt-oss", engine="vllm", devices=HOPPER),
    StandIn("trtllm", ("grouped_gemm",), ("bf16:mxfp4",), "the table starts or reads several times slower than the kernels that"
            " serve gpt-oss", engine="sglang", devices=BLACKWELL),
    StandIn("vllm", ("gemm",), ("fp8:block",), "the table was timed eagerly", engine="sglang"),
    StandIn("vllm", ("grouped_gemm",), ("fp8",), "the newest table has a configuration that was not tuned", device="h200",
            devices=("h100",)),
    StandIn("sglang", ("elementwise",), (ANY,), "the table times several kernels of a framework, not one that is fused",
            engine="trtllm"),
    StandIn("sglang", ("scan_prefill", "scan_decode"), (ANY,), "on a device that was shared, repetitions differ by half; vLLM"
            " runs the same kernels", engine="vllm"),
    StandIn("trtllm", ("scan_prefill", "scan_decode"), (ANY,), "the table moves less than its sizes say", engine="vllm"),
)  # fmt: skip
#: formats that no table of any engine times, and the nearest of those that are there
NEAREST: Final = {
    "bf16:mxfp4": ("bf16:int4",),
    "bf16:nvfp4": ("bf16:mxfp4", "bf16:int4"),
    "bf16:int4": ("bf16:mxfp4",),
    ANY: ("bf16", "fp8", "fp8:block", "nvfp4"),
}
#: forms whose weights may be restored before the product
PRODUCTS: Final = ("gemm", "grouped_gemm")
#: the default of a class, in the words of a source
DEFAULT: Final = Source("default of the operator class, from devices and engines that were measured or from publications")


@dataclass(frozen=True)
class Loan:
    """A fit that stands in for another, and why."""

    fit: Fit
    reason: str


def loan(key: Key, device: str, engine: str, found: Found) -> Loan | None:
    """What stands in for the constants of a form and format, or None."""
    for one in TABLE:
        if one.holds(key, device, engine):
            fit = _fit(found, one.device or device, one.engine or engine, (key[0], one.dtype or key[1]))
            if fit:
                return Loan(fit, one.reason)
    return next((Loan(fit, reason) for fit, reason in _others(key, device, engine, found) if fit), None)


def _others(key: Key, device: str, engine: str, found: Found) -> Iterator[tuple[Fit | None, str]]:
    """For what the table does not name: another engine on the device, then a device of the same kind."""
    for other in ENGINES:
        yield _fit(found, device, other, key), f"no table of {engine} that can be used"
    for near in SIBLINGS.get(device, ()):
        for other in (engine, *ENGINES):
            yield _fit(found, near, other, key), f"no table of {device} that can be used"


def _fit(found: Found, device: str, engine: str, key: Key) -> Fit | None:
    return next((one.fit for one in found.get((device, engine), ()) if one.key == key and one.fit), None)


def wanted(device: str, engine: str, found: Found) -> list[Key]:
    """Forms and formats that programs ask for, that are measured somewhere, and that the engine has no table of on the device."""
    own = {one.key for one in found[device, engine] if one.fit}
    near = (device, *SIBLINGS.get(device, ()))
    keys = {one.key for (name, _), parts in found.items() if name in near for one in parts if one.fit and asked(one.dtype)}
    # a scale that is known before costs less; where that was not measured the engine's own table of the format stands
    return sorted(key for key in keys - own if not (key[1] == "fp8:static" and (key[0], "fp8") in own))


def nearest(classes: Mapping[Key, FittedClass]) -> dict[Key, FittedClass]:
    """For formats without constants, those of the nearest format of the same form."""
    found: dict[Key, FittedClass] = {}
    for form, dtype in [(form, ANY) for form in FORMS] + [(form, dtype) for form in PRODUCTS for dtype in NEAREST]:
        near = next((classes[form, other] for other in NEAREST[dtype] if (form, other) in classes), None)
        if near and (form, dtype) not in classes:
            title = near.source.title.split("; stands in")[0]
            said = f"{title}, {near.dtype}; stands in: no table in this format, of which that is the nearest"
            known = {c.name: _widened(c, near.constants[c.name].value) for c in FORMS[form].constants}
            source = Source(said, near.source.url, near.source.date)
            found[form, dtype] = FittedClass(form, dtype, known, source, hull=near.hull)
    return found


def asked(dtype: str) -> bool:
    """Whether programs ask for constants in the format, and not the ledger alone."""
    return dtype == ANY or dtype.partition(":")[0] in DTYPES


def lent(key: Key, given: Loan) -> FittedClass:
    """The class as a profile holds it."""
    form, known = FORMS[key[0]], tables_source(given.fit)
    title = f"{known.title}, {given.fit.dtype}; stands in: {given.reason}"
    constants = {c.name: _widened(c, given.fit.constants[c.name].value) for c in form.constants}
    return FittedClass(*key, constants, Source(title, known.url, known.date), hull=given.fit.hull)


def default(form: Form) -> FittedClass:
    """The defaults of a class as a profile holds them."""
    constants = {c.name: _widened(c, c.prior) for c in form.constants}
    return FittedClass(form.name, ANY, constants, DEFAULT)


def _widened(constant: Constant, value: float) -> FittedConstant:
    """A value with the spread that the class has over devices and engines."""
    std = constant.spread * (value if constant.log else 1.0)
    return FittedConstant(rounded(value, VALUE), rounded(std, 2), constant.unit, "assumed")


def defaults(known: Iterable[Key]) -> list[FittedClass]:
    """Defaults of the forms of which nothing is known in any format."""
    there = {form for form, _ in known}
    return [default(form) for name, form in FORMS.items() if name not in there]
