"""Choosing: what meets the limits, what is cheapest, fastest, smallest, and why others lose.

Figures are rounded before they are compared, so that processors that differ in the last bit choose
alike; a tenth of a percent is no difference. Equals are told apart: the scheme in which the model is
published first, then plan, batch and order in the study.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from costc.place.mesh import STRATEGIES
from costc.search.grid import Grid
from costc.spec.study import Scenario, Study

SHOWN_DIGITS = 6
NO_DIFFERENCE = 1e-3


@dataclass(frozen=True)
class Candidate:
    """One evaluated deployment; `measured`: matrix products of its scheme were, on its device."""

    model: str
    hardware: int
    scheme: int
    plan: dict[str, int]
    batch: int
    measured: bool
    outputs: dict[str, float]

    def __getitem__(self, name: str) -> float:
        return self.outputs[name]


@dataclass(frozen=True)
class Masks:
    """Which candidates of a grid are valid, fit in memory, and meet each limit."""

    valid: np.ndarray
    fits: np.ndarray
    ttft: np.ndarray
    tpot: np.ndarray

    @property
    def good(self) -> np.ndarray:
        return self.valid & self.fits & self.ttft & self.tpot  # type: ignore[no-any-return]


def masks(grid: Grid, scenario: Scenario) -> Masks:
    """Compare a grid with a scenario's limits. A point that cannot be timed (no compute format) is not valid."""
    out = grid.outputs
    return Masks(
        np.isfinite(out["ttft"]), out["fits"] == 1, out["ttft"] <= scenario.ttft.value, ~(out["tpot"] > scenario.tpot.value)
    )


def keeping(study: Study, grid: Grid) -> np.ndarray:
    """Where the scheme is one that keeps a model's quality."""
    return np.isin(grid.scheme, [i for i, s in enumerate(study.quantization) if s.name in study.keeps_quality])


def candidate(grid: Grid, index: int) -> Candidate:
    """The candidate at an index."""
    return Candidate(
        grid.model.name,
        int(grid.hardware[index]),
        int(grid.scheme[index]),
        {name: int(grid.columns[name][index]) for name in STRATEGIES},
        int(grid.columns["batch"][index]),
        bool(grid.measured[index]),
        {name: float(v[index]) for name, v in grid.outputs.items()},
    )


def rounded(values: np.ndarray, digits: int = SHOWN_DIGITS) -> np.ndarray:
    """Values to some significant digits; NaN becomes infinity, so that it ranks last."""
    values = np.where(np.isnan(values), np.inf, values)
    with np.errstate(all="ignore"):
        scale = 10.0 ** (digits - 1 - np.floor(np.log10(np.abs(values))))
        result = np.round(values * scale) / scale
    return np.where(np.isfinite(scale) & np.isfinite(values), result, values)


def best(grid: Grid, mask: np.ndarray, keys: tuple[str, ...]) -> Candidate | None:
    """The candidate in the mask that is least in the keys, in order; '-x' ranks largest first."""
    where = np.flatnonzero(mask)
    if not len(where):
        return None

    def value(key: str) -> np.ndarray:
        return rounded(-grid.outputs[key[1:]][where] if key.startswith("-") else grid.outputs[key][where])

    for key in keys:
        least = np.min(value(key))
        if np.isfinite(least):
            where = where[value(key) <= least + NO_DIFFERENCE * abs(least)]
    order = [~grid.native[where], *(value(k) for k in keys)]
    ties = [grid.columns[k][where] for k in STRATEGIES] + [grid.columns["batch"][where], grid.hardware[where], grid.scheme[where]]
    return candidate(grid, int(where[np.lexsort([*reversed(ties), *reversed(order)])[0]]))


#: cheapest; where nothing has a price, fewest devices
CHEAPEST = ("cost_per_million_tokens", "devices", "-throughput_per_device")
UNPRICED = ("devices", "-throughput_per_device")
FASTEST = ("tpot", "devices")
FEWEST = ("devices", "cost_per_million_tokens", "-throughput_per_device")


@dataclass(frozen=True)
class Choice:
    """What a model scale offers for a scenario; None where nothing meets the limits.

    `unmeasured`: a cheaper deployment whose matrix products were not measured, on its device in its scheme.
    """

    model: str
    grid: Grid
    masks: Masks
    chosen: Candidate | None
    any_scheme: Candidate | None
    fastest: Candidate | None
    fewest: Candidate | None
    unmeasured: Candidate | None
    priced: bool


