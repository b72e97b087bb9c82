"""The constants of all forms as inputs of a program: one symbol each, or one for each precision module where the value
depends on the format that the module computes in."""

from __future__ import annotations

from dataclasses import dataclass

import sympy as sp

from costc import symbols as S
from costc.latency.form import Constant, Form
from costc.latency.forms import FORMS


@dataclass(frozen=True)
class Binding:
    """What an input stands for: a constant of a form, for the format that `module` computes in (None: for any)."""

    form: str
    constant: Constant
    module: str | None


#: program inputs by name
BINDINGS: dict[str, Binding] = {}


def symbol(form: Form, constant: Constant, module: str) -> sp.Symbol:
    """The input for a constant of a form in a module."""
    own = module if constant.per_dtype else None
    name = f"{form.name}_{constant.name}" + (f"_{S.key(own)}" if own else "")
    BINDINGS[name] = Binding(form.name, constant, own)
    tail = f", module {own}" if own else ""
    tex = rf"c_{{\mathrm{{{S._tex(name)}}}}}"
    return S.define(name, tex, constant.unit, f"{form.title}: {constant.meaning}{tail}", positive=False)


# all at once and in one order, so that the inputs of a program do not depend on what was compiled before
for _form in FORMS.values():
    for _constant in _form.constants:
        for _module in S.COMPUTE_MODULES if _constant.per_dtype else ("",):
            symbol(_form, _constant, _module)
