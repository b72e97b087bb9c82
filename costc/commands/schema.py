"""`costc schema`."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer


class Printed(StrEnum):
    """A command whose JSON has a schema."""

    eval = "eval"
    serving = "serving"


def schema(command: Annotated[Printed, typer.Argument(help="whose JSON")] = Printed.eval) -> None:
    """Print the JSON schema of `eval --json` or `serving --json`."""
    path = Path(__file__).parents[1] / f"{command.value}.schema.json"
    print(path.read_text(encoding="utf-8"), end="")
