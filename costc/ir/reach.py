"""Which positions an attention operator attends, and how that grows: the law of positions.

An attention operator's amounts are affine in two symbols, `pairs` (query-key pairs of a sequence)
and `context` (cached tokens, or states, that are touched). A `Reach` says what they are for a step of
`seq` new tokens after `past` cached ones, and cuts a phase into segments over which both are arithmetic
progressions. A new attention pattern is a new Reach.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import TypeVar

import sympy as sp

from costc import symbols as S
from costc.minmax import Ceiling, Floor, Max, Min, quotient

ZERO, ONE = sp.Integer(0), sp.Integer(1)
R = TypeVar("R", bound="Reach")


@dataclass(frozen=True)
class Segment:
    """`count` pieces of `seq` new tokens each; pairs and context start at a value and rise by a step from piece to piece.

    The whole occurs `times` times.
    """

    count: sp.Expr
    seq: sp.Expr
    pairs: sp.Expr
    pairs_step: sp.Expr
    context: sp.Expr
    context_step: sp.Expr
    times: sp.Expr = ONE

    def total(self, first: sp.Expr, slope: sp.Expr) -> sp.Expr:
        """Sum over the pieces of an amount that starts at `first` and rises by `slope`."""
        return self.times * (self.count * first + slope * self.count * (self.count - 1) / 2)


def _triangle(n: sp.Expr) -> sp.Expr:
    return n * (n + 1) / 2


@dataclass(frozen=True)
class Reach:
    """Causal attention over all earlier positions, the own one included. Other laws subclass it.

    `name` tells the symbols of one law from those of another in the same model.
    """

    name: str = "full"

    @property
    def pairs(self) -> sp.Symbol:
        """Query-key pairs of a sequence in the step."""
        return self._symbol("pairs", r"\Pi", "query-key pairs of a sequence in the step")

    @property
    def context(self) -> sp.Symbol:
        """Cached tokens of a sequence that the step touches."""
        return self._symbol("context", "c", "cached tokens of a sequence that the step touches")

    def _symbol(self, word: str, tex: str, meaning: str) -> sp.Symbol:
        tail = "" if type(self) is Reach else f", within {self.name}"
        return S.define(f"{word}_{self.name}", rf"{tex}_{{\mathrm{{{S._tex(self.name)}}}}}", "1", meaning + tail, integer=True)

    def bind(self: R, bindings: Mapping[sp.Symbol, sp.Expr]) -> R:
        """The law with the model's dimensions put in; it keeps its name."""
        sizes = {f.name: getattr(self, f.name) for f in fields(self)}
        return replace(self, **{k: v.xreplace(bindings) for k, v in sizes.items() if isinstance(v, sp.Basic)})

    def pairs_of(self, seq: sp.Expr, past: sp.Expr) -> sp.Expr:
        """Pairs attended by `seq` tokens after `past` ones: each new token attends itself and what lies before it."""
        return seq * past + _triangle(seq)

    def context_of(self, seq: sp.Expr, past: sp.Expr) -> sp.Expr:
        """Distinct positions touched, the new ones included."""
        return past + seq

    def stored(self, tokens: sp.Expr) -> sp.Expr:
        """Positions the cache must keep after `tokens` tokens."""
        return tokens

    def decode(self, first: sp.Expr, steps: sp.Expr) -> tuple[Segment, ...]:
        """`steps` decode steps, the first of which attends `first` positions, each one more than the last."""
        return (Segment(steps, ONE, first, ONE, first, ONE),)

    def prefill(self, length: sp.Expr, piece: sp.Expr) -> tuple[Segment, ...]:
        """A prompt of `length` tokens, `piece` at a time (piece <= length); the last piece is what is left over."""
        whole, _, last = self._pieces(length, piece)
        return (Segment(whole, piece, _triangle(piece), piece**2, piece, piece), last)

    def _pieces(self, length: sp.Expr, piece: sp.Expr) -> tuple[sp.Expr, sp.Expr, Segment]:
        """(whole pieces, tokens left over, the segment of these)."""
        whole = Floor(length / piece)
        rest = length - whole * piece
        ragged = Ceiling(length / piece) - whole
        at = whole * piece
        return whole, rest, Segment(ragged, rest, self.pairs_of(rest, at), ZERO, self.context_of(rest, at), ZERO)


