"""Options that commands share, and how their words are read."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from costc.errors import CostcError
from costc.place import OPTIONS

Json = Annotated[bool, typer.Option("--json", help="print JSON")]
Csv = Annotated[bool, typer.Option("--csv", help="print CSV")]
Beside = Annotated[Path | None, typer.Option("--specs", help="folder with your own models/, hardware/, ...")]
Degree = Annotated[list[str] | None, typer.Option("--degree", help="degree of another parallelism, NAME=N; repeatable")]
ModelName = Annotated[str, typer.Argument(help="model name, alias or spec file")]


def one_format(as_json: bool, as_csv: bool) -> None:
    """Refuse both at once."""
    if as_json and as_csv:
        raise CostcError("--json and --csv exclude each other")


def degrees(given: list[str] | None) -> dict[str, str]:
    """NAME=N pairs."""
    pairs = [text.partition("=") for text in given or []]
    for name, equals, value in pairs:
        if name in OPTIONS:
            raise CostcError(f"--degree is for other parallelisms; use --{name} {value}")
        if not (name and equals and value):
            raise CostcError(f"--degree takes NAME=N, not {name + equals + value!r}")
    return {name: value for name, _, value in pairs}


def words(text: str) -> list[str]:
    """Words separated by commas."""
    return [word.strip() for word in text.split(",") if word.strip()]


def numbers(name: str, text: str) -> list[int]:
    """Whole numbers separated by commas."""
    found = words(text)
    if not found or not all(word.lstrip("-").isdigit() for word in found):
        raise CostcError(f"--{name} takes whole numbers separated by commas, not {text!r}")
    return [int(word) for word in found]
