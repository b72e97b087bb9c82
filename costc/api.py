"""The library's front door: load a model, list the catalogue, compile a study."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import sympy as sp

from costc.compiled import CostModel
from costc.ir.platform import Hardware, Quantization
from costc.spec.catalog import Catalog
from costc.spec.model import ModelEntry
from costc.symbols import VARS

if TYPE_CHECKING:
    from costc.report.compile import Outcome

__all__ = ["CostModel", "compile_study", "listing", "load", "symbol_table"]


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
    """Rows of what there is of a kind: 'models', 'hardware' or 'quantization'; SI units."""
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


_row: dict[str, Any] = {"models": _model_row, "hardware": _hardware_row, "quantization": _scheme_row}


def symbol_table(expr: sp.Expr) -> list[tuple[str, str, str, str]]:
    """(name, LaTeX, unit, meaning) of the symbols of a formula."""
    return [(v.name, v.tex, v.unit, v.meaning) for v in VARS.values() if v.symbol in expr.free_symbols]


def compile_study(
    path: str | Path, out: str | Path = ".", check: bool = False, say: Callable[[str], None] = lambda text: None
) -> Outcome:
    """Compile a study: write generated/<study>/ and reports/<study>.md under `out`.

    Args:
        check: write nothing; the outcome's code is 1 where what lies there is stale.
        say: called with a line about each stage.
    Raises:
        CostcError: a mistake in a spec; nothing is written.
    """
    from costc.report.compile import compile_study as run

    return run(Path(path), Path(out), check, say)
