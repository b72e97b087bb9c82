"""Constants of an engine from TTFT and TPOT: recovered, left-out groups unseen, absent times left aside."""

from __future__ import annotations

import numpy as np
import pytest

from costc.calibrate.kernels import Floats
from costc.calibrate.robust import Values
from costc.calibrate.serving import Predict, fit_serving, folds
from costc.errors import CostcError
from costc.latency.form import Constant

HOST = Constant("host_latency", "s", "of a step", 2e-3, 0.7, 1e-5, 1e-1, 0.0)
QUEUE = Constant("queue", "1", "share of a burst waited for", 0.5, 0.3, 0.0, 2.0, 0.0, log=False)
TRUE = {"host_latency": 6e-3, "queue": 0.8}
PRIOR = {"host_latency": 2e-3, "queue": 0.5}
N = 120


def engine() -> tuple[Predict, Floats, Floats]:
    """An engine whose TTFT and TPOT follow from the two constants, and noisy measurements of it."""
    chance = np.random.default_rng(4)
    prefill, decode, load = chance.uniform(0.01, 1, N), chance.uniform(0.004, 0.03, N), 2.0 ** chance.integers(0, 9, N)

    def predict(values: Values) -> tuple[Floats, Floats]:
        host = values["host_latency"]
        return (prefill + host) * (1 + values["queue"] * (load - 1) / 20), decode + host

    ttft, tpot = predict(TRUE)
    return predict, ttft * np.exp(0.1 * chance.standard_normal(N)), tpot * np.exp(0.02 * chance.standard_normal(N))


def test_constants_come_back_from_both_times() -> None:
    predict, ttft, tpot = engine()
    found = fit_serving((HOST, QUEUE), predict, ttft, tpot, np.arange(N) % 2 == 1)
    assert found.values == pytest.approx(TRUE, rel=0.1)
    assert (found.n, found.note) == (60, "")
    assert found.held_out_ttft is not None
    assert found.held_out_tpot is not None
    assert found.held_out_ttft.mean < 0.11
    assert found.held_out_tpot.mean < 0.025
    assert all(c.kind == "fitted" for c in found.constants.values())


def test_what_a_time_says_nothing_of_stays_assumed() -> None:
    predict, ttft, tpot = engine()
    found = fit_serving((HOST, QUEUE), predict, ttft * np.nan, tpot, np.zeros(N, dtype=bool))
    assert found.constants["queue"].kind == "assumed"
    assert found.values["queue"] == pytest.approx(QUEUE.prior, abs=1e-3)
    assert found.values["host_latency"] == pytest.approx(6e-3, rel=0.05)
    assert found.constants["host_latency"].std < 2e-4  # absent times do not count as scatter
    assert found.ttft is None
    assert found.held_out_tpot is None


def test_a_fold_has_not_seen_its_group() -> None:
    """A group whose times are all threefold moves every fit but its own."""
    predict, ttft, tpot = engine()
    groups = ["odd" if i < 40 else "even" if i < 80 else "third" for i in range(N)]
    slow = np.where(np.array(groups) == "odd", 3.0, 1.0)
    plain, changed = (
        folds((HOST, QUEUE), predict, ttft, tpot, groups),
        folds((HOST, QUEUE), predict, ttft * slow, tpot * slow, groups),
    )
    assert list(plain) == ["even", "odd", "third"]
    assert changed["odd"].constants == plain["odd"].constants
    assert changed["even"].constants != plain["even"].constants
    assert changed["odd"].held_out_tpot is not None
    assert changed["odd"].held_out_tpot.mean == pytest.approx(2 / 3, abs=0.05)


def test_few_points_that_contradict_one_another_leave_the_defaults() -> None:
    predict, ttft, tpot = engine()
    wild = np.ones(N)
    wild[:6] = [30, 1 / 30, 25, 1 / 25, 40, 1 / 40]
    found = fit_serving((HOST, QUEUE), predict, ttft * wild, tpot * wild, np.arange(N) >= 6)
    assert found.values == PRIOR
    assert "which stand" in found.note


def test_bad_points_are_refused() -> None:
    predict, ttft, tpot = engine()
    with pytest.raises(CostcError, match=f"no points to fit; {N} in all"):
        fit_serving((HOST, QUEUE), predict, ttft, tpot, np.ones(N, dtype=bool))
    with pytest.raises(CostcError, match=r"tpot is not positive in 120 points, first 0 s in point 0"):
        fit_serving((HOST, QUEUE), predict, ttft, tpot * 0, np.zeros(N, dtype=bool))
