"""Layers on pipeline stages: closed forms evaluated in floating point, as emitted modules do, against counting by hand."""

from __future__ import annotations

from math import ceil
from typing import Any

import numpy as np
import pytest
import sympy as sp
from hypothesis import given, settings
from hypothesis import strategies as st

import costc
from costc import symbols as S
from costc.compiled import CostModel
from costc.ir.model import LayerRun, Model
from costc.ir.reach import Chunked
from costc.spec import model as model_spec
from costc.spec.model import ModelEntry
from costc.spec.reader import Document

RUNS = st.lists(
    st.builds(
        LayerRun,
        st.integers(1, 9),
        st.lists(st.sampled_from([("ffn.a",), ("ffn.b",), ("ffn.a", "ffn.b")]), min_size=1, max_size=7).map(tuple),
    ),
    min_size=1,
    max_size=4,
).map(tuple)


def _model(runs: tuple[LayerRun, ...]) -> Model:
    return Model("m", "m", 8, 8, 8, False, {}, runs, "bf16", ())


@settings(max_examples=60, deadline=None)
@given(RUNS)
def test_layers_of_the_last_stage_in_floating_point(runs: tuple[LayerRun, ...]) -> None:
    model = _model(runs)
    layers = [layer for run in runs for _ in range(run.repeat) for layer in run.pattern]
    count = sp.Integer(len(layers))
    counted = sp.lambdify(S.pp, model.after("ffn.a", count - sp.ceiling(count / S.pp)), "numpy")
    for pp in range(1, len(layers) + 1):
        own = layers[len(layers) - ceil(len(layers) / pp) :]
        assert counted(np.float64(pp)) == sum(layer.count("ffn.a") for layer in own)


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 50), st.integers(0, 10**6), st.integers(1, 10**6))
def test_chunks_in_floating_point(chunk: int, past: int, seq: int) -> None:
    law = Chunked("c", sp.Integer(chunk))
    p, s = sp.symbols("p s", integer=True, positive=True)
    found = sp.lambdify((s, p), law.context_of(s, p), "numpy")(np.float64(seq), np.float64(past))
    assert found == past % chunk + seq


def _spec(ffn: list[int], heads: list[int]) -> dict[str, Any]:
    """A model whose layers have FFNs and KV heads of their own."""
    width = {f"f{n}": {"kind": "gated", "intermediate_size": n} for n in set(ffn)}
    attention = {f"h{n}": {"kind": "gqa", "num_attention_heads": 8, "num_key_value_heads": n, "head_dim": 16} for n in set(heads)}
    return {
        "name": "m",
        "title": "m",
        "sources": {"s": {"title": "s"}},
        "source": "s",
        "hidden_size": 128,
        "vocab_size": 256,
        "max_position_embeddings": 4096,
        "attention": attention,
        "ffn": width,
        "layers": [{"pattern": [{"attention": f"h{h}", "ffn": f"f{f}"} for f, h in zip(ffn, heads, strict=True)]}],
    }


@settings(max_examples=12, deadline=None)
@given(st.lists(st.tuples(st.sampled_from([64, 512, 2048]), st.sampled_from([1, 8])), min_size=4, max_size=9), st.integers(2, 4))
def test_memory_is_that_of_the_fullest_stage(layers: list[tuple[int, int]], pp: int) -> None:
    """Weights and cache of the stage that has the most of each, counted layer by layer."""
    ffn, heads = [f for f, _ in layers], [h for _, h in layers]
    entry: ModelEntry = model_spec.model(Document(_spec(ffn, heads), {}, {}, "m"))
    found = CostModel(entry).point("h100-sxm", "bf16", pp=pp, batch=2, isl=100, osl=28, microbatches=1)
    weights = [128 * 16 * (8 + 2 * h + 8) + 3 * 128 * f + 2 * 128 for f, h in layers]
    caches = [2 * h * 16 * 2 * 128 * 2 for _, h in layers]
    size = ceil(len(layers) / pp)
    stages = [range(max(0, end - size), end) for end in range(len(layers), 0, -size)]
    last = [sum(weights[i] for i in stage) for stage in stages]
    last[0] += 256 * 128 + 128
    fullest = max(range(len(last)), key=lambda j: (last[j], -j))
    embedded = 256 * 128 if fullest == pp - 1 else 0
    assert found["memory_weights"] == 2 * (last[fullest] + embedded)
    assert found["memory_kv"] == max(sum(caches[i] for i in stage) for stage in stages)


@pytest.mark.parametrize("name", ["deepseek-r1", "llama-3.1-70b", "gpt-oss-120b", "mixtral-8x7b"])
@pytest.mark.parametrize("pp", [2, 3, 4])
def test_stages_together_hold_the_whole(name: str, pp: int) -> None:
    model = costc.load(name)
    one, many = (model.point("h200", pp=n, batch=8, isl=1000, osl=100, microbatches=1) for n in (1, pp))
    assert pp * many["memory_weights"] >= one["memory_weights"]
    assert pp * many["memory_kv"] >= one["memory_kv"]
