"""YAML text to data with positions, strictly.

YAML 1.2 scalars (1e12 is a number, `no` a word), duplicate keys refused, no anchors, aliases or tags:
a spec has no use for them, and bombs and code come with them. Nothing in a spec is ever evaluated.
"""

from __future__ import annotations

import re
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from costc.errors import CostcError, Position, SpecError

KeyPath = tuple[str | int, ...]
MAX_BYTES = 1_000_000
MAX_DEPTH, MAX_DIGITS = 30, 40
_INT = re.compile(r"[-+]?[0-9]+")
NUMBER = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_WORDS: dict[str, Any] = {"": None, "~": None, "null": None, "true": True, "false": False}
_CONTROL = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@dataclass(frozen=True)
class Document:
    """Parsed data, and where each key and each value stands."""

    data: Any
    keys: dict[KeyPath, Position]
    values: dict[KeyPath, Position]
    source: str

    def error(self, path: KeyPath, message: str) -> SpecError:
        """An error at the value of a path; where it has none, at the key of its nearest parent."""
        return SpecError(self.values[path], message) if path in self.values else self.key_error(path, message)

    def key_error(self, path: KeyPath, message: str) -> SpecError:
        """An error at the last key of a path, or at the nearest parent that has one."""
        while path not in self.keys and path:
            path = path[:-1]
        return SpecError(self.keys.get(path, Position(self.source, 1, 1)), message)


def read(path: Path) -> Document:
    """Read a spec file.

    Raises:
        CostcError: it cannot be read. SpecError: it is not a spec, with its position.
    """
    try:
        info = path.stat()
        if not stat.S_ISREG(info.st_mode):
            raise CostcError(f"{path}: a {'folder' if stat.S_ISDIR(info.st_mode) else 'special file'}; a spec is a YAML file")
        if info.st_size > MAX_BYTES:
            raise CostcError(f"{path}: {info.st_size} bytes; a spec has at most {MAX_BYTES}")
        raw = path.read_bytes()
    except OSError as error:
        raise CostcError(f"{path}: {error.strerror or error}") from None
    except ValueError as error:  # a NUL in the path
        raise CostcError(f"{str(path)!r}: {error}") from None
    return parse(_decoded(raw, str(path)), str(path))


def _decoded(raw: bytes, source: str) -> str:
    """UTF-8 text without control characters."""
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        where = _position(error.object[: error.start].decode("utf-8"), source)
        raise SpecError(where, f"byte 0x{raw[error.start]:02x} is not UTF-8; a spec is UTF-8 text") from None
    if found := _CONTROL.search(text):
        where = _position(text[: found.start()], source)
        raise SpecError(where, f"control character U+{ord(found[0]):04X}; a spec is plain text")
    return text


def _marked(mark: Any, source: str) -> Position:
    """Where a mark of the parser stands."""
    return Position(source, mark.line + 1, mark.column + 1) if mark else Position(source, 1, 1)


def _position(before: str, source: str) -> Position:
    """Where the text after `before` stands."""
    return Position(source, before.count("\n") + 1, len(before) - before.rfind("\n"))


def parse(text: str, source: str) -> Document:
    """Parse spec text; `source` names it in errors."""
    parser = _Parser(source)
    try:
        events = yaml.parse(text, Loader=_Loader)
        return Document(parser.document(events), parser.keys, parser.values, source)
    except yaml.MarkedYAMLError as error:
        ended = "end of stream" in str(error.problem) and error.context_mark
        where = _marked(error.context_mark if ended else error.problem_mark or error.context_mark, source)
        raise SpecError(where, _syntax(error, text, where)) from None
    except yaml.YAMLError as error:
        raise SpecError(Position(source, 1, 1), f"not valid YAML: {' '.join(str(error).split())}") from None


def _syntax(error: yaml.MarkedYAMLError, text: str, where: Position) -> str:
    """What is wrong with the YAML, in a user's words where the parser's are obscure."""
    line = (text.splitlines() or [""])[min(where.line, len(text.splitlines())) - 1]
    if line[where.column - 1 : where.column] == "\t" or (not line.strip() and "\t" in line):
        return "a tab; indent with spaces"
    begun = error.context_mark.line + 1 if error.context_mark else where.line
    context = f" ({error.context}, begun at line {begun})" if error.context and begun != where.line else ""
    return f"not valid YAML: {error.problem or error.context}{context}"


