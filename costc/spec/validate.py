"""Validation of parsed specs against pydantic models, with errors that say where, what and what is allowed."""

from __future__ import annotations

import re
from types import UnionType
from typing import Annotated, Any, TypeVar, Union, get_args, get_origin

from pydantic import AfterValidator, BaseModel, ConfigDict, ValidationError

from costc import units
from costc.errors import SpecError, not_among
from costc.facts import KINDS, Fact, Source
from costc.spec.reader import NUMBER, Document, KeyPath, described

M = TypeVar("M", bound=BaseModel)

#: what a pydantic error type expects, in a user's words; `{...}` is filled from the error
EXPECTED = {
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "string_type": "text",
    "bool_type": "true or false",
    "list_type": "a list",
    "dict_type": "a mapping of keys",
    "model_type": "a mapping of keys",
    "greater_than": "more than {gt}",
    "greater_than_equal": "at least {ge}",
    "less_than": "less than {lt}",
    "less_than_equal": "at most {le}",
    "too_short": "{min_length} or more entries",
    "too_long": "{max_length} or fewer entries",
    "finite_number": "a finite number",
    "none_required": "null",
}
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_BLOCK = re.compile(r"[a-z][a-z0-9_]*")


def _name(word: str) -> str:
    if not _NAME.fullmatch(word):
        raise ValueError(f"{word!r} is not a name: letters, digits, '.', '_' and '-', with a letter or digit first")
    return word


def _block_name(word: str) -> str:
    if not _BLOCK.fullmatch(word):
        raise ValueError(f"{word!r} is not a name: small letters, digits and '_', with a letter first")
    return word


def _title(text: str) -> str:
    if not text.strip() or not text.isprintable() or "\\" in text or '"""' in text:
        raise ValueError(f"{text!r} is not a title: one line of text, without a backslash or three quotes in a row")
    return text


#: names end up in file names and titles in emitted files, so both are plain
Name = Annotated[str, AfterValidator(_name)]
BlockName = Annotated[str, AfterValidator(_block_name)]
Title = Annotated[str, AfterValidator(_title)]


