"""Closed forms of operator time, one file for each class."""

from __future__ import annotations

from costc.latency.form import Form
from costc.latency.forms import link, roofline

FORMS: dict[str, Form] = {form.name: form for form in (roofline.FORM, *link.FORMS)}
