"""Measurements of a user's own: points of serving, rows that are not used and why, and the tests that find such rows.

No row is dropped in silence: what is not used stands in `flags`, with its place in the file and a reason.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from costc.errors import CostcError

#: a time this many times what its neighbours and the ratio of their sizes allow is of another unit, or of another thing
FAR = 50.0
#: the same for a TTFT that is shorter than the outputs before it take: beyond the memory's capacity requests wait for others
#: to end, and between two loads TTFT grows by up to 400 times (measured)
QUEUED = 600.0
#: neighbours compared with: the middle one decides
NEAREST = 3
#: stands for a size that is not given
ABSENT = 1e-9
#: rows below which there is nothing to fit
FEWEST = 2
LENGTHS = ("isl", "osl")
TIMES = ("ttft", "tpot")


@dataclass(frozen=True)
class Flag:
    """A row that is not used."""

    source: str
    line: int
    reason: str

    def __str__(self) -> str:
        return f"{self.source}:{self.line}: {self.reason}"


@dataclass(frozen=True)
class Point:
    """Mean times of serving at one load; seconds and tokens.

    Args:
        line: of the file, from 1.
        isl, osl: mean lengths of prompts and outputs.
        concurrency: requests in flight at most; None where only a rate was set.
        rate: requests a second that arrive; None: a new one when another ends.
        requests: of the whole run.
        spread: shortest over longest length that was drawn; None where the file does not say.
        percentiles: by name such as `ttft_p99`, seconds.
        labels: model, device, engine, engine_version, quantization, as far as the file says.
        degrees: parallel degrees by strategy.
    """

    source: str
    line: int
    isl: float
    osl: float
    concurrency: float | None
    rate: float | None
    ttft: float | None
    tpot: float | None
    requests: float | None = None
    spread: float | None = None
    percentiles: Mapping[str, float] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)
    degrees: Mapping[str, int] = field(default_factory=dict)

    @property
    def configuration(self) -> tuple[tuple[str, object], ...]:
        """What is served and on what: points that differ in load alone have the same."""
        return (*sorted(self.labels.items()), *sorted(self.degrees.items()))

    @property
    def load(self) -> tuple[float, ...]:
        """Lengths and concurrency or rate."""
        return (self.isl, self.osl, self.concurrency or 0.0, self.rate or 0.0)


@dataclass(frozen=True)
class Measurements:
    """Points that are used, and rows that are not."""

    points: tuple[Point, ...]
    flags: tuple[Flag, ...]


def checked(points: Iterable[Point], flags: Iterable[Flag]) -> Measurements:
    """Points without those that repeat another or lie far from their neighbours.

    Raises:
        CostcError: fewer than FEWEST points are left.
    """
    given, said = list(points), list(flags)
    sources = sorted({p.source for p in given} | {f.source for f in said})
    for test in (_repeated, _far):
        bad = test(given)
        said += [Flag(given[i].source, given[i].line, reason) for i, reason in bad.items()]
        given = [p for i, p in enumerate(given) if i not in bad]
    said.sort(key=lambda f: (f.source, f.line))
    if len(given) < FEWEST:
        raise CostcError(too_few(", ".join(sources), len(given), said))
    return Measurements(tuple(given), tuple(said))


def too_few(where: str, left: int, flags: Sequence[Flag]) -> str:
    """A sentence for a file from which nothing can be fitted, with the first reasons."""
    count = {0: "no rows", 1: "1 row"}[left]
    why = "".join(f"\n  {flag}" for flag in flags[:5]) + (f"\n  ... and {len(flags) - 5} more" if len(flags) > 5 else "")
    return f"{where}: {count} that can be used; a fit needs at least {FEWEST}{why}"


def _repeated(points: Sequence[Point]) -> dict[int, str]:
    """Rows that say word for word what an earlier one says."""
    seen: dict[tuple[object, ...], Point] = {}
    bad = {}
    for i, p in enumerate(points):
        key = (p.configuration, p.load, p.ttft, p.tpot)
        if key in seen:
            bad[i] = f"repeats line {seen[key].line}" + (f" of {seen[key].source}" if seen[key].source != p.source else "")
        seen.setdefault(key, p)
    return bad


def _far(points: Sequence[Point]) -> dict[int, str]:
    """Rows with a time far from those of the same configuration at the nearest loads."""
    groups: dict[object, list[int]] = {}
    for i, p in enumerate(points):
        groups.setdefault(p.configuration, []).append(i)
    bad: dict[int, str] = {}
    for rows in groups.values():
        for name in TIMES:
            own = [i for i in rows if getattr(points[i], name) is not None]
            times = [getattr(points[i], name) for i in own]
            waiting = [name == "ttft" and _may_wait(points[i]) for i in own]
            for place, ratio in far(times, [points[i].load for i in own], waiting).items():
                bad.setdefault(own[place], unlike(name, times[place], ratio))
    return bad


def _may_wait(point: Point) -> bool:
    """Whether a first token may have waited for another request's output."""
    return point.ttft is not None and point.tpot is not None and point.ttft < point.tpot * point.osl


def far(times: Sequence[float], sizes: Sequence[Sequence[float]], waiting: Sequence[bool] = ()) -> dict[int, float]:
    """Places of times that are far from their nearest neighbours, and how many times those' median they are.

    Where sizes are k times as large, a time may be anything from as long to k times as long.

    Args:
        waiting: times that may hold a queue, which only QUEUED times tells from a mistake.
    """
    import numpy as np
    from scipy.spatial import KDTree

    if len(times) < 2:
        return {}
    time, at = np.log(np.array(times, dtype=float)), np.log(np.maximum(np.array(sizes, dtype=float), ABSENT))
    _, near = KDTree(at).query(at, k=min(NEAREST + 1, len(times)), p=1)
    # a row is its own nearest neighbour, unless enough others have the same sizes
    own = near == np.arange(len(times))[:, None]
    own[~own.any(axis=1), -1] = True
    others = near[~own].reshape(len(times), -1)
    steps = at[:, None, :] - at[others]
    ratio = time[:, None] - time[others]
    above = np.maximum(ratio - np.maximum(steps, 0).sum(axis=2), 0)
    below = np.minimum(ratio + np.maximum(-steps, 0).sum(axis=2), 0)
    beyond = np.median(above + below, axis=1)
    queue = np.array(waiting or [False] * len(times))
    longer = np.where(beyond > 0, queue, np.median(queue[others], axis=1) > 0)
    bad = np.flatnonzero(np.abs(beyond) > np.where(longer, np.log(QUEUED), np.log(FAR)))
    return {int(i): float(np.exp(np.median(ratio[i]))) for i in bad}


def unlike(name: str, seconds: float, ratio: float) -> str:
    """A sentence for a time that is far from its neighbours."""
    many = f"{ratio:.0f} times" if ratio >= 1 else f"1/{1 / ratio:.0f} of"
    return f"{name} of {seconds * 1e3:.6g} ms is {many} what the nearest rows of its configuration have (another unit?)"
