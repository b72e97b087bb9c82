"""From hardware, quantization, efficiency and engine to the values of a program's inputs.

The compute format is decided here: where a device lacks one, dtypes.computed_in gives what is used instead.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from costc import dtypes
from costc import symbols as S
from costc.blocks.refine import base, refinements
from costc.ir.model import Model
from costc.ir.platform import ANY, Efficiency, Engine, FittedClass, Format, Hardware, Quantization
from costc.latency.form import Constant
from costc.latency.forms import FORMS
from costc.serving.constants import CONSTANTS as SERVING
from costc.serving.constants import POOL_CONSTANTS as POOLS
from costc.symbols import COMPUTE_MODULES, MODULES

Values = dict[str, float]
#: a block that spans the whole extent: larger than any, so that one block covers it
WHOLE = 1e18
#: constants that a profile without operator classes gives by another name
FOLLOWS = {"direct_efficiency": "link_efficiency", "activation_efficiency": "memory_efficiency"}
#: forms of products with weights
PRODUCTS = ("gemm", "grouped_gemm")
#: bytes per second that stand for a scale-out link where there is none; such plans are invalid
NO_LINK = 1.0


@dataclass(frozen=True)
class Computing:
    """The format a module computes in on a device, asked for and used; `used` is None where there is none."""

    module: str
    asked: str
    used: str | None


def format_of(model: Model, scheme: Quantization, module: str) -> Format:
    """How a module's weights are stored: the model's own scheme leaves out what its checkpoint leaves out."""
    found = _exception(scheme, module)
    if found:
        return found[0]
    module = base(module)
    own = scheme.name == model.quantization
    converted = module in scheme.converts and not (own and module in model.modules_to_not_convert)
    return scheme.weights if converted else Format(scheme.others)


def _exception(scheme: Quantization, module: str) -> tuple[Format, str] | None:
    """What a scheme says of a module or of a part of it."""
    return scheme.modules.get(module) or scheme.modules.get(base(module))


def _refined(model: Model) -> tuple[str, ...]:
    """Parts of modules that the model's own checkpoint stores apart: inputs of their own in every scheme."""
    return refinements(model.scheme.modules if model.scheme else ())


def storage(model: Model, scheme: Quantization) -> Values:
    """Bytes of weights, scales, activations and cache elements."""
    values: Values = {
        "activation_byte": dtypes.dtype(scheme.activations).byte,
        "dispatch_byte": dtypes.dtype(scheme.dispatch).byte,
        "kv_byte": dtypes.dtype(scheme.kv_cache).byte,
        "byte": 1.0,
    }
    for module in (*MODULES, *_refined(model)):
        stored = format_of(model, scheme, module)
        module = S.key(module)
        values[f"weight_byte_{module}"] = dtypes.dtype(stored.dtype).byte
        values[f"block_out_{module}"] = float(stored.block[0] or WHOLE)
        values[f"block_in_{module}"] = float(stored.block[1] or WHOLE)
        values[f"scale_byte_{module}"] = stored.scale_byte
        values[f"tensor_byte_{module}"] = stored.tensor_byte
    return values


def computing(model: Model, scheme: Quantization, device: Hardware) -> tuple[Computing, ...]:
    """The compute format of every module on a device."""
    units = set(device.peak)
    found = []
    for module in (*COMPUTE_MODULES, *_refined(model)):
        asked = _compute(model, scheme, module)
        found.append(Computing(module, asked, dtypes.computed_in(asked, units)))
    return tuple(found)


def _compute(model: Model, scheme: Quantization, module: str) -> str:
    """The format that a scheme wants a module to multiply in."""
    if module.endswith("_core"):
        return scheme.attention_compute
    found = _exception(scheme, module)
    if found:
        return found[1]
    module = base(module)
    converted = format_of(model, scheme, module) == scheme.weights and module in scheme.converts
    return scheme.compute if converted else scheme.others


def rates(model: Model, scheme: Quantization, device: Hardware) -> Values:
    """Peaks in the formats used, bandwidths, sizes, power and price; NaN where a fact is not known."""

    def peak(format_name: str | None) -> float:
        return device.peak[dtypes.dtype(format_name).unit].value if format_name else math.nan

    formats = computing(model, scheme, device)
    own = dtypes.dtype(scheme.activations).byte
    values: Values = {f"peak_{S.key(c.module)}": peak(c.used) for c in formats}
    values |= {f"converts_{S.key(c.module)}": float(c.used is not None and dtypes.dtype(c.used).byte < own) for c in formats}
    return values | {
        "memory_bandwidth": device.memory_bandwidth.value,
        "memory_byte": device.memory.value,
        "scale_up_bandwidth": device.scale_up.value,
        "scale_up_peer_bandwidth": (device.scale_up_peer or device.scale_up).value,
        "scale_out_links": float(device.scale_out is not None),
        "scale_out_bandwidth": device.scale_out.value if device.scale_out else NO_LINK,
        "domain": device.domain.value,
        "tdp": device.tdp.value if device.tdp else math.nan,
        "price": device.price.value if device.price else math.nan,
    }


