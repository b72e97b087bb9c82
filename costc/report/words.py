"""Figures and plans in words: rounding, units, commands."""

from __future__ import annotations

import math

from costc.place import OPTIONS
from costc.search.choose import Candidate
from costc.spec.study import Scenario, Study

DIGITS = 3


def number(value: float, digits: int = DIGITS) -> str:
    """A value to a few significant digits, without an exponent."""
    if not math.isfinite(value):
        return "-"
    if value == 0:
        return "0"
    places = max(0, digits - 1 - math.floor(math.log10(abs(value))))
    return f"{round(value, digits - 1 - math.floor(math.log10(abs(value)))):,.{places}f}"


def plain(value: float) -> str:
    """A given figure, as it was given: no more digits than it has, five at most."""
    text = number(value, 5)
    return text.rstrip("0").rstrip(".") if "." in text else text


def second(value: float) -> str:
    """A time with the unit that suits it."""
    return f"{number(value)} s" if value >= 1 else f"{number(value * 1e3)} ms"


#: marks the error of devices that were left out of the fit, where nothing was measured end to end
UNMEASURED = "*"
#: marks times of which not even the matrix products were measured
ASSUMED = "assumed"


def timed(study: Study, x: Candidate, name: str) -> str:
    """A predicted mean TTFT or TPOT, with the mean error of such predictions on that device where they were judged."""
    if not x.measured:
        return f"{second(x[name])} ({ASSUMED})"
    off = study.engine.off(study.hardware[x.hardware].name) if study.continuous else None
    if off is None:
        return second(x[name])
    errors, measured = off
    return f"{second(x[name])} ± {getattr(errors, name).mean:.0%}{'' if measured else UNMEASURED}".replace("%", " %")


def dollars(value: float) -> str:
    """A price, where there is one."""
    return f"${number(value)}" if math.isfinite(value) else "no price"


def gigabyte(value: float) -> str:
    """Bytes in GB (1e9)."""
    return f"{number(value / 1e9)} GB"


def percent(value: float) -> str:
    """A share in percent, two digits."""
    return f"{number(100 * value, 2)} %" if math.isfinite(value) else "-"


def plan(candidate: Candidate) -> str:
    """Degrees above 1, in words."""
    parts = [f"{name} {degree}" for name, degree in candidate.plan.items() if degree > 1]
    return ", ".join(parts) if parts else "one device"


def devices(candidate: Candidate) -> int:
    """Devices of a deployment's replica."""
    return int(candidate["devices"])


def command(study: Study, scenario: Scenario, found: Candidate) -> str:
    """The command that reproduces a candidate."""
    device = study.hardware[found.hardware]
    degrees = "".join(
        f" --{name} {degree}" if name in OPTIONS else f" --degree {name}={degree}"
        for name, degree in found.plan.items()
        if degree > 1
    )
    verb, count, load = ("eval", "batch", "")
    if study.continuous:
        verb, count, load = "serving", "concurrency", f" --engine {study.engine.name} --waves 1e9 --length-spread 1"
    return (
        f"costc {verb} {found.model} --hardware {device.name} --quantization {study.quantization[found.scheme].name} "
        f"--{count} {found.batch} --isl {int(scenario.isl.value)} --osl {int(scenario.osl.value)}{degrees} "
        f"--efficiency {study.efficiency.name}{load}"
    )
