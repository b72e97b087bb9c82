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
from costc.latency.positions import over_segments
from costc.latency.roofline import TOKENS, Kernel
from costc.minmax import Max
from costc.program import Steps
from costc.serving.schedule import Schedule
from costc.serving.sections import SectionCost

ZERO = sp.Integer(0)
GROUPS = ("attention", "mixer", "ffn", "experts", "head", "communication", "launch")


@dataclass(frozen=True)
class SectionTime:
    """Seconds of one layer of a section over a phase; `bubble` is its part of one full prefill step."""

    cost: SectionCost
    kernels: tuple[sp.Expr, ...]
    work: sp.Expr
    link: sp.Expr
    bubble: sp.Expr = ZERO


@dataclass(frozen=True)
class Phase:
    """Seconds of a phase: by kernel (all its layers) and by group along the chain, their sum `chain`, and the time `total`
    that the phase takes."""

    kernels: dict[tuple[str, str], sp.Expr]
    groups: dict[str, sp.Expr]
    chain: sp.Expr
    total: sp.Expr


def prefill(costs: tuple[SectionCost, ...], plan: Schedule, steps: Steps) -> Phase:
    """Prefill of all prompts of a rank."""
    times = tuple(_prefill_section(cost, plan, steps) for cost in costs if cost.kernels)
    sends = _sends(costs)
    once = sends[0] + plan.step_tokens * sends[1]
    groups, chain, stage = _sums("prefill", times, plan.prefill_steps, once, steps)
    bubble = sp.Add(*((t.cost.layers - t.cost.stage_layers) * t.bubble for t in times))
    bubble = steps.let(
        "prefill.bubble", bubble + once, "s", "a full step in the stages other than the fullest, and its passing on"
    )
    return Phase(_by_kernel(times), groups, chain, steps.let("prefill.time", stage + bubble, "s", "prefill of the whole batch"))


def generation(costs: tuple[SectionCost, ...], plan: Schedule, steps: Steps) -> Phase:
    """All decode steps; step j attends isl + j positions."""
    times = tuple(_generation_section(cost, plan, steps) for cost in costs if cost.kernels)
    sends = _sends(costs)
    passed = plan.decode_steps * (sends[0] + plan.decode_sequences * sends[1])
    groups, chain, stage = _sums("generation", times, plan.decode_steps, passed, steps)
    total = steps.let("generation.time", Max(chain, plan.decode_rounds * stage), "s", "all decode steps")
    return Phase(_by_kernel(times), groups, chain, total)


def _by_kernel(times: tuple[SectionTime, ...]) -> dict[tuple[str, str], sp.Expr]:
    return {(t.cost.name, k.name): t.cost.layers * time for t in times for k, time in zip(t.cost.kernels, t.kernels, strict=True)}


def _sends(costs: tuple[SectionCost, ...]) -> tuple[sp.Expr, sp.Expr]:
    """Latency and time per token of passing a step on from stage to stage."""
    own = [c for c in costs if not c.kernels]
    return sp.Add(*(c.hops for c in own)), sp.Add(*(c.per_token for c in own))


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
    launched, on_stage = (sp.Add(*(t.cost.launches * getattr(t.cost, k) for t in times)) for k in ("layers", "stage_layers"))
    sums["launch"] = launched * count * S.launch_latency
    groups = {g: steps.let(f"{phase}.{g}.time", e, "s", f"{g}, along all stages") for g, e in sums.items() if e != 0}
    chain = steps.let(f"{phase}.chain", sp.Add(*groups.values()), "s", "one way through all stages")
    stage = steps.let(f"{phase}.stage", stage + on_stage * count * S.launch_latency, "s", "on the fullest stage")
    return groups, chain, stage


