"""Constants from residuals: robust least squares with priors, bounds and standard deviations, the same on every run.

Minimised is

    sum over rows of rho(r / noise)  +  sum over constants of ((t - prior) / spread)^2

with r a logarithm of predicted over measured and rho(u) = 2 (sqrt(1 + u^2) - 1): a square for rows that are off by less than
the noise, linear beyond, so that a bad row pulls no harder than a good one. A constant's prior counts as one observation
of it, which outweighs a handful of rows that say little about it and is outweighed by many that do. t is the constant's
logarithm where it is a positive scale, else the constant itself.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from costc.latency.form import Constant

Floats = npt.NDArray[np.float64]
Values = dict[str, float]
Residuals = Callable[[Values], Floats]

#: deviation, of the logarithm, that is expected of a row: of the measurement and of the form
NOISE = 0.1
#: from this many rows on, their own spread replaces NOISE in standard deviations
MANY = 30
#: no estimate of the spread goes below this
LEAST_NOISE = 0.01
#: a residual larger than this says no more than this (a form that gives nothing, or no number)
LARGEST = 20.0
#: step of differences, in spreads of the prior
STEP = 1e-4
#: how far from the prior, in its spreads, the further starts lie
AWAY = 0.7


@dataclass(frozen=True)
class Solution:
    """Constants by name: value and standard deviation in the constant's unit.

    Args:
        moved: posterior over prior deviation; below 1 the rows said something about the constant.
        at_bound: constants that lie at their bound.
        noise: spread of the residuals (1.48 times the median absolute deviation).
    """

    values: Values
    std: Values
    moved: Values
    at_bound: tuple[str, ...]
    noise: float


@dataclass(frozen=True)
class _Scaled:
    """The free constants in units of their prior's spread, counted from the prior."""

    constants: tuple[Constant, ...]
    fixed: Values

    @classmethod
    def of(cls, constants: Sequence[Constant]) -> _Scaled:
        for c in constants:
            if not c.low <= c.prior <= c.high or (c.log and c.prior <= 0):
                raise ValueError(f"prior {c.prior} of {c.name} lies outside [{c.low}, {c.high}] or is no positive scale")
        free = tuple(c for c in constants if c.spread > 0 and c.low < c.high)
        return cls(free, {c.name: c.prior for c in constants if c not in free})

    def values(self, x: Floats) -> Values:
        at = {}
        for c, u in zip(self.constants, x.tolist(), strict=True):
            value = c.prior * math.exp(u * c.spread) if c.log else c.prior + u * c.spread
            at[c.name] = min(max(value, c.low), c.high)
        return self.fixed | at

    def bounds(self) -> tuple[Floats, Floats]:
        low, high = [], []
        for c in self.constants:
            low.append(_offset(c, c.low))
            high.append(_offset(c, c.high))
        return np.array(low), np.array(high)


def _offset(c: Constant, value: float) -> float:
    """A value in spreads from the prior; a positive scale goes no further than e^14 from it."""
    if not c.log:
        return (value - c.prior) / c.spread
    ratio = math.log(value / c.prior) if value > 0 else -14.0
    return max(-14.0, min(14.0, ratio)) / c.spread


def solve(
    residuals: Residuals,
    constants: Sequence[Constant],
    noise: float = NOISE,
    screen: Residuals | None = None,
    alike: float = 1.0,
) -> Solution:
    """The constants that minimise the sum above.

    Args:
        residuals: log(predicted / measured) of all rows for values of the constants by name.
        noise: expected deviation of a row.
        screen: residuals of fewer rows, enough to choose between starts.
        alike: rows that count as one, as they are missed in the same way.
    """
    scaled = _Scaled.of(constants)
    if not scaled.constants:
        return Solution(dict(scaled.fixed), dict.fromkeys(scaled.fixed, 0.0), dict.fromkeys(scaled.fixed, 1.0), (), noise)
    starts = [_minimum(screen or residuals, scaled, start, noise, alike) for start in _starts(scaled)]
    # sums differ in the last bits between processors: a later start must be clearly better
    best = starts[0]
    for other in starts[1:]:
        if other[0] < best[0] * (1 - 1e-6) - 1e-9:
            best = other
    if screen is not None:
        best = _minimum(residuals, scaled, best[1], noise, alike)
    return _described(residuals, scaled, best[1], noise, alike)


