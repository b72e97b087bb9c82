"""Which positions an attention operator attends, and how that grows: the law of positions.

An attention operator's amounts are affine in two symbols, `pairs` (query-key pairs of a sequence)
and `context` (cached tokens that are touched). A `Reach` says what they are for a step of `seq`
new tokens after `past` cached ones, and cuts a phase into segments over which both are arithmetic
progressions. A new attention pattern (chunked, sparse top-k) is a new Reach.
"""

from __future__ import annotations

from dataclasses import dataclass

import sympy as sp

from costc import symbols as S
from costc.minmax import Max, Min

ZERO, ONE = sp.Integer(0), sp.Integer(1)


@dataclass(frozen=True)
class Segment:
    """`count` pieces of `seq` new tokens each; pairs and context start at a value and rise by a step from piece to piece."""

    count: sp.Expr
    seq: sp.Expr
    pairs: sp.Expr
    pairs_step: sp.Expr
    context: sp.Expr
    context_step: sp.Expr


def _triangle(n: sp.Expr) -> sp.Expr:
    return n * (n + 1) / 2


@dataclass(frozen=True)
class Reach:
    """Causal attention over all earlier positions, or over the last `window` ones (own position included)."""

    window: sp.Expr | None = None
    name: str = "full"

    @property
    def pairs(self) -> sp.Symbol:
        tail = "" if self.window is None else f", within {self.name}"
        return S.define(
            f"pairs_{self.name}",
            rf"\Pi_{{\mathrm{{{S._tex(self.name)}}}}}",
            "1",
            f"query-key pairs of a sequence in the step{tail}",
            integer=True,
        )

    @property
    def context(self) -> sp.Symbol:
        tail = "" if self.window is None else f", within {self.name}"
        return S.define(
            f"context_{self.name}",
            rf"c_{{\mathrm{{{S._tex(self.name)}}}}}",
            "1",
            f"cached tokens of a sequence that the step touches{tail}",
            integer=True,
        )

    def pairs_of(self, seq: sp.Expr, past: sp.Expr) -> sp.Expr:
        """Pairs attended by `seq` tokens after `past` ones: each new token attends itself and what lies before it."""
        if self.window is None:
            return seq * past + _triangle(seq)
        growing = Max(0, Min(seq, self.window - past))
        return growing * past + _triangle(growing) + (seq - growing) * self.window

    def context_of(self, seq: sp.Expr, past: sp.Expr) -> sp.Expr:
        """Distinct positions touched, the new ones included."""
        return past + seq if self.window is None else Min(past, self.window - 1) + seq

    def stored(self, tokens: sp.Expr) -> sp.Expr:
        """Positions the cache must keep after `tokens` tokens."""
        return tokens if self.window is None else Min(tokens, self.window)

    def decode(self, first: sp.Expr, steps: sp.Expr) -> tuple[Segment, ...]:
        """`steps` decode steps, the first of which attends `first` positions, each one more than the last."""
        if self.window is None:
            return (Segment(steps, ONE, first, ONE, first, ONE),)
        growing = Min(Max(self.window - first + 1, 0), steps)
        return (
            Segment(growing, ONE, first, ONE, first, ONE),
            Segment(steps - growing, ONE, self.window, ZERO, self.window, ZERO),
        )

    def prefill(self, length: sp.Expr, piece: sp.Expr) -> tuple[Segment, ...]:
        """A prompt of `length` tokens, `piece` at a time (piece <= length); the last piece is what is left over."""
        whole = sp.floor(length / piece)
        rest = length - whole * piece
        ragged = sp.ceiling(length / piece) - whole
        last = Segment(ragged, rest, self.pairs_of(rest, whole * piece), ZERO, self.context_of(rest, whole * piece), ZERO)
        start = Segment(whole, piece, _triangle(piece), piece**2, piece, piece)
        if self.window is None:
            return (start, last)
        grown = Min(sp.floor(self.window / piece), whole)
        crossing = Min(whole - grown, sp.ceiling(self.window / piece) - sp.floor(self.window / piece))
        at = grown * piece
        return (
            Segment(grown, piece, start.pairs, start.pairs_step, start.context, start.context_step),
            Segment(crossing, piece, self.pairs_of(piece, at), ZERO, self.context_of(piece, at), ZERO),
            Segment(whole - grown - crossing, piece, piece * self.window, ZERO, self.window - 1 + piece, ZERO),
            last,
        )


def reach(window: sp.Expr | None) -> Reach:
    """The reach of a causal block with an optional sliding window."""
    return Reach() if window is None else Reach(window, str(window))
