"""Results of load generators, one point for each run.

vllm     `vllm bench serve --save-result` (or `--append-result`: one object a line). Fields as in vllm-project/vllm,
         vllm/benchmarks/serve.py: `mean_ttft_ms`, `mean_tpot_ms`, percentiles `p99_ttft_ms`, `completed`, `failed`,
         `total_input_tokens`, `total_output_tokens`, `request_rate` ("inf" or requests a second), `max_concurrency`, `model_id`.
sglang   `python -m sglang.bench_serving --output-file`: JSON lines. Fields as in sgl-project/sglang,
         python/sglang/bench_serving.py: as above, with `random_range_ratio`, `mean_e2e_latency_ms`, `concurrency` (the mean).
aiperf   `profile_export_aiperf.json`. Fields as in ai-dynamo/aiperf, docs/reference/json-export-schema.md: a block with `unit`
         and `avg` for each metric (`time_to_first_token`, `inter_token_latency`, `input_sequence_length`, ...), and
         `input_config`, which holds the load under `loadgen` or, since the configuration has phases, under `phases`.

AIPerf's inter-token latency of a request is (latency - TTFT) / (outputs - 1): what the others call TPOT.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from costc.calibrate.points import Flag, Point
from costc.calibrate.tables import MAX_BYTES, SECONDS, BadCell
from costc.errors import CostcError, Position, SpecError

#: share of requests that may fail before a run says little about the load it was meant for
FAILED = 0.01
#: how far the mean latency may lie from TTFT + TPOT x (outputs - 1), which means of uneven lengths do not meet exactly
APART = 2.0
PERCENTILES = (50, 90, 95, 99)
Json = Mapping[str, Any]
_SPACE = re.compile(r"\s*")


def runs(path: Path) -> tuple[list[Point], list[Flag]]:
    """Points of a result file, and runs that say nothing.

    Raises:
        CostcError: it cannot be read, or is a result of none of the three.
    """
    points, flags = [], []
    for line, run in _objects(path):
        try:
            points.append(READERS[_tool(path, line, run)](str(path), line, run))
        except BadCell as bad:
            flags.append(Flag(str(path), line, str(bad)))
    return points, flags


def _objects(path: Path) -> Iterator[tuple[int, Json]]:
    """(line, object) of a file that holds one JSON object, or one a line."""
    try:
        if path.stat().st_size > MAX_BYTES:
            raise CostcError(f"{path}: {path.stat().st_size} bytes; at most {MAX_BYTES}. Leave the requests' details out")
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise CostcError(f"{path}: {error.strerror or error}") from None
    except UnicodeDecodeError as error:
        raise CostcError(f"{path}: byte {error.start} is not UTF-8; a result is JSON text") from None
    decoder, at, line = json.JSONDecoder(), 0, 1
    if not text.strip():
        raise CostcError(f"{path}: empty; expected the JSON result of a load generator")
    while (begun := _SPACE.match(text, at).end()) < len(text):  # type: ignore[union-attr]
        line += text.count("\n", at, begun)
        try:
            found, at = decoder.raw_decode(text, begun)
        except (json.JSONDecodeError, RecursionError) as error:
            where = getattr(error, "pos", begun)
            place = Position(str(path), text.count("\n", 0, where) + 1, where - text.rfind("\n", 0, where))
            raise SpecError(place, f"not valid JSON: {getattr(error, 'msg', 'nested too deeply')}") from None
        if not isinstance(found, dict):
            raise SpecError(Position(str(path), line, 1), "not an object; expected the JSON result of a load generator")
        yield line, found
        line += text.count("\n", begun, at)


def _tool(path: Path, line: int, run: Json) -> str:
    """Which tool wrote it, by the fields that only it has."""
    if isinstance(run.get("time_to_first_token"), dict) or "aiperf_version" in run:
        return "aiperf"
    if "mean_ttft_ms" in run and ("random_range_ratio" in run or "mean_e2e_latency_ms" in run):
        return "sglang"
    if "mean_ttft_ms" in run:
        return "vllm"
    raise SpecError(
        Position(str(path), line, 1),
        "neither a result of vllm bench serve or sglang.bench_serving (mean_ttft_ms) nor of AIPerf (time_to_first_token)",
    )


def _vllm(source: str, line: int, run: Json) -> Point:
    return _milliseconds(source, line, run, "vllm", "mean_e2el_ms", _optional(run, "max_concurrency"))


def _sglang(source: str, line: int, run: Json) -> Point:
    return _milliseconds(source, line, run, "sglang", "mean_e2e_latency_ms", _optional(run, "max_concurrency"))


def _milliseconds(source: str, line: int, run: Json, tool: str, whole: str, concurrency: float | None) -> Point:
    """A point from the fields that vLLM's and SGLang's tools share."""
    completed = _positive(run, "completed")
    _mostly(completed, _optional(run, "failed") or 0.0)
    isl, osl = _positive(run, "total_input_tokens") / completed, _positive(run, "total_output_tokens") / completed
    ttft = _positive(run, "mean_ttft_ms") * 1e-3
    tpot = _positive(run, "mean_tpot_ms") * 1e-3 if osl > 1 else None
    _agree(ttft, tpot, osl, _optional(run, whole))
    rate = run.get("request_rate")
    given = {f"{name}_p{p}": f"p{p}_{name}_ms" for name in ("ttft", "tpot") for p in PERCENTILES}
    given |= {f"{name}_p50": f"median_{name}_ms" for name in ("ttft", "tpot") if f"p50_{name}_ms" not in run}
    return Point(
        source,
        line,
        isl,
        osl,
        concurrency,
        None if rate in (None, "inf", "trace") or rate == math.inf else _positive(run, "request_rate"),
        ttft,
        tpot,
        completed,
        _optional(run, "random_range_ratio"),
        {name: _positive(run, key) * 1e-3 for name, key in given.items() if run.get(key)},
        _labels(tool, run.get("model_id")),
    )


def _aiperf(source: str, line: int, run: Json) -> Point:
    if run.get("was_cancelled"):
        raise BadCell("the run was cancelled")
    completed = _metric(run, "request_count")
    wrong = _metric(run, "error_request_count") if isinstance(run.get("error_request_count"), dict) else 0.0
    _mostly(completed or 0.0, wrong or 0.0)
    isl, osl = _metric(run, "input_sequence_length"), _metric(run, "output_sequence_length")
    ttft, tpot = _time(run, "time_to_first_token"), _time(run, "inter_token_latency")
    if isl is None or osl is None or ttft is None:
        raise BadCell("a run needs input_sequence_length, output_sequence_length and, streamed, time_to_first_token")
    latency = _time(run, "request_latency")
    _agree(ttft, tpot, osl, latency * 1e3 if latency else None)
    load, models = _aiperf_load(run.get("input_config")), _aiperf_models(run.get("input_config"))
    blocks = {"ttft": "time_to_first_token", "tpot": "inter_token_latency"}
    percentiles = {f"{n}_p{p}": _time(run, block, f"p{p}") for n, block in blocks.items() for p in PERCENTILES}
    return Point(
        source,
        line,
        isl,
        osl,
        load.get("concurrency"),
        load.get("request_rate"),
        ttft,
        tpot,
        completed,
        None,
        {name: value for name, value in percentiles.items() if value is not None},
        _labels("", models),
    )


def _aiperf_load(config: object) -> dict[str, float]:
    """Concurrency and rate of the phase that is measured."""
    given = config if isinstance(config, dict) else {}
    phases = given.get("phases")
    if isinstance(phases, dict):
        phases = [{"name": name, **phase} for name, phase in phases.items() if isinstance(phase, dict)]
    named = [p for p in phases or [] if isinstance(p, dict) and p.get("name") == "profiling"] if isinstance(phases, list) else []
    place = named[0] if named else given.get("loadgen")
    if not isinstance(place, dict):
        return {}
    found = {"concurrency": place.get("concurrency"), "request_rate": place.get("request_rate", place.get("rate"))}
    return {k: float(v) for k, v in found.items() if isinstance(v, (int, float)) and not isinstance(v, bool) and 0 < v < math.inf}


def _aiperf_models(config: object) -> object:
    """The first model's name, where the configuration says it."""
    place = config.get("endpoint") if isinstance(config, dict) else None
    names = place.get("model_names") if isinstance(place, dict) else None
    return names[0] if isinstance(names, list) and names else None


