"""Fits that few rows cannot spoil: below FEW, each row must be predicted from the others better than the defaults predict it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from costc.calibrate.robust import NOISE, Residuals, Solution, Values, solve
from costc.ir.platform import FittedConstant, HeldOut
from costc.latency.form import Constant

#: with fewer rows a fit must prove itself on each of them, or the priors stand
FEW = 30
#: rows that choose between starts
SCREEN = 400
#: posterior over prior deviation from which a constant counts as not fitted
UNMOVED = 0.8
Places = npt.NDArray[np.intp]
#: residuals of the rows at some places
Of = Callable[[Places], Residuals]


def cautious(
    of: Of, count: int, constants: Sequence[Constant], noise: float = NOISE, alike: float = 1.0
) -> tuple[Solution, str, HeldOut | None]:
    """Constants from `count` rows, a note where the priors stand, and, of few rows, their errors when left out one by one."""
    every = np.arange(count)
    if count >= FEW:
        screen = of(every[:: -(-count // SCREEN)]) if count > SCREEN else None
        return solve(of(every), constants, noise, screen, alike), "", None
    prior = {c.name: c.prior for c in constants}
    fitted, assumed = [], []
    for place in range(count):
        one = of(every[[place]])
        fitted.append(_off(one, solve(of(np.delete(every, place)), constants, noise).values))
        assumed.append(_off(one, prior))
    found, stand = _summary(fitted), _summary(assumed)
    if found.mean <= stand.mean:
        return solve(of(every), constants, noise), "", found
    note = (
        f"{count} rows, each predicted from the others, are off by {found.mean:.0%} on average, "
        f"by {stand.mean:.0%} with the default constants, which stand"
    )
    spread = {c.name: c.spread * (c.prior if c.log else 1.0) for c in constants}
    return Solution(prior, spread, dict.fromkeys(prior, 1.0), (), noise), note, stand


def _off(residuals: Residuals, values: Values) -> float:
    return float(np.mean(np.abs(np.expm1(residuals(values)))))


def _summary(off: Sequence[float]) -> HeldOut:
    return HeldOut(len(off), float(np.mean(off)), float(np.median(off)))


def errors_of(residuals: Residuals, values: Values) -> HeldOut:
    """Absolute relative errors of all rows."""
    return _summary(np.abs(np.expm1(residuals(values))).tolist())


def constants_of(constants: Sequence[Constant], solution: Solution) -> dict[str, FittedConstant]:
    """A solution's constants as a profile holds them."""
    kinds = {c.name: "fitted" if solution.moved[c.name] < UNMOVED else "assumed" for c in constants}
    return {c.name: FittedConstant(solution.values[c.name], solution.std[c.name], c.unit, kinds[c.name]) for c in constants}
