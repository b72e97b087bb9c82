"""Fact and Source: every number says where it comes from."""

from __future__ import annotations

from dataclasses import dataclass

KINDS = ("datasheet", "measured", "fitted", "assumed")


@dataclass(frozen=True)
class Source:
    """A document. `date` as printed there or when it was read, YYYY or YYYY-MM."""

    title: str
    url: str = ""
    date: str = ""

    def __str__(self) -> str:
        link = f"[{self.title}]({self.url})" if self.url else self.title
        return f"{link}, {self.date}" if self.date else link


@dataclass(frozen=True)
class Fact:
    """A value in SI units with its source. `kind` is one of KINDS."""

    value: float
    unit: str
    source: Source
    kind: str = "datasheet"
    note: str = ""
    date: str = ""
