"""A config.json being read: typed fields, each of which is understood, irrelevant, or an error by name."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

from costc.errors import CostcError, nearest, not_among
from costc.huggingface.irrelevant import IRRELEVANT

#: larger sizes are mistakes; layers are walked one by one
MAX_SIZE, MAX_LAYERS = 10**9, 10_000
LAYERS = ("num_hidden_layers", "n_layer", "num_layers", "n_layers")
MISSING: Any = object()
Names = str | tuple[str, ...]


class ConfigError(CostcError):
    """A mistake in a config.json, or something in it that costc does not know."""


def shown(value: Any) -> str:
    """A value as the file has it, cut where it is long."""
    if isinstance(value, (list, dict)):
        return f"a {'list' if isinstance(value, list) else 'mapping'} of {len(value)}"
    text = {"None": "null", "True": "true", "False": "false"}.get(str(value), repr(value))
    return text if len(text) < 60 else f"{text[:57]}..."


class Config:
    """Fields of a config.json, or of a mapping inside one.

    A reader asks for fields by type; several names are alternatives, of which the first that is there counts. What nobody
    asked for by `finish` is refused, unless it is known to be irrelevant to cost.

    Args:
        defaults: values of fields that the file leaves out (those of the architecture's own configuration class).
    """

    def __init__(self, data: Mapping[str, Any], source: str, where: str = "", defaults: Mapping[str, Any] | None = None) -> None:
        self.data, self.source, self.where = data, source, where
        self.defaults = dict(defaults or {})
        self.asked: set[str] = set()
        self.inner: list[Config] = []

    # ---- errors

    def error(self, name: str, message: str) -> ConfigError:
        """An error at a field."""
        return ConfigError(f"{self.source}: {self.where}{name}: {message}")

    def refuse(self, name: str, expected: str) -> ConfigError:
        """An error that says what a field is and what it should be."""
        return self.error(name, f"is {shown(self.data.get(name, self.defaults.get(name)))}; expected {expected}")

    # ---- reading

    def __contains__(self, name: str) -> bool:
        return self.data.get(name) is not None

    def raw(self, names: Names, default: Any = MISSING) -> tuple[str, Any]:
        """(name, value) of the first of the fields that is there and not null, else the default."""
        all_names = (names,) if isinstance(names, str) else names
        self.asked |= set(all_names)
        self._agreeing(all_names)
        for source in (self.data, self.defaults):
            for name in all_names:
                # a null in the file is a value: it stands for none, and not for the class's default
                if source.get(name) is not None and (source is self.data or name not in self.data):
                    return name, source[name]
        if default is MISSING:
            raise self.error(all_names[0], "is missing" + (f" (or {', '.join(all_names[1:])})" if len(all_names) > 1 else ""))
        return all_names[0], default

    def _agreeing(self, names: tuple[str, ...]) -> None:
        """Two names of one thing must not say unlike things."""
        said = [name for name in names if self.data.get(name) is not None]
        for name in said[1:]:
            if self.data[name] != self.data[said[0]]:
                raise self.error(name, f"is {shown(self.data[name])}; {said[0]} says {shown(self.data[said[0]])}")

    def count(self, names: Names, default: Any = MISSING, least: int = 0) -> Any:
        """A whole number of at least `least`; the default may be None."""
        name, value = self.raw(names, default)
        if value is default:
            return value
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        if isinstance(value, bool) or not isinstance(value, int):
            raise self.refuse(name, "a whole number")
        most = MAX_LAYERS if name in LAYERS else MAX_SIZE
        if not least <= value <= most:
            raise self.refuse(name, f"{least} to {most}")
        return value

    def size(self, names: Names, default: Any = MISSING) -> Any:
        """A whole number of at least 1."""
        return self.count(names, default, 1)

    def number(self, names: Names, default: Any = MISSING) -> Any:
        """A number."""
        name, value = self.raw(names, default)
        finite = isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
        if value is not default and not finite:
            raise self.refuse(name, "a number")
        return value

    def flag(self, names: Names, default: Any = False) -> bool:
        """True or false."""
        name, value = self.raw(names, default)
        if not isinstance(value, bool):
            raise self.refuse(name, "true or false")
        return value

    def word(self, names: Names, default: Any = MISSING, allowed: Iterable[str] = ()) -> Any:
        """Text, one of `allowed` where that is given."""
        name, value = self.raw(names, default)
        if value is default and not isinstance(value, str):
            return value
        if not isinstance(value, str):
            raise self.refuse(name, "text")
        known = tuple(allowed)
        if known and value not in known:
            raise self.error(name, not_among("value", value, known))
        return value

    def items(self, names: Names, kind: type, default: Any = MISSING, length: int | None = None) -> Any:
        """A list whose items are all of one type; `length` items where that is given."""
        name, value = self.raw(names, default)
        if value is default:
            return value
        right = isinstance(value, list) and all(isinstance(v, kind) and (kind is bool or not isinstance(v, bool)) for v in value)
        if not right:
            word = {int: "whole numbers", str: "words", bool: "true and false", dict: "mappings"}.get(kind, kind.__name__)
            raise self.refuse(name, f"a list of {word}")
        if kind is int and any(abs(v) > MAX_SIZE for v in value):
            raise self.refuse(name, f"whole numbers up to {MAX_SIZE}")
        if length is not None and len(value) != length:
            raise self.error(name, f"has {len(value)} items where {length} are expected")
        return value

    def section(self, name: str, default: Any = MISSING) -> Any:
        """A mapping inside the config, as a Config of its own."""
        _, value = self.raw(name, default)
        if value is default and not isinstance(value, Mapping):
            return value
        if not isinstance(value, Mapping):
            raise self.refuse(name, "a mapping")
        found = Config(value, self.source, f"{self.where}{name}.")
        self.inner.append(found)
        return found

    def mappings(self, name: str, length: int) -> list[Config]:
        """A list of `length` mappings, each as a Config of its own."""
        found = [
            Config(each, self.source, f"{self.where}{name}[{i}].") for i, each in enumerate(self.items(name, dict, length=length))
        ]
        self.inner += found
        return found

    # ---- what is not read

    def unused(self, *names: str) -> None:
        """Fields that this architecture's cost does not depend on."""
        self.asked |= set(names)

    def only(self, name: str, *values: Any) -> None:
        """A field that must be absent, null or one of these values: what it means otherwise is not modelled."""
        _, value = self.raw(name, None)
        if value is not None and value not in values:
            raise self.error(name, f"is {shown(value)}, which is not modelled; known: {', '.join(map(shown, (*values, None)))}")

    def finish(self) -> None:
        """Raise ConfigError for the first field that was not understood, here or in a mapping inside."""
        for name in self.data:
            if self.data[name] is not None and name not in self.asked and name not in IRRELEVANT and not name.startswith("_"):
                near = nearest(name, self.asked)
                hint = f"; did you mean {near!r}?" if near else ""
                raise self.error(name, f"is {shown(self.data[name])}, which is not understood{hint}")
        for inner in self.inner:
            inner.finish()
