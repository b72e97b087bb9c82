"""Facts of models as transformers computes them: an oracle that shares nothing with the compiler.

As a program it prints them for all cases and writes them as JSON: `python -m tests.oracle.reference [folder]`.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

from tests.oracle.caches import cache_byte, windows
from tests.oracle.configs import Case, cases
from tests.oracle.flops import flops
from tests.oracle.models import Config, NoOracle, build
from tests.oracle.parameters import GROUPS, buffers, parameters, parameters_by_name
from tests.oracle.reduced import reduced, reduced_names

__all__ = [
    "Case", "NoOracle", "buffers", "build", "cache_byte", "cases", "flops", "parameters", "parameters_by_name", "reduced",
    "reduced_names", "windows",
]  # fmt: skip

# (batch, past, seq): longer and shorter than the windows and chunks of the reduced models.
STEPS = ((2, 0, 12), (1, 0, 24), (1, 0, 3), (2, 12, 1), (1, 24, 1), (1, 24, 4))
CACHED = ((2, 12), (1, 24), (1, 3))


def main(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    _write(folder / "oracle_flops.json", [_steps_of(name) for name in reduced_names()])
    _write(folder / "oracle_params.json", [_parameters_of(case) for case in cases()])


def _parameters_of(case: Case) -> dict[str, Any]:
    row: dict[str, Any] = {"name": case.name, "model_type": case.model_type, "source": case.source, "config": case.config}
    start = time.perf_counter()
    try:
        names = parameters_by_name(case.config)
    except NoOracle as reason:
        print(f"{case.name:58} no oracle: {reason}")
        return row | {"no_oracle": str(reason)}
    groups = {group: sum(names.get(group, {}).values()) for group in GROUPS}
    text = sum(n for group, n in groups.items() if group != "vision")
    shown = " ".join(f"{group}={numel}" for group, numel in groups.items() if numel)
    print(f"{case.name:58} {text / 1e9:10.4f}B {time.perf_counter() - start:5.1f}s {shown}", flush=True)
    return row | {"text_total": text, "groups": groups, "names": names, "buffers": buffers(case.config)}


def _steps_of(name: str) -> dict[str, Any]:
    config = reduced(name)
    start = time.perf_counter()
    counted = {f"batch={b} past={p} seq={s}": counts for b, p, s in STEPS if (counts := _flops(name, config, b, p, s))}
    kept = {f"batch={b} tokens={t}": cache_byte(config, b, t) for b, t in CACHED}
    totals = " ".join(str(each["total"]) for each in counted.values())
    states = " ".join(key for key in next(iter(kept.values())) if "|" not in key and key != "total")
    print(f"{name:22} {time.perf_counter() - start:5.1f}s FLOPs {totals} cache {states}", flush=True)
    return {"name": name, "config": config, "parameters": parameters_by_name(config), "flops": counted, "cache_byte": kept}


def _flops(name: str, config: Config, batch: int, past: int, seq: int) -> dict[str, int]:
    try:
        return flops(config, batch, past, seq)
    except RuntimeError as error:
        if seq == 1 or not past:
            raise
        print(f"{name:22} cannot go on from its cache with {seq} tokens: {error}")  # a fault of the class itself
        return {}


def _write(path: Path, rows: list[dict[str, Any]]) -> None:
    path.write_text(json.dumps(rows, indent=1), encoding="utf-8")
    print(f"wrote {path}")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "."))
