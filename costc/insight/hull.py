"""What a point's time rests on: which classes of operators ask for more or less than was fitted, and which rest on defaults.

The demands are those of the largest prefill step and of the first and last decode step, of every unit that is timed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

import sympy as sp

from costc import symbols as S
from costc.compiled import CostModel
from costc.emit.evaluator import Evaluator
from costc.ir.platform import ANY, Efficiency, FittedClass, Hardware, Quantization
from costc.latency.forms import CLASSES, FORMS
from costc.latency.units import DP, Asked
from costc.program import Program, Steps
from costc.serving.compose import Lowered, ordered, reaches_of
from costc.serving.metrics import Outputs
from costc.serving.schedule import Schedule, fullest, schedule
from costc.spec.values import formats

#: share of a bound by which a demand may pass it without a word
NEAR: Final = 0.01
ONE: Final = sp.Integer(1)


@dataclass(frozen=True)
class Key:
    """A unit's class and the module that says its format (none for collectives)."""

    form: str
    module: str


@dataclass(frozen=True)
class Outside:
    """A demand of a class beyond what was fitted: the furthest of a point's."""

    form: str
    dtype: str
    demand: str
    unit: str
    value: float
    low: float
    high: float

    @property
    def far(self) -> float:
        """How many times too much or too little it is."""
        return max(self.value / self.high if self.high else 1.0, self.low / self.value if self.value else 1.0)


def notes(model: CostModel, device: Hardware, scheme: Quantization, profile: Efficiency, values: Mapping[str, Any]) -> list[str]:
    """Sentences about a point: what lies outside of what was fitted, and what rests on constants that are assumed.

    Args:
        values: of the program's inputs at the point.
    """
    if not profile.classes:
        return []
    asked = demands(model, values)
    named = formats(model.model, scheme, device)
    classes = {(key.form, named.get(key.module, ANY)) for key, *_ in asked}
    found = [_outside(one) for one in _by_class(outside(profile, asked, named))]
    return found + _assumed(profile, classes)


def demands(model: CostModel, values: Mapping[str, Any]) -> list[tuple[Key, str, float]]:
    """(class and module, demand, value) of all units at a point, without what is not sent."""
    keys, evaluator = _compiled(model)
    found = evaluator({**values})
    values_of = [(Key(*key), name, float(found[output])) for output, (*key, name) in keys.items()]
    return [one for one in values_of if one[2] > 0]


def outside(profile: Efficiency, asked: list[tuple[Key, str, float]], named: Mapping[str, str]) -> list[Outside]:
    """The furthest value of each demand that lies outside of what its class was fitted to."""
    found: dict[tuple[str, str, str], Outside] = {}
    for key, demand, value in asked:
        fitted = profile.fitted(key.form, named.get(key.module, ANY))
        if fitted is None or demand not in fitted.hull:
            continue
        low, high = fitted.hull[demand]
        if low * (1 - NEAR) <= value <= high * (1 + NEAR):
            continue
        unit = next(d.unit for d in FORMS[key.form].demands if d.name == demand)
        one = Outside(key.form, fitted.dtype, demand, unit, value, low, high)
        at = (key.form, fitted.dtype, demand)
        if at not in found or one.far > found[at].far:
            found[at] = one
    return [found[at] for at in sorted(found)]


def _by_class(found: list[Outside]) -> list[list[Outside]]:
    classes: dict[tuple[str, str], list[Outside]] = {}
    for one in found:
        classes.setdefault((one.form, one.dtype), []).append(one)
    return list(classes.values())


def _outside(found: list[Outside]) -> str:
    """One sentence for a class: its demands, the furthest first."""
    first = found[0]
    parts = [_range(one) for one in sorted(found, key=lambda one: (-one.far, one.demand))]
    return f"{FORMS[first.form].title}{_dtype(first.dtype)} lies outside of what was fitted: {'; '.join(parts)}"


def _range(one: Outside) -> str:
    unit = "" if one.unit == "1" else f" {one.unit}"
    return f"{one.demand} {one.value:.4g}{unit}, fitted {one.low:.4g} to {one.high:.4g}"


def _dtype(dtype: str) -> str:
    return "" if dtype == ANY else f" in {dtype}"


