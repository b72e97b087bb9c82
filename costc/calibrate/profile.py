"""A fitted efficiency profile, and its text: the same bytes from every run and processor."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from costc.calibrate.fit import Fit
from costc.facts import Fact, Source
from costc.ir.platform import Efficiency, Engine, FittedClass, FittedConstant, HeldOut
from costc.spec.writer import write

#: digits of a constant, of its standard deviation and of an error: processors that differ in the last bit agree on these
VALUE, DEVIATION, ERROR = 4, 2, 3
#: levels of the text that have a line each: classes, form, format, constants
DEEP = 4
SourceOf = Callable[[Fit], Source]


def tables_source(fit: Fit) -> Source:
    """The wheel's table that a fit rests on."""
    title = f"kernel tables of aiconfigurator-core 0.12.0: {fit.device}, {fit.engine} {fit.version}".rstrip()
    return Source(title, "https://pypi.org/project/aiconfigurator-core/0.12.0/", "2026-11")


def profile(
    name: str,
    title: str,
    device: str,
    engine: str,
    fits: Iterable[Fit],
    values: Mapping[str, Fact],
    source: SourceOf = tables_source,
) -> Efficiency:
    """The profile of a device and engine.

    Args:
        values: what operators without constants of their class take.
        source: where a fit's measurements come from.
    """
    ordered = sorted(fits, key=lambda fit: (fit.form, fit.dtype))
    classes = {(fit.form, fit.dtype): fitted_class(fit, source(fit)) for fit in ordered}
    return Efficiency(name, title, values, "", classes, device, engine)


def fitted_class(fit: Fit, source: Source) -> FittedClass:
    """A fit as the profile holds it, rounded."""
    held_out = fit.held_out
    return FittedClass(
        fit.form,
        fit.dtype,
        {name: rounded_constant(c) for name, c in fit.constants.items()},
        source,
        fit.n,
        HeldOut(held_out.n, rounded(held_out.mean, ERROR), rounded(held_out.median, ERROR)) if held_out else None,
        fit.hull,
        fit.digest,
    )


def rounded_constant(given: FittedConstant) -> FittedConstant:
    """A constant as a profile holds it."""
    return FittedConstant(rounded(given.value, VALUE), rounded(given.std, DEVIATION), given.unit, given.kind)


def rounded(value: float, digits: int) -> float:
    """A value of so many digits."""
    return float(f"{value:.{digits}g}")


def text(given: Efficiency) -> str:
    """The profile as YAML, which reads back as the same profile."""
    removed: dict[str, dict[str, dict[str, int]]] = {}
    for (form, dtype), rows in sorted(given.removed.items()):
        removed.setdefault(form, {})[dtype] = dict(rows)
    head = {"name": given.name, "title": given.title, "device": given.device, "engine": given.engine}
    return _text(head, given.values, given.classes, {"rules": dict(given.rules), "removed": removed})


def engine_text(given: Engine) -> str:
    """Engine settings as YAML, which reads back as the same settings."""
    fitted = {(one.form, one.dtype): one for one in (given.fitted, given.pools) if one}
    accuracy = {device: {"ttft": _errors(a.ttft), "tpot": _errors(a.tpot)} for device, a in given.accuracy.items()}
    return _text({"name": given.name, "title": given.title}, given.values, fitted, {"accuracy": accuracy})


def _errors(given: HeldOut) -> dict[str, Any]:
    return {"n": given.n, "mean": given.mean, "median": given.median}


def _text(
    head: Mapping[str, str],
    values: Mapping[str, Fact],
    fitted: Mapping[tuple[str, str], FittedClass],
    tail: Mapping[str, Any],
) -> str:
    keys: dict[Source, str] = {}
    facts = {name: _fact(fact, _key(fact.source, keys)) for name, fact in sorted(values.items())}
    classes: dict[str, dict[str, Any]] = {}
    for (form, dtype), one in sorted(fitted.items()):
        classes.setdefault(form, {})[dtype] = _class(one, _key(one.source, keys))
    sources = {key: {k: v for k, v in _source(source).items() if v} for source, key in keys.items()}
    spec = {k: v for k, v in head.items() if v} | {"sources": sources, "values": facts}
    return write(spec | {k: v for k, v in {"classes": classes, **tail}.items() if v}, DEEP)


def _key(source: Source, keys: dict[Source, str]) -> str:
    """The word by which a profile's facts name a source."""
    return keys.setdefault(source, f"s{len(keys) + 1}")


def _source(source: Source) -> dict[str, str]:
    return {"title": source.title, "url": source.url, "date": source.date}


def _fact(fact: Fact, source: str) -> dict[str, Any]:
    value: object = fact.value if fact.unit == "1" else f"{fact.value!r} {fact.unit}"
    given = {"value": value, "source": source, "kind": fact.kind, "note": fact.note, "date": fact.date}
    return {k: v for k, v in given.items() if v != ""}


def _class(given: FittedClass, source: str) -> dict[str, Any]:
    errors = _errors(given.held_out) if given.held_out else None
    found = {
        "source": source,
        "n": given.n,
        "held_out": errors,
        "digest": given.digest,
        "hull": {name: [_plain(low), _plain(high)] for name, (low, high) in given.hull.items()},
        "constants": {
            name: {"value": c.value, "std": c.std, "unit": c.unit, "kind": c.kind} for name, c in given.constants.items()
        },
    }
    return {k: v for k, v in found.items() if v not in (None, "", {})}


def _plain(value: float) -> float | int:
    """A whole number without a point."""
    return int(value) if value.is_integer() and abs(value) < 1e15 else value
