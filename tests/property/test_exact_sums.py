from __future__ import annotations

from fractions import Fraction

import sympy as sp
from hypothesis import given, settings
from hypothesis import strategies as st

from costc.ir.reach import Reach, Segment, Window
from costc.latency.affine import SEQUENCES
from costc.latency.form import Pieces
from costc.latency.positions import over_segments, sum_of_max
from costc.latency.units import Unit
from costc.minmax import Ceiling
from costc.program import Steps, Turn
from costc.symbols import seq

rational = st.fractions(min_value=-20, max_value=20, max_denominator=7)
size = st.integers(1, 300)
windows = st.one_of(st.none(), st.integers(1, 150))


def _exact(x: Fraction) -> sp.Rational:
    return sp.Rational(x.numerator, x.denominator)


def _value(expr: sp.Expr, steps: Steps) -> sp.Expr:
    known: dict[sp.Symbol, sp.Expr] = {}
    for step in steps.steps:
        known[step.symbol] = step.expr.xreplace(known).doit()
    return expr.xreplace(known).doit()


@settings(derandomize=True, deadline=None, max_examples=150)
@given(st.integers(0, 25), rational, rational, rational, rational)
def test_sum_of_max_equals_its_loop(count: int, a: Fraction, a_step: Fraction, b: Fraction, b_step: Fraction) -> None:
    steps = Steps()
    closed = sum_of_max(sp.Integer(count), _exact(a), _exact(a_step), _exact(b), _exact(b_step), "sum", steps)
    assert _value(closed, steps) == sum(max(a + k * a_step, b + k * b_step) for k in range(count))


@settings(derandomize=True, deadline=None, max_examples=60)
@given(st.integers(0, 12), st.integers(-12, 12), st.sampled_from([-3, -2, -1, 1, 2, 3]))
def test_sum_of_max_where_the_crossing_falls_on_a_term(count: int, gap: int, slope: int) -> None:
    steps = Steps()
    closed = sum_of_max(sp.Integer(count), sp.Integer(gap), sp.Integer(slope), sp.Integer(0), sp.Integer(0), "sum", steps)
    assert _value(closed, steps) == sum(max(gap + k * slope, 0) for k in range(count))


@settings(derandomize=True, deadline=None, max_examples=80)
@given(st.integers(0, 12), st.integers(-30, 30), st.integers(-5, 5))
def test_turn_splits_the_terms_by_their_sign(count: int, gap: int, slope: int) -> None:
    turn = int(Turn(sp.Integer(gap), sp.Integer(slope), sp.Integer(count)).doit())
    signs = [gap + k * slope for k in range(count)]
    before, after = signs[:turn], signs[turn:]
    assert all(x <= 0 for x in before) or all(x >= 0 for x in before)
    assert all(x <= 0 for x in after) or all(x >= 0 for x in after)


def _law(window: int | None) -> Reach:
    return Reach() if window is None else Window("window", sp.Integer(window))


def _pieces(segments: tuple[Segment, ...]) -> list[tuple[int, int, int]]:
    """(new tokens, pairs, context) of every piece, in order."""
    found = []
    for s in segments:
        for k in range(int(s.count)):
            found.append((int(s.seq), int(s.pairs + k * s.pairs_step), int(s.context + k * s.context_step)))
    return found


def _attended(position: int, window: int | None) -> range:
    return range(0 if window is None else max(0, position - window + 1), position + 1)


def _piece(past: int, new: int, window: int | None) -> tuple[int, int, int]:
    reached = [_attended(p, window) for p in range(past, past + new)]
    return new, sum(map(len, reached)), len(set().union(*reached))


@settings(derandomize=True, deadline=None, max_examples=150)
@given(st.integers(1, 200), st.integers(0, 200), windows)
def test_decode_segments_are_the_steps_one_by_one(first: int, steps: int, window: int | None) -> None:
    found = _pieces(_law(window).decode(sp.Integer(first), sp.Integer(steps)))
    assert found == [_piece(first - 1 + j, 1, window) for j in range(steps)]