def _labels(tool: str, model: object) -> dict[str, str]:
    said = {"engine": tool, "model": model if isinstance(model, str) else ""}
    return {k: v for k, v in said.items() if v}


def _mostly(completed: float, failed: float) -> None:
    if failed > FAILED * (completed + failed):
        raise BadCell(f"{failed:.0f} of {completed + failed:.0f} requests failed")


def _agree(ttft: float, tpot: float | None, osl: float, latency_ms: float | None) -> None:
    """Whether the mean latency is about what the two times make; it is not where one of them has another unit."""
    if latency_ms is None or latency_ms <= 0 or tpot is None:
        return
    made = ttft + tpot * (osl - 1)
    if not 1 / APART < made / (latency_ms * 1e-3) < APART:
        raise BadCell(
            f"TTFT {ttft * 1e3:.4g} ms and TPOT {tpot * 1e3:.4g} ms make {made * 1e3:.4g} ms for {osl:.0f} tokens, "
            f"the mean latency is {latency_ms:.4g} ms (another unit?)"
        )


def _value(value: object, name: str) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise BadCell(f"{name} is {value!r}, not a number" if value is not None else f"{name} is missing")
    if not math.isfinite(value) or value <= 0:
        raise BadCell(f"{name} is {value:g}; expected a finite number more than 0")
    return float(value)


def _positive(run: Json, name: str) -> float:
    return _value(run.get(name), name)


def _optional(run: Json, name: str) -> float | None:
    return None if run.get(name) in (None, 0) else _positive(run, name)


def _metric(run: Json, name: str, which: str = "avg") -> float | None:
    """A statistic of a metric's block, or None where the run has none."""
    block = run.get(name)
    if not isinstance(block, dict) or block.get(which) in (None, 0):
        return None
    return _value(block[which], f"{name}.{which}")


def _time(run: Json, name: str, which: str = "avg") -> float | None:
    """Seconds of a metric, by the unit that its block says."""
    value = _metric(run, name, which)
    if value is None:
        return None
    unit = {"sec": "s", "seconds": "s", "milliseconds": "ms"}.get(str(run[name].get("unit")), run[name].get("unit"))
    if unit not in SECONDS:
        raise BadCell(f"{name} has unit {run[name].get('unit')!r}; expected one of {', '.join(SECONDS)}")
    return value * SECONDS[str(unit)]


READERS: Mapping[str, Callable[[str, int, Json], Point]] = {"vllm": _vllm, "sglang": _sglang, "aiperf": _aiperf}
