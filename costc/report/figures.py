"""Figures of a report, as SVG that is the same from run to run."""

from __future__ import annotations

import io
from typing import Any

import numpy as np

from costc.report.argue import Chosen
from costc.report.words import ASSUMED
from costc.search.choose import Candidate, around, keeping, rounded
from costc.serving.phases import GROUPS
from costc.spec.study import Study

#: colours that stay apart for colour-blind readers (Okabe and Ito 2008)
COLOURS = ("#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9", "#F0E442", "#000000")
MARKERS = "osD^vPX*"
SHOWN = 8
TITLE: dict[str, Any] = {"x": 0.01, "ha": "left", "fontsize": 10}


def figures(study: Study, found: Chosen) -> dict[str, str]:
    """SVG texts by name: the frontier of devices, the batch curve, and where the time goes."""
    if found.recommended is None or found.recommended.chosen is None:
        return {}
    name = found.scenario.name
    return {
        f"{name}_frontier": _frontier(study, found),
        f"{name}_batch": _batch(found),
        f"{name}_time": _time(found),
    }


def axes_of(width: float = 7.0, height: float = 4.0, rows: int = 1) -> tuple[Any, Any]:
    """A figure, and its axes (one, or a column of several)."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    found = figure.subplots(rows, squeeze=False, sharex=rows > 1)[:, 0]
    for axes in found:
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(visible=True, alpha=0.25, linewidth=0.6)
        axes.tick_params(labelsize=8)
    return figure, found if rows > 1 else found[0]


def svg(figure: Any, salt: str) -> str:
    """The text of a figure, the same on every run; `salt` keeps ids of figures on one page apart."""
    import matplotlib as mpl
    from matplotlib.backends.backend_svg import FigureCanvasSVG

    buffer = io.StringIO()
    with mpl.rc_context({"svg.hashsalt": salt, "svg.fonttype": "none", "font.family": "DejaVu Sans"}):
        FigureCanvasSVG(figure).print_svg(buffer, metadata={"Date": None, "Creator": "costc"})
    return "\n".join(line.rstrip() for line in buffer.getvalue().splitlines()) + "\n"


def _frontier(study: Study, found: Chosen) -> str:
    """Tokens per second and device against tokens per second and user: each device's best, for the recommended model.

    Devices show what was measured on them; those on which nothing was are dashed.
    """
    choice = found.recommended
    assert choice is not None
    assert choice.chosen is not None
    grid, good = choice.grid, choice.masks.good & keeping(study, choice.grid)
    known = np.array([np.any(good & grid.measured & (grid.hardware == h)) for h in range(len(study.hardware))])
    good = good & (grid.measured | ~known[grid.hardware])
    figure, axes = axes_of()
    reach = {
        h: float(np.max(grid.outputs["throughput_per_device"][good & (grid.hardware == h)], initial=0))
        for h in range(len(study.hardware))
    }
    shown = sorted((h for h in reach if reach[h] > 0), key=lambda h: (-float(f"{reach[h]:.6g}"), h))[:SHOWN]
    for place, h in enumerate(shown):
        x, y = _upper(
            grid.outputs["throughput_per_user"][good & (grid.hardware == h)],
            grid.outputs["throughput_per_device"][good & (grid.hardware == h)],
        )
        look = {"marker": MARKERS[place], "color": COLOURS[place], "markersize": 4, "linewidth": 1.2}
        label = study.hardware[h].title + ("" if known[h] else f" ({ASSUMED})")
        axes.plot(x, y, **look, linestyle="-" if known[h] else "--", label=label)
    best = choice.chosen
    axes.plot(
        *_rounded(best["throughput_per_user"], best["throughput_per_device"]),
        marker="o",
        markersize=11,
        linestyle="none",
        markerfacecolor="none",
        markeredgecolor="black",
        label="recommended",
    )
    figure.suptitle(f"{found.scenario.title}: {choice.model} within the limits, schemes that keep quality", **TITLE)
    axes.set(
        xlabel="output tokens/s per user",
        ylabel="output tokens/s per device",
        xscale="log",
        yscale="log",
    )
    plain_ticks(axes.xaxis)
    plain_ticks(axes.yaxis)
    axes.legend(fontsize=7, frameon=False, loc="center left", bbox_to_anchor=(1.0, 0.5))
    return svg(figure, f"{found.scenario.name}.frontier")


def _upper(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The upper right frontier: points that no other beats in both."""
    x, y = rounded(x), rounded(y)
    order = np.lexsort((-y, -x))
    x, y = x[order], y[order]
    keep = y > np.concatenate(([-np.inf], np.maximum.accumulate(y)[:-1]))
    return x[keep], y[keep]


