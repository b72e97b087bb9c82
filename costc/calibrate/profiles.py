"""The efficiency profiles of devices and engines from the wheel's kernel tables, as they ship in specs/efficiency."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from costc.calibrate import standins
from costc.calibrate.device import Key, Measured, measured
from costc.calibrate.profile import profile
from costc.calibrate.standins import SIBLINGS, Found
from costc.facts import Fact
from costc.ir.platform import ANY, Efficiency, Hardware
from costc.latency.forms import FORMS
from costc.spec.profiles import ASSUMED, ENGINES

#: devices with tables of the kernels of all engines
DEVICES: Final = ("a100-80gb", "b200", "b300", "gb200", "gb300", "h100-sxm", "h200", "l40s")
TITLES: Final = {"vllm": "vLLM", "sglang": "SGLang", "trtllm": "TensorRT-LLM"}


def named(device: str, engine: str) -> str:
    """The name of the profile of a device and engine."""
    return f"{device}-{engine}"


def fitted(
    where: Iterable[tuple[str, str]],
    hardware: Mapping[str, Hardware],
    folder: Path,
    values: Mapping[str, Fact],
    processes: int = 1,
) -> Iterator[Efficiency]:
    """The profiles of devices and engines by name.

    Args:
        hardware: all devices of which tables may stand in for another's.
        folder: of the wheel's devices.
        values: what operators without constants of their class take.
    """
    pairs = list(where)
    near = {device: None for name, _ in pairs for device in (name, *SIBLINGS.get(name, ())) if device in hardware}
    found = measured([(hardware[device], engine) for device in near for engine in ENGINES], folder, processes)
    for device, engine in pairs:
        yield assembled(hardware[device], engine, found, values)


def assembled(device: Hardware, engine: str, found: Found, values: Mapping[str, Fact]) -> Efficiency:
    """The profile of a device and engine from what all tables gave: own fits, what stands in, and defaults."""
    own = found[device.name, engine]
    name, title = named(device.name, engine), f"{device.title} with {TITLES[engine]}, fitted to kernel tables"
    built = profile(name, title, device.name, engine, [one.fit for one in own if one.fit], values)
    classes = dict(built.classes)
    for key in standins.wanted(device.name, engine, found):
        given = standins.loan(key, device.name, engine, found)
        if given:
            classes[key] = standins.lent(key, given)
    classes |= standins.nearest(classes)
    classes |= {(one.form, one.dtype): one for one in standins.defaults(classes)}
    rules, removed = _removed(own)
    return replace(built, classes=classes, rules=rules, removed=removed)


def _removed(parts: Sequence[Measured]) -> tuple[dict[str, str], dict[Key, dict[str, int]]]:
    """Rules by a name that is their own, with reasons, and how many rows each took out."""
    given = sorted({(r.rule, r.reason) for one in parts for r in one.removed if r.rows})
    names: dict[tuple[str, str], str] = {}
    for rule, reason in given:
        same = sum(1 for other, _ in names if other == rule)
        names[rule, reason] = f"{rule}-{same + 1}" if same else rule
    removed = {one.key: {names[r.rule, r.reason]: r.rows for r in one.removed if r.rows} for one in parts}
    return {name: reason for (_, reason), name in names.items()}, {key: rows for key, rows in removed.items() if rows}


def assumed(values: Mapping[str, Fact]) -> Efficiency:
    """Defaults of all classes: for devices without tables."""
    classes = {(name, ANY): standins.default(form) for name, form in sorted(FORMS.items())}
    return Efficiency(ASSUMED, "Defaults of all operator classes, for devices without measurements", values, "", classes)