def choose(study: Study, grid: Grid, scenario: Scenario) -> Choice:
    """The cheapest, the fastest and the smallest deployment that meets the limits, in schemes that keep the model's quality;
    and the cheapest in any scheme: all of those whose matrix products were measured, where there are any."""
    found = masks(grid, scenario)
    able = found.good & keeping(study, grid)
    known = grid.measured
    some = bool(np.any(able & known))
    good, anyhow = (able & known, found.good & known) if some else (able, found.good)
    priced = bool(np.any(good & np.isfinite(grid.outputs["cost_per_million_tokens"])))
    keys = CHEAPEST if priced else UNPRICED
    chosen, unmeasured = best(grid, good, keys), best(grid, able & ~known, keys) if some else None
    if chosen and unmeasured and not unmeasured[keys[0]] < chosen[keys[0]]:
        unmeasured = None
    aims = best(grid, good, FASTEST), best(grid, good, FEWEST)
    return Choice(grid.model.name, grid, found, chosen, best(grid, anyhow, keys), *aims, unmeasured, priced)


def by_cell(study: Study, choice: Choice) -> dict[tuple[int, int], Candidate | None]:
    """The best candidate for each (device, scheme)."""
    grid = choice.grid
    keys = CHEAPEST if choice.priced else UNPRICED
    good = choice.masks.good
    cells = ((h, q) for h in range(len(study.hardware)) for q in range(len(study.quantization)))
    return {(h, q): best(grid, good & (grid.hardware == h) & (grid.scheme == q), keys) for h, q in cells}


@dataclass(frozen=True)
class Shortfall:
    """Why nothing of a part of the grid is good: the first limit that all miss, and by how much the nearest one misses it."""

    reason: str
    limit: float
    nearest: float
    candidate: Candidate | None


def shortfall(choice: Choice, scenario: Scenario, mask: np.ndarray) -> Shortfall:
    """The first limit (memory, then TTFT, then TPOT) that no candidate in the mask meets."""
    grid, m = choice.grid, choice.masks
    out = grid.outputs
    if not np.any(mask & m.valid):
        return Shortfall("untimed", math.nan, math.nan, None)
    if not np.any(mask & m.valid & m.fits):
        found = _least(grid, mask & m.valid, out["memory_total"] - out["memory_limit"])
        return Shortfall("memory", found["memory_limit"], found["memory_total"], found)
    fitting = mask & m.valid & m.fits
    if not np.any(fitting & m.tpot):
        found = _least(grid, fitting, out["tpot"])
        return Shortfall("tpot", scenario.tpot.value, found["tpot"], found)
    if not np.any(fitting & m.ttft):
        found = _least(grid, fitting, out["ttft"])
        return Shortfall("ttft", scenario.ttft.value, found["ttft"], found)
    found = _least(grid, fitting & m.tpot, out["ttft"])
    return Shortfall("both", scenario.ttft.value, found["ttft"], found)


def _least(grid: Grid, mask: np.ndarray, values: np.ndarray) -> Candidate:
    return candidate(grid, int(np.argmin(np.where(mask, rounded(values), np.inf))))


def eligible(study: Study, scenario: Scenario) -> dict[str, tuple[bool, float | None]]:
    """For each model: whether it meets the scenario's quality floor, and its score."""
    found: dict[str, tuple[bool, float | None]] = {}
    for entry in study.models:
        score = entry.scores.get(scenario.benchmark)
        found[entry.model.name] = (score is not None and score.value >= scenario.floor.value, score.value if score else None)
    return found


def recommend(study: Study, scenario: Scenario, choices: dict[str, Choice]) -> Choice | None:
    """Across scales, among those that meet the quality floor: the cheapest (where nothing is priced, the fewest devices)."""
    allowed = eligible(study, scenario)
    able = [c for name, c in choices.items() if allowed[name][0] and c.chosen]

    def key(choice: Choice) -> tuple[Any, ...]:
        assert choice.chosen is not None
        cost = rounded(np.array([choice.chosen["cost_per_million_tokens"]]))[0]
        return (not choice.priced, cost, choice.chosen["devices"], choice.model)

    return min(able, key=key) if able else None


def around(grid: Grid, chosen: Candidate) -> list[Candidate]:
    """The chosen deployment at all batches of the study, smallest first."""
    same = (grid.hardware == chosen.hardware) & (grid.scheme == chosen.scheme)
    for name in STRATEGIES:
        same &= grid.columns[name] == chosen.plan[name]
    return sorted((candidate(grid, int(i)) for i in np.flatnonzero(same)), key=lambda c: c.batch)
