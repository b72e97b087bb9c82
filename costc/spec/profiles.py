"""Efficiency profiles as a user names them: a profile, or one number for all."""

from __future__ import annotations

import math
from dataclasses import replace

from costc.errors import CostcError
from costc.facts import Fact, Source
from costc.ir.platform import Efficiency
from costc.spec.catalog import Catalog


def efficiency_profile(catalog: Catalog, given: str | float | Efficiency) -> Efficiency:
    """A profile by name, or `uniform` with all efficiencies set to a number in (0, 1]."""
    if isinstance(given, Efficiency):
        return given
    try:
        fraction = math.nan if isinstance(given, bool) else float(given)
    except (TypeError, ValueError):
        return catalog.efficiency(str(given))
    if not 0 < fraction <= 1:
        raise CostcError(f"an efficiency is more than 0 and at most 1, not {given}")
    base = catalog.efficiency("uniform")
    said = Fact(fraction, "1", Source("given by the user"), "assumed")
    changed = dict.fromkeys(("compute_efficiency", "memory_efficiency", "link_efficiency"), said)
    return replace(base, name=f"{fraction:g}", title=f"Uniform {fraction:g}", values={**base.values, **changed})