def _assumed(profile: Efficiency, classes: set[tuple[str, str]]) -> list[str]:
    """A sentence for the classes that stand on constants of another table, and one for those that stand on defaults."""
    lent: dict[str, None] = {}
    defaults: dict[str, None] = {}
    for form, dtype in sorted(classes):
        fitted = profile.fitted(form, dtype)
        if fitted is None or not fitted.n:
            name = f"{FORMS[form].title}{_dtype(fitted.dtype if fitted else ANY)}"
            (lent if _lent(fitted) else defaults)[name] = None
    found = []
    if lent:
        found.append(f"no measurements of this engine and format; another table's constants stand in: {', '.join(lent)}")
    if defaults:
        found.append(f"no measurements; times rest on assumed defaults of the class: {', '.join(defaults)}")
    return found


def _lent(fitted: FittedClass | None) -> bool:
    return fitted is not None and bool(fitted.hull)


@lru_cache(maxsize=4)
def _compiled(model: CostModel) -> tuple[dict[str, tuple[str, str, str]], Evaluator]:
    """(form, module, demand) by output, and the evaluator of all of a model's demands."""
    steps = Steps()
    plan = schedule(steps, fullest(steps, S.batch))
    out = Outputs(steps)
    keys: dict[str, tuple[str, str, str]] = {}
    for phase, lowered in model.lowered.items():
        for form, module, demand, expr in _demands(phase, lowered, plan, steps):
            name = f"demand.{len(keys)}"
            out.force(name, expr, "1", demand)
            keys[name] = (form, module, demand)
    known = {step.symbol for step in steps.steps}
    free = {s for step in steps.steps for s in step.expr.free_symbols} - known
    return keys, Evaluator(Program(f"demands of {model.model.name}", ordered(free), tuple(steps.steps), tuple(out.found)))


def _demands(phase: str, lowered: Lowered, plan: Schedule, steps: Steps) -> Iterator[tuple[str, str, str, sp.Expr]]:
    """(form, module, demand, expression in inputs and the plan) of all units of a phase."""
    bindings: dict[sp.Symbol, sp.Expr] = {s: sp.Integer(v) for s, v in lowered.graph.bindings}
    bindings |= {symbol: byte.xreplace(bindings) for symbol, byte in lowered.table.definitions}
    reaches = tuple(r.bind(bindings) for r in reaches_of(lowered.graph))
    for shape in lowered.shapes:
        rows = lowered.table.where(section=shape.section, kernel=shape.kernels)
        if not rows.rows:
            continue
        own = Asked(rows, shape, reaches, bindings, "", steps)
        for at in _steps(phase, own, plan):
            for link in shape.links:
                amounts = {"byte": link.byte, "message": link.message, "ranks": link.ranks, "hops": link.hops}
                form = f"{link.collective}_{link.name}"
                for d in FORMS[form].demands:
                    sent = sp.Piecewise((amounts[d.name], sp.Gt(link.byte, 0)), (0, True))
                    yield form, "", d.name, sent.xreplace(bindings).xreplace(at)
            if not shape.links:
                form = CLASSES.get(shape.form, shape.form)
                for d in FORMS[form].demands:
                    expr = _SIZES[d.name] if d.name in _SIZES else own.amount(d.name)
                    yield form, shape.module, d.name, expr.xreplace(at)


_SIZES: Final = {"sequences": S.batch / DP, "seq": S.seq}


def _steps(phase: str, own: Asked, plan: Schedule) -> Iterator[dict[sp.Symbol, sp.Expr]]:
    """The sizes of the largest prefill step, or of the first and last decode step."""
    law = own.reach
    if phase == "decode":
        for context in (S.isl + 1, S.isl + S.osl) if law else (S.isl + 1,):
            at = {S.batch: DP * plan.decode_sequences, S.seq: ONE}
            yield at | ({law.pairs: law.pairs_of(ONE, context - 1), law.context: law.context_of(ONE, context - 1)} if law else {})
    elif law is None:
        rows = plan.sequences / plan.prefill_steps if own.per_sequence else plan.step_tokens
        yield {S.batch: DP * rows, S.seq: ONE}
    else:
        last = S.isl - plan.piece
        at = {S.batch: DP * plan.step_tokens / plan.piece, S.seq: plan.piece}
        yield at | {law.pairs: law.pairs_of(plan.piece, last), law.context: law.context_of(plan.piece, last)}
