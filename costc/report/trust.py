"""How far a recommendation can be trusted: which of its constants were measured, and how far such predictions were off."""

from __future__ import annotations

from costc.compiled import CostModel
from costc.insight import hull
from costc.report import words as w
from costc.search.choose import Candidate, Choice
from costc.search.grid import STEADY
from costc.spec.study import Scenario, Study


def trust(study: Study, scenario: Scenario, choice: Choice) -> list[str]:
    """Sentences about the recommended deployment; none where the study's efficiencies are not fitted."""
    best = choice.chosen
    if best is None or not study.profiles[best.hardware].classes:
        return []
    return [*_judged(study, best), *_constants(study, scenario, choice, best)]


def _judged(study: Study, best: Candidate) -> list[str]:
    """Errors of end-to-end predictions."""
    device = study.hardware[best.hardware]
    off = study.engine.off(device.name)
    if off is None:
        return ["No end-to-end measurement of this engine was used: its own overhead is assumed to be none."]
    errors, measured = off
    both = ", ".join(
        f"{name} {w.percent(e.mean)} on average and {w.percent(e.median)} in the median"
        for name, e in (("TTFT", errors.ttft), ("TPOT", errors.tpot))
    )
    if measured:
        return [
            f"Predictions for {errors.tpot.n} runs on {device.title}, by constants that had not seen their model, are off by "
            f"{both}."
        ]
    return [
        f"No run on {device.title} was measured. Predictions for {errors.tpot.n} runs on devices that the constants had not seen "
        f"are off by {both}; with assumed constants of operators they will be off by more."
    ]


def _constants(study: Study, scenario: Scenario, choice: Choice, best: Candidate) -> list[str]:
    """What the operators' constants rest on, at the recommended point."""
    device, profile = study.hardware[best.hardware], study.profiles[best.hardware]
    scheme = study.quantization[best.scheme]
    entry = next(m for m in study.models if m.model.name == best.model)
    model = CostModel(entry)
    point = {**best.plan, **STEADY, "batch": best.batch, "isl": scenario.isl.value, "osl": scenario.osl.value}
    values = model.values(device, scheme, profile, study.engine) | point | {"microbatches": best.plan["pp"]}
    fitted = sum(1 for c in profile.classes.values() if c.n)
    rests = (
        f"Constants of operators: {profile.title} ({fitted} classes fitted to kernel measurements)."
        if fitted
        else f"**Rests on assumed constants**: no operator of {device.title} was measured, all have the defaults of their class."
    )
    notes = hull.notes(model, device, scheme, profile, values) if fitted else []
    return [rests, *(f"{note[0].upper()}{note[1:]}." for note in notes)]
