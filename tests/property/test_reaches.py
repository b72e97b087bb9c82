"""Every law of positions: its segments sum up to its steps, and its steps to what each token attends."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pytest
import sympy as sp
from hypothesis import given, settings
from hypothesis import strategies as st

from costc.ir.compressed import Compressed, TopBlocks
from costc.ir.reach import Chunked, Reach, Recurrent, Segment, TopK, Window

ONE = sp.Integer(1)
SIZES = st.integers(1, 9)


@dataclass(frozen=True)
class Law:
    """A law, what a token attends that is the n-th of its sequence, and the sizes that pieces are multiples of to be exact."""

    reach: Reach
    attended: Callable[[int], int]
    grain: int = 1


def _compressed(ratio: int, window: int, k: int | None) -> Law:
    window = min(window, ratio * k) if k else window
    law = Compressed("c", sp.Integer(ratio), sp.Integer(window), None if k is None else sp.Integer(k))
    return Law(law, lambda n: min(n, window) + min(n // ratio, k if k else n), ratio)


def _blocks(block: int, k: int) -> Law:
    def attended(n: int) -> int:
        own = (n - 1) % block + 1
        earlier = (n - own) // block
        return own + block * min(earlier, k - 1)

    return Law(TopBlocks("b", sp.Integer(block), sp.Integer(k)), attended, block)


LAWS = {
    "full": st.just(Law(Reach(), lambda n: n)),
    "window": SIZES.map(lambda w: Law(Window("w", sp.Integer(w)), lambda n: min(n, w))),
    "top_k": SIZES.map(lambda k: Law(TopK("k", sp.Integer(k)), lambda n: min(n, k))),
    "chunked": SIZES.map(lambda c: Law(Chunked("a", sp.Integer(c)), lambda n: (n - 1) % c + 1)),
    "compressed": st.builds(_compressed, SIZES, st.integers(0, 20), st.none() | st.integers(1, 5)),
    "entries": st.builds(_compressed, SIZES, st.just(0), st.none() | st.integers(1, 5)),
    "top_blocks": st.builds(_blocks, SIZES, st.integers(1, 5)),
}
laws = pytest.mark.parametrize("kind", LAWS)


def _sums(segments: tuple[Segment, ...]) -> tuple[sp.Expr, sp.Expr, sp.Expr]:
    """(pairs, context, tokens) of all pieces."""
    assert all(s.count >= 0 and s.times >= 0 for s in segments)
    pairs = sum(s.total(s.pairs, s.pairs_step) for s in segments)
    context = sum(s.total(s.context, s.context_step) for s in segments)
    return pairs, context, sum(s.times * s.count * s.seq for s in segments)


def _pieces(length: int, piece: int) -> list[tuple[sp.Expr, sp.Expr]]:
    """(tokens, tokens before) of each piece."""
    return [(sp.Integer(min(piece, length - at)), sp.Integer(at)) for at in range(0, length, piece)]


@laws
@settings(max_examples=40, deadline=None, derandomize=True)
@given(data=st.data(), seq=st.integers(1, 30), past=st.integers(0, 40))
def test_pairs_are_what_the_tokens_attend(kind: str, data: st.DataObject, seq: int, past: int) -> None:
    law = data.draw(LAWS[kind])
    found = law.reach.pairs_of(sp.Integer(seq), sp.Integer(past))
    assert found == sum(law.attended(n) for n in range(past + 1, past + seq + 1))


@laws
@settings(max_examples=40, deadline=None, derandomize=True)
@given(data=st.data(), tokens=st.integers(1, 60))
def test_one_token_touches_what_it_attends(kind: str, data: st.DataObject, tokens: int) -> None:
    law = data.draw(LAWS[kind])
    assert law.reach.context_of(ONE, sp.Integer(tokens - 1)) == law.attended(tokens)
    assert law.reach.stored(sp.Integer(tokens)) >= law.attended(tokens)


@laws
@settings(max_examples=40, deadline=None, derandomize=True)
@given(data=st.data(), first=st.integers(1, 50), steps=st.integers(0, 60))
def test_decode_segments_sum_up_to_the_steps(kind: str, data: st.DataObject, first: int, steps: int) -> None:
    law = data.draw(LAWS[kind])
    attended = sum(law.attended(n) for n in range(first, first + steps))
    assert _sums(law.reach.decode(sp.Integer(first), sp.Integer(steps))) == (attended, attended, steps)


@laws
@settings(max_examples=60, deadline=None, derandomize=True)
@given(data=st.data(), length=st.integers(1, 80), piece=st.integers(1, 16))
def test_prefill_segments_sum_up_to_the_pieces(kind: str, data: st.DataObject, length: int, piece: int) -> None:
    law = data.draw(LAWS[kind])
    piece = min(piece, length)
    pairs, context, tokens = _sums(law.reach.prefill(sp.Integer(length), sp.Integer(piece)))
    assert tokens == length
    assert pairs == sum(law.attended(n) for n in range(1, length + 1))
    if kind == "chunked":  # its whole chunks are prompts of their own
        return
    pieces = _pieces(length, piece)
    wanted = sum(law.reach.context_of(seq, past) for seq, past in pieces)
    # a staircase rises evenly from piece to piece where its stairs divide them; else each is off by less than a stair
    assert abs(context - wanted) <= (0 if piece % law.grain == 0 or len(pieces) == 1 else len(pieces) * law.grain)


@settings(max_examples=40, deadline=None, derandomize=True)
@given(chunk=SIZES, length=st.integers(1, 60), piece=st.integers(1, 20), steps=st.integers(0, 20))
def test_states_are_touched_once_a_step(chunk: int, length: int, piece: int, steps: int) -> None:
    law, piece = Recurrent("s", sp.Integer(chunk)), min(piece, length)
    pairs, context, tokens = _sums(law.prefill(sp.Integer(length), sp.Integer(piece)))
    inside = sum(n % chunk + 1 for seq, _ in _pieces(length, piece) for n in range(int(seq)))
    assert (pairs, context, tokens) == (inside, len(_pieces(length, piece)), length)
    assert _sums(law.decode(sp.Integer(length + 1), sp.Integer(steps))) == (steps, steps, steps)
