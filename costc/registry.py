"""Named things that a module adds by being there: block kinds, strategies, targets."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator
from typing import Generic, TypeVar

from costc.errors import CostcError, not_among

T = TypeVar("T")


class Registry(Generic[T]):
    """A name -> thing table, filled by importing every module of a package once.

    Args:
        what: what the things are called in an error message.
        package: the package whose modules register themselves.
    """

    def __init__(self, what: str, package: str) -> None:
        self._what, self._package = what, package
        self._things: dict[str, T] = {}
        self._loaded = False

    def add(self, name: str, thing: T) -> T:
        if name in self._things:
            raise ValueError(f"{self._what} {name!r} is registered already")
        self._things[name] = thing
        return thing

    def remove(self, name: str) -> None:
        """Take a thing out again (tests that register a toy do)."""
        del self._things[name]

    def _load(self) -> None:
        if self._loaded:
            return
        self._loaded = True
        try:
            package = importlib.import_module(self._package)
            for module in sorted(m.name for m in pkgutil.iter_modules(package.__path__)):
                importlib.import_module(f"{self._package}.{module}")
        except BaseException:
            self._loaded = False  # half a table must not pass for a whole one
            raise

    def __getitem__(self, name: str) -> T:
        self._load()
        if name not in self._things:
            raise CostcError(not_among(self._what, name, self._things))
        return self._things[name]

    def __contains__(self, name: object) -> bool:
        self._load()
        return name in self._things

    def __iter__(self) -> Iterator[str]:
        self._load()
        return iter(sorted(self._things))

    def values(self) -> list[T]:
        self._load()
        return [self._things[name] for name in sorted(self._things)]
