"""Times of many runs as a function of an engine's constants: programs in a closed loop, evaluated once up to where these enter.

A fit asks for the times at hundreds of values of few constants. What comes before the first of them in a program (operators,
memory, schedule: nearly all of it) is evaluated once; a short rest is evaluated for each asking.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import sympy as sp

from costc.calibrate.cautious import Places
from costc.calibrate.kernels import Floats, Mask
from costc.calibrate.robust import Values
from costc.calibrate.runs import PLATFORM, POINT, SETTINGS
from costc.closed import PROTOCOL
from costc.compiled import CostModel
from costc.emit import mangle
from costc.emit.evaluator import Evaluator
from costc.emit.targets.numpy import Printer, load
from costc.ir.platform import Efficiency
from costc.program import Output, Program, Step
from costc.serving.constants import CONSTANTS, SYMBOLS
from costc.simplify import simplify
from costc.spec.catalog import Catalog

if TYPE_CHECKING:
    import pandas as pd

    Frame = pd.DataFrame

#: what a run is judged by, and what says how it was served
TIMES: Final = ("ttft", "tpot")
#: engines whose memory fraction is of what weights, activations and framework leave, so that it is of these too
FREE_SHARE: Final = ("trtllm",)
#: efficiency profile of a device and engine
Profiles = Callable[[str, str], Efficiency]


def split(program: Program, late: Iterable[sp.Symbol]) -> tuple[Program, tuple[Step, ...]]:
    """The program up to the steps that depend on `late` inputs, with what these need as outputs; and these steps, as far as
    TIMES need them.
    """
    touched = set(late)
    before, after = [], []
    for step in program.steps:
        if step.expr.free_symbols & touched:
            touched.add(step.symbol)
            after.append(step)
        else:
            before.append(step)
    needed = {o.step for o in program.outputs if o.name in TIMES}
    kept = []
    for step in reversed(after):
        if step.name in needed:
            kept.append(step)
            needed |= {s.name for s in step.expr.free_symbols}
    first = [s for s in before if s.name in needed]
    outputs = tuple(Output(s.name, s.name, s.unit, s.comment) for s in first)
    return program.evolve(steps=tuple(before), outputs=outputs), tuple(reversed(kept))


def function(steps: Sequence[Step], wanted: Sequence[str]) -> tuple[tuple[str, ...], Callable[..., tuple[Any, ...]]]:
    """Names of the inputs of some steps, and a function of them that gives the wanted steps' values."""
    printer = Printer()
    known = {s.name for s in steps}
    names = tuple(sorted({y.name for s in steps for y in s.expr.free_symbols} - known))
    lines = [f"{mangle(s.name)} = {printer.doprint(s.expr)}" for s in steps]
    body = "\n    ".join([*lines, f"return {', '.join(map(mangle, wanted))},"])
    text = f"import numpy as np\n\n\ndef times({', '.join(map(mangle, names))}):\n    {body}\n"
    return names, load(text)["times"]  # type: ignore[return-value]


@dataclass(frozen=True)
class Served:
    """A model in a closed loop: what is evaluated once, and the rest."""

    model: CostModel
    early: Evaluator
    names: tuple[str, ...]
    late: Callable[..., tuple[Any, ...]]


def served(model: CostModel, late: Sequence[str]) -> Served:
    """A model, cut where the constants named come in."""
    program = model.closed_loop.program
    before, after = split(program, [SYMBOLS[name] for name in late])
    steps = {o.name: o.step for o in program.outputs}
    return Served(model, Evaluator(simplify(before)[0]), *function(after, [steps[name] for name in TIMES]))


@dataclass(frozen=True)
class _Rows:
    """Rows of one model: their places among all, and inputs of the rest by name."""

    places: Places
    served: Served
    inputs: Mapping[str, Floats]

    def pick(self, keep: Mask) -> _Rows:
        """Those of the rows kept, at their places among these."""
        own = keep[self.places]
        places = (np.cumsum(keep) - 1)[self.places[own]]
        return _Rows(places, self.served, {name: column[own] for name, column in self.inputs.items()})


@dataclass(frozen=True)
class Loops:
    """Runs that can be asked for their times at values of engine constants."""

    count: int
    rows: tuple[_Rows, ...]

    @classmethod
    def of(cls, runs: Frame, profiles: Profiles, catalog: Catalog, late: Sequence[str]) -> Loops:
        """Evaluate runs (`runs.runs`) up to the constants named `late`; the others are those of the engine's settings."""
        runs = runs.reset_index(drop=True)
        rows = []
        for name, own in runs.groupby("model"):
            model = CostModel(catalog.model(str(name)), catalog)
            rows.append(_rows(own, served(model, late), profiles))
        return cls(len(runs), tuple(rows))

    def pick(self, keep: Mask) -> Loops:
        """Some of the runs, shape of `keep`: (count,)."""
        parts = (rows.pick(keep) for rows in self.rows)
        return Loops(int(keep.sum()), tuple(part for part in parts if len(part.places)))

    def __call__(self, constants: Values) -> tuple[Floats, Floats]:
        """Seconds of TTFT and TPOT of every run."""
        found = np.full((len(TIMES), self.count), np.nan)
        given = {SYMBOLS[name].name: value for name, value in constants.items()}
        for rows in self.rows:
            inputs = {**rows.inputs, **{k: v for k, v in given.items() if k in rows.inputs}}
            with np.errstate(all="ignore"):
                found[:, rows.places] = rows.served.late(*(inputs[name] for name in rows.served.names))
        return found[0], found[1]


def _rows(runs: Frame, found: Served, profiles: Profiles) -> _Rows:
    """Rows of a model, one evaluation for each platform."""
    places = runs.index.to_numpy()
    inputs = {name: np.full(len(runs), np.nan) for name in found.names}
    for platform, own in runs.groupby(list(PLATFORM)):
        values = _values(found.model, dict(zip(PLATFORM, map(str, platform), strict=True)), own, profiles)
        values |= found.early(values)
        where = np.searchsorted(places, own.index.to_numpy())
        for name in found.names:
            if name in values:
                inputs[name][where] = values[name]
    return _Rows(places, found, inputs)


def _values(model: CostModel, platform: Mapping[str, str], runs: Frame, profiles: Profiles) -> dict[str, Any]:
    """All inputs of runs on one platform: rates, constants, settings, and columns for what differs from run to run."""
    engine, device = platform["engine"], platform["hardware"]
    profile = profiles(device, engine)
    values: dict[str, Any] = dict(model.values(device, platform["scheme"] or None, profile, engine, platform["kv_cache"] or None))
    values |= PROTOCOL | {"pp": 1.0, "microbatches": 1.0}
    values |= {name: runs[name].to_numpy(dtype=np.float64) for name in (*POINT, *SETTINGS)}
    fitted = model.catalog.engine(engine).fitted
    values |= {SYMBOLS[c.name].name: c.prior for c in CONSTANTS if fitted is None or c.name not in fitted.constants}
    if engine in FREE_SHARE:
        values |= dict.fromkeys(("memory_weight_share", "memory_reserved_share"), values["memory_utilization"])
    return values
