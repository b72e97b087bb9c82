"""Closed forms of operator time, one file for each class: every file here says its forms in `FORMS`."""

from __future__ import annotations

from importlib import import_module
from pkgutil import iter_modules

from costc.latency.form import Form
from costc.latency.forms import mla

FORMS: dict[str, Form] = {
    form.name: form
    for module in sorted(m.name for m in iter_modules(__path__))
    for form in import_module(f"{__name__}.{module}").FORMS
}
#: structures that a form is known for by another name
CLASSES = {"prefill_latent": mla.PREFILL.name, "decode_latent": mla.DECODE.name}