@dataclass(frozen=True)
class Parts:
    """Prefill time of kernels, in parts that recur differently.

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


def _prefill_section(cost: SectionCost, plan: Schedule, steps: Steps) -> SectionTime:
    parts = []
    for kernel in cost.kernels:
        timed = _prefill_pieces if kernel.reach else _prefill_rows if kernel.per_sequence else _prefill_steps
        parts.append(timed(kernel, plan, f"prefill.{cost.name}.{kernel.name}", steps))
    named = {f.name: sp.Add(*(getattr(p, f.name) for p in parts)) for f in fields(Parts)}
    where = f"prefill.{cost.name}"
    section = Parts(**{k: steps.let(f"{where}.{k}", e, "s", f"{k} of one layer") if e != 0 else e for k, e in named.items()})
    rows = plan.sequences if cost.per_sequence else plan.tokens
    link = plan.prefill_steps * cost.hops + rows * cost.per_token
    bubble = section.step(plan) + cost.hops + plan.step_tokens * cost.per_token + cost.launches * S.launch_latency
    return _named("prefill", cost, tuple(p.total(plan) for p in parts), section.total(plan), link, bubble, steps)


def _generation_section(cost: SectionCost, plan: Schedule, steps: Steps) -> SectionTime:
    attended = step = ZERO
    each = []
    for kernel in cost.kernels:
        name = f"generation.{cost.name}.{kernel.name}"
        if kernel.reach:
            segments = kernel.reach.decode(S.isl + 1, plan.decode_steps)
            time = over_segments(kernel, segments, plan.decode_sequences, name, steps)
            each.append(steps.let(f"{name}.time", time, "s", "all decode steps of one layer"))
            attended += each[-1]
        else:
            time = _slower(kernel, plan.decode_sequences, name, steps)
            one = steps.let(f"{name}.step", time, "s", "one decode step of one layer")
            each.append(plan.decode_steps * one)
            step += one
    work = attended + plan.decode_steps * step
    link = plan.decode_steps * (cost.hops + plan.decode_sequences * cost.per_token)
    return _named("generation", cost, tuple(each), work, link, ZERO, steps)


def _named(
    phase: str, cost: SectionCost, kernels: tuple[sp.Expr, ...], work: sp.Expr, link: sp.Expr, bubble: sp.Expr, steps: Steps
) -> SectionTime:
    work = steps.let(f"{phase}.{cost.name}.work", work, "s", "kernels of one layer")
    link = steps.let(f"{phase}.{cost.name}.link", link, "s", "collectives of one layer") if cost.per_token != 0 else ZERO
    return SectionTime(cost, kernels, work, link, bubble)


def _prefill_steps(kernel: Kernel, plan: Schedule, name: str, steps: Steps) -> Parts:
    """A kernel whose cost depends on a step's tokens alone; one that only moves is affine in them."""
    if kernel.compute == 0 and not kernel.move.has(sp.Pow):
        return Parts(fixed=kernel.move.coeff(TOKENS, 0), per_token=kernel.move.coeff(TOKENS, 1))
    full = _slower(kernel, plan.step_tokens, f"{name}.full_step", steps)
    rest = _slower(kernel, plan.rest_tokens, f"{name}.rest_step", steps)
    return Parts(
        full=steps.let(f"{name}.full_step", full, "s", "one full step"),
        rest=steps.let(f"{name}.rest_step", rest, "s", "the shorter step left over"),
    )


def _prefill_rows(kernel: Kernel, plan: Schedule, name: str, steps: Steps) -> Parts:
    """A kernel that runs on the last positions, spread evenly over the steps."""
    rows = steps.let("schedule.rows", plan.sequences / plan.prefill_steps, "1", "sequences that a prefill step completes")
    return Parts(fixed=steps.let(f"{name}.step", _slower(kernel, rows, f"{name}.step", steps), "s", "one prefill step"))


def _prefill_pieces(kernel: Kernel, plan: Schedule, name: str, steps: Steps) -> Parts:
    """An attention kernel, over the pieces of the prompts."""
    law = kernel.reach
    assert law is not None
    total = over_segments(kernel, law.prefill(S.isl, plan.piece), plan.sequences, name, steps)
    prompts = steps.let("schedule.prompts", plan.step_tokens / plan.piece, "1", "prompts that share a full step")
    last = S.isl - plan.piece
    at = {S.seq: plan.piece, law.pairs: law.pairs_of(plan.piece, last), law.context: law.context_of(plan.piece, last)}
    compute, move = (kernel.for_batch(e, prompts).xreplace(at) for e in (kernel.compute, kernel.move))
    return Parts(pieces=steps.let(f"{name}.time", total, "s", "all prefill steps of one layer"), last=Max(compute, move))


def _slower(kernel: Kernel, tokens: sp.Expr, where: str, steps: Steps) -> sp.Expr:
    """The roofline: the longer of computing and moving."""
    compute, move = (_name_touched(e, where, steps) for e in kernel.at(tokens))
    return Max(compute, move) if compute != 0 else move


def _name_touched(expr: sp.Expr, where: str, steps: Steps) -> sp.Expr:
    """Name the part of the experts that a step leaves untouched, which several kernels share."""
    powers = sorted((p for p in expr.atoms(sp.Pow) if p.base.is_number and not p.exp.is_number), key=str)
    names = {p: steps.let(f"{where}.untouched", p, "1", "part of the experts that no token visits") for p in powers}
    return expr.xreplace(names)
