"""Laws of positions of caches with one entry for several tokens, and of blocks of tokens: staircases.

A staircase that stays on a step for m decode steps is m equal progressions. Pieces of a prompt are progressions where the
step's tokens are a multiple of m; otherwise the sum over the pieces is kept and each is off by less than a step (`_span`).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import sympy as sp

from costc.ir.reach import ONE, ZERO, Reach, Segment, _triangle
from costc.minmax import Ceiling, Floor, Max, Min, quotient, quotient_up

HALF = sp.Rational(1, 2)


@dataclass(frozen=True)
class Staircase(Reach):
    """A law whose pairs are known as a sum over the positions from the first on."""

    def summed(self, tokens: sp.Expr) -> sp.Expr:
        """Pairs of the first `tokens` positions."""
        raise NotImplementedError

    def pairs_of(self, seq: sp.Expr, past: sp.Expr) -> sp.Expr:
        return self.summed(past + seq) - self.summed(past)

    def _span(self, piece: sp.Expr, low: sp.Expr, high: sp.Expr, pairs_step: sp.Expr, context_step: sp.Expr) -> Segment:
        """The pieces from `low` to before `high`: their pairs sum up exactly, whatever the step between them."""
        count = high - low
        total = self.summed(high * piece) - self.summed(low * piece)
        first = total / Max(count, ONE) - pairs_step * (count - 1) * HALF
        return Segment(count, piece, first, pairs_step, self.context_of(piece, low * piece), context_step)


@dataclass(frozen=True)
class Compressed(Staircase):
    """Over the last `window` positions, and over entries that each stand for `ratio` positions which have all come.

    Of the entries the `k` chosen ones are attended, by default all. The window holds no more positions than `k` entries stand
    for. DeepSeek-V4's compressed sparse attention (k entries of 4 positions) and heavily compressed attention (all entries of
    128); transformers' deepseek_v4.
    """

    name: str = "compressed"
    ratio: sp.Expr = ONE
    window: sp.Expr = ZERO
    k: sp.Expr | None = None

    def summed(self, tokens: sp.Expr) -> sp.Expr:
        near = Min(tokens, self.window)
        climbing = tokens if self.k is None else Min(tokens, self.k * self.ratio)
        entries = quotient(climbing, self.ratio)
        far = self.ratio * entries * (entries - 1) * HALF + entries * (climbing - entries * self.ratio + 1)
        if self.k is not None:
            far += (tokens - climbing) * self.k
        return _triangle(near) + (tokens - near) * self.window + far

    def context_of(self, seq: sp.Expr, past: sp.Expr) -> sp.Expr:
        entries = quotient(past + seq, self.ratio)
        far = entries if self.k is None else Min(entries, seq * self.k)
        return far if self.window == 0 else far + Min(past, self.window - 1) + seq

    def stored(self, tokens: sp.Expr) -> sp.Expr:
        return Min(tokens, self.window) + quotient(tokens, self.ratio)

    def dense(self) -> Reach:
        """The law without a choice: what an implementation computes that masks what is not chosen."""
        return replace(self, k=None)

    def decode(self, first: sp.Expr, steps: sp.Expr) -> tuple[Segment, ...]:
        end = first + steps
        alone = Min(Max(Min(self.ratio, self.window), first), end)
        grown = Min(Max(self.window, first), end)
        full = end if self.k is None else Min(Max(self.k * self.ratio, grown), end)
        flat = self.window + (ZERO if self.k is None else self.k)
        found = (
            Segment(alone - first, ONE, first, ONE, first, ONE),
            self._both(alone, grown),
            *self._climb(grown, full),
            Segment(end - full, ONE, flat, ZERO, flat, ZERO),
        )
        return tuple(s for s in found if s.count != 0)

    def _both(self, low: sp.Expr, high: sp.Expr) -> Segment:
        """Steps in which the window grows and entries come; each is off by less than one, their sum is exact."""
        count, step = high - low, 1 + 1 / self.ratio
        first = (self.summed(high - 1) - self.summed(low - 1)) / Max(count, ONE) - step * (count - 1) * HALF
        return Segment(count, ONE, first, step, first, step)

    def _climb(self, low: sp.Expr, high: sp.Expr) -> tuple[Segment, ...]:
        """Steps in which entries come: the rest of a stair, whole stairs, the begun one."""
        stair = Min(self.ratio * quotient_up(low, self.ratio), high)
        stairs = quotient(high - stair, self.ratio)
        now, then = (self.window + quotient(n, self.ratio) for n in (low, stair))
        return (
            Segment(stair - low, ONE, now, ZERO, now, ZERO),
            Segment(stairs, ONE, then, ONE, then, ONE, times=self.ratio),
            Segment(high - stair - stairs * self.ratio, ONE, then + stairs, ZERO, then + stairs, ZERO),
        )

    def prefill(self, length: sp.Expr, piece: sp.Expr) -> tuple[Segment, ...]:
        whole, _, last = self._pieces(length, piece)
        square, tall = piece**2, piece / self.ratio
        both, one = (square + square / self.ratio, piece + tall), (square / self.ratio, tall)
        #: pieces up to which a law holds, and how pairs and context rise there; a cut that lies within a piece has it alone
        cuts: list[tuple[sp.Expr, tuple[sp.Expr, sp.Expr]]] = []
        crossed = ZERO
        if self.window != 0:
            crossed = Ceiling(self.window / piece)
            cuts.append((Floor(self.window / piece), both))
        if self.k is None:
            cuts += [(crossed, one)] if self.window != 0 else []
            cuts.append((whole, one))
        else:
            spent = self.k * self.ratio / piece
            cuts += [(Min(crossed, Floor(spent)), one)] if self.window != 0 else []
            cuts += [(Max(crossed, Floor(spent)), one), (Ceiling(spent), one)]
            # the entries that a piece chooses are all there are, up to piece k x ratio
            cuts += [(self.k * self.ratio, (ZERO, tall)), (whole, (ZERO, ZERO))]
        found, low = [], ZERO
        for cut, (pairs_step, context_step) in cuts:
            high = whole if cut == whole else Min(Max(cut, low), whole)
            found.append(self._span(piece, low, high, pairs_step, context_step))
            low = high
        return (*found, last)


@dataclass(frozen=True)
class TopBlocks(Staircase):
    """Over the `k` chosen blocks of `block` positions, of which the own one, begun, is always one; all, while there are no more.

    MiniMax-M3 (transformers' minimax_m3_vl).
    """

    name: str = "top_blocks"
    block: sp.Expr = ONE
    k: sp.Expr = ONE

    @property
    def _others(self) -> sp.Expr:
        """Positions of the chosen blocks but the own one."""
        return (self.k - 1) * self.block

    def summed(self, tokens: sp.Expr) -> sp.Expr:
        few = Min(tokens, self.k * self.block)
        whole = quotient(tokens - few, self.block)
        rest = tokens - few - whole * self.block
        return _triangle(few) + (tokens - few) * self._others + whole * _triangle(self.block) + _triangle(rest)

    def context_of(self, seq: sp.Expr, past: sp.Expr) -> sp.Expr:
        return Min(past + seq, self.pairs_of(seq, past))

    def dense(self) -> Reach:
        """The law without a choice."""
        return Reach()

    def decode(self, first: sp.Expr, steps: sp.Expr) -> tuple[Segment, ...]:
        end = first + steps
        low = Min(Max(self.k * self.block + 1, first), end)
        begun = low - 1 - self.block * quotient(low - 1, self.block)
        # a step that is already among few blocks has begun none beyond them
        stair = Min(low + self.block - begun, end)
        stairs = quotient(end - stair, self.block)
        now, then = self._others + 1 + begun, self._others + 1
        return (
            Segment(low - first, ONE, first, ONE, first, ONE),
            Segment(stair - low, ONE, now, ONE, now, ONE),
            Segment(self.block, ONE, then, ONE, then, ONE, times=stairs),
            Segment(end - stair - stairs * self.block, ONE, then, ONE, then, ONE),
        )

    def prefill(self, length: sp.Expr, piece: sp.Expr) -> tuple[Segment, ...]:
        whole, _, last = self._pieces(length, piece)
        spent = self.k * self.block / piece
        # piece i ends at (i + 1) x piece, which is no more than what its tokens choose up to the mean choice of a token
        mean = Floor(self._others + (self.block + 1) * HALF)
        low, found = ZERO, []
        cuts = ((Floor(spent), piece**2, piece), (Ceiling(spent), ZERO, piece), (mean, ZERO, piece), (None, ZERO, ZERO))
        for cut, pairs_step, context_step in cuts:
            high = whole if cut is None else Min(Max(cut, low), whole)
            found.append(self._span(piece, low, high, pairs_step, context_step))
            low = high
        return (*found, last)
