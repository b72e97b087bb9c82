"""Closed forms of operator time, one file for each class."""

from __future__ import annotations

from costc.latency.form import Form
from costc.latency.forms import attention, collective, elementwise, gemm, grouped_gemm, link, mla, roofline, scan

FORMS: dict[str, Form] = {
    form.name: form for module in (roofline, elementwise, scan, gemm, grouped_gemm, attention, mla, collective, link) for form in getattr(module, 'FORMS', None) or (module.FORM,)
}
