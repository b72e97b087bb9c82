"""Speculative decoding in the closed loop."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

from costc import symbols as S
from costc.api import load
from costc.closed import PROTOCOL
from costc.compiled import CostModel

MODEL = "deepseek-r1"
POINT: dict[str, Any] = {"tp": 8, "pp": 1, "dp": 1, "ep": 8, "microbatches": 1, "isl": 1000, "osl": 500, "waves": 10}


@pytest.fixture(scope="module")
def model() -> CostModel:
    return load(MODEL)


def tpot(model: CostModel, **given: Any) -> Any:
    inputs = {**model.values("h200", efficiency="ideal"), **PROTOCOL, **POINT, "batch": 4, **given}
    return model.closed_loop.evaluator(inputs)["tpot"]


def committed(k: int, a: float) -> float:
    """The expectation, from all ways in which a step's drafts can be accepted."""
    total = 0.0
    for taken in itertools.product((True, False), repeat=k):
        run = next((i for i, ok in enumerate(taken) if not ok), k)
        total += (1 + run) * np.prod([a if ok else 1 - a for ok in taken])
    return total


@pytest.mark.parametrize(("k", "a"), [(1, 0.5), (2, 0.8), (4, 0.3), (3, 0.0)])
def test_a_step_commits_what_is_accepted_in_expectation(model: CostModel, k: int, a: float) -> None:
    step = model.closed_loop.program.step("drafting.committed").expr
    assert float(step.xreplace({S.draft_tokens: k, S.acceptance: a})) == pytest.approx(committed(k, a))


def test_without_drafts_acceptance_does_not_matter(model: CostModel) -> None:
    assert tpot(model, draft_tokens=0, acceptance=0.0) == tpot(model, draft_tokens=0, acceptance=0.9)


def test_drafts_that_are_never_accepted_only_cost(model: CostModel) -> None:
    found = [float(tpot(model, draft_tokens=k, acceptance=0.0)) for k in range(4)]
    assert found == sorted(found)
    assert found[0] < found[1]


def test_drafts_help_while_memory_binds(model: CostModel) -> None:
    def gain(batch: int) -> float:
        drafted = tpot(model, draft_tokens=2, acceptance=0.8, batch=batch)
        return float(drafted / tpot(model, draft_tokens=0, acceptance=0.0, batch=batch))

    # verified tokens visit experts of their own, so that a mixture gains less than the 2.4 tokens a step
    assert 1 / 2.44 < gain(1) < 0.9


def test_a_model_without_draft_layers_takes_none() -> None:
    plain = load("llama-3.1-8b")
    point = {**PROTOCOL, **POINT, "tp": 1, "ep": 1, "batch": 1, "acceptance": 0.5}
    inputs = plain.values("h100-sxm", efficiency="ideal")
    assert np.isnan(plain.closed_loop.evaluator({**inputs, **point, "draft_tokens": 1})["tpot"])
    assert np.isfinite(plain.closed_loop.evaluator({**inputs, **point, "draft_tokens": 0})["tpot"])
