"""The accuracy page: what the ledger's digest and the fitted profiles say, as Markdown, with its figures.

A pure function of committed files, so that whoever has no measurements can check that the page is true to the digest.
"""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Final

import numpy as np

from costc.calibrate.figures import Figure, by_device, figures
from costc.calibrate.ledger import INFERRED, TIMES
from costc.calibrate.suspects import APART, IMPLAUSIBLE, SUSPICIONS, Suspicion
from costc.calibrate.validate import DIGEST, Error, Line, error, implausible, line, summary
from costc.report.accuracy_words import APART_INTRO, BESIDE, CONSTANTS_INTRO, INTRO, KERNELS, MEASURED, OFF, PROTOCOL, SUSPECTS
from costc.report.scatter import ENGINES, scatter
from costc.serving.constants import CONSTANTS
from costc.spec.catalog import Catalog

if TYPE_CHECKING:
    import pandas as pd

    Frame = pd.DataFrame

PAGE: Final = "reports/accuracy.md"
FIGURES: Final = "reports/figures/accuracy"
#: what was aimed at before the first fit, leaving one family out
AIMS: Final = {
    "main": {("tpot", "mean"): 0.12, ("tpot", "median"): 0.08, ("ttft", "mean"): 0.25, ("ttft", "median"): 0.15},
    "disagg": {("tpot", "mean"): 0.2, ("ttft", "mean"): 0.3},
}
TITLES: Final = {"main": "aggregated", "disagg": "disaggregated"}
#: bounds of concurrency per replica and of lengths that residuals are grouped by
BINS: Final = {"batch": (1, 4, 16, 64, 256, np.inf), "isl": (1, 512, 2048, 5000, np.inf), "osl": (1, 300, 1200, np.inf)}
WORST: Final = 12


def files(ledger: Frame, beside: str | None, catalog: Catalog) -> dict[str, str]:
    """The page and its figures, by path.

    Args:
        ledger: as read from the digest.
        beside: AIConfigurator's predictions of the same rows, as `tests/bench` writes them, or None.
    """
    main = ledger[ledger["table"] == "main"]
    pictures = {f"{FIGURES}/{time}.svg": scatter(main, time, "family") for time in TIMES}
    return {PAGE: "\n".join(_page(main, ledger[ledger["table"] == "disagg"], beside, catalog)), **pictures}


def _page(main: Frame, disagg: Frame, beside: str | None, catalog: Catalog) -> Iterator[str]:
    import pandas as pd

    yield INTRO
    yield from _short(main, disagg)
    yield MEASURED
    yield PROTOCOL
    yield from _groups(main, disagg)
    if beside is not None:
        yield from _beside(pd.concat([main, disagg]), beside)
    yield from _kernels(catalog)
    yield from _off(main)
    yield from _suspects(main, disagg)
    yield from _constants(catalog)


# ---- tables


def table(head: Sequence[str], rows: Iterable[Sequence[str]], words: int = 1) -> Iterator[str]:
    """A table whose first columns are words and whose others are numbers."""
    yield f"| {' | '.join(head)} |"
    yield f"|{' --- |' * words}{' ---: |' * (len(head) - words)}"
    for row in rows:
        yield f"| {' | '.join(row)} |"
    yield ""


def percent(value: float | None, signed: bool = False) -> str:
    """One place; a dash where there is none."""
    if value is None or not np.isfinite(value):
        return "-"
    return f"{100 * value:{'+' if signed else ''}.1f}"


def _cells(found: Error) -> list[str]:
    return [percent(found.mean), percent(found.median), percent(found.bias, True)]


HEAD: Final = [f"{time} {what}" for time in ("TPOT", "TTFT") for what in ("mean", "median", "bias")]


def _line(found: Line, *names: str) -> list[str]:
    """Names, rows, and figures of both times."""
    return [*names, str(found.tpot.n), *_cells(found.tpot), *_cells(found.ttft)]


def _short(main: Frame, disagg: Frame) -> Iterator[str]:
    """The main table, and how far it is from what was aimed at."""
    whole = line(main, "family")
    rows = [
        _line(whole, "**leave one family out**"),
        _line(line(main[~implausible(main)], "family"), "the same without implausible rows"),
        _line(line(main, INFERRED), "the same with settings inferred from the rows themselves"),
        _line(line(main, "device"), "**leave one device out**"),
        _line(line(main, "none"), "fitted to all of them"),
    ]
    apart = line(disagg, "family")
    if len(disagg):
        rows.append(_line(apart, "**disaggregated, leave one family out**"))
    yield from table(["rows", "number", *HEAD], rows)
    yield (
        "Aimed at: "
        + "; ".join(_aimed(name, found) for name, found in (("main", whole), ("disagg", apart)) if found.tpot.n)
        + ".\n"
    )
    yield "![Predicted and measured time per output token](figures/accuracy/tpot.svg)\n"
    yield "![Predicted and measured time to first token](figures/accuracy/ttft.svg)\n"


