"""Printing results: rich tables for people, JSON and CSV for programs."""

from __future__ import annotations

import csv
import io
import json
import math
import sys
from typing import TYPE_CHECKING, Any

from costc.errors import CostcError, not_among

if TYPE_CHECKING:
    import pandas as pd

    from costc.api import CostModel
    from costc.insight.diff import Diff, Row

SWEEP_COLUMNS = (
    "hardware",
    "quantization",
    "efficiency",
    "batch",
    "isl",
    "osl",
    "devices",
    "ttft",
    "tpot",
    "e2el",
    "throughput_per_device",
    "throughput_per_user",
    "memory_total",
    "fits",
    "cost_per_million_tokens",
)


def print_diff(found: Diff, as_json: bool) -> None:
    """Print what differs between two models, devices or plans."""
    if as_json:
        print_json(
            {
                "a": found.a,
                "b": found.b,
                "fields": _diff_rows(found.fields),
                "counts": _diff_rows(found.counts),
                "terms": {name: _diff_rows(rows) for name, rows in found.terms.items()},
            }
        )
        return
    tables = {"fields": found.fields, "counts": found.counts, **{f"terms of {k}": v for k, v in found.terms.items()}}
    if not any(tables.values()):
        print(f"{found.a} and {found.b} do not differ")
    for title, rows in tables.items():
        if rows:
            named = [{title: r.name, found.a: r.a, _other(found): r.b, "ratio": r.ratio, "unit": r.unit} for r in rows]
            kept = [k for k in named[0] if k not in ("ratio", "unit") or any(row[k] not in (None, "") for row in named)]
            print_rows([{k: row[k] for k in kept} for row in named], False, False)


def _other(found: Diff) -> str:
    """The heading of the second column, unlike the first."""
    return found.b if found.b != found.a else f"{found.b} (B)"


def _diff_rows(rows: tuple[Row, ...]) -> list[dict[str, Any]]:
    return [{"name": r.name, "a": r.a, "b": r.b, "ratio": r.ratio, "unit": r.unit} for r in rows]


