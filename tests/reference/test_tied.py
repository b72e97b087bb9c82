"""A tied embedding is one matrix under two names: counted and held once, read by lookup and by head."""

from __future__ import annotations

from pathlib import Path

import pytest

import costc
from costc.spec.catalog import shipped

VOCAB_X_HIDDEN = 128_256 * 4_096


@pytest.fixture
def tied(tmp_path: Path) -> costc.CostModel:
    text = (shipped() / "models" / "llama-3.1-8b.yaml").read_text(encoding="utf-8")
    assert "tie_word_embeddings: false" in text
    path = tmp_path / "tied.yaml"
    path.write_text(text.replace("tie_word_embeddings: false", "tie_word_embeddings: true"), encoding="utf-8")
    return costc.load(path)


def test_parameters_and_memory(tied: costc.CostModel) -> None:
    untied = costc.load("llama-3.1-8b")
    assert tied.parameters == untied.parameters - VOCAB_X_HIDDEN == 7_504_924_672
    one, other = (m.point("h100-sxm", batch=4) for m in (tied, untied))
    assert other["memory_weights"] - one["memory_weights"] == 2 * VOCAB_X_HIDDEN
    assert one["flop_decode"] == other["flop_decode"]
    assert one["tpot"] == other["tpot"]


def test_the_last_of_two_stages_holds_the_head_either_way(tied: costc.CostModel) -> None:
    one, other = (m.point("h100-sxm", batch=4, pp=2)["memory_weights"] for m in (tied, costc.load("llama-3.1-8b")))
    assert one == other