def _rounded(*values: float) -> tuple[list[float], ...]:
    return tuple([float(v)] for v in rounded(np.array(values)))


def _batch(found: Chosen) -> str:
    """Throughput per device, and TTFT and TPOT with their limits, of the chosen plan over the batch."""
    choice = found.recommended
    assert choice is not None
    assert choice.chosen is not None
    points = around(choice.grid, choice.chosen)
    batches = [p.batch for p in points]
    figure, (upper, lower) = axes_of(height=5.2, rows=2)
    upper.plot(
        batches, _column(points, "throughput_per_device"), marker="o", color=COLOURS[0], label="output tokens/s per device"
    )
    figure.suptitle(f"{found.scenario.title}: the recommended plan over the batch", **TITLE)
    upper.set(ylabel="output tokens/s per device")
    for name, colour, marker in (("ttft", COLOURS[3], "s"), ("tpot", COLOURS[2], "D")):
        lower.plot(batches, _column(points, name), marker=marker, color=colour, linewidth=1.2, label=name.upper())
        limit = getattr(found.scenario, name).value
        lower.axhline(limit, color=colour, linestyle="--", linewidth=0.9, label=f"{name.upper()} limit")
    lower.set(xlabel="batch", ylabel="seconds")
    fits = max((p.batch for p in points if p["fits"] == 1), default=batches[0])
    for axes in (upper, lower):
        axes.set(xscale="log", yscale="log")
        plain_ticks(axes.yaxis)
        axes.set_xticks(batches, [str(b) for b in batches], fontsize=7)
        axes.minorticks_off()
        axes.axvline(choice.chosen.batch, color="black", linewidth=0.9, linestyle=":", label="chosen")
        if fits < batches[-1]:
            axes.axvspan(fits, batches[-1], color="grey", alpha=0.15, label="does not fit")
        axes.legend(fontsize=7, frameon=False, loc="center left", bbox_to_anchor=(1.0, 0.5))
    return svg(figure, f"{found.scenario.name}.batch")


def plain_ticks(axis: Any) -> None:
    """Figures instead of powers of ten."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_formatter(NullFormatter())


def _column(points: list[Candidate], name: str) -> np.ndarray:
    return rounded(np.array([p[name] for p in points]))


def _time(found: Chosen) -> str:
    """Share of the time of each operator group, for each model scale's best deployment."""
    bars: list[tuple[str, Candidate, str]] = []
    for choice in found.choices.values():
        if choice.chosen:
            bars += [(f"{choice.model}, {phase}", choice.chosen, phase) for phase in ("prefill", "decode")]
    figure, axes = axes_of(height=0.6 + 0.38 * len(bars))
    labels = [label for label, _, _ in bars][::-1]
    left = np.zeros(len(bars))
    for place, group in enumerate(GROUPS):
        values = np.round([100 * x.outputs.get(f"share_{phase}_{group}", 0.0) for _, x, phase in bars][::-1], 3)
        if values.max() >= 0.05:
            axes.barh(labels, values, left=left, color=COLOURS[place], label=group, height=0.7)
        left = left + values
    figure.suptitle(f"{found.scenario.title}: where the time of each model's cheapest deployment goes", **TITLE)
    axes.set(xlabel="share of the time, %", xlim=(0, 100))
    axes.tick_params(axis="y", labelsize=7)
    axes.grid(visible=False, axis="y")
    axes.legend(fontsize=7, frameon=False, loc="center left", bbox_to_anchor=(1.0, 0.5))
    return svg(figure, f"{found.scenario.name}.time")