def clean(value: Any) -> Any:
    """JSON-ready: NaN and infinity become null, numpy numbers plain ones."""
    if isinstance(value, dict):
        return {k: clean(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [clean(v) for v in value]
    if hasattr(value, "item"):
        value = value.item()
    return None if isinstance(value, float) and not math.isfinite(value) else value


def print_json(value: Any) -> None:
    """Print a value as JSON, which has no NaN."""
    print(json.dumps(clean(value), indent=2, allow_nan=False))


def records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """The rows of a frame, keyed by column."""
    return [{str(k): v for k, v in row.items()} for row in frame.to_dict("records")]


def print_rows(
    rows: list[dict[str, Any]], as_json: bool, as_csv: bool, title: str = "", columns: list[str] | None = None
) -> None:
    """Print rows of equal keys; `columns` names them where there may be no row."""
    if as_json:
        print_json(rows)
    elif as_csv:
        buffer = io.StringIO()
        writer = csv.DictWriter(buffer, fieldnames=list(rows[0]) if rows else columns or [], lineterminator="\n")
        writer.writeheader()
        writer.writerows({k: "" if v is None else v for k, v in clean(row).items()} for row in rows)
        print(buffer.getvalue(), end="")
    else:
        _table(rows, title)


def _table(rows: list[dict[str, Any]], title: str) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(title=title or None, title_justify="left", header_style="bold")
    for name in rows[0] if rows else []:
        numeric = all(isinstance(r[name], (int, float)) or r[name] is None for r in rows)
        table.add_column(name, justify="right" if numeric else "left", overflow="fold")
    for row in rows:
        table.add_row(*(_cell(v) for v in clean(row).values()))
    # a pipe has no width of its own: give it room rather than fold figures
    Console(width=None if sys.stdout.isatty() else 240).print(table)


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:,.0f}" if value == int(value) and abs(value) < 1e12 else f"{value:.4g}"
    return f"{value:,}" if isinstance(value, int) else str(value)


def print_result(found: dict[str, Any], frames: dict[str, pd.DataFrame], as_json: bool, as_csv: bool) -> None:
    """Print one evaluated point, with its operator tables where there are any."""
    if as_json:
        print_json(found | {name: records(frame) for name, frame in frames.items()})
        return
    flat = _flat(found)
    if as_csv:
        print_rows([dict(flat)], False, True)
    else:
        print_rows([{"quantity": k, "value": _readable(k, v)} for k, v in flat], False, False)
    for name, frame in frames.items():
        print_rows(records(frame), False, as_csv, name)
    for note in found["notes"]:
        print(f"note: {note}", file=sys.stderr)


def _flat(found: dict[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    rows: list[tuple[str, Any]] = []
    for key, value in found.items():
        if isinstance(value, dict):
            rows += _flat(value, f"{prefix}{key}.")
        elif not isinstance(value, list):
            rows.append((f"{prefix}{key}", value))
    return rows


def _readable(key: str, value: Any) -> str:
    """A figure with the unit that suits it."""
    if not isinstance(value, float):
        return _cell(value)
    for ending, (scale, unit) in {"byte": (1e9, "GB"), "flop": (1e12, "TFLOP")}.items():
        if key.endswith(ending):
            return f"{value / scale:,.6g} {unit}"
    if key.startswith("memory."):
        return f"{value / 1e9:,.4g} GB"
    if key in ("ttft", "tpot", "e2el"):
        return f"{value * 1e3:,.5g} ms"
    if key.startswith("cost"):
        return f"{value:,.4g} USD"
    if "throughput" in key:
        return f"{value:,.5g} /s"
    return f"{value:,.4g} J" if key.startswith("energy") else _cell(value)


def print_sweep(frame: pd.DataFrame, invalid: int, sort: str | None, everything: bool, as_json: bool, as_csv: bool) -> None:
    """Print a sweep; says on stderr how many points were left out."""
    if sort and sort not in frame:
        raise CostcError(not_among("column", sort, list(frame.columns)))
    unfit = int((frame["fits"] == 0).sum())
    shown = frame if everything or as_json or as_csv else frame[frame["fits"] == 1]
    shown = shown.sort_values(sort, kind="stable") if sort else shown
    machine = as_json or as_csv
    rows = records(shown if machine else shown[_columns(shown)])
    for row in rows:
        row["fits"] = bool(row["fits"])
    if rows or machine:
        print_rows(rows, as_json, as_csv, columns=list(frame.columns))
    if invalid:
        print(f"{invalid} points have a size or degree that the model cannot take, and were left out", file=sys.stderr)
    if unfit and not machine:
        print(f"{unfit} points do not fit in memory" + ("" if everything else "; --all shows them"), file=sys.stderr)


def _columns(frame: pd.DataFrame) -> list[str]:
    """The columns of a sweep that people read: the arguments, then the main results."""
    from costc.place.mesh import STRATEGIES

    return [*SWEEP_COLUMNS[:3], *STRATEGIES, *(c for c in SWEEP_COLUMNS[3:] if c in frame)]


def print_formula(model: CostModel, name: str | None, general: bool, latex: bool, as_json: bool, as_csv: bool) -> None:
    """Print a formula with its symbols, or all names."""
    import sympy as sp

    from costc.api import symbol_table

    known = model.formulas()
    if name is None:
        print_rows([{"name": n, "unit": u, "meaning": m} for n, (u, m) in known.items()], as_json, as_csv)
        return
    expr = model.formula(name, bound=not general)
    unit, meaning = known.get(name) or known[name.replace(".", "_")]
    symbols = [{"symbol": n, "latex": t, "unit": u, "meaning": m} for n, t, u, m in symbol_table(expr)]
    if as_json:
        print_json(
            {"name": name, "unit": unit, "meaning": meaning, "expression": str(expr), "latex": sp.latex(expr), "symbols": symbols}
        )
    elif as_csv:
        print_rows(symbols, False, True)
    else:
        print(f"{name} [{unit}]: {meaning}\n\n{sp.latex(expr) if latex else expr}\n")
        print_rows([{k: r[k] for k in ("symbol", "unit", "meaning")} for r in symbols], False, False)


#: figures of a point under a load that people read, with their headings
LOADED = {
    "concurrency": "in flight",
    "request_throughput": "requests/s",
    "ttft": "TTFT, s",
    "tpot": "TPOT, s",
    "e2el": "E2EL, s",
    "output_throughput": "output/s",
    "throughput_per_device": "output/s/device",
    "cost_per_million_tokens": "USD/M output",
    "running": "running",
    "prefill_load": "prefill load",
    "decode_load": "decode load",
    "kv_transfer": "KV transfer, s",
    "prefill_per_decode": "prefill per decode worker",
}


def print_serving(found: dict[str, Any], as_json: bool, as_csv: bool) -> None:
    """Print points under a load, with what runs on what above them."""
    if as_json:
        print_json(found)
        return
    shown = found["points"]
    if not as_csv:
        for name, side in found["sides"].items():
            plan = ", ".join(f"{k}={v}" for k, v in side["plan"].items() if v > 1) or "one device"
            workers = f"{side['workers']} x " if len(found["sides"]) > 1 else ""
            print(f"{name}: {workers}{side['hardware']}, {plan}; efficiency {side['efficiency']}")
        shown = [{LOADED[k]: v for k, v in row.items() if k in LOADED} for row in shown]
    print_rows(shown, False, as_csv)
    for note in found["notes"]:
        print(f"note: {note}", file=sys.stderr)