class _Parser:
    """Builds data from parse events, recording positions."""

    def __init__(self, source: str) -> None:
        self.source = source
        self.keys: dict[KeyPath, Position] = {}
        self.values: dict[KeyPath, Position] = {}

    def document(self, events: Iterator[yaml.Event]) -> Any:
        found: list[Any] = []
        for event in events:
            if isinstance(event, yaml.DocumentStartEvent):
                if found:
                    raise SpecError(self._at(event), "a spec is one document; found a second `---`")
                found.append(self._node(next(events), events, ()))
        return found[0] if found else None

    def _at(self, event: yaml.Event) -> Position:
        return _marked(event.start_mark, self.source)

    def _node(self, event: yaml.Event, events: Iterator[yaml.Event], path: KeyPath) -> Any:
        at = self._plain(event)
        self.values[path] = at
        self.keys.setdefault(path, at)
        if len(path) > MAX_DEPTH:
            raise SpecError(at, f"nested deeper than {MAX_DEPTH} levels; a spec needs fewer than 10")
        if isinstance(event, yaml.ScalarEvent):
            return self._scalar(event, at)
        if isinstance(event, yaml.SequenceStartEvent):
            items: list[Any] = []
            while not isinstance(inner := next(events), yaml.SequenceEndEvent):
                items.append(self._node(inner, events, (*path, len(items))))
            return items
        return self._mapping(events, path)

    def _plain(self, event: yaml.Event) -> Position:
        """Where an event stands; an error for what a spec has no use for."""
        at = self._at(event)
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
            raise SpecError(at, "anchors and aliases are not allowed in a spec; write the value out")
        if tag := getattr(event, "tag", None):
            raise SpecError(at, f"tags are not allowed in a spec (found {tag}); write a plain value")
        return at

    def _mapping(self, events: Iterator[yaml.Event], path: KeyPath) -> dict[str, Any]:
        result: dict[str, Any] = {}
        while not isinstance(event := next(events), yaml.MappingEndEvent):
            at = self._plain(event)
            if not isinstance(event, yaml.ScalarEvent):
                raise SpecError(at, "a key must be a plain word, not a list or a mapping")
            key = event.value
            if key in result:
                raise SpecError(at, f"key {key!r} stands twice; first at line {self.keys[(*path, key)].line}")
            result[key] = None
            self.keys[(*path, key)] = at
            result[key] = self._node(next(events), events, (*path, key))
        return result

    def _scalar(self, event: yaml.ScalarEvent, at: Position) -> Any:
        text = event.value
        if event.style:
            return text
        if _INT.fullmatch(text) and len(text) > MAX_DIGITS:
            raise SpecError(at, f"a number of {len(text)} digits; at most {MAX_DIGITS} are read")
        value = plain(text)
        if value in (float("inf"), float("-inf")):
            raise SpecError(at, f"{text} is not a finite number")
        return value


def plain(text: str) -> Any:
    """What a plain scalar says: null, true, false, a number, or the text itself."""
    if text in _WORDS:
        return _WORDS[text]
    if _INT.fullmatch(text) and len(text) <= MAX_DIGITS:
        return int(text)
    return float(text) if NUMBER.fullmatch(text) else text


def mapping(document: Document) -> dict[str, Any]:
    """The document's data, which must be a mapping."""
    if not isinstance(document.data, dict):
        found = "an empty file" if document.data is None else described(document.data)
        raise document.error((), f"a spec is a mapping of keys, not {found}")
    return document.data


def described(value: Any) -> str:
    """A value as a user wrote it, cut where it is long."""
    if value is None:
        return "nothing"
    if isinstance(value, (list, dict)):
        kind = "list" if isinstance(value, list) else "mapping"
        return f"a {kind} of {len(value)}" if value else f"an empty {kind}"
    shown = str(value).lower() if isinstance(value, bool) else repr(value)
    return shown if len(shown) < 60 else f"{shown[:57]}..."