def _starts(scaled: _Scaled) -> list[Floats]:
    low, high = scaled.bounds()
    signs = np.array([1.0 if i % 2 else -1.0 for i in range(len(low))])
    inside = [np.zeros(len(low)), AWAY * signs, -AWAY * signs]
    gap = 1e-3 * np.minimum(high - low, 1.0)
    return [np.clip(x, low + gap, high - gap) for x in inside]


def _clean(found: Floats) -> Floats:
    return np.clip(np.nan_to_num(found, nan=LARGEST, posinf=LARGEST, neginf=-LARGEST), -LARGEST, LARGEST)


def _jacobian(residuals: Residuals, scaled: _Scaled, x: Floats, at: Floats) -> Floats:
    """Differences of the cleaned residuals, shape (rows, constants), away from the upper bound where it is near."""
    _, high = scaled.bounds()
    columns = []
    for i in range(len(x)):
        step = STEP if x[i] + STEP <= high[i] else -STEP
        moved = x.copy()
        moved[i] += step
        columns.append((_clean(residuals(scaled.values(moved))) - at) / step)
    return np.stack(columns, axis=1)


def _minimum(residuals: Residuals, scaled: _Scaled, start: Floats, noise: float, alike: float) -> tuple[float, Floats]:
    """(cost, place) of the minimum that a start leads to."""
    from scipy.optimize import least_squares

    count = len(start)

    def both(x: Floats) -> Floats:
        return np.concatenate([_clean(residuals(scaled.values(x))) / noise, x])

    def slopes(x: Floats) -> Floats:
        at = _clean(residuals(scaled.values(x)))
        return np.concatenate([_jacobian(residuals, scaled, x, at) / noise, np.eye(count)])

    def loss(z: Floats) -> Floats:
        """Robust for rows; the priors, which come last, stay squares."""
        root = np.sqrt(1 + z)
        rho = np.stack([2 * (root - 1), 1 / root, -0.5 / root**3]) / alike
        rho[:, -count:] = np.stack([z[-count:], np.ones(count), np.zeros(count)])
        return rho

    low, high = scaled.bounds()
    gap = 1e-6 * np.minimum(high - low, 1.0)
    inside = np.clip(start, low + gap, high - gap)
    found = least_squares(both, inside, slopes, bounds=(low, high), loss=loss, xtol=1e-7, ftol=1e-8, gtol=1e-8, max_nfev=200)
    return float(found.cost), np.asarray(found.x, dtype=np.float64)


def _described(residuals: Residuals, scaled: _Scaled, x: Floats, noise: float, alike: float) -> Solution:
    """Values and deviations at a minimum, from the curvature there: rows by their weight, and the priors."""
    at = _clean(residuals(scaled.values(x)))
    jacobian = _jacobian(residuals, scaled, x, at)
    spread = float(1.4826 * np.median(np.abs(at))) if len(at) else noise
    scale = max(spread, LEAST_NOISE) if len(at) >= MANY else noise
    weight = 1 / np.sqrt(1 + (at / noise) ** 2)
    curvature = (jacobian * weight[:, None]).T @ jacobian / (alike * scale**2) + np.eye(len(x))
    deviation = np.sqrt(np.diag(np.linalg.inv(curvature)))
    low, high = scaled.bounds()
    values = scaled.values(x)
    std, moved = dict.fromkeys(scaled.fixed, 0.0), dict.fromkeys(scaled.fixed, 1.0)
    for c, u in zip(scaled.constants, deviation.tolist(), strict=True):
        std[c.name] = u * c.spread * (values[c.name] if c.log else 1.0)
        moved[c.name] = u
    near = [c.name for c, u, a, b in zip(scaled.constants, x, low, high, strict=True) if min(u - a, b - u) < 1e-3]
    return Solution(values, std, moved, tuple(near), spread)


def log_ratio(predicted: Floats, measured: Floats) -> Floats:
    """log(predicted / measured); not a number where nothing positive was predicted."""
    with np.errstate(all="ignore"):
        return np.log(np.where(predicted > 0, predicted, np.nan) / measured)


def replaced(constants: Sequence[Constant], priors: Mapping[str, tuple[float, float]]) -> tuple[Constant, ...]:
    """The constants with other priors (value and spread) where some are given by name."""
    from dataclasses import replace

    return tuple(
        replace(c, prior=min(max(priors[c.name][0], c.low), c.high), spread=priors[c.name][1]) if c.name in priors else c
        for c in constants
    )