def settings(engine: Engine) -> Values:
    """Engine settings, and what the engine adds to its operators: nothing where that was not fitted."""
    fitted = [part.constants for part in (engine.fitted, engine.pools) if part]
    found = {name: constant for part in fitted for name, constant in part.items()}
    added = {f"serving_{c.name}": found[c.name].value if c.name in found else c.neutral for c in (*SERVING, *POOLS)}
    return {k: f.value for k, f in engine.values.items()} | added


def constants(model: Model, scheme: Quantization, device: Hardware, profile: Efficiency) -> Values:
    """The constants of all forms of operator time, each for the format that it is computed in."""
    found: Values = {}
    own = formats(model, scheme, device)
    tails = {f"_{S.key(module)}": name for module, name in own.items()}
    for form in FORMS.values():
        classes = {name: profile.fitted(form.name, name) for name in {ANY, *own.values()}}
        for constant in form.constants:
            names = tails if constant.per_dtype else {"": ANY}
            values = {name: _constant(profile, form.name, constant, classes[name]) for name in set(names.values())}
            found |= {f"{form.name}_{constant.name}{tail}": values[name] for tail, name in names.items()}
    return found


def formats(model: Model, scheme: Quantization, device: Hardware) -> dict[str, str]:
    """The format by which each module's constants are looked up."""
    return {c.module: _format(c, model, scheme) for c in computing(model, scheme, device)}


def _format(c: Computing, model: Model, scheme: Quantization) -> str:
    """What constants are fitted by: the format computed in, and where that differs in how it is stored, that too: the cache's
    format for attention, the weights' where they are restored before the product, 'block' for scales of two-dimensional blocks,
    'static' for one scale of the whole tensor, beside which those of activations are known before.
    """
    used = c.used or ANY
    if c.module.endswith("_core"):
        return used if scheme.kv_cache == used else f"{used}:{scheme.kv_cache}"
    stored = format_of(model, scheme, c.module)
    if c.used and dtypes.dtype(stored.dtype).byte < dtypes.dtype(used).byte:
        return f"{used}:{stored.dtype}"
    if all(side and side > 1 for side in stored.block):
        return f"{used}:block"
    scaled = stored.scale_byte or stored.tensor_byte
    return f"{used}:static" if scaled and stored.block == (None, None) else used


def measured(model: Model, scheme: Quantization, device: Hardware, profile: Efficiency) -> bool:
    """Whether a fitted profile rests on measured matrix products in a scheme's formats, whatever the layout of their scales.
    True of a profile that fits nothing: all devices are alike in it."""
    weights = {
        name.removesuffix(":block").removesuffix(":static")
        for m, name in formats(model, scheme, device).items()
        if "_core" not in m
    }
    fitted = {dtype for (form, dtype), c in profile.classes.items() if form in PRODUCTS and c.n}
    return not profile.classes or weights <= fitted


def _constant(profile: Efficiency, form: str, constant: Constant, fitted: FittedClass | None) -> float:
    """A constant's value: fitted; in a fitted profile its prior; else what the profile says for all operators, or neutral."""
    if fitted and constant.name in fitted.constants:
        return fitted.constants[constant.name].value
    if profile.classes:
        return constant.prior
    name = FOLLOWS.get(constant.name, constant.name)
    if name == "hop_latency":
        name = "scale_out_latency" if form.endswith("scale_out") else "scale_up_latency"
    fact = profile.values.get(name)
    return fact.value if fact else constant.neutral


def fallbacks(model: Model, scheme: Quantization, device: Hardware) -> list[str]:
    """A sentence for each format that the device lacks."""
    found: dict[tuple[str, str | None], list[str]] = {}
    for c in computing(model, scheme, device):
        if c.asked != c.used:
            found.setdefault((c.asked, c.used), []).append(c.module)
    return [
        f"{device.title} lacks {asked}; {', '.join(modules)} compute in {used}"
        if used
        else f"{device.title} lacks {asked} and what stands in for it; {', '.join(modules)} cannot be timed"
        for (asked, used), modules in found.items()
    ]
