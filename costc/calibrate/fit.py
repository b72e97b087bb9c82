"""Fitting a form's constants to a table of measurements."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from costc.calibrate.cautious import FEW, Places, cautious, constants_of, errors_of
from costc.calibrate.kernels import Floats, Mask, Removed, Table
from costc.calibrate.numeric import seconds
from costc.calibrate.robust import NOISE, Residuals, Values, log_ratio, replaced
from costc.calibrate.split import HELD_OUT, side
from costc.errors import CostcError, not_among
from costc.ir.platform import ANY, FittedConstant, HeldOut
from costc.latency.form import Form

#: rows that enter one fit at most: every k-th of the rows in a fixed order
MOST = 6000
#: how many times the default constants' time a table's median may be before its unit is in doubt
UNIT = 100.0
#: how far off a row must be to be named
OFF = 10.0
Rates = Mapping[str, "float | Floats"]
Priors = Mapping[str, tuple[float, float]]


@dataclass(frozen=True)
class Fit:
    """Constants of one form from one table.

    Args:
        n: rows that were fitted.
        held_out: errors on rows that were not; of fewer than FEW rows, each predicted from the others.
        in_sample: errors on the rows that were fitted.
        hull: lowest and highest of each demand among the rows fitted.
        at_bound: constants that lie at a bound of their form.
        notes: what a user should hear.
    """

    form: str
    device: str
    engine: str
    dtype: str
    version: str
    constants: dict[str, FittedConstant]
    n: int
    held_out: HeldOut | None
    in_sample: HeldOut
    hull: dict[str, tuple[float, float]]
    digest: str
    at_bound: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    removed: tuple[Removed, ...] = ()

    @property
    def values(self) -> Values:
        """The constants' values by name."""
        return {name: c.value for name, c in self.constants.items()}