@dataclass(frozen=True)
class Window(Reach):
    """Over the last `window` positions, the own one included."""

    name: str = "window"
    window: sp.Expr = ONE

    def pairs_of(self, seq: sp.Expr, past: sp.Expr) -> sp.Expr:
        if seq == ONE:
            return Min(past + 1, self.window)
        growing = Max(0, Min(seq, self.window - past))
        return growing * past + _triangle(growing) + (seq - growing) * self.window

    def context_of(self, seq: sp.Expr, past: sp.Expr) -> sp.Expr:
        return Min(past, self.window - 1) + seq

    def stored(self, tokens: sp.Expr) -> sp.Expr:
        return Min(tokens, self.window)

    def decode(self, first: sp.Expr, steps: sp.Expr) -> tuple[Segment, ...]:
        growing = Min(Max(self.window - first + 1, 0), steps)
        return (
            Segment(growing, ONE, first, ONE, first, ONE),
            Segment(steps - growing, ONE, self.window, ZERO, self.window, ZERO),
        )

    def prefill(self, length: sp.Expr, piece: sp.Expr) -> tuple[Segment, ...]:
        whole, _, last = self._pieces(length, piece)
        grown = Min(Floor(self.window / piece), whole)
        crossing = Min(whole - grown, Ceiling(self.window / piece) - Floor(self.window / piece))
        at = grown * piece
        return (
            Segment(grown, piece, _triangle(piece), piece**2, piece, piece),
            Segment(crossing, piece, self.pairs_of(piece, at), ZERO, self.context_of(piece, at), ZERO),
            Segment(whole - grown - crossing, piece, piece * self.window, ZERO, self.window - 1 + piece, ZERO),
            last,
        )


@dataclass(frozen=True)
class Chunked(Reach):
    """Within blocks of `chunk` positions: the context starts anew at each boundary (Llama 4's local layers).

    A prompt is timed as its whole chunks, each a prompt of its own, and what is left over.
    """

    name: str = "chunked"
    chunk: sp.Expr = ONE

    def _all(self, tokens: sp.Expr) -> sp.Expr:
        """Pairs of the first `tokens` positions."""
        whole = quotient(tokens, self.chunk)
        return whole * _triangle(self.chunk) + _triangle(tokens - whole * self.chunk)

    def _held(self, tokens: sp.Expr) -> sp.Expr:
        return tokens - self.chunk * quotient(tokens, self.chunk)

    def pairs_of(self, seq: sp.Expr, past: sp.Expr) -> sp.Expr:
        return self._all(past + seq) - self._all(past)

    def context_of(self, seq: sp.Expr, past: sp.Expr) -> sp.Expr:
        return self._held(past) + seq

    def stored(self, tokens: sp.Expr) -> sp.Expr:
        return Min(tokens, self.chunk)

    def decode(self, first: sp.Expr, steps: sp.Expr) -> tuple[Segment, ...]:
        start = self._held(first - 1) + 1
        begun = Min(self.chunk - start + 1, steps)
        whole = quotient(steps - begun, self.chunk)
        left = steps - begun - whole * self.chunk
        return (
            Segment(begun, ONE, start, ONE, start, ONE),
            Segment(self.chunk, ONE, ONE, ONE, ONE, ONE, times=whole),
            Segment(left, ONE, ONE, ONE, ONE, ONE),
        )

    def prefill(self, length: sp.Expr, piece: sp.Expr) -> tuple[Segment, ...]:
        whole = quotient(length, self.chunk)
        rest = length - whole * self.chunk
        inside = Min(piece, self.chunk)
        full = Reach()
        each = (replace(s, times=whole) for s in full.prefill(self.chunk, inside))
        return (*each, *full.prefill(rest, inside))


