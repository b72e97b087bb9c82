"""Rendering the template."""

from __future__ import annotations

import re
from typing import Any


def render(context: dict[str, Any], figures: str, command_path: str) -> str:
    """The report's Markdown; `figures` is the folder of its figures, relative to it."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("costc.report"), undefined=StrictUndefined, autoescape=False, keep_trailing_newline=True
    )
    environment.filters["anchor"] = lambda text: re.sub(r"[^a-z0-9 -]", "", text.lower()).replace(" ", "-")
    environment.filters["thousands"] = lambda n: f"{n:,}"
    environment.filters["count"] = lambda things, name: f"{len(things)} {name}{'' if len(things) == 1 else 's'}"
    study = context["study"]
    schemes = [{**s, "label": s["name"] if s["name"] in study.keeps_quality else f"({s['name']})"} for s in context["schemes"]]
    efficiency = " / ".join(
        dict.fromkeys(
            f"{study.efficiency.values[k].value:g}" for k in ("compute_efficiency", "memory_efficiency", "link_efficiency")
        )
    )
    text = environment.get_template("report.md.j2").render(
        **{**context, "schemes": schemes}, figures=figures, command_path=command_path, efficiency=efficiency
    )
    return re.sub(r"\n{3,}", "\n\n", text).rstrip() + "\n"
