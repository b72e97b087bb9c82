"""What is timed: kernels, collectives and the routed experts of a layer, each by the closed form of its class."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import sympy as sp

from costc import symbols as S
from costc.count.rows import MEMORY, CostTable
from costc.count.shapes import Shape
from costc.ir.reach import Reach
from costc.latency import constants, links
from costc.latency.affine import SEQUENCES, TOKENS, in_coefficients
from costc.latency.form import BANDWIDTH, PEAK, Form, Pieces
from costc.latency.forms import CLASSES, FORMS
from costc.program import Steps

Bindings = Mapping[sp.Symbol, sp.Expr]
DP = S.degree("dp", "attention data-parallel degree")
LAUNCH = "launch_latency"
ZERO = sp.Integer(0)


@dataclass(frozen=True)
class Unit:
    """Time of one unit in seconds, as a function of the step, without what it takes to start it (`launch`).

    `work` is in `TOKENS` (tokens of a rank; for the head, sequences). Where `reach` is set there are `pieces` instead, in
    batch, seq, pairs and context.
    """

    section: str
    name: str
    kernels: tuple[str, ...]
    group: str
    layers: sp.Expr
    stage_layers: sp.Expr
    launch: sp.Expr
    work: sp.Expr
    per_sequence: bool
    reach: Reach | None
    pieces: Pieces | None = None

    def at(self, tokens: sp.Expr) -> sp.Expr:
        """The work of a step of that many tokens."""
        return self.work.xreplace({TOKENS: tokens})


def units(
    table: CostTable, shapes: tuple[Shape, ...], reaches: tuple[Reach, ...], bindings: Bindings, steps: Steps, where: str
) -> Iterator[Unit]:
    """The units of a phase, with what they ask for named as steps, whose names begin with `where`."""
    for shape in shapes:
        rows = table.where(section=shape.section, kernel=shape.kernels)
        if rows.rows:
            yield _unit(rows, shape, reaches, bindings, f"{where}.{shape.section}.{shape.name}", steps)


def _unit(rows: CostTable, shape: Shape, reaches: tuple[Reach, ...], bindings: Bindings, where: str, steps: Steps) -> Unit:
    one = rows.rows[0]
    own = Asked(rows, shape, reaches, bindings, where, steps)
    at = (shape.section, shape.name, shape.kernels, one.group, one.layers.xreplace(bindings), one.stage_layers.xreplace(bindings))
    if shape.form == "collective":
        return Unit(*at, ZERO, own.sent(), own.per_sequence, None)
    form = FORMS[CLASSES.get(shape.form, shape.form)]
    known = own.constants(form)
    launch = known.get(sp.Symbol(LAUNCH, nonnegative=True), ZERO)
    known |= {sp.Symbol(LAUNCH, nonnegative=True): ZERO, PEAK: S.peak(shape.module), BANDWIDTH: S.memory_bandwidth}
    if own.reach is None:
        return Unit(*at, launch, form.time.xreplace(known | own.demands(form)), own.per_sequence, None)
    put = known | own.demands(form)
    parts = form.pieces or Pieces(ZERO, ZERO, form.time, sp.Integer(1))
    pieces = Pieces(*(getattr(parts, n).xreplace(put) for n in ("fixed", "compute", "move", "overlap")))
    return Unit(*at, launch, ZERO, False, own.reach, pieces)


@dataclass(frozen=True)
class Asked:
    """What a unit asks for, from its rows and sizes."""

    rows: CostTable
    shape: Shape
    reaches: tuple[Reach, ...]
    bindings: Bindings
    where: str
    steps: Steps

    @property
    def symbols(self) -> set[sp.Symbol]:
        amounts = [r.amount for r in self.rows] + list(self.shape.sizes.values())
        return {s for a in amounts for s in a.xreplace(self.bindings).free_symbols}

    @property
    def reach(self) -> Reach | None:
        return next((r for r in self.reaches if {r.pairs, r.context} & self.symbols), None)

    @property
    def per_sequence(self) -> bool:
        return self.reach is None and S.seq not in self.symbols

    def constants(self, form: Form) -> dict[sp.Symbol, sp.Expr]:
        return {c.symbol: constants.symbol(form, c, self.shape.module) for c in form.constants}

    def demands(self, form: Form) -> dict[sp.Symbol, sp.Expr]:
        """The form's demands, in the variables of the step."""
        law = self.reach
        known = {"sequences": SEQUENCES, "seq": S.seq}
        known |= {"pairs": law.pairs, "context": law.context} if law else {}
        return {d.symbol: known[d.name] if d.name in known else self._named(d.name, d.unit) for d in form.demands}

    def _named(self, name: str, unit: str) -> sp.Expr:
        law = self.reach
        local = {S.batch: DP * TOKENS, S.seq: sp.Integer(1)} if law is None else {S.batch: DP * SEQUENCES}
        grows = (TOKENS,) if law is None else (S.seq, law.pairs, law.context)
        return in_coefficients(self.amount(name).xreplace(local), grows, f"{self.where}.{name}", self.steps, unit)

    def amount(self, name: str) -> sp.Expr:
        if name == "converted":
            return self.shape.sizes["rows"].xreplace(self.bindings) * S.converts(self.shape.module)
        if name in self.shape.sizes:
            return self.shape.sizes[name].xreplace(self.bindings)
        if name == "flop":
            own = S.peak(self.shape.module)
            flop = self.rows.where(resource="flop").group_by("module").items()
            return sp.Add(*(t.total("once").xreplace(self.bindings) * (own / S.peak(m)) for m, t in flop))
        resource = MEMORY if name == "byte" else name
        return self.rows.where(resource=resource).total("once").xreplace(self.bindings)

    def sent(self) -> sp.Expr:
        """Time of a collective on both classes of link."""
        local = {S.batch: DP * TOKENS, S.seq: sp.Integer(1)}

        def named(name: str, expr: sp.Expr, unit: str) -> sp.Expr:
            grown = expr.xreplace(self.bindings).xreplace(local)
            return in_coefficients(grown, (TOKENS,), f"{self.where}.{name}", self.steps, unit)

        return sp.Add(*(links.time(link, named) for link in self.shape.links))