@dataclass(frozen=True)
class TopK(Reach):
    """Over `k` chosen earlier positions (all, while there are no more), of a cache that keeps every one.

    Each token chooses its own, so a step of several tokens touches up to seq x k of what lies before its end.
    """

    name: str = "top_k"
    k: sp.Expr = ONE

    def pairs_of(self, seq: sp.Expr, past: sp.Expr) -> sp.Expr:
        if seq == ONE:
            return Min(past + 1, self.k)
        growing = Max(0, Min(seq, self.k - past))
        return growing * past + _triangle(growing) + (seq - growing) * self.k

    def context_of(self, seq: sp.Expr, past: sp.Expr) -> sp.Expr:
        return Min(past + seq, seq * self.k)

    def decode(self, first: sp.Expr, steps: sp.Expr) -> tuple[Segment, ...]:
        growing = Min(Max(self.k - first + 1, 0), steps)
        return (
            Segment(growing, ONE, first, ONE, first, ONE),
            Segment(steps - growing, ONE, self.k, ZERO, self.k, ZERO),
        )

    def prefill(self, length: sp.Expr, piece: sp.Expr) -> tuple[Segment, ...]:
        whole, _, last = self._pieces(length, piece)
        grown = Min(Floor(self.k / piece), whole)
        crossing = Min(whole - grown, Ceiling(self.k / piece) - Floor(self.k / piece))
        at = (grown + crossing) * piece
        # piece i ends at (i + 1) x piece, which is less than piece x k up to i = k - 1
        near = Max(0, Min(whole, self.k) - grown - crossing)
        return (
            Segment(grown, piece, _triangle(piece), piece**2, piece, piece),
            Segment(crossing, piece, self.pairs_of(piece, grown * piece), ZERO, self.context_of(piece, grown * piece), ZERO),
            Segment(near, piece, piece * self.k, ZERO, at + piece, piece),
            Segment(whole - grown - crossing - near, piece, piece * self.k, ZERO, piece * self.k, ZERO),
            last,
        )


@dataclass(frozen=True)
class Recurrent(Reach):
    """A state of fixed size instead of a cache: a step reads and writes one, whatever the position.

    `pairs` are those inside chunks of `chunk` tokens, in which a chunked scan works (the state-space duality of Mamba 2,
    arXiv 2405.21060; DeltaNet, arXiv 2406.06484); with chunk 1 there is one for each token.
    """

    name: str = "state"
    chunk: sp.Expr = ONE

    def _symbol(self, word: str, tex: str, meaning: str) -> sp.Symbol:
        meanings = {"pairs": "token pairs of a sequence inside chunks", "context": "states of a sequence that the step touches"}
        return super()._symbol(word, tex, meanings[word])

    def pairs_of(self, seq: sp.Expr, past: sp.Expr) -> sp.Expr:
        whole = quotient(seq, self.chunk)
        return whole * _triangle(self.chunk) + _triangle(seq - whole * self.chunk)

    def context_of(self, seq: sp.Expr, past: sp.Expr) -> sp.Expr:
        return ONE

    def stored(self, tokens: sp.Expr) -> sp.Expr:
        return ONE

    def decode(self, first: sp.Expr, steps: sp.Expr) -> tuple[Segment, ...]:
        return (Segment(steps, ONE, ONE, ZERO, ONE, ZERO),)

    def prefill(self, length: sp.Expr, piece: sp.Expr) -> tuple[Segment, ...]:
        whole, _, last = self._pieces(length, piece)
        return (Segment(whole, piece, self.pairs_of(piece, ZERO), ZERO, ONE, ZERO), last)


def reach(window: sp.Expr | None) -> Reach:
    """The reach of a causal block with an optional sliding window."""
    return Reach() if window is None else Window(str(window), window)
