"""The accuracy page: what the ledger's digest and the fitted profiles say, as Markdown, with its figures.

A pure function of committed files, so that whoever has no measurements can check that the page is true to the digest.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Final

import numpy as np

from costc.calibrate.ledger import TIMES
from costc.calibrate.suspects import IMPLAUSIBLE, SUSPICIONS
from costc.calibrate.validate import DIGEST, Error, Line, error, implausible, line, summary
from costc.report.accuracy_words import BESIDE, CONSTANTS_INTRO, INTRO, KERNELS, MEASURED, OFF, PROTOCOL, SUSPECTS
from costc.report.scatter import ENGINES, scatter
from costc.serving.constants import CONSTANTS
from costc.spec.catalog import Catalog

if TYPE_CHECKING:
    import pandas as pd

    Frame = pd.DataFrame

PAGE: Final = "reports/accuracy.md"
FIGURES: Final = "reports/figures/accuracy"
#: classes of operators by words of their forms' names, as the page sums them up
CLASSES: Final = {
    "GEMM": ("gemm", "batched_gemm"),
    "attention": ("prefill_attention", "decode_attention", "prefill_mla", "decode_mla"),
    "experts": ("grouped_gemm",),
    "scan": ("scan_prefill", "scan_decode"),
    "elementwise": ("elementwise",),
}
COLLECTIVES: Final = "collectives"
#: bounds of concurrency per replica and of lengths that residuals are grouped by
BINS: Final = {"batch": (1, 4, 16, 64, 256, np.inf), "isl": (1, 512, 2048, 5000, np.inf), "osl": (1, 300, 1200, np.inf)}
WORST: Final = 12


def files(ledger: Frame, beside: Frame | None, catalog: Catalog) -> dict[str, str]:
    """The page and its figures, by path.

    Args:
        ledger: as read from the digest.
        beside: AIConfigurator's errors on the same rows (`tests/bench`), or None.
    """
    main = ledger[ledger["table"] == "main"]
    pictures = {f"{FIGURES}/{time}.svg": scatter(main, time, "family") for time in TIMES}
    return {PAGE: "\n".join(_page(main, ledger[ledger["table"] == "disagg"], beside, catalog)), **pictures}


def _page(main: Frame, disagg: Frame, beside: Frame | None, catalog: Catalog) -> Iterator[str]:
    yield INTRO
    yield from _short(main, disagg)
    yield from MEASURED, PROTOCOL
    yield from _groups(main)
    if beside is not None:
        yield from _beside(beside)
    yield from _kernels(catalog)
    yield from _off(main)
    yield from _suspects(main)
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
    rows = [
        _line(line(main, "family"), "**leave one family out**"),
        _line(line(main, "device"), "leave one device out"),
        _line(line(main, "none"), "fitted to all of them"),
        _line(line(main[~implausible(main)], "family"), "leave one family out, without implausible rows"),
    ]
    if len(disagg):
        rows.append(_line(line(disagg, "family"), "disaggregated, leave one family out"))
    yield from table(["aggregated serving", "rows", *HEAD], rows)
    yield "![Predicted and measured time per output token](figures/accuracy/tpot.svg)\n"
    yield "![Predicted and measured time to first token](figures/accuracy/ttft.svg)\n"


def _groups(main: Frame) -> Iterator[str]:
    for title, fold, by in (
        ("Leave one family out, by family", "family", "family"),
        ("Leave one family out, by device", "family", "device"),
        ("Leave one family out, by engine", "family", "engine"),
        ("Leave one device out, by device", "device", "device"),
    ):
        yield f"### {title}\n"
        rows = [_line(x, ENGINES.get(x.group, x.group)) for x in summary(main, fold, [by]) if x.by in (by, "all")]
        yield from table([by, "rows", *HEAD], rows)


def _beside(beside: Frame) -> Iterator[str]:
    yield BESIDE.format(date=beside["date"].iloc[0], version=beside["version"].iloc[0])
    names = [f"{who}_{time}_{what}" for who in ("aic", "costc") for time in ("tpot", "ttft") for what in ("mean", "median")]
    head = ["rows", "", "n", "predicted", *(n.replace("_", " ").replace("aic", "AIC").upper().replace("COSTC", "ours") for n in names)]
    rows = [
        [row["table"], row["group"], str(row["n"]), str(row["predicted"]), *(percent(row[n] / 100) for n in names)]
        for row in beside.to_dict("records")
    ]
    yield from table(head, rows, 2)


def _class_of(form: str) -> str:
    return next((name for name, forms in CLASSES.items() if form in forms), COLLECTIVES)


def _kernels(catalog: Catalog) -> Iterator[str]:
    """Held-out errors of the fitted profiles by class and device; a table counts once, however many profiles hold it."""
    yield KERNELS
    found: dict[tuple[str, str], dict[tuple[str, ...], tuple[int, float, float]]] = {}
    for profile in catalog.all("efficiency"):
        for fitted in profile.classes.values():
            if fitted.held_out:
                key = (fitted.digest or profile.engine, fitted.form)
                held = fitted.held_out
                found.setdefault((_class_of(fitted.form), profile.device), {})[key] = (held.n, held.mean, held.median)
    rows = []
    for (name, device), tables in sorted(found.items()):
        n, mean, median = (np.array(column, dtype=float) for column in zip(*tables.values(), strict=True))
        rows.append(
            [name, device, str(len(n)), f"{n.sum():.0f}", percent((n * mean).sum() / n.sum()), percent((n * median).sum() / n.sum())]
        )
    yield from table(["class", "device", "tables", "held-out rows", "mean", "median"], rows, 2)


# ---- where it is off


def _off(main: Frame) -> Iterator[str]:
    yield OFF
    off = main.assign(**{f"{time}_off": np.abs(error(main, time, "family")) for time in TIMES})
    yield "By requests in flight of a replica and mean lengths:\n"
    rows = []
    for name, bounds in BINS.items():
        for low, high in zip(bounds, bounds[1:], strict=False):
            part = main[(main[name] >= low) & (main[name] < high)]
            if len(part):
                rows.append(_line(line(part, "family"), name, f"{low:g} to {high:g}" if np.isfinite(high) else f"from {low:g}"))
    yield from table(["", "", "rows", *HEAD], rows, 2)
    yield f"The {WORST} groups that add most to each mean (share of the sum of all errors, percent):\n"
    keys = ["family", "hardware", "engine", "scheme"]
    for time in TIMES[::-1]:
        share = off.groupby(keys)[f"{time}_off"].agg(["sum", "size"]).sort_values("sum", ascending=False).head(WORST)
        rows = []
        for names, row in share.iterrows():
            own = main[np.logical_and.reduce([main[k] == v for k, v in zip(keys, names, strict=True)])]  # type: ignore[arg-type]
            found = Error.of(error(own, time, "family"))
            words = [str(n) or "as published" for n in names]  # type: ignore[attr-defined]
            rows.append([*words, str(found.n), percent(row["sum"] / off[f"{time}_off"].sum()), *_cells(found)])
        head = ["family", "device", "engine", "scheme", "rows", "share", *(f"{time.upper()} {w}" for w in ("mean", "median", "bias"))]
        yield from table(head, rows, 4)
    yield f"The {WORST} rows that are off most, by time per output token:\n"
    worst = off.sort_values("tpot_off", ascending=False).head(WORST)
    yield from table(
        ["row", "measured TPOT ms", "predicted", "measured TTFT ms", "predicted", "flags"],
        [[f"`{r.id}`", *(f"{v:.3g}" for v in (r.tpot, r.tpot_family, r.ttft, r.ttft_family)), r.flags] for r in worst.itertuples()],
    )


def _suspects(main: Frame) -> Iterator[str]:
    yield SUSPECTS
    rows = []
    for suspicion in SUSPICIONS:
        own = main[main["flags"].map(lambda flags, name=suspicion.name: name in flags.split("; "))]
        if len(own):
            found = line(own, "family")
            figures = [percent(found.tpot.mean), percent(found.ttft.mean)]
            rows.append([suspicion.name, suspicion.kind, suspicion.spoils, suspicion.evidence, str(len(own)), *figures])
    yield from table(["", "", "spoils", "evidence", "rows", "TPOT mean", "TTFT mean"], rows, 4)
    odd = implausible(main)
    rows = [_line(line(main[odd], "family"), IMPLAUSIBLE), _line(line(main[~odd], "family"), "all others")]
    yield from table(["rows that are", "rows", *HEAD], rows)


def _constants(catalog: Catalog) -> Iterator[str]:
    yield CONSTANTS_INTRO
    engines = {name: catalog.engine(name).values for name in ENGINES if name in catalog.names("engine")}
    rows = []
    for constant in CONSTANTS:
        values = [v.get(f"serving_{constant.name}") or v.get(constant.name) for v in engines.values()]
        shown = [f"{v.value:.3g}" if v else "-" for v in values]
        rows.append([f"`{constant.name}`", constant.meaning, constant.unit, f"{constant.prior:g}", *shown])
    yield from table(["constant", "meaning", "unit", "prior", *(ENGINES[e] for e in engines)], rows, 3)
    yield f"Every row with its configuration, predictions and errors: [{DIGEST.name}]({DIGEST.name})."
