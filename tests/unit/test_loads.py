"""A model under a load, as a library and on the command line: both kinds of load, both kinds of replica, and what is refused."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from typer.testing import CliRunner

import costc
from costc.calibrate.recipes import _recipes, recipe
from costc.cli import app
from costc.compiled import CostModel
from costc.errors import CostcError
from costc.loads.serve import serve

SCHEMA = json.loads((Path(costc.__file__).parent / "serving.schema.json").read_text(encoding="utf-8"))
USED: dict[str, Any] = {"isl": 1024, "osl": 256, "efficiency": "fitted", "engine": "vllm"}


@cache
def model() -> CostModel:
    return costc.load("llama-3.1-8b")


def served(**given: Any) -> dict[str, Any]:
    found = serve(model(), given.pop("hardware", "h100-sxm"), **{**USED, **given})
    jsonschema.validate(found, SCHEMA)
    return found


def points(**given: Any) -> list[dict[str, Any]]:
    return list(served(**given)["points"])


POOL = {"prefill_workers": 1, "decode_workers": 2}


@pytest.mark.parametrize("pool", [None, POOL])
def test_more_requests_in_flight_wait_longer_and_are_served_faster(pool: Any) -> None:
    found = points(concurrency=[1, 8, 64, 256], pool=pool)
    for name in ("ttft", "tpot", "request_throughput", "prefill_load"):
        values = [point[name] for point in found]
        assert values == sorted(values), name
    for point in found:
        assert point["e2el"] == pytest.approx(point["ttft"] + 255 * point["tpot"])
        # Little's law
        assert point["request_throughput"] * point["e2el"] == pytest.approx(point["concurrency"])


@pytest.mark.parametrize("pool", [None, POOL])
def test_a_rate_is_the_number_in_flight_that_has_it(pool: Any) -> None:
    """The steady state of a loop whose throughput is the rate: the same point, found from the other side."""
    rates = [0.01, 0.5, 4.0, 12.0]
    found = points(rate=rates, pool=pool)
    assert [point["request_throughput"] for point in found] == pytest.approx(rates)
    for point in found:
        assert point["concurrency"] == pytest.approx(point["request_throughput"] * point["e2el"], rel=0.02)
        assert point["output_throughput"] == pytest.approx(256 * point["request_throughput"])
    around = points(concurrency=[max(1, round(found[3]["concurrency"]))], pool=pool, waves=1e9, length_spread=1.0)[0]
    assert around["ttft"] == pytest.approx(found[3]["ttft"], rel=0.05)
    assert around["tpot"] == pytest.approx(found[3]["tpot"], rel=0.05)
    ttfts = [point["ttft"] for point in found]
    assert ttfts == sorted(ttfts)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({}, "more than 95% of the highest rate"),
        ({"pool": {}}, "the prefill pool is busy all the time"),
        ({"pool": {"prefill_workers": 9}, "max_num_seqs": 4}, "no seat in decode is free"),
        ({"max_num_seqs": 4}, "runs no more than max_num_seqs = 4 requests of a rank"),
        ({"isl": 8000, "osl": 2}, "prefill takes"),
        ({"isl": 8000, "osl": 8000}, "the cache has no room for more requests"),
    ],
)
def test_a_rate_that_cannot_be_served_says_what_limits(given: dict[str, Any], said: str) -> None:
    with pytest.raises(CostcError, match=said):
        served(rate=500, **given)


def test_near_the_highest_rate_is_refused_too() -> None:
    with pytest.raises(CostcError) as error:
        served(rate=500)
    highest = float(str(error.value).split("highest rate: ")[1].split(" with")[0])
    with pytest.raises(CostcError):
        served(rate=0.99 * highest)
    assert served(rate=0.9 * highest)


def test_workers_that_match_are_busy_together() -> None:
    """prefill_per_decode: with that many prefill workers to a decode worker, the prefill pool has just the work it can do."""
    few = points(concurrency=[512], waves=1e9, pool={"prefill_workers": 1, "decode_workers": 4})[0]
    assert few["prefill_load"] > 0.99
    assert 4 * few["prefill_per_decode"] == pytest.approx(few["prefill_load"], rel=1e-6)
    many = points(concurrency=[512], waves=1e9, pool={"prefill_workers": 8, "decode_workers": 4})[0]
    assert many["request_throughput"] > 2 * few["request_throughput"]
    assert many["prefill_load"] == pytest.approx(4 * many["prefill_per_decode"] / 8, rel=1e-6)


def test_the_cache_goes_over_the_slower_link() -> None:
    """Inside a domain over its link, beyond it over the network; a longer prompt takes longer."""
    near = points(concurrency=[8], pool={})[0]["kv_transfer"]
    far = points(concurrency=[8], pool={"prefill_workers": 8})[0]["kv_transfer"]
    long = points(concurrency=[8], pool={}, isl=4096)[0]["kv_transfer"]
    assert near < far
    assert 2 * near < long < 4.1 * near


def test_pools_may_have_plans_devices_and_tokens_of_their_own() -> None:
    pool = {"prefill": {"tp": 2}, "decode": {"tp": 4}, "prefill_hardware": "h200", "prefill_workers": 3, "prefill_tokens": 4096}
    found = served(concurrency=[16], pool=pool)
    assert found["devices"] == 3 * 2 + 4
    before, after = found["sides"]["prefill"], found["sides"]["decode"]
    assert (before["hardware"], before["plan"]["tp"], before["max_num_batched_tokens"]) == ("h200", 2, 4096)
    assert (after["hardware"], after["plan"]["tp"], after["max_num_batched_tokens"]) == ("h100-sxm", 4, 8192)


def test_settings_reach_the_run() -> None:
    plain = points(concurrency=[64])[0]
    assert points(concurrency=[64], waves=1)[0]["ttft"] > 2 * plain["ttft"]
    assert points(concurrency=[64], scheduler_interval=20)[0]["ttft"] > plain["ttft"]
    assert points(concurrency=[64], max_num_seqs=8)[0]["running"] == 8
    assert points(concurrency=[64], memory_utilization=0.3)[0]["running"] < 64
    assert points(concurrency=[64], prefix_hit_rate=0.9)[0]["ttft"] < plain["ttft"]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({}, "give one of them"),
        ({"concurrency": 1, "rate": 1}, "give one of them"),
        ({"concurrency": 0}, "whole numbers above 0"),
        ({"concurrency": 1.5}, "whole numbers above 0"),
        ({"concurrency": []}, "no values"),
        ({"rate": -1.0}, "numbers above 0"),
        ({"rate": float("nan")}, "numbers above 0"),
        ({"concurrency": 1, "osl": 1}, "at least 2 output tokens"),
        ({"concurrency": 1, "acceptance": 1.5}, "at most 1"),
        ({"concurrency": 1, "waves": 0}, "above 0"),
        ({"concurrency": 1, "wawes": 2}, "did you mean 'waves'"),
        ({"concurrency": 1, "plan": {"tq": 2}}, "did you mean 'tp'"),
        ({"concurrency": 1, "plan": {"tp": 3}}, "not divisible by tp 3"),
        ({"concurrency": 1, "engine": "slang"}, "did you mean 'sglang'"),
        ({"concurrency": 1, "hardware": "h101"}, "unknown hardware"),
        ({"concurrency": 1, "pool": {"decode_workers": 0}}, "whole number above 0"),
        ({"concurrency": 1, "pool": {"decode_workers": 1.5}}, "whole number above 0"),
        ({"concurrency": 1, "pool": {}, "draft_tokens": 2}, "apart"),
        ({"concurrency": 1, "isl": 10**7}, "does not fit"),
        ({"concurrency": 1, "isl": 10**7, "pool": {}}, "does not fit"),
    ],
)
def test_what_cannot_be_is_refused(given: dict[str, Any], said: str) -> None:
    with pytest.raises(CostcError, match=said):
        served(**given)


def test_pools_too_far_apart_without_a_network() -> None:
    with pytest.raises(CostcError, match="no scale-out link between them"):
        served(hardware=replace(model().catalog.hardware("h100-sxm"), scale_out=None), concurrency=1, pool={"decode_workers": 9})


# ---- the command


def run(*words: str) -> Any:
    return CliRunner().invoke(app, ["serving", "llama-3.1-8b", "--hardware", "h100-sxm", "--isl", "1024", "--osl", "256", *words])


def test_the_command_s_json_keeps_its_schema_and_its_csv_its_points() -> None:
    apart = ("--concurrency", "1,16", "--prefill", "tp=2", "--decode-workers", "2")
    for words in (("--concurrency", "1,16"), ("--rate", "1,4"), apart):
        found = json.loads(run(*words, "--json").stdout)
        jsonschema.validate(found, SCHEMA)
        lines = run(*words, "--csv").stdout.splitlines()
        assert lines[0].split(",")[:3] == ["concurrency", "request_throughput", "ttft"]
        assert len(lines) == 1 + len(found["points"]) == 3


def test_the_command_is_the_library() -> None:
    found = json.loads(run("--concurrency", "16", "--engine", "vllm", "--tp", "2", "--waves", "5", "--json").stdout)
    assert found["points"] == points(concurrency=[16], plan={"tp": 2}, waves=5)


def test_the_command_prints_a_table_with_what_runs_where() -> None:
    text = run("--concurrency", "16", "--decode", "tp=4", "--decode-workers", "2", "--prefill-hardware", "h200").stdout
    assert "prefill: 1 x h200, one device; efficiency" in text
    assert "decode: 2 x h100-sxm, tp=4; efficiency" in text
    assert "TTFT, s" in text


# ---- recipes of measured rows


def test_recipes_are_found_by_what_a_row_lists() -> None:
    listed = next(iter(_recipes()))
    line = _recipes()[listed]
    row: dict[str, Any] = {k: line[k] for k in ("family", "system", "backend", "precision")}
    row |= {k: float(line[k]) for k in ("isl", "osl")} | {"conc": float(listed[-1])}
    for phase in ("prefill", "decode"):
        ranks = int(line[f"listed_{phase}_dp"])
        row[f"{phase}_attention_dp_size"] = float(ranks)
        row[f"{phase}_tp_size"] = float(int(line[f"{phase}_devices"]) // ranks)
        row[f"{phase}_num_workers"] = float(line[f"{phase}_workers"])
    assert recipe(row) == line
    assert recipe({**row, "conc": 12345.0}) == {}
    assert recipe({**row, "conc": float("nan")}) == {}


def test_every_recipe_has_a_source_and_sizes_that_divide() -> None:
    for line in _recipes().values():
        assert line["source"].startswith(("NVIDIA/srt-slurm ", "SemiAnalysisAI/InferenceX "))
        for phase in ("prefill", "decode"):
            assert int(line[f"{phase}_devices"]) % int(line[f"{phase}_dp"]) == 0