def _aimed(name: str, found: Line) -> str:
    """A sentence on each figure that was aimed at."""
    said = []
    for (time, what), aim in AIMS[name].items():
        is_ = getattr(getattr(found, time), what)
        off = "not predicted" if is_ is None else "reached" if is_ <= aim else f"missed by {percent(is_ - aim)}"
        said.append(f"{time.upper()} {what} {percent(aim)} ({off})")
    return f"{TITLES[name]} {', '.join(said)}"


def _groups(main: Frame, disagg: Frame) -> Iterator[str]:
    for title, fold, by in (
        ("Leave one family out, by family", "family", "family"),
        ("Leave one family out, by device", "family", "device"),
        ("Leave one family out, by engine", "family", "engine"),
        ("Leave one device out, by device", "device", "device"),
    ):
        yield f"### {title}\n"
        rows = [_line(x, ENGINES.get(x.group, x.group)) for x in summary(main, fold, [by]) if x.by in (by, "all")]
        yield from table([by, "rows", *HEAD], rows)
    if len(disagg):
        yield APART_INTRO
        found = [x for x in summary(disagg, "family", []) if x.by.startswith("disaggregated")]
        rows = [_line(x, x.by.partition(", ")[2] or "all", ENGINES.get(x.group, x.group)) for x in found]
        yield from table(["", "", "rows", *HEAD], rows, 2)


def _beside(ledger: Frame, beside: str) -> Iterator[str]:
    """Both tools on the rows that the other predicts.

    Args:
        beside: its predictions by row as CSV, under a line that says what they are.
    """
    import pandas as pd

    told, _, text = beside.partition("\n")
    yield BESIDE.format(told=told.lstrip("# "))
    theirs = pd.read_csv(io.StringIO(text)).set_index("id")
    joined = ledger.join(theirs, on="id")
    joined = joined.assign(**{f"{time}_theirs": joined[f"aic_{time}_ms"] for time in TIMES})
    rows = []
    for name, part in joined.groupby("table", sort=False):
        groups = [
            ("", "all", part),
            *((by, str(g), rows_) for by in ("hardware", "engine", "family") for g, rows_ in part.groupby(by)),
        ]
        rows += [_pair([TITLES[str(name)], by, ENGINES.get(group, group)], own) for by, group, own in groups]
    titles = [f"{time} {what}, {who}" for time in ("TPOT", "TTFT") for what in ("mean", "median") for who in ("theirs", "ours")]
    yield from table(["", "", "", "rows", "theirs", *titles], rows, 3)


def _pair(names: list[str], own: Frame) -> list[str]:
    """Names, rows, rows that the other tool predicts, and errors of both on these."""
    both = own[own["tpot_theirs"].notna()]
    errors = [
        getattr(Error.of(error(both, time, who)), what)
        for time in TIMES[::-1] for what in ("mean", "median") for who in ("theirs", "family")
    ]  # fmt: skip
    return [*names, str(len(own)), str(len(both)), *map(percent, errors)]


def _kernels(catalog: Catalog) -> Iterator[str]:
    """Held-out errors of the fitted profiles by form and device, then what rules left out and what stands in."""
    yield KERNELS
    found = figures(catalog)
    cells = {(s.form, s.device): f"{percent(s.mean)} / {percent(s.median)}" for s in by_device(found)}
    devices = sorted({device for _, device in cells})
    forms = sorted({form for form, _ in cells})
    yield from table(["class", *devices], [[f, *(cells.get((f, d), "") for d in devices)] for f in forms])
    yield "Tables that are furthest off:\n"
    judged = sorted(
        (f for f in found if f.mean is not None and not f.stands_in), key=lambda f: (-(f.mean or 0), f.form, f.device)
    )
    rows = [[f.form, f.device, f.engine, f.dtype, str(f.held_out), percent(f.mean), percent(f.median)] for f in judged[:WORST]]
    yield from table(["class", "device", "engine", "format", "held-out rows", "mean", "median"], rows, 4)
    yield from _removed(found)


