"""Emission: programs and formulas as files that stand alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import sympy as sp

from costc.program import Program
from costc.registry import Registry


@dataclass(frozen=True)
class Artifact:
    """What a target is given: the program, the formulas of the counts, and where they came from."""

    program: Program
    title: str
    digest: str
    formulas: tuple[tuple[str, sp.Expr, str, str], ...] = ()
    facts: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Target:
    """An output format: the file's name for a model, and its text."""

    name: str
    path: Callable[[str], str]
    emit: Callable[[Artifact], str]


TARGETS: Registry[Target] = Registry("output target", "costc.emit.targets")
