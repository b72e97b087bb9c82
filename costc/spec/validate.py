"""Validation of parsed specs against pydantic models, with errors that say where, what and what is allowed."""

from __future__ import annotations

from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, ValidationError

from costc import units
from costc.errors import not_among
from costc.facts import KINDS, Fact, Source
from costc.spec.reader import Document, KeyPath

M = TypeVar("M", bound=BaseModel)


class Strict(BaseModel):
    """A spec fragment: unknown keys are errors, values are not coerced."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class SourceSpec(Strict):
    title: str
    url: str = ""
    date: str | int = ""

    def build(self) -> Source:
        return Source(self.title, self.url, str(self.date))


class FactSpec(Strict):
    """A figure: value with unit, the key of its source, its kind."""

    value: str | int | float
    source: str
    kind: Annotated[str, AfterValidator(lambda k: _one_of(k, KINDS, "kind"))] = "datasheet"
    note: str = ""
    date: str | int = ""


def _one_of(word: str, allowed: tuple[str, ...], what: str) -> str:
    if word not in allowed:
        raise ValueError(not_among(what, word, allowed))
    return word


def fact(document: Document, path: KeyPath, given: FactSpec, sources: dict[str, SourceSpec], unit: str) -> Fact:
    """Turn a fact into SI units; its source must be declared, its value positive."""
    if given.source not in sources:
        raise document.error((*path, "source"), not_among("source", given.source, sources))
    try:
        value = units.parse(given.value, unit)
    except ValueError as error:
        raise document.error((*path, "value"), str(error)) from None
    if value < 0 or (value == 0 and unit != "s"):
        raise document.error((*path, "value"), f"{given.value} is not positive")
    return Fact(value, unit, sources[given.source].build(), given.kind, given.note, str(given.date))


def validate(cls: type[M], document: Document, data: Any, path: KeyPath = ()) -> M:
    """Build a pydantic model from data of the document that lies at `path`.

    Raises:
        SpecError: the first error, at its position.
    """
    try:
        return cls.model_validate(data)
    except ValidationError as error:
        first = sorted(error.errors(), key=lambda e: e["type"] != "extra_forbidden")[0]
        # list and union members add words to the location that are not keys of the document
        where = tuple(part for part in first["loc"] if _is_key(document, part))
        raise document.error((*path, *where), _say(cls, first)) from None


def _is_key(document: Document, part: str | int) -> bool:
    return isinstance(part, int) or any(part == p[-1] for p in document.positions if p) or part.isidentifier()


def _say(cls: type[BaseModel], error: Any) -> str:
    """One sentence for a pydantic error."""
    kind, loc, value = error["type"], error["loc"], error["input"]
    key = loc[-1] if loc else ""
    if kind == "extra_forbidden":
        return not_among("key", key, _fields(cls, loc[:-1]))
    if kind == "missing":
        return f"missing key {key!r}; needed: {', '.join(_needed(cls, loc[:-1]))}"
    message = error["msg"].removeprefix("Value error, ").replace("Input should", "should")
    if kind == "value_error":
        return message
    shown = repr(value) if len(repr(value)) < 60 else f"{repr(value)[:57]}..."
    return f"{key!r} {message}, not {shown}"


def _model_at(cls: type[BaseModel], loc: tuple[str | int, ...]) -> type[BaseModel]:
    """The pydantic model that a location lies in."""
    current: Any = cls
    for part in loc:
        if isinstance(current, type) and issubclass(current, BaseModel) and part in current.model_fields:
            current = _inner(current.model_fields[part].annotation)  # type: ignore[index]
    return current if isinstance(current, type) and issubclass(current, BaseModel) else cls


def _inner(annotation: Any) -> Any:
    """The model inside Optional[...], list[...], dict[str, ...]."""
    args = [a for a in getattr(annotation, "__args__", ()) if a is not type(None)]
    if isinstance(annotation, type) and issubclass(annotation, BaseModel) and not args:
        return annotation
    return _inner(args[-1]) if args else annotation


def _fields(cls: type[BaseModel], loc: tuple[str | int, ...]) -> list[str]:
    return list(_model_at(cls, loc).model_fields)


def _needed(cls: type[BaseModel], loc: tuple[str | int, ...]) -> list[str]:
    return [n for n, f in _model_at(cls, loc).model_fields.items() if f.is_required()]
