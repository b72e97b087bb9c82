"""Closed forms of operator time, one file for each class."""

from __future__ import annotations

from costc.latency.form import Form
from costc.latency.forms import attention, collective, elementwise, gemm, grouped_gemm, link, mla, roofline, scan

_MODULES = (roofline, elementwise, scan, gemm, grouped_gemm, attention, mla, collective, link)
FORMS: dict[str, Form] = {form.name: form for module in _MODULES for form in module.FORMS}
#: structures that a form is known for by another name
CLASSES = {"prefill_latent": mla.PREFILL.name, "decode_latent": mla.DECODE.name}
