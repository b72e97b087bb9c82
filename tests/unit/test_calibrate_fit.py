"""Fitting: what synthetic measurements were made with comes back, few rows do no harm, bad rows do not pull."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import numpy as np
import pytest
import sympy as sp
from hypothesis import given, settings
from hypothesis import strategies as st

from costc.calibrate import fit as fitting
from costc.calibrate.fit import Fit, digest, errors, fit, halved, joined, predicted
from costc.calibrate.kernels import Floats, Table
from costc.calibrate.numeric import seconds
from costc.errors import CostcError
from costc.latency.form import BANDWIDTH, PEAK, Constant, Demand, Form
from costc.minmax import Ceiling, Max, Min

LAUNCH = Constant("launch_latency", "s", "time of an empty launch", 4e-6, 0.5, 1e-7, 1e-4, 0.0)
COMPUTE = Constant("compute", "1", "share of the peak", 0.7, 0.3, 0.05, 1.0, 1.0)
MEMORY = Constant("memory", "1", "share of the bandwidth", 0.8, 0.3, 0.05, 1.0, 1.0)
OVERLAP = Constant("overlap", "1", "share of the lesser that is hidden", 0.6, 0.3, 0.0, 1.0, 1.0, log=False)
ROWS, COLUMNS, DEPTH = (Demand(name, "1", name) for name in ("rows", "columns", "depth"))
RATES = {"peak": 1e15, "bandwidth": 3e12}
TRUE = {"launch_latency": 6e-6, "compute": 0.55, "memory": 0.9, "overlap": 0.85}


def form() -> Form:
    m, n, k = ROWS.symbol, COLUMNS.symbol, DEPTH.symbol
    work = 2 * m * n * k / (COMPUTE.symbol * PEAK)
    move = 2 * (m * k + k * n + m * n) / (MEMORY.symbol * BANDWIDTH)
    time = LAUNCH.symbol + Max(work, move) + (1 - OVERLAP.symbol) * Min(work, move)
    return Form("gemm", "a product", (ROWS, COLUMNS, DEPTH), (LAUNCH, COMPUTE, MEMORY, OVERLAP), time)


FORM = form()
PRIOR = {c.name: c.prior for c in FORM.constants}


def table(n: int, seed: int = 0, noise: float = 0.05, held_out: float = 0.5, true: dict[str, float] = TRUE) -> Table:
    chance = np.random.default_rng(seed)
    sizes = {name: 2.0 ** chance.integers(low, 15, n) for name, low in (("rows", 0), ("columns", 7), ("depth", 7))}
    times = seconds(FORM, {**sizes, **RATES, **true}) * np.exp(noise * chance.standard_normal(n))
    return Table("gemm", "device", "engine", "bf16", "1.0", sizes, times, chance.random(n) < held_out)


def only(source: Table, rows: Iterable[int]) -> Table:
    at = np.array(list(rows), dtype=int)
    columns = {k: v[at] for k, v in source.columns.items()}
    return replace(source, columns=columns, seconds=source.seconds[at], held_out=source.held_out[at])


def with_times(source: Table, times: Floats) -> Table:
    return replace(source, seconds=times)


# ---- the form in numpy


def test_a_form_in_numpy_is_the_form() -> None:
    rough = replace(FORM, time=FORM.time + Ceiling(ROWS.symbol / 128) * LAUNCH.symbol / sp.sqrt(1 + DEPTH.symbol))
    given = {"rows": 130.0, "columns": 512.0, "depth": 1023.0, **RATES, **TRUE}
    exact = rough.time.subs({s: given[s.name] for s in rough.time.free_symbols})
    assert seconds(rough, given) == pytest.approx(float(exact), rel=1e-12)
    assert seconds(rough, given | {"rows": np.array([1.0, 130.0])}).shape == (2,)


def test_a_value_that_the_form_needs_is_named() -> None:
    with pytest.raises(CostcError, match="form gemm needs 'bandwidth', which is not given"):
        seconds(FORM, {"rows": 1, "columns": 1, "depth": 1, "peak": 1.0, **TRUE})


# ---- recovery


def test_constants_come_back_from_many_rows() -> None:
    found = fit(FORM, table(4000), RATES)
    for name, value in TRUE.items():
        given = found.constants[name]
        assert given.value == pytest.approx(value, rel=0.02), name
        assert abs(given.value - value) < 5 * given.std, name
        assert given.kind == "fitted"
    assert found.held_out is not None
    assert found.held_out.mean == pytest.approx(0.04, abs=0.01)  # mean absolute deviation of 5 % noise
    assert found.n + found.held_out.n == 4000


@settings(max_examples=12, deadline=None)
@given(st.floats(1e-6, 2e-5), st.floats(0.3, 0.95), st.floats(0.4, 0.95), st.floats(0.1, 0.95), st.integers(0, 10**6))
def test_any_constants_come_back(launch: float, compute: float, memory: float, overlap: float, seed: int) -> None:
    true = {"launch_latency": launch, "compute": compute, "memory": memory, "overlap": overlap}
    found = fit(FORM, table(1500, seed, 0.02, 0.2, true), RATES)
    assert found.values == pytest.approx(true, rel=0.1, abs=0.05)
    assert found.held_out is not None
    assert found.held_out.mean < 0.03


def test_constants_stay_within_their_bounds() -> None:
    """Measurements faster than the datasheet: the shares stop at 1 and are named."""
    fast = table(600)
    found = fit(FORM, with_times(fast, fast.seconds / 3), RATES)
    assert found.values["memory"] <= 1.0
    assert "memory" in found.at_bound


def test_a_constant_that_no_row_depends_on_keeps_its_prior_and_says_so() -> None:
    """One row of a matrix moves bytes and hardly computes."""
    thin = table(800, held_out=0.0)
    found = fit(FORM, only(thin, np.flatnonzero(thin.columns["rows"] == 1)), RATES)
    assert found.constants["compute"].kind == "assumed"
    assert found.values["compute"] == pytest.approx(COMPUTE.prior, rel=0.1)
    assert found.constants["compute"].std == pytest.approx(COMPUTE.spread * COMPUTE.prior, rel=0.2)
    assert found.constants["memory"].kind == "fitted"


# ---- bad rows


@pytest.mark.parametrize("factor", [1000.0, 0.001, 20.0])
def test_a_fifth_of_bad_rows_moves_no_constant_far_and_is_mentioned(factor: float) -> None:
    good = table(3000, held_out=0.0)
    times = good.seconds.copy()
    times[::5] *= factor
    clean, dirty = fit(FORM, good, RATES), fit(FORM, with_times(good, times), RATES)
    assert dirty.values == pytest.approx(clean.values, rel=0.15)
    assert any("600 of 3000 rows are off by more than 10 times" in note for note in dirty.notes)
    assert not clean.notes


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda t: np.where(np.arange(len(t)) == 7, np.nan, t), "seconds is not a number in 1 rows, first in row 7"),
        (lambda t: np.where(np.arange(len(t)) == 3, -t, t), r"time is not positive in 1 rows, first -.* s in row 3"),
        (lambda t: t * 0, "time is not positive in 40 rows, first 0 s in row 0"),
        (lambda t: t * 1000, r"times are \d+ times as long as the form's default constants give.*is their unit right\?"),
        (lambda t: t / 1000, r"times are \d+ times as short"),
    ],
    ids=["nan", "negative", "zero", "too-long", "too-short"],
)
def test_bad_times_are_refused(change: object, said: str) -> None:
    given = table(40)
    with pytest.raises(CostcError, match=said):
        fit(FORM, with_times(given, change(given.seconds)), RATES)  # type: ignore[operator]


def test_no_row_to_fit_is_refused() -> None:
    with pytest.raises(CostcError, match=r"gemm bf16 on device \(engine\): no rows to fit; 20 in all, every one held out"):
        fit(FORM, table(20, held_out=2.0), RATES)


def test_a_missing_demand_is_refused() -> None:
    given = table(20)
    columns = {("row" if k == "rows" else k): v for k, v in given.columns.items()}
    with pytest.raises(CostcError, match="no column for unknown demand 'rows'; allowed: columns, depth, row; did you mean 'row'"):
        fit(FORM, replace(given, columns=columns), RATES)


# ---- few rows


def test_five_rows_help_and_do_no_harm() -> None:
    """Over 25 draws of constants about the priors: no held-out error worse than the prior's by more than 2 points; on
    average it is less than two thirds."""
    before, after = [], []
    for seed in range(25):
        chance = np.random.default_rng(1000 + seed)
        true = {c.name: _drawn(c, chance) for c in FORM.constants}
        given = table(405, seed, 0.05, 0.0, true)
        five, rest = only(given, range(5)), only(given, range(5, 405))
        found = fit(FORM, five, RATES)
        before.append(errors(FORM, rest, RATES, PRIOR).mean)
        after.append(errors(FORM, rest, RATES, found.values).mean)
    worse = np.array(after) - np.array(before)
    assert worse.max() < 0.02, f"five rows made it worse by {worse.max():.3f}"
    assert np.mean(after) < 0.67 * np.mean(before)


def _drawn(constant: Constant, chance: np.random.Generator) -> float:
    off = constant.spread * chance.standard_normal()
    value = constant.prior * np.exp(off) if constant.log else constant.prior + off
    return float(np.clip(value, constant.low * 1.01, constant.high * 0.99))


def test_rows_that_do_not_predict_one_another_leave_the_priors() -> None:
    """Times without any relation to the sizes say nothing, however well a few of them can be met."""
    given = only(table(400, 3, 0.05, 0.0, PRIOR), range(6))
    wild = with_times(given, given.seconds * np.array([8, 1 / 8, 6, 1 / 7, 9, 1 / 9]))
    found = fit(FORM, wild, RATES)
    assert found.values == PRIOR
    assert all(c.kind == "assumed" for c in found.constants.values())
    assert any("6 rows, each predicted from the others" in note for note in found.notes)


def test_one_row_leaves_the_priors_nearly_alone_or_helps() -> None:
    given = table(300, 5, 0.0, 0.0)
    found = fit(FORM, only(given, [0]), RATES)
    assert errors(FORM, given, RATES, found.values).mean < errors(FORM, given, RATES, PRIOR).mean + 0.03


def test_more_rows_are_surer() -> None:
    stds = [fit(FORM, table(n, 1, 0.05, 0.0), RATES).constants["memory"].std for n in (10, 100, 1000)]
    assert stds[0] > 1.5 * stds[1] > 3 * stds[2]


def test_rows_that_scatter_less_are_surer() -> None:
    still, loud = (fit(FORM, table(500, 1, noise, 0.0), RATES).constants["memory"].std for noise in (0.02, 0.2))
    assert loud > 5 * still


def test_priors_of_another_device_are_taken() -> None:
    few = only(table(50, held_out=0.0), range(3))
    near = {"memory": (0.9, 0.02), "overlap": (0.85, 0.02)}
    found = fit(FORM, few, RATES, near)
    assert found.values["memory"] == pytest.approx(0.9, rel=0.03)
    assert found.values["overlap"] == pytest.approx(0.85, abs=0.03)


def test_a_constant_without_spread_is_fixed() -> None:
    found = fit(FORM, table(500), RATES, {"overlap": (0.25, 0.0)})
    assert found.values["overlap"] == 0.25
    assert found.constants["overlap"].std == 0
    assert found.constants["overlap"].kind == "assumed"


# ---- the same from every run


def same(a: Fit, b: Fit) -> bool:
    return (a.constants, a.digest, a.hull, a.in_sample) == (b.constants, b.digest, b.hull, b.in_sample)


def test_fits_are_the_same_from_every_run_and_order_of_rows() -> None:
    given = table(900)
    shuffled = only(given, np.random.default_rng(9).permutation(900))
    assert same(fit(FORM, given, RATES), fit(FORM, given, RATES))
    assert same(fit(FORM, given, RATES), fit(FORM, shuffled, RATES))


def test_the_digest_knows_every_row() -> None:
    given = table(50)
    times = given.seconds.copy()
    times[17] *= 1 + 1e-12
    assert digest(given) == digest(only(given, range(49, -1, -1)))
    assert digest(given) != digest(with_times(given, times))
    assert digest(given) != digest(replace(given, dtype="fp8"))


def test_large_tables_are_sampled_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    given = table(3000, held_out=0.0)
    whole = fit(FORM, given, RATES)
    monkeypatch.setattr(fitting, "MOST", 500)
    part = fit(FORM, given, RATES)
    assert part.values == pytest.approx(whole.values, rel=0.05)
    assert part.n == whole.n == 3000


# ---- what goes with a fit


def test_the_hull_is_that_of_the_fitted_rows() -> None:
    given = table(200)
    given = replace(given, held_out=given.columns["rows"] > 256)
    found = fit(FORM, given, RATES)
    assert found.hull["rows"] == (1, 256)
    assert set(found.hull) == {"rows", "columns", "depth"}


def test_rates_may_differ_by_row() -> None:
    given = table(300)
    alike = {"peak": np.full(300, 1e15), "bandwidth": np.full(300, 3e12)}
    assert same(fit(FORM, given, RATES), fit(FORM, given, alike))
    assert predicted(FORM, given, alike, TRUE).shape == (300,)


def test_joined_tables_are_one() -> None:
    first, second = table(100, 1), replace(table(60, 2), dtype="fp8", version="2.0")
    both = joined([first, second])
    assert (len(both), both.dtype, both.version) == (160, "any", "1.0, 2.0")
    assert both.seconds[100:].tolist() == second.seconds.tolist()


def test_halves_are_made_where_there_are_enough_rows() -> None:
    assert not halved(table(59), FORM).held_out.any()
    out = halved(table(400), FORM).held_out
    assert 120 < out.sum() < 280
    assert out.tolist() == halved(table(400), FORM).held_out.tolist()