def fit(form: Form, table: Table, rates: Rates, priors: Priors | None = None, noise: float = NOISE) -> Fit:
    """Fit a form's constants to the rows of a table that are not held out.

    Args:
        rates: `peak`, `bandwidth` and whatever else the form needs, each a number or one for each row.
        priors: value and spread, by constant, in place of the form's own.

    Raises:
        CostcError: no rows, a demand that the table lacks, or a time that is not a positive number.
    """
    _check(form, table, rates)
    constants = replaced(form.constants, priors or {})
    inputs = _rows(table, rates)
    own = _ordered(form, inputs, table.seconds, ~table.held_out)
    _check_unit(table, _residuals(form, inputs, table.seconds, own)({c.name: c.prior for c in constants}))
    rows = own[:: -(-len(own) // MOST)]
    solution, note, left_out = cautious(
        lambda places: _residuals(form, inputs, table.seconds, rows[places]), len(rows), constants, noise
    )
    judged = np.flatnonzero(table.held_out)
    held_out = _errors(form, inputs, table.seconds, judged, solution.values) if len(judged) else left_out
    notes = (f"{form.name}: {note}",) if note else ()
    return Fit(
        form.name,
        table.device,
        table.engine,
        table.dtype,
        table.version,
        constants_of(constants, solution),
        len(own),
        held_out,
        _errors(form, inputs, table.seconds, own, solution.values),
        {d.name: _range(table.columns[d.name][own]) for d in form.demands},
        digest(table),
        solution.at_bound,
        (*notes, *_off(form, _residuals(form, inputs, table.seconds, own)(solution.values))),
        table.removed,
    )


def errors(form: Form, table: Table, rates: Rates, values: Values, rows: Mask | None = None) -> HeldOut:
    """Absolute relative errors of given constants over rows of a table (all of them if none are named)."""
    chosen = np.flatnonzero(rows) if rows is not None else np.arange(len(table))
    return _errors(form, _rows(table, rates), table.seconds, chosen, values)


def predicted(form: Form, table: Table, rates: Rates, values: Values) -> Floats:
    """Seconds of each row of a table, shape (n,)."""
    return np.broadcast_to(seconds(form, {**_rows(table, rates), **values}), table.seconds.shape)


def digest(table: Table) -> str:
    """SHA-256 over the rows in sorted order: the same whatever order they were read in. 16 hexadecimal digits."""
    names = sorted(table.columns)
    rows = np.column_stack([*(table.columns[n] for n in names), table.seconds, table.held_out.astype(float)])
    ordered = rows[np.lexsort(rows.T[::-1])] if len(rows) else rows
    head = "|".join([table.form, table.dtype, *names]).encode()
    return hashlib.sha256(head + np.ascontiguousarray(ordered, dtype="<f8").tobytes()).hexdigest()[:16]


def _check(form: Form, table: Table, rates: Rates) -> None:
    where = _where(table)
    for demand in form.demands:
        if demand.name not in table.columns:
            raise CostcError(f"{where}: no column for {not_among('demand', demand.name, table.columns)}")
    for name, column in [*table.columns.items(), *rates.items(), ("seconds", table.seconds)]:
        bad = np.flatnonzero(~np.isfinite(np.atleast_1d(column)))
        if len(bad):
            raise CostcError(f"{where}: {name} is not a number in {len(bad)} rows, first in row {bad[0]}")
    low = np.flatnonzero(table.seconds <= 0)
    if len(low):
        raise CostcError(f"{where}: time is not positive in {len(low)} rows, first {table.seconds[low[0]]:g} s in row {low[0]}")
    if not np.any(~table.held_out):
        raise CostcError(f"{where}: no rows to fit" + (f"; {len(table)} in all, every one held out" if len(table) else ""))


def _check_unit(table: Table, off: Floats) -> None:
    """A whole table of another unit would be fitted as a slow or fast device."""
    middle = float(np.exp(-np.nanmedian(off))) if np.isfinite(off).any() else 1.0
    if not 1 / UNIT < middle < UNIT:
        times = f"{middle:.0f} times as long" if middle > 1 else f"{1 / middle:.0f} times as short"
        raise CostcError(
            f"{_where(table)}: times are {times} as the form's default constants give, in the median; is their unit right?"
        )


def _off(form: Form, off: Floats) -> tuple[str, ...]:
    """A sentence where rows are far from what was fitted, so that they are not passed over in silence."""
    many = int(np.sum(~(np.abs(off) < np.log(OFF))))
    return (f"{form.name}: {many} of {len(off)} rows are off by more than {OFF:.0f} times and weigh little",) if many else ()


def _where(table: Table) -> str:
    return f"{table.form} {table.dtype} on {table.device} ({table.engine or 'no engine'})"


def _rows(table: Table, rates: Rates) -> dict[str, Floats]:
    return {**table.columns, **{k: np.asarray(v, dtype=np.float64) for k, v in rates.items()}}


def _taken(inputs: Mapping[str, Floats], rows: Places) -> dict[str, Floats]:
    return {k: v[rows] if v.ndim else v for k, v in inputs.items()}


def _ordered(form: Form, inputs: Mapping[str, Floats], measured: Floats, chosen: Mask) -> Places:
    """Places of the chosen rows by size of their demands, so that neither sums nor samples depend on the order in the file."""
    rows = np.flatnonzero(chosen)
    keys = [measured[rows], *(inputs[d.name][rows] for d in reversed(form.demands))]
    return rows[np.lexsort(keys)]


def _residuals(form: Form, inputs: Mapping[str, Floats], measured: Floats, rows: Places) -> Residuals:
    own, times = _taken(inputs, rows), measured[rows]
    return lambda values: np.broadcast_to(log_ratio(seconds(form, {**own, **values}), times), times.shape)


def _errors(form: Form, inputs: Mapping[str, Floats], measured: Floats, rows: Places, values: Values) -> HeldOut:
    return errors_of(_residuals(form, inputs, measured, rows), values)


def _range(column: Floats) -> tuple[float, float]:
    return float(column.min()), float(column.max())


def halved(table: Table, form: Form) -> Table:
    """The table with rows held out by the hash of their demands, where there are enough rows for two halves."""
    if len(table) < 2 * FEW:
        return replace(table, held_out=np.zeros(len(table), dtype=bool))
    rows = zip(*(table.columns[d.name].tolist() for d in form.demands), strict=True)
    out = [side(*(int(v) if v.is_integer() else v for v in row)) == HELD_OUT for row in rows]
    return replace(table, held_out=np.array(out, dtype=bool))


def joined(tables: Sequence[Table]) -> Table:
    """Tables of one form as one, for formats without constants of their own."""
    first = tables[0]
    return replace(
        first,
        dtype=ANY,
        version=", ".join(sorted({t.version for t in tables})),
        columns={name: np.concatenate([t.columns[name] for t in tables]) for name in first.columns},
        seconds=np.concatenate([t.seconds for t in tables]),
        held_out=np.concatenate([t.held_out for t in tables]),
        removed=tuple(r for t in tables for r in t.removed),
    )
