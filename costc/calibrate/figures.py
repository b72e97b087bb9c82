"""Accuracy of operator classes as the shipped profiles record it: held-out errors, rows left out by rule, what stands in.

figures(Catalog())           one row for each form, device, engine and format with measurements or a stand-in
by_device(figures(...))      means over the tables of a form, by device
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from costc.ir.platform import Efficiency, FittedClass
from costc.spec.catalog import Catalog

#: table source's words before device and engine
HEAD = "kernel tables of aiconfigurator-core 0.12.0: "


@dataclass(frozen=True)
class Figure:
    """One class of a profile.

    Args:
        n: rows fitted; 0 where constants are not from the engine's own table.
        held_out: rows judged, `mean` and `median` their absolute relative errors; None without such.
        removed: rows that rules took out of the own table, with the rule's name and reason.
        stands_in: whose table the constants are from and why, where the own one is absent or unfit.
        source: the title of what the constants rest on.
    """

    form: str
    device: str
    engine: str
    dtype: str
    n: int
    held_out: int
    mean: float | None
    median: float | None
    removed: tuple[tuple[str, str, int], ...]
    stands_in: str
    source: str


@dataclass(frozen=True)
class Summary:
    """Errors of a form on a device, over its engines' and formats' tables: their mean, and that of the worst table."""

    form: str
    device: str
    tables: int
    held_out: int
    mean: float
    median: float
    worst: float


def figures(catalog: Catalog) -> list[Figure]:
    """Figures of all fitted profiles in a catalogue, sorted by form, device, engine and format."""
    profiles = (catalog.efficiency(name) for name in catalog.names("efficiency"))
    found = [figure for profile in profiles if profile.device for figure in of(profile)]
    return sorted(found, key=lambda f: (f.form, f.device, f.engine, f.dtype))


def of(profile: Efficiency) -> list[Figure]:
    """Figures of a profile: of its classes, and of tables that were left out whole."""
    keys = sorted({*profile.classes, *profile.removed})
    return [_figure(profile, key) for key in keys if key in profile.removed or _measured(profile.classes[key])]


def _measured(one: FittedClass) -> bool:
    """Whether the constants come from a table, and are not the class's defaults."""
    return bool(one.n or one.hull)


def _figure(profile: Efficiency, key: tuple[str, str]) -> Figure:
    one = profile.classes.get(key)
    removed = profile.removed.get(key, {})
    own = one.held_out if one else None
    title = one.source.title.removeprefix(HEAD) if one else ""
    return Figure(
        *(key[0], profile.device, profile.engine, key[1]),
        one.n if one else 0,
        own.n if own else 0,
        own.mean if own else None,
        own.median if own else None,
        tuple((rule, profile.rules[rule], rows) for rule, rows in removed.items()),
        title if one and not one.n and one.hull else "",
        title,
    )


def by_device(found: Iterable[Figure]) -> list[Summary]:
    """Means over tables, each with the same weight, of every form on every device; formats that repeat a table count once."""
    groups: dict[tuple[str, str], dict[tuple[str, float, float], Figure]] = {}
    for figure in found:
        if figure.mean is not None and figure.median is not None:
            own = groups.setdefault((figure.form, figure.device), {})
            own.setdefault((figure.source, figure.mean, figure.median), figure)
    return [_summary(form, device, list(own.values())) for (form, device), own in sorted(groups.items())]


def _summary(form: str, device: str, found: list[Figure]) -> Summary:
    means = [f.mean for f in found if f.mean is not None]
    medians = [f.median for f in found if f.median is not None]
    held_out = sum(f.held_out for f in found)
    return Summary(form, device, len(found), held_out, sum(means) / len(means), sum(medians) / len(medians), max(means))
