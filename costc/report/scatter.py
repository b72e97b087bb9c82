"""Predicted against measured, as an SVG that stays small with thousands of points."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

import numpy as np

from costc.calibrate.kernels import Floats
from costc.calibrate.validate import implausible
from costc.report.figures import COLOURS, TITLE, axes_of, plain_ticks, svg

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

TIMES: Final = {"tpot": "time per output token", "ttft": "time to first token"}
ENGINES: Final = {"vllm": "vLLM", "sglang": "SGLang", "trtllm": "TensorRT-LLM"}
#: radius of a dot, points; places of a path's numbers
DOT, PLACES = 2.2, 1


def scatter(ledger: pd.DataFrame, time: str, fold: str) -> str:
    """All rows of a ledger, in milliseconds: measured to the right, predicted upwards, a colour for each engine."""
    figure, axes = axes_of(6.6, 5.8)
    odd = implausible(ledger).to_numpy()
    low, high = _span(ledger[time], ledger[f"{time}_{fold}"])
    axes.fill_between([low, high], [low / 1.25, high / 1.25], [low * 1.25, high * 1.25], color="black", alpha=0.07, linewidth=0)
    axes.plot([low, high], [low, high], color="black", linewidth=0.8)
    for colour, (name, title) in zip(COLOURS, ENGINES.items(), strict=False):
        rows = (ledger["engine"] == name).to_numpy()
        _dots(axes, ledger[rows & ~odd], time, fold, colour, f"{title} ({(rows & ~odd).sum()})")
    _dots(axes, ledger[odd], time, fold, "#999999", f"implausible rows ({odd.sum()})")
    axes.set(xscale="log", yscale="log", xlim=(low, high), ylim=(low, high), aspect="equal")
    axes.set(xlabel=f"measured {TIMES[time]}, ms", ylabel=f"predicted {TIMES[time]}, ms")
    for axis in (axes.xaxis, axes.yaxis):
        plain_ticks(axis)
    axes.tick_params(axis="x", labelrotation=45)
    axes.legend(fontsize=8, frameon=False, loc="upper left")
    figure.suptitle(f"Mean {TIMES[time]}, leave one family out; band: 25 % either way", **TITLE)
    return _rounded(svg(figure, f"accuracy.{time}"))


def _span(*columns: pd.Series[float]) -> tuple[float, float]:
    values = np.concatenate([c.to_numpy() for c in columns])
    values = values[np.isfinite(values) & (values > 0)]
    return float(values.min() / 1.2), float(values.max() * 1.2)


def _dots(axes: Axes, rows: pd.DataFrame, time: str, fold: str, colour: str, label: str) -> None:
    """One path for all dots: a line of no length with round ends for each, far shorter than a marker each."""
    from matplotlib.patches import PathPatch
    from matplotlib.path import Path

    points = _grid(rows[[time, f"{time}_{fold}"]].dropna().to_numpy())
    path = Path(np.repeat(points, 2, axis=0), np.tile([Path.MOVETO, Path.LINETO], len(points)))
    path.should_simplify = False
    axes.add_patch(PathPatch(path, facecolor="none", edgecolor=colour, linewidth=2 * DOT, capstyle="round", alpha=0.55))
    axes.plot([], [], linestyle="none", marker="o", color=colour, markersize=2 * DOT, label=label)


def _grid(points: Floats) -> Floats:
    """Points on a grid of a percent, each once, so that equal figures come from measurements equal up to rounding."""
    if not len(points):
        return points
    found: Floats = 1.01 ** np.unique(np.round(np.log(points) / np.log(1.01)), axis=0)
    return found


def _rounded(text: str) -> str:
    """Paths with fewer places."""

    def short(found: re.Match[str]) -> str:
        return re.sub(r"-?\d+\.\d+", lambda n: f"{float(n[0]):.{PLACES}f}", found[0]).replace(" \n", "\n")

    return re.sub(r'd="M[^"]*"', short, text)
