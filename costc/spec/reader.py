"""YAML text to data with positions, strictly.

YAML 1.2 scalars (1e12 is a number, `no` a word), duplicate keys refused, no anchors, aliases or tags:
a spec has no use for them, and bombs and code come with them. Nothing in a spec is ever evaluated.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from costc.errors import CostcError, Position, SpecError, not_among

KeyPath = tuple[str | int, ...]
MAX_BYTES = 1_000_000
MAX_DEPTH = 30
_INT = re.compile(r"[-+]?[0-9]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_WORDS: dict[str, Any] = {"": None, "~": None, "null": None, "true": True, "false": False}
_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@dataclass(frozen=True)
class Document:
    """Parsed data, and where each key and item stands."""

    data: Any
    positions: dict[KeyPath, Position]
    source: str

    def position(self, path: KeyPath) -> Position:
        """The position of a path, or of its nearest parent."""
        while path not in self.positions and path:
            path = path[:-1]
        return self.positions.get(path, Position(self.source, 1, 1))

    def error(self, path: KeyPath, message: str) -> SpecError:
        return SpecError(self.position(path), message)


def read(path: Path) -> Document:
    """Read a spec file.

    Raises:
        CostcError: it cannot be read. SpecError: it is not a spec, with its position.
    """
    try:
        info = os.stat(path)
        if not stat.S_ISREG(info.st_mode):
            raise CostcError(f"{path}: not a regular file")
        if info.st_size > MAX_BYTES:
            raise CostcError(f"{path}: {info.st_size} bytes; a spec has at most {MAX_BYTES}")
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise CostcError(f"{path}: {error.strerror or error}") from None
    except UnicodeDecodeError as error:
        raise CostcError(f"{path}: not UTF-8 text (byte {error.start})") from None
    return parse(text, str(path))


def parse(text: str, source: str) -> Document:
    """Parse spec text; `source` names it in errors."""
    parser = _Parser(source)
    try:
        events = yaml.parse(text, Loader=_Loader)
        return Document(parser.document(events), parser.positions, source)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = Position(source, mark.line + 1, mark.column + 1) if mark else None
        raise SpecError(where, f"not valid YAML: {error.problem or error.context}") from None
    except yaml.YAMLError as error:
        raise SpecError(Position(source, 1, 1), f"not valid YAML: {' '.join(str(error).split())}") from None


class _Parser:
    """Builds data from parse events, recording positions."""

    def __init__(self, source: str) -> None:
        self.source = source
        self.positions: dict[KeyPath, Position] = {}

    def document(self, events: Iterator[yaml.Event]) -> Any:
        found: list[Any] = []
        for event in events:
            if isinstance(event, yaml.DocumentStartEvent):
                if found:
                    raise SpecError(self._at(event), "a spec is one document; found a second `---`")
                found.append(self._node(next(events), events, ()))
        return found[0] if found else None

    def _at(self, event: yaml.Event) -> Position:
        mark = event.start_mark
        return Position(self.source, mark.line + 1, mark.column + 1)

    def _node(self, event: yaml.Event, events: Iterator[yaml.Event], path: KeyPath) -> Any:
        at = self._at(event)
        self.positions.setdefault(path, at)
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
            raise SpecError(at, "anchors and aliases are not allowed in a spec; write the value out")
        if getattr(event, "tag", None):
            raise SpecError(at, f"tags are not allowed in a spec (found {event.tag}); write a plain value")
        if len(path) > MAX_DEPTH:
            raise SpecError(at, f"nested deeper than {MAX_DEPTH} levels")
        if isinstance(event, yaml.ScalarEvent):
            return self._scalar(event, at)
        if isinstance(event, yaml.SequenceStartEvent):
            items: list[Any] = []
            while not isinstance(inner := next(events), yaml.SequenceEndEvent):
                items.append(self._node(inner, events, (*path, len(items))))
            return items
        return self._mapping(events, path)

    def _mapping(self, events: Iterator[yaml.Event], path: KeyPath) -> dict[str, Any]:
        result: dict[str, Any] = {}
        while not isinstance(event := next(events), yaml.MappingEndEvent):
            at = self._at(event)
            if not isinstance(event, yaml.ScalarEvent):
                raise SpecError(at, "a key must be a plain word")
            key = event.value
            if key in result:
                raise SpecError(at, f"key {key!r} stands twice; first at line {self.positions[(*path, key)].line}")
            result[key] = None
            self.positions[(*path, key)] = at
            result[key] = self._node(next(events), events, (*path, key))
        return result

    def _scalar(self, event: yaml.ScalarEvent, at: Position) -> Any:
        text = event.value
        if event.style:
            return text
        if text in _WORDS:
            return _WORDS[text]
        if _INT.fullmatch(text):
            if len(text) > 40:
                raise SpecError(at, f"number of {len(text)} digits is too long")
            return int(text)
        if _FLOAT.fullmatch(text):
            value = float(text)
            if value in (float("inf"), float("-inf")):
                raise SpecError(at, f"{text} is not a finite number")
            return value
        return text


def mapping(document: Document) -> dict[str, Any]:
    """The document's data, which must be a mapping."""
    if not isinstance(document.data, dict):
        raise document.error((), f"expected a mapping of keys, found {type(document.data).__name__}")
    return document.data


def known_key(document: Document, path: KeyPath, allowed: list[str]) -> SpecError:
    """The error for a key that is not allowed."""
    return document.error(path, not_among("key", path[-1], allowed))
