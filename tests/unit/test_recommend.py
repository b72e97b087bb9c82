"""A study of continuous batching recommends what was measured, and says how far each prediction can be trusted."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from costc.compiled import CostModel
from costc.report.argue import Chosen
from costc.report.context import context
from costc.report.render import render
from costc.search.choose import Choice, choose, keeping, masks, recommend
from costc.search.grid import by_pair, evaluate
from costc.spec.study import Study, study

STUDY = """
name: little
title: Little
sources: {{here: {{title: a test}}}}
models: [deepseek-r1-distill-qwen-32b]
hardware: [{hardware}]
quantization: [fp8, int8]
keeps_quality: {{schemes: [fp8, int8], source: here}}
efficiency: {efficiency}
engine: {engine}
serving: {serving}
scenarios:
  chat:
    title: Chat
    isl: {{value: 1024, source: here, kind: assumed}}
    osl: {{value: 1024, source: here, kind: assumed}}
    ttft: {{value: 5 s, source: here, kind: assumed}}
    tpot: {{value: 100 ms, source: here, kind: assumed}}
    quality: {{benchmark: GPQA-Diamond, value: {{value: 50, source: here, kind: assumed}}}}
plans: {{tp: [1, 2, 4], max_devices: 4}}
batches: [1, 16, 64]
"""


def made(
    folder: Path, hardware: str, efficiency: str = "fitted", engine: str = "vllm", serving: str = "continuous"
) -> tuple[Study, Choice, str]:
    """The study, what it offers, and its report."""
    path = folder / "little.yaml"
    path.write_text(STUDY.format(hardware=hardware, efficiency=efficiency, engine=engine, serving=serving))
    found = study(path)
    scenario, model = found.scenarios[0], CostModel(found.models[0])
    evaluator = model.closed_loop.evaluator if found.continuous else model.evaluator
    pairs = by_pair(found, model.model, evaluator)
    choice = choose(found, evaluate(found, model.model, evaluator, scenario, pairs), scenario)
    choices = {choice.model: choice}
    page = context(found, [Chosen(scenario, choices, recommend(found, scenario, choices))], {choice.model: model.parameters}, "")
    return found, choice, render(page, "figures", "little.yaml")


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> tuple[Study, Choice, str]:
    return made(tmp_path_factory.mktemp("both"), "h200, mi300x")


def test_the_measured_device_is_recommended_though_another_promises_more(both: tuple[Study, Choice, str]) -> None:
    found, choice, text = both
    cost = np.where(masks(choice.grid, found.scenarios[0]).good & keeping(found, choice.grid), 1, np.inf)
    cost = cost * choice.grid.outputs["cost_per_million_tokens"]
    assert choice.grid.hardware[int(np.nanargmin(cost))] == 1
    assert choice.chosen is not None
    assert choice.unmeasured is not None
    assert (choice.chosen.hardware, choice.unmeasured.hardware) == (0, 1)
    least = np.nanmin(np.where(choice.grid.measured, cost, np.inf))
    assert choice.chosen["cost_per_million_tokens"] == pytest.approx(least, rel=2e-3)
    assert "By assumed constants deepseek-r1-distill-qwen-32b on" in text


def test_formats_without_measured_products_are_not_recommended(both: tuple[Study, Choice, str]) -> None:
    _, choice, _ = both
    assert set(choice.grid.scheme[choice.grid.measured]) == {0}
    assert set(choice.grid.hardware[choice.grid.measured]) == {0}


def test_errors_stand_beside_times_where_runs_were_measured(both: tuple[Study, Choice, str]) -> None:
    found, _, text = both
    off = found.engine.off("h200")
    assert off is not None
    assert off[1]
    row = next(line for line in text.splitlines() if line.startswith("| NVIDIA H200"))
    assert f"± {off[0].ttft.mean * 100:.0f} % |" in row
    assert f"± {off[0].tpot.mean * 100:.0f} % |" in row
    row = next(line for line in text.splitlines() if line.startswith("| AMD"))
    assert row.count("(assumed)") == 2
    assert "±" not in row
    assert f"Predictions for {off[0].tpot.n} runs on NVIDIA H200" in text


def test_devices_without_runs_are_marked(tmp_path: Path) -> None:
    found, _, text = made(tmp_path, "l40s")
    off = found.engine.off("l40s")
    assert off is not None
    assert not off[1]
    assert f"± {off[0].tpot.mean * 100:.0f} %*" in text


def test_where_nothing_was_measured_the_report_says_so(tmp_path: Path) -> None:
    _, choice, text = made(tmp_path, "mi300x")
    assert choice.chosen is not None
    assert not choice.chosen.measured
    assert choice.unmeasured is None
    assert "Rests on assumed constants" in text


def test_profiles_without_classes_know_no_difference(tmp_path: Path) -> None:
    _, choice, text = made(tmp_path, "h200, mi300x", "ideal", "default", "batch")
    assert np.all(choice.grid.measured)
    assert choice.unmeasured is None
    assert "±" not in text
    assert "assumed constants" not in text