@settings(derandomize=True, deadline=None, max_examples=200)
@given(size, size, windows)
def test_prefill_segments_are_the_pieces_one_by_one(length: int, piece: int, window: int | None) -> None:
    piece = min(piece, length)
    found = _pieces(_law(window).prefill(sp.Integer(length), sp.Integer(piece)))
    assert found == [_piece(past, min(piece, length - past), window) for past in range(0, length, piece)]


@settings(derandomize=True, deadline=None, max_examples=100)
@given(st.integers(0, 300), windows)
def test_the_cache_keeps_what_the_next_token_can_reach(tokens: int, window: int | None) -> None:
    kept = int(_law(window).stored(sp.Integer(tokens)))
    assert kept == (tokens if window is None else min(tokens, window))
    assert kept >= len(_attended(tokens, window)) - 1


# ---- time over positions, with all that a form may hold: a fixed part, two lines that cross, and a part of the lesser

ONE, ZERO = sp.Integer(1), sp.Integer(0)


@st.composite
def _pieces_of_a_form(draw: st.DrawFn, law: Reach) -> Pieces:
    """Computing and moving affine in pairs and context, each with its own share of the sequences and of the new tokens."""
    share = st.fractions(min_value=0, max_value=3, max_denominator=7)
    lines = []
    for _ in range(2):
        fixed, new, pairs, context = (_exact(draw(share)) for _ in range(4))
        lines.append(SEQUENCES * (fixed + new * seq + pairs * law.pairs + context * law.context))
    fixed, overlap = _exact(draw(share)), _exact(draw(st.fractions(min_value=0, max_value=1, max_denominator=7)))
    return Pieces(fixed * Ceiling(SEQUENCES * seq / 3), lines[0], lines[1], overlap)


def _by_loops(pieces: Pieces, law: Reach, found: list[tuple[int, int, int]], sequences: int) -> sp.Expr:
    """Each piece by itself, by the form's own time."""
    total = ZERO
    for new, pairs, context in found:
        at = {SEQUENCES: sequences, seq: new, law.pairs: pairs, law.context: context}
        total += pieces.time.xreplace({k: sp.Integer(v) for k, v in at.items()}).doit()
    return total


def _summed(pieces: Pieces, law: Reach, segments: tuple[Segment, ...], sequences: int) -> sp.Expr:
    steps = Steps()
    unit = Unit("section", "unit", ("unit",), "attention", ONE, ONE, ZERO, ZERO, False, law, pieces)
    return _value(over_segments(unit, segments, sp.Integer(sequences), "sum", steps), steps)


@settings(derandomize=True, deadline=None, max_examples=60)
@given(st.data(), st.integers(1, 60), st.integers(1, 40), st.none() | st.integers(1, 50), st.integers(1, 4))
def test_time_over_a_generation_is_that_of_its_steps(
    data: st.DataObject, first: int, count: int, window: int | None, sequences: int
) -> None:
    law = _law(window)
    pieces = data.draw(_pieces_of_a_form(law))
    closed = _summed(pieces, law, law.decode(sp.Integer(first), sp.Integer(count)), sequences)
    assert closed == _by_loops(pieces, law, [_piece(first - 1 + j, 1, window) for j in range(count)], sequences)


@settings(derandomize=True, deadline=None, max_examples=60)
@given(st.data(), st.integers(1, 120), st.integers(1, 40), st.none() | st.integers(1, 50), st.integers(1, 4))
def test_time_over_a_prompt_is_that_of_its_pieces(
    data: st.DataObject, length: int, piece: int, window: int | None, sequences: int
) -> None:
    law, piece = _law(window), min(piece, length)
    pieces = data.draw(_pieces_of_a_form(law))
    closed = _summed(pieces, law, law.prefill(sp.Integer(length), sp.Integer(piece)), sequences)
    each = [_piece(past, min(piece, length - past), window) for past in range(0, length, piece)]
    assert closed == _by_loops(pieces, law, each, sequences)