class Strict(BaseModel):
    """A spec fragment: unknown keys are errors, values are not coerced."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class SourceSpec(Strict):
    """A document that figures come from."""

    title: Title
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


def fact(
    document: Document, path: KeyPath, given: FactSpec, sources: dict[str, SourceSpec], unit: str, zero: bool = False
) -> Fact:
    """Turn a fact into SI units; its source must be declared, its value positive (or `zero`, as times may be)."""
    if given.source not in sources:
        raise document.error((*path, "source"), not_among("source", given.source, sources))
    try:
        value = units.parse(given.value, unit)
    except ValueError as error:
        raise document.error((*path, "value"), str(error)) from None
    if value < 0 or (value == 0 and unit != "s" and not zero):
        wanted = "0 s or more" if unit == "s" else "0 or more" if zero else "more than 0"
        raise document.error((*path, "value"), f"{path[-1]!r} is {given.value}; expected {wanted}")
    return Fact(value, unit, sources[given.source].build(), given.kind, given.note, str(given.date))


def validate(cls: type[M], document: Document, data: Any, path: KeyPath = ()) -> M:
    """Build a pydantic model from data of the document that lies at `path`.

    Raises:
        SpecError: the first error by position, at its position; unknown keys before all else.
    """
    try:
        return cls.model_validate(data)
    except ValidationError as error:
        found: dict[KeyPath, list[Any]] = {}
        for one in error.errors(include_url=False):
            found.setdefault(_where(data, one), []).append(one)
        unknown = {where: one for where, one in found.items() if one[0]["type"] == "extra_forbidden"}
        said = [_error(cls, document, path, where, one) for where, one in (unknown or found).items()]
    raise min(said, key=_order)


def _order(error: SpecError) -> tuple[int, int]:
    return (error.position.line, error.position.column) if error.position else (0, 0)


def _where(data: Any, error: Any) -> KeyPath:
    """The path of an error in the data: pydantic adds words for the members of a union, which are no keys."""
    where: KeyPath = ()
    for part in error["loc"]:
        if (isinstance(data, dict) and part in data) or (isinstance(data, list) and isinstance(part, int) and part < len(data)):
            data, where = data[part], (*where, part)
    if error["type"] == "missing":
        return (*where, error["loc"][-1])
    return where


def _error(cls: type[BaseModel], document: Document, path: KeyPath, where: KeyPath, errors: list[Any]) -> SpecError:
    """One error for what pydantic says of one place: several errors where all members of a union fail."""
    first = errors[0]
    kind, at = first["type"], (*path, *where)
    if kind == "extra_forbidden":
        return document.key_error(at, not_among("key", where[-1], _model_at(cls, where[:-1]).model_fields))
    if kind == "missing":
        needed = [n for n, f in _model_at(cls, where[:-1]).model_fields.items() if f.is_required()]
        return document.key_error(at, f"missing key {where[-1]!r}; needed: {', '.join(needed)}")
    if kind == "value_error":
        message = first["msg"].removeprefix("Value error, ")
        if first["loc"][-1:] == ("[key]",):
            return document.key_error(at, message)
        # a condition between fields names the one at fault first
        named = (*at, message.split(" ")[0])
        return document.error(named if named in document.values else at, message)
    return document.error(at, _unlike(at, errors))


def _unlike(at: KeyPath, errors: list[Any]) -> str:
    """A sentence for a value of a wrong type or size."""
    value = errors[0]["input"]
    if errors[0]["type"] == "literal_error":
        return not_among(str(at[-1]), value, re.findall(r"'([^']*)'", errors[0]["ctx"]["expected"]))
    expected = list(dict.fromkeys(_expected(e) for e in errors))
    if "a number" in expected and "a whole number" in expected:
        expected.remove("a whole number")
    hint = ""
    if isinstance(value, str) and "text" not in expected and NUMBER.fullmatch(value):
        hint = "; write it without quotes"
    elif isinstance(value, float) and value.is_integer() and "a whole number" in expected and abs(value) < 1e15:
        hint = f"; write {int(value)}"
    place = f"item {at[-1] + 1} of {_last_key(at)!r}" if isinstance(at[-1], int) else repr(at[-1]) if at else "the spec"
    return f"{place} is {described(value)}; expected {' or '.join(expected)}{hint}"


def _expected(error: Any) -> str:
    if error["type"] == "literal_error":
        return str(error["ctx"]["expected"])
    limits = {k: int(v) if isinstance(v, float) and v.is_integer() else v for k, v in error.get("ctx", {}).items()}
    return EXPECTED[error["type"]].format(**limits) if error["type"] in EXPECTED else str(error["msg"])


def _last_key(path: KeyPath) -> str:
    return next((p for p in reversed(path) if isinstance(p, str)), "the list")


def _model_at(cls: type[BaseModel], path: KeyPath) -> type[BaseModel]:
    """The pydantic model that lies at a path of `cls`."""
    current: Any = cls
    for part in path:
        current = _inside(current, part)
    return _models(current)[0]


def _inside(annotation: Any, part: str | int) -> Any:
    """The annotation of a key or item of what is annotated."""
    models = _models(annotation)
    if models:
        return models[0].model_fields[str(part)].annotation
    for member in _members(annotation):
        if get_origin(member) in (list, dict):
            return get_args(member)[-1]
    return Any


def _members(annotation: Any) -> list[Any]:
    """The members of a union, or the thing itself; without Annotated."""
    origin, args = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _members(args[0])
    return [m for a in args for m in _members(a)] if origin in (Union, UnionType) else [annotation]


def _models(annotation: Any) -> list[type[BaseModel]]:
    return [m for m in _members(annotation) if isinstance(m, type) and issubclass(m, BaseModel)]