def _removed(found: Sequence[Figure]) -> Iterator[str]:
    rules: dict[str, list[int]] = {}
    for figure in found:
        for _, reason, rows in figure.removed:
            rules.setdefault(reason, []).append(rows)
    yield "Rows that rules left out of the tables:\n"
    yield from table(["rule", "tables", "rows"], [[r, str(len(n)), f"{sum(n):,}"] for r, n in sorted(rules.items()) if sum(n)])
    reasons = Counter(f.stands_in.partition("stands in: ")[2] for f in found if f.stands_in)
    yield "Classes whose own table is absent or unfit, so that constants of another stand in (assumed, with a wider deviation):\n"
    yield from table(["why", "classes"], [[reason, str(n)] for reason, n in sorted(reasons.items(), key=lambda x: (-x[1], x[0]))])


# ---- where it is off


def _off(main: Frame) -> Iterator[str]:
    yield OFF
    off = main.assign(**{f"{time}_off": np.abs(error(main, time, "family")) for time in TIMES})
    yield "By requests in flight of a replica and mean lengths:\n"
    rows = []
    for name, bounds in BINS.items():
        for low, high in pairwise(bounds):
            part = main[(main[name] >= low) & (main[name] < high)]
            if len(part):
                rows.append(_line(line(part, "family"), name, f"{low:g} to {high:g}" if np.isfinite(high) else f"from {low:g}"))
    yield from table(["", "", "rows", *HEAD], rows, 2)
    yield f"The {WORST} groups that add most to each mean (share of the sum of all errors, percent):\n"
    for time in TIMES[::-1]:
        yield from _heaviest(off, time)
    yield f"The {WORST} rows that are off most, by time per output token:\n"
    worst = off.sort_values("tpot_off", ascending=False).head(WORST)
    head = ["row", "TPOT measured, ms", "predicted", "TTFT measured, ms", "predicted"]
    figures = worst[["tpot", "tpot_family", "ttft", "ttft_family"]].to_numpy()
    titles = worst["id"] + worst["flags"].map(lambda flags: f" ({flags})" if flags else "")
    yield from table(head, [[name, *(f"{v:.3g}" for v in row)] for name, row in zip(titles, figures, strict=True)])


def _heaviest(off: Frame, time: str) -> Iterator[str]:
    """The groups whose errors of a time add up to most."""
    groups = []
    for names, own in off.groupby(["family", "hardware", "engine", "scheme"]):
        words = [str(name) or "as published" for name in names]
        groups.append((float(own[f"{time}_off"].sum()), words, Error.of(error(own, time, "family"))))
    whole = sum(weight for weight, *_ in groups)
    heavy = sorted(groups, key=lambda g: (-g[0], g[1]))[:WORST]
    head = ["family", "device", "engine", "scheme", "rows", "share", *(f"{time.upper()} {w}" for w in ("mean", "median", "bias"))]
    yield from table(
        head, [[*words, str(e.n), percent(weight / whole if whole else 0), *_cells(e)] for weight, words, e in heavy], 4
    )


def _suspects(main: Frame, disagg: Frame) -> Iterator[str]:
    yield SUSPECTS
    rows = [row for part, kinds in ((main, SUSPICIONS), (disagg, APART)) for kind in kinds for row in _suspected(part, kind)]
    yield from table(["", "", "spoils", "evidence", "rows", "TPOT mean", "TTFT mean"], rows, 4)
    odd = implausible(main)
    rows = [_line(line(main[odd], "family"), IMPLAUSIBLE), _line(line(main[~odd], "family"), "all others")]
    yield from table(["aggregated rows that are", "rows", *HEAD], rows)


def _suspected(ledger: Frame, kind: Suspicion) -> Iterator[list[str]]:
    own = ledger[ledger["flags"].map(lambda flags: kind.name in flags.split("; "))]
    if len(own):
        found = line(own, "family")
        yield [
            kind.name,
            kind.kind,
            kind.spoils,
            kind.evidence,
            str(len(own)),
            percent(found.tpot.mean),
            percent(found.ttft.mean),
        ]


def _constants(catalog: Catalog) -> Iterator[str]:
    yield CONSTANTS_INTRO
    engines = [catalog.engine(name) for name in ENGINES]
    rows = []
    for constant in CONSTANTS:
        values = [e.fitted.constants.get(constant.name) if e.fitted else None for e in engines]
        shown = [f"{v.value:.3g} ± {v.std:.1g}" if v else "-" for v in values]
        rows.append([f"`{constant.name}`", constant.meaning, constant.unit, f"{constant.prior:g}", *shown])
    yield from table(["constant", "meaning", "unit", "prior", *ENGINES.values()], rows, 3)
    yield f"Every row with its configuration, predictions, and their ratio to what was measured: [{DIGEST.name}]({DIGEST.name})."
