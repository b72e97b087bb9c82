"""The library's front door: load a model, list the catalogue, compile a study."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import sympy as sp

from costc.compiled import CostModel
from costc.errors import CostcError
from costc.insight import diff
from costc.insight.diff import Diff
from costc.ir.platform import Efficiency, Hardware, Quantization
from costc.spec.catalog import Catalog, catalog_kind
from costc.spec.model import ModelEntry
from costc.symbols import VARS

if TYPE_CHECKING:
    from costc.report.compile import Outcome

__all__ = ["CostModel", "classes_of", "compare", "compile_study", "listing", "load", "plan_of", "symbol_table"]


def load(model: str | Path, beside: str | Path | None = None) -> CostModel:
    """Load a model by name, alias or spec file.

    Args:
        beside: a folder with the user's own specs (models/, hardware/, ...), looked up first.
    Raises:
        CostcError: no such model; SpecError: a mistake in its spec.
    """
    catalog = Catalog(Path(beside) if beside else None)
    return CostModel(catalog.model(str(model)), catalog)


def listing(kind: str, beside: str | Path | None = None) -> list[dict[str, Any]]:
    """Rows of what there is of a kind: 'models', 'hardware', 'quantization' or 'efficiency'; SI units."""
    catalog = Catalog(Path(beside) if beside else None)
    return [_row[kind](thing) for thing in catalog.all(kind)]


def _model_row(entry: ModelEntry) -> dict[str, Any]:
    model = CostModel(entry)
    return {
        "name": entry.model.name,
        "title": entry.model.title,
        "parameters": model.parameters,
        "buffers": model.buffers,
        "layers": entry.model.num_hidden_layers,
        "kv_byte_per_token": model.kv_byte_per_token(),
        "quantization": entry.model.quantization,
        "max_position_embeddings": entry.model.max_position_embeddings,
    }


def _hardware_row(device: Hardware) -> dict[str, Any]:
    peaks = {f"peak_{d}": device.peak[d].value if d in device.peak else None for d in ("bf16", "fp8", "int8", "fp4")}
    return {
        "name": device.name,
        "title": device.title,
        "memory": device.memory.value,
        "memory_bandwidth": device.memory_bandwidth.value,
        **peaks,
        "scale_up_bandwidth": device.scale_up.value,
        "domain": int(device.domain.value),
        "scale_out_bandwidth": device.scale_out.value if device.scale_out else None,
        "tdp": device.tdp.value if device.tdp else None,
        "price_per_hour": round(device.price.value * 3600, 6) if device.price else None,
    }


def _scheme_row(scheme: Quantization) -> dict[str, Any]:
    return {
        "name": scheme.name,
        "title": scheme.title,
        "weights": scheme.weights.dtype,
        "others": scheme.others,
        "activations": scheme.activations,
        "kv_cache": scheme.kv_cache,
        "compute": scheme.compute,
    }


def _profile_row(profile: Efficiency) -> dict[str, Any]:
    """Counts of its classes, and the mean over them of the held-out errors."""
    errors = [c.held_out.mean for c in profile.classes.values() if c.held_out]
    fitted = sum(1 for c in profile.classes.values() if c.n)
    return {
        "name": profile.name,
        "title": profile.title,
        "device": profile.device or None,
        "engine": profile.engine or None,
        "classes": len(profile.classes),
        "fitted": fitted,
        "mean_error": round(sum(errors) / len(errors), 4) if errors else None,
    }


_row: dict[str, Any] = {
    "models": _model_row,
    "hardware": _hardware_row,
    "quantization": _scheme_row,
    "efficiency": _profile_row,
}


def classes_of(name: str, constants: bool = False, beside: str | Path | None = None) -> list[dict[str, Any]]:
    """Rows of an efficiency profile: one for each class, or with `constants` for each constant of one.

    A profile without classes has a row for each of its values.
    """
    profile = Catalog(Path(beside) if beside else None).efficiency(name)
    if not profile.classes:
        facts = profile.values.items()
        return [{"value": k, "is": f.value, "unit": f.unit, "kind": f.kind, "source": f.source.title} for k, f in facts]
    found = sorted(profile.classes.items())
    if constants:
        return [
            {"class": form, "format": dtype, "constant": k, "value": c.value, "std": c.std, "unit": c.unit, "kind": c.kind}
            for (form, dtype), one in found
            for k, c in one.constants.items()
        ]
    return [
        {
            "class": form,
            "format": dtype,
            "rows": one.n,
            "mean_error": one.held_out.mean if one.held_out else None,
            "median_error": one.held_out.median if one.held_out else None,
            "rests_on": one.source.title,
        }
        for (form, dtype), one in found
    ]


def compare(a: str, b: str, model: str | None = None, hardware: str | None = None, beside: str | Path | None = None) -> Diff:
    """Two models, two devices, or two plans ('tp=8,ep=8') of a model, side by side.

    Raises:
        CostcError: the two are not of one sort, or are not known.
    """
    catalog = Catalog(Path(beside) if beside else None)
    if "=" not in a and "=" not in b and (model or hardware):
        raise CostcError("--model and --hardware are for two plans, such as tp=8 and tp=4,dp=2")
    if "=" in a or "=" in b:
        if model is None:
            raise CostcError("two plans are compared for a model; name it (--model)")
        device = catalog.hardware(hardware) if hardware else None
        return diff.plans(load(model, beside), plan_of(a), plan_of(b), device)
    both = [catalog.kinds_of(name) for name in (a, b)]
    kind = next((k for k in both[0] if k in both[1]), None)
    if kind == "hardware":
        return diff.devices(catalog.hardware(a), catalog.hardware(b))
    if kind is None and both[0] and both[1]:
        raise CostcError(f"{a} is one of {', '.join(both[0])}, {b} of {', '.join(both[1])}; two of one sort are compared")
    return diff.models(load(a, beside), load(b, beside))


def plan_of(text: str) -> dict[str, int]:
    """Degrees from 'tp=8,ep=8'."""
    found: dict[str, int] = {}
    for word in text.split(","):
        name, equals, value = (part.strip() for part in word.partition("="))
        if not equals or not value.isdigit():
            raise CostcError(f"a plan is NAME=N,..., such as tp=8,ep=8; not {text!r}")
        if name in found:
            raise CostcError(f"{name} stands twice in {text!r}")
        found[name] = int(value)
    return found


def symbol_table(expr: sp.Expr) -> list[tuple[str, str, str, str]]:
    """(name, LaTeX, unit, meaning) of the symbols of a formula."""
    return [(v.name, v.tex, v.unit, v.meaning) for v in VARS.values() if v.symbol in expr.free_symbols]


def compile_study(
    path: str | Path, out: str | Path = ".", check: bool = False, say: Callable[[str], None] = lambda text: None
) -> Outcome:
    """Compile a study: write generated/<study>/ and reports/<study>.md under `out`.

    A model spec, a config.json or a folder with one is compiled too, alone: its files go to generated/<model>/.

    Args:
        check: write nothing; the outcome's code is 1 where what lies there is stale.
        say: called with a line about each stage.
    Raises:
        CostcError: a mistake in a spec; nothing is written.
    """
    from costc.report import compile as compiling

    run = compiling.compile_model if catalog_kind(Path(path)) == "models" else compiling.compile_study
    return run(Path(path), Path(out), check, say)
