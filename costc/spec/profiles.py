"""Efficiency profiles as a user names them: a profile, one number for all, or `fitted`: that of the device and engine."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Final

from costc.errors import CostcError
from costc.facts import Fact, Source
from costc.ir.platform import Efficiency, Engine, Hardware
from costc.spec.catalog import Catalog

#: the word for the profile of the device and engine, the profile of a device without one, and the engines that have profiles;
#: the first is the one whose settings are the default
FITTED: Final = "fitted"
ASSUMED: Final = "assumed"
ENGINES: Final = ("vllm", "sglang", "trtllm")


def efficiency_profile(
    catalog: Catalog, given: str | float | Efficiency, device: Hardware | None = None, engine: Engine | None = None
) -> Efficiency:
    """A profile by name, `uniform` with all efficiencies set to a number in (0, 1], or the one fitted to device and engine."""
    if isinstance(given, Efficiency):
        return given
    if given == FITTED:
        return fitted_profile(catalog, device.name if device else "", engine.name if engine else "")
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


def fitted_profile(catalog: Catalog, device: str, engine: str) -> Efficiency:
    """The profile that was fitted to a device and engine; where there is none, the defaults of all classes."""
    name = f"{device}-{engine_of(engine)}"
    return catalog.efficiency(name if name in catalog.names("efficiency") else ASSUMED)


def engine_of(settings: str) -> str:
    """The engine that settings of that name are for: sglang-0.5 are SGLang's, and what names no engine is vLLM's."""
    return next((engine for engine in ENGINES if settings.split("-")[0] == engine), ENGINES[0])
