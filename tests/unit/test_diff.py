"""`costc diff`: what differs between two models, devices or plans, against differences by hand."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from costc.api import compare
from costc.cli import app
from costc.errors import CostcError, DegreeError
from costc.insight.diff import Row


def _of(rows: tuple[Row, ...], name: str) -> tuple[object, object]:
    return next((r.a, r.b) for r in rows if r.name == name)


def test_models_differ_in_fields_counts_and_terms() -> None:
    found = compare("llama-3.1-8b", "mistral-7b")
    assert _of(found.fields, "vocab_size") == (128256, 32000)
    assert _of(found.counts, "parameters") == (8_030_261_248, 7_241_732_096)
    flop = {r.name: (r.a, r.b) for r in found.terms["decode.flop"]}
    # 32 layers x 2 products x 2 FLOP x 4096: every position of Llama, up to 4096 of them of Mistral
    assert flop["batch*context"] == (524_288, 0)
    assert flop["batch*Min(4096, context)"] == (0, 524_288)
    # the head: 2 x 4096 x the vocabulary's difference
    assert flop["batch"][0] - flop["batch"][1] == 2 * 4096 * (128256 - 32000)


def test_a_model_does_not_differ_from_itself() -> None:
    found = compare("deepseek-r1", "deepseek-r1")
    assert (found.fields, found.counts, found.terms) == ((), (), {})


def test_devices_differ_in_facts_and_balance() -> None:
    found = compare("h100-sxm", "h200")
    assert _of(found.fields, "memory") == (81559 * 2**20, 143771 * 2**20)
    a, b = _of(found.counts, "balance.fp8")
    assert a / b == pytest.approx(4.8 / 3.35, rel=1e-3)


def test_plans_differ_in_what_a_device_does() -> None:
    found = compare("tp=8", "tp=4,dp=2,ep=8", model="deepseek-r1", hardware="h200")
    cache = {r.name: (r.a, r.b) for r in found.terms["decode.kv_byte"]}
    # the latent cache replicates over tp and is divided over dp
    assert cache["batch*context*kv_byte"] == (61 * 576, 61 * 576 // 2)


def test_a_model_file_and_a_shipped_model(tmp_path: Path) -> None:
    config = {
        "model_type": "llama",
        "hidden_size": 4096,
        "intermediate_size": 14336,
        "num_hidden_layers": 32,
        "num_attention_heads": 32,
        "num_key_value_heads": 32,
        "vocab_size": 128256,
        "max_position_embeddings": 131072,
    }
    (tmp_path / "config.json").write_text(json.dumps(config))
    found = compare("llama-3.1-8b", str(tmp_path))
    assert _of(found.fields, "attention.full.num_key_value_heads") == (8, 32)
    assert _of(found.counts, "KV cache per token, bf16") == (131_072, 524_288)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("h100-sxm", "llama-3.1-8b"), "h100-sxm is one of hardware, llama-3.1-8b of models; two of one sort are compared"),
        (("llama-3.1-8b", "lama"), "unknown model 'lama'"),
        (("tp=8", "tp=4"), "two plans are compared for a model"),
        (("tp=8", "tp=x", "--model", "deepseek-r1"), "a plan is NAME=N,..., such as tp=8,ep=8; not 'tp=x'"),
        (("tp=8", "tq=4", "--model", "deepseek-r1"), "unknown parallelism 'tq'"),
        (("tp=8", "tp=3", "--model", "deepseek-r1"), "128 heads are not divisible by tp 3"),
    ],
)
def test_mistakes(words: tuple[str, ...], message: str) -> None:
    with pytest.raises((CostcError, DegreeError)) as caught:
        CliRunner().invoke(app, ["diff", *words], catch_exceptions=False)
    assert message in str(caught.value)


def test_it_prints_tables_and_json() -> None:
    run = CliRunner().invoke(app, ["diff", "llama-3.1-8b", "llama-3.1-70b", "--json"])
    assert _of_json(run.stdout, "counts", "parameters") == (8_030_261_248, 70_553_706_496)
    assert "terms of decode.flop" in CliRunner().invoke(app, ["diff", "llama-3.1-8b", "llama-3.1-70b"]).stdout


def _of_json(text: str, table: str, name: str) -> tuple[int, int]:
    return next((r["a"], r["b"]) for r in json.loads(text)[table] if r["name"] == name)
