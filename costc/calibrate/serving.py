"""Constants of an engine from serving points: TTFT and TPOT of all points at once, and folds that leave groups out.

What predicts the times is given as a function of the constants, so that this knows neither models nor schedules.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from costc.calibrate.cautious import Places, cautious, constants_of, errors_of
from costc.calibrate.kernels import Floats, Mask
from costc.calibrate.robust import Residuals, Values, log_ratio
from costc.errors import CostcError
from costc.ir.platform import FittedConstant, HeldOut
from costc.latency.form import Constant

#: expected deviation of a point's times, of the logarithm: of the measurement and of the model of the queue
TTFT_NOISE, TPOT_NOISE = 0.14, 0.1
#: points that count as one: those of a model on a device are missed in the same way, so that they are no independent evidence
ALIKE = 80
#: seconds of TTFT and TPOT of every point, at values of the constants by name
Predict = Callable[[Values], tuple[Floats, Floats]]


@dataclass(frozen=True)
class ServingFit:
    """Constants of an engine, with errors of both times over the points that were fitted and over those left out."""

    constants: dict[str, FittedConstant]
    n: int
    ttft: HeldOut | None
    tpot: HeldOut | None
    held_out_ttft: HeldOut | None
    held_out_tpot: HeldOut | None
    at_bound: tuple[str, ...] = ()
    note: str = ""

    @property
    def values(self) -> Values:
        """The constants' values by name."""
        return {name: c.value for name, c in self.constants.items()}


def fit_serving(
    constants: Sequence[Constant], predict: Predict, ttft: Floats, tpot: Floats, held_out: Mask, alike: float = 1.0
) -> ServingFit:
    """Fit the constants to the points that are not held out.

    Args:
        ttft, tpot: measured seconds, shape (n,); NaN where a point has none.
        held_out: points to judge and not to fit, shape (n,).
        alike: points that count as one (`ALIKE` where they are of several models).

    Raises:
        CostcError: no point to fit, or a time that is not positive.
    """
    if not np.any(~held_out):
        raise CostcError(f"no points to fit; {len(held_out)} in all, every one held out")
    for name, times in (("ttft", ttft), ("tpot", tpot)):
        low = np.flatnonzero(times <= 0)
        if len(low):
            raise CostcError(f"{name} is not positive in {len(low)} points, first {times[low[0]]:g} s in point {low[0]}")
    rows = np.flatnonzero(~held_out)
    solution, note, _ = cautious(
        lambda places: _residuals(predict, ttft, tpot, rows[places]), len(rows), constants, TPOT_NOISE, alike
    )
    judged = np.flatnonzero(held_out)
    return ServingFit(
        constants_of(constants, solution),
        len(rows),
        _errors(predict, ttft, 0, rows, solution.values),
        _errors(predict, tpot, 1, rows, solution.values),
        _errors(predict, ttft, 0, judged, solution.values),
        _errors(predict, tpot, 1, judged, solution.values),
        solution.at_bound,
        note,
    )


def folds(
    constants: Sequence[Constant], predict: Predict, ttft: Floats, tpot: Floats, groups: Sequence[str]
) -> dict[str, ServingFit]:
    """For each group of points, a fit that has seen no point of it."""
    names = np.array(groups)
    return {name: fit_serving(constants, predict, ttft, tpot, names == name) for name in sorted(set(groups))}


def _residuals(predict: Predict, ttft: Floats, tpot: Floats, rows: Places) -> Residuals:
    """Logarithms of predicted over measured, TTFT's in units of TPOT's noise; absent times are left out."""
    first, rest = rows[np.isfinite(ttft[rows])], rows[np.isfinite(tpot[rows])]

    def found(values: Values) -> Floats:
        of_first, of_rest = predict(values)
        waits = log_ratio(of_first[first], ttft[first]) * (TPOT_NOISE / TTFT_NOISE)
        return np.concatenate([waits, log_ratio(of_rest[rest], tpot[rest])])

    return found


def _errors(predict: Predict, times: Floats, which: int, rows: Places, values: Values) -> HeldOut | None:
    """Absolute relative errors of one of the two times over rows that have it."""
    own = rows[np.isfinite(times[rows])]
    return errors_of(lambda v: log_ratio(predict(v)[which][own], times[own]), values) if len(own) else None
