"""Emission: programs and formulas as files that stand alone."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace

import sympy as sp

from costc.emit.formulas import Formula
from costc.program import Program
from costc.registry import Registry


def mangle(name: str) -> str:
    """A name that Python takes: dots and dashes become underscores."""
    return re.sub(r"\W", "_", name)


@dataclass(frozen=True)
class Artifact:
    """What a target is given: the program, the formulas of the counts with the model's dimensions, and the spec's digest."""

    program: Program
    title: str
    digest: str
    formulas: tuple[Formula, ...] = ()
    bindings: tuple[tuple[sp.Symbol, sp.Expr], ...] = ()

    def with_program(self, program: Program) -> Artifact:
        return replace(self, program=program)


@dataclass(frozen=True)
class Target:
    """An output format: the file's path in generated/<study>/, given the model's folder there, and its text.

    `readable`: it is given the program as published, not the simplified one.
    """

    name: str
    path: Callable[[str], str]
    emit: Callable[[Artifact], str]
    readable: bool = False


TARGETS: Registry[Target] = Registry("output target", "costc.emit.targets")
