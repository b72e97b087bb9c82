"""Time of prefill and of generation, along the whole chain of stages and on the fullest one.

Pipeline: a step passes all stages in turn. Prefill of many steps takes the time of the fullest stage
for all of them, plus what one step of full size spends in the other stages (the bubble). A decode
step takes the longer of one micro-batch's way through all stages (it waits for its own token) and all
micro-batches' way through the fullest one; which of the two is decided for the generation as a whole.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import sympy as sp

from costc import symbols as S
from costc.latency.affine import SEQUENCES, TOKENS, affine
from costc.latency.positions import over_segments
from costc.latency.units import Unit
from costc.minmax import Max, Min
from costc.program import Steps
from costc.serving.schedule import Schedule
from costc.serving.sections import SectionCost

ZERO = sp.Integer(0)
GROUPS = ("attention", "mixer", "ffn", "experts", "head", "communication", "launch")


@dataclass(frozen=True)
class SectionTime:
    """Seconds of one layer of a section over a phase, by unit and as sums of kernels (`work`) and collectives (`link`);
    `bubble` is its part of one full prefill step."""

    cost: SectionCost
    units: tuple[sp.Expr, ...]
    work: sp.Expr
    link: sp.Expr
    bubble: sp.Expr = ZERO


@dataclass(frozen=True)
class Phase:
    """Seconds of a phase: by unit (all its layers) and by group along the chain, their sum `chain`, and the time `total`
    that the phase takes."""

    units: dict[tuple[str, str], sp.Expr]
    groups: dict[str, sp.Expr]
    chain: sp.Expr
    total: sp.Expr


def prefill(costs: tuple[SectionCost, ...], plan: Schedule, steps: Steps) -> Phase:
    """Prefill of all prompts of a rank."""
    name = plan.named("prefill")
    times = tuple(_prefill_section(cost, plan, f"{name}.{cost.name}", steps) for cost in costs if cost.kernels)
    once = _sends(costs, plan.step_tokens)
    groups, chain, stage = _sums(name, times, plan.prefill_steps, sp.Add(*once.values()), steps)
    bubble = sp.Add(*((t.cost.layers - t.cost.stage_layers) * t.bubble for t in times))
    bubble = steps.let(
        f"{name}.bubble",
        bubble + sp.Add(*once.values()),
        "s",
        "a full step in the stages other than the fullest, and its passing on",
    )
    total = steps.let(f"{name}.time", stage + bubble, "s", "prefill of the whole batch")
    return Phase(_by_unit(times) | once, groups, chain, total)


def generation(costs: tuple[SectionCost, ...], plan: Schedule, steps: Steps) -> Phase:
    """All decode steps; step j attends isl + j positions."""
    name = plan.named("generation")
    times = tuple(_generation_section(cost, plan, f"{name}.{cost.name}", steps) for cost in costs if cost.kernels)
    passed = {k: plan.decode_steps * t for k, t in _sends(costs, plan.decode_tokens).items()}
    groups, chain, stage = _sums(name, times, plan.decode_steps, sp.Add(*passed.values()), steps)
    total = steps.let(f"{name}.time", Max(chain, plan.decode_rounds * stage), "s", "all decode steps")
    return Phase(_by_unit(times) | passed, groups, chain, total)


def _by_unit(times: tuple[SectionTime, ...]) -> dict[tuple[str, str], sp.Expr]:
    return {(t.cost.name, u.name): t.cost.layers * time for t in times for u, time in zip(t.cost.units, t.units, strict=True)}


def _sends(costs: tuple[SectionCost, ...], tokens: sp.Expr) -> dict[tuple[str, str], sp.Expr]:
    """Time to pass a step of that many tokens on from stage to stage."""
    return {(c.name, u.name): u.at(tokens) for c in costs if not c.kernels for u in c.collectives}


def _sums(
    phase: str, times: tuple[SectionTime, ...], count: sp.Expr, sends: sp.Expr, steps: Steps
) -> tuple[dict[str, sp.Expr], sp.Expr, sp.Expr]:
    """(time by group along the chain, their sum, time on the fullest stage)."""
    sums = dict.fromkeys(GROUPS, ZERO)
    stage = ZERO
    for t in times:
        sums[t.cost.group] += t.cost.layers * t.work
        sums["communication"] += t.cost.layers * t.link
        stage += t.cost.stage_layers * (t.work + t.link)
    sums["communication"] += sends
    launched, on_stage = (sp.Add(*(t.cost.launch * getattr(t.cost, k) for t in times)) for k in ("layers", "stage_layers"))
    sums["launch"] = launched * count
    groups = {g: steps.let(f"{phase}.{g}.time", e, "s", f"{g}, along all stages") for g, e in sums.items() if e != 0}
    chain = steps.let(f"{phase}.chain", sp.Add(*groups.values()), "s", "one way through all stages")
    stage = steps.let(f"{phase}.stage", stage + on_stage * count, "s", "on the fullest stage")
    return groups, chain, stage


@dataclass(frozen=True)
class Parts:
    """Prefill time of units, in parts that recur differently.

    `full`: a full step; `rest`: the shorter one left over; `fixed`: any step, whatever its size; `per_token`: each token;
    `pieces`: all attention of the phase; `last`: attention of the costliest step.
    """

    full: sp.Expr = ZERO
    rest: sp.Expr = ZERO
    fixed: sp.Expr = ZERO
    per_token: sp.Expr = ZERO
    pieces: sp.Expr = ZERO
    last: sp.Expr = ZERO

    def total(self, plan: Schedule) -> sp.Expr:
        """All steps."""
        stepped = plan.whole_steps * self.full + plan.rest_steps * self.rest + plan.prefill_steps * self.fixed
        return stepped + plan.tokens * self.per_token + self.pieces

    def step(self, plan: Schedule) -> sp.Expr:
        """The costliest step."""
        return self.full + self.fixed + plan.step_tokens * self.per_token + self.last


def _prefill_section(cost: SectionCost, plan: Schedule, where: str, steps: Steps) -> SectionTime:
    parts = [_prefill_unit(u, plan, f"{where}.{u.name}", steps) for u in cost.units]
    kernels = _summed(parts[: len(cost.kernels)], where, "kernels", steps)
    links = _summed(parts[len(cost.kernels) :], f"{where}.link", "collectives", steps)
    bubble = kernels.step(plan) + links.step(plan) + cost.launch
    times = tuple(p.total(plan) for p in parts)
    return _named(where, cost, times, (kernels.total(plan), links.total(plan)), bubble, steps)


def _summed(parts: list[Parts], where: str, what: str, steps: Steps) -> Parts:
    named = {f.name: sp.Add(*(getattr(p, f.name) for p in parts)) for f in fields(Parts)}
    return Parts(**{k: steps.let(f"{where}.{k}", e, "s", f"{what} of one layer: {k}") if e != 0 else e for k, e in named.items()})


def _prefill_unit(unit: Unit, plan: Schedule, where: str, steps: Steps) -> Parts:
    timed = _prefill_pieces if unit.reach else _prefill_rows if unit.per_sequence else _prefill_steps
    return timed(unit, plan, where, steps)


def _generation_section(cost: SectionCost, plan: Schedule, name: str, steps: Steps) -> SectionTime:
    attended = once = link = ZERO
    each = []
    for unit in cost.units:
        where = f"{name}.{unit.name}"
        if unit.reach:
            segments = unit.reach.decode(S.isl + 1, plan.decode_steps)
            time = over_segments(unit, segments, plan.decode_sequences, where, steps, plan.queries)
            each.append(steps.let(f"{where}.time", time, "s", "all decode steps of one layer"))
            attended += each[-1]
            continue
        one = steps.let(f"{where}.step", _at(unit, plan.decode_tokens, where, steps), "s", "one decode step of one layer")
        each.append(plan.decode_steps * one)
        once, link = (once, link + one) if unit in cost.collectives else (once + one, link)
    work = attended + plan.decode_steps * once
    return _named(name, cost, tuple(each), (work, plan.decode_steps * link), ZERO, steps)


def _named(
    where: str, cost: SectionCost, units: tuple[sp.Expr, ...], sums: tuple[sp.Expr, sp.Expr], bubble: sp.Expr, steps: Steps
) -> SectionTime:
    work = steps.let(f"{where}.work", sums[0], "s", "kernels of one layer")
    link = steps.let(f"{where}.link", sums[1], "s", "collectives of one layer") if sums[1] != 0 else ZERO
    return SectionTime(cost, units, work, link, bubble)


def _prefill_steps(unit: Unit, plan: Schedule, where: str, steps: Steps) -> Parts:
    """A unit whose time depends on a step's tokens alone; where it is affine in them, the steps' sizes do not matter."""
    if not any(part.has(TOKENS) for part in unit.work.atoms(sp.Pow, sp.Function, Max, Min)):
        fixed, (per_token,) = affine(unit.work, (TOKENS,))
        return Parts(fixed=fixed, per_token=per_token)
    full = _at(unit, plan.step_tokens, f"{where}.full_step", steps)
    rest = _at(unit, plan.rest_tokens, f"{where}.rest_step", steps)
    return Parts(
        full=steps.let(f"{where}.full_step", full, "s", "one full step"),
        rest=steps.let(f"{where}.rest_step", rest, "s", "the shorter step left over"),
    )


def _prefill_rows(unit: Unit, plan: Schedule, where: str, steps: Steps) -> Parts:
    """A unit that runs on the last positions, spread evenly over the steps."""
    rows = steps.let(f"{plan.where}.rows", plan.sequences / plan.prefill_steps, "1", "sequences that a prefill step completes")
    return Parts(fixed=steps.let(f"{where}.step", _at(unit, rows, f"{where}.step", steps), "s", "one prefill step"))


def _prefill_pieces(unit: Unit, plan: Schedule, where: str, steps: Steps) -> Parts:
    """An attention unit, over the pieces of the prompts that share a step, and over all groups of such prompts."""
    law, pieces = unit.reach, unit.pieces
    assert law is not None
    assert pieces is not None
    prompts = steps.let(f"{plan.where}.prompts", plan.step_tokens / plan.piece, "1", "prompts that share a full step")
    groups = steps.let(f"{plan.where}.groups", plan.sequences / prompts, "1", "groups of prompts that share their steps")
    total = groups * over_segments(unit, law.prefill(S.isl, plan.piece), prompts, where, steps)
    last = S.isl - plan.piece
    at = {S.seq: plan.piece, law.pairs: law.pairs_of(plan.piece, last), law.context: law.context_of(plan.piece, last)}
    one = pieces.time.xreplace({SEQUENCES: prompts}).xreplace(at)
    return Parts(pieces=steps.let(f"{where}.time", total, "s", "all prefill steps of one layer"), last=one)


def _at(unit: Unit, tokens: sp.Expr, where: str, steps: Steps) -> sp.Expr:
    """Time of a unit in a step, with the part of the experts that it leaves untouched named, which several share."""
    expr = unit.at(tokens)
    powers = sorted((p for p in expr.atoms(sp.Pow) if p.base.is_number and not p.exp.is_number), key=str)
    names = {p: steps.let(f"{where}.untouched", p, "1", "part of the experts that no token visits") for p in powers}
    return expr.xreplace(names)
