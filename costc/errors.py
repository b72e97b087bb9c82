"""Errors that a user can cause. Each says where, what, what is allowed, and the nearest right word."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass

#: allowed words that a message lists, and letters of a wrong word that it looks at
SHOWN, MAX_WORD = 12, 60


@dataclass(frozen=True)
class Position:
    """A place in a source text; line and column count from 1."""

    source: str
    line: int
    column: int

    def __str__(self) -> str:
        return f"{self.source}:{self.line}:{self.column}"


class CostcError(Exception):
    """A mistake in the input; the command line prints it without a traceback and exits with 2."""


class SpecError(CostcError):
    """A mistake in a spec, at a position."""

    def __init__(self, position: Position | None, message: str) -> None:
        self.position, self.message = position, message
        super().__init__(f"{position}: {message}" if position else message)


class DegreeError(CostcError):
    """A parallel degree or a workload size that the model cannot take."""


def nearest(word: object, allowed: Iterable[str]) -> str | None:
    """The allowed word that `word` most resembles, or None."""
    words = {w.lower(): w for w in sorted(allowed, reverse=True)}
    given = str(word).lower()[:MAX_WORD]
    if given in words:
        return words[given]
    longer = [w for w in sorted(words) if given and w.startswith(given)]
    found = longer[:1] or difflib.get_close_matches(given, list(words), n=1, cutoff=0.5)
    return words[found[0]] if found else None


def not_among(what: str, word: object, allowed: Iterable[str]) -> str:
    """A sentence for a word outside a closed set: what, what is allowed, the nearest."""
    words = sorted(set(allowed))
    listed = ", ".join(words[:SHOWN]) + (f", ... ({len(words)} in all)" if len(words) > SHOWN else "")
    close = nearest(word, words)
    hint = f"; did you mean {close!r}?" if close else ""
    text = str(word)
    said = repr(text if len(text) <= MAX_WORD else f"{text[:MAX_WORD]}...")
    return f"unknown {what} {said}; allowed: {listed or 'none'}{hint}"
