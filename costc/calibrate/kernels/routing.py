"""How the tables' collector routes tokens to experts, and what one rank sees of it.

`balanced` gives token t the experts t, t + stride, ... (a few tokens are spread over one stride). `power_law_a` draws each
expert's popularity from a truncated power law with exponent a, scales it to whole pairs, at most one for each token and
expert, and times the rank with the most pairs: rows are those of the busiest rank. `uniform` gives every expert as many.
Pairs and touched experts of a rank are what the form asks for; draws are repeated and averaged, from a fixed seed.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final

import numpy as np
import numpy.typing as npt

Counts = npt.NDArray[np.int64]
DRAWS: Final = 6
POWER: Final = "power_law_"


@lru_cache(maxsize=200_000)
def seen(tokens: int, experts: int, topk: int, ranks: int, distribution: str) -> tuple[float, float]:
    """Pairs of token and expert on the rank that is timed, and how many of its experts they touch.

    Args:
        tokens: of all ranks.
    """
    if not distribution.startswith(POWER):
        routed = balanced if distribution == "balanced" else uniform
        own = routed(tokens, experts, topk).reshape(ranks, -1)[0]
        return float(own.sum()), float(np.count_nonzero(own))
    alpha = float(distribution.removeprefix(POWER))
    rng = np.random.default_rng([tokens, experts, topk, ranks, round(100 * alpha)])
    draws = []
    for _ in range(DRAWS):
        counts = power_law(tokens, experts, topk, ranks, alpha, rng).reshape(ranks, -1)
        own = counts[counts.sum(axis=1).argmax()]
        draws.append((own.sum(), np.count_nonzero(own)))
    pairs, touched = np.mean(draws, axis=0)
    return float(pairs), float(touched)


def balanced(tokens: int, experts: int, topk: int) -> Counts:
    """Pairs of each expert, shape (experts,)."""
    stride = -(-experts // topk)
    first = np.arange(tokens) if tokens >= stride else np.arange(tokens) * stride // tokens
    chosen = (first[:, None] + stride * np.arange(topk)) % experts
    return _counted(chosen.ravel(), experts)


def uniform(tokens: int, experts: int, topk: int) -> Counts:
    """The same number for every expert; with fewer pairs than experts, one for experts evenly apart."""
    pairs = tokens * topk
    if pairs >= experts:
        return np.full(experts, pairs // experts, dtype=np.int64)
    return _counted(np.arange(pairs) * experts // pairs, experts)


def power_law(tokens: int, experts: int, topk: int, ranks: int, alpha: float, rng: np.random.Generator) -> Counts:
    """Pairs of each expert, shape (experts,), `tokens * topk` in all."""
    low, high = (1.0, 0.8 * tokens) if tokens * topk > experts else (0.01, 2.0)
    power = 1 - alpha
    popularity = (low**power + (high**power - low**power) * rng.random(experts)) ** (1 / power)
    counts: Counts = np.rint(popularity / popularity.sum() * tokens * topk).astype(np.int64).clip(max=tokens)
    rest = tokens * topk - int(counts.sum())
    return -filled(-counts, -rest) if rest < 0 else spread(counts.reshape(ranks, -1), rest, tokens).ravel()


def spread(counts: Counts, units: int, most: int) -> Counts:
    """The counts, shape (ranks, experts of each), after so many units went to the ranks in turn, there to the least.

    Args:
        most: of one expert.
    """
    counts = counts.copy()
    while units > 0:
        room = most * counts.shape[1] - counts.sum(axis=1)
        ranks = np.flatnonzero(room)
        shares = units // len(ranks) + (np.arange(len(ranks)) < units % len(ranks))
        for rank, share in zip(ranks, np.minimum(shares, room[ranks]), strict=True):
            counts[rank] = filled(counts[rank], int(share))
            units -= int(share)
    return counts


def filled(counts: Counts, units: int) -> Counts:
    """The counts after so many units went one by one to whichever is the least."""
    if units == 0:
        return counts
    order = np.argsort(counts, kind="stable")
    heights = counts[order]
    # units that lift all before a count to it
    needed = heights * np.arange(len(heights)) - (np.cumsum(heights) - heights)
    lifted = int(np.searchsorted(needed, units, side="left"))
    level, extra = divmod(units + int(heights[:lifted].sum()), lifted)
    raised = counts.copy()
    raised[order[:lifted]] = level
    raised[order[:extra]] += 1
    return raised


def _counted(chosen: Counts, experts: int) -> Counts:
    counts: Counts = np.bincount(chosen, minlength=experts)
    return counts
