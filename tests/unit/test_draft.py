"""The importer's small parts: runs of layers, names of blocks, reading of fields, the YAML that is written."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from costc.huggingface.config import Config, ConfigError
from costc.huggingface.draft import Draft, runs
from costc.spec.reader import parse
from costc.spec.writer import write

Names = st.lists(st.sampled_from(["a", "b", "c"]), min_size=1, max_size=40)


def _layers(names: list[str]) -> list[Any]:
    return [(("attention", (name,)),) for name in names]


@given(Names)
def test_runs_unfold_to_the_layers(names: list[str]) -> None:
    layers = _layers(names)
    assert [layer for repeat, pattern in runs(layers) for layer in pattern * repeat] == layers


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        ("aaaa", [(4, "a")]),
        ("abab", [(2, "ab")]),
        ("aaabaaab", [(2, "aaab")]),
        ("ab" + "c" * 5, [(1, "ab"), (5, "c")]),
        ("abcab", [(1, "abcab")]),
    ],
)
def test_runs_are_short(names: str, expected: list[tuple[int, str]]) -> None:
    assert runs(_layers(list(names))) == [(n, _layers(list(p))) for n, p in expected]


def test_equal_blocks_are_one_and_unlike_ones_are_numbered() -> None:
    draft = Draft()
    assert draft.block("ffn", "dense", "gated", intermediate_size=8, mlp_bias=None) == "dense"
    assert draft.block("ffn", "dense", "gated", intermediate_size=8) == "dense"
    assert draft.block("ffn", "dense", "gated", intermediate_size=16) == "dense_2"
    assert draft.blocks["ffn"] == {
        "dense": {"kind": "gated", "intermediate_size": 8},
        "dense_2": {"kind": "gated", "intermediate_size": 16},
    }


def test_the_first_name_that_is_there_counts() -> None:
    c = Config({"n_embd": 4, "hidden_size": None}, "c", defaults={"n_layer": 2})
    assert c.size(("hidden_size", "n_embd")) == 4
    assert c.size("n_layer") == 2
    assert c.size("width", 9) == 9
    with pytest.raises(ConfigError, match="c: heads: is missing \\(or n_head\\)"):
        c.size(("heads", "n_head"))


def test_what_nobody_asked_for_is_refused() -> None:
    c = Config({"a": 1, "inner": {"b": 2}}, "c")
    c.size("a")
    c.section("inner")
    with pytest.raises(ConfigError, match=r"c: inner\.b: is 2, which is not understood"):
        c.finish()


def test_a_field_that_may_only_have_one_value() -> None:
    c = Config({"position_embedding_type": "alibi"}, "c")
    c.only("position_embedding_type", "rope", "alibi")
    with pytest.raises(ConfigError, match="is 'alibi', which is not modelled; known: 'rope', null"):
        c.only("position_embedding_type", "rope")


@given(
    st.dictionaries(
        st.text("abcxyz_", min_size=1, max_size=8),
        st.recursive(
            st.none() | st.booleans() | st.integers(-(10**9), 10**9) | st.text("abc: {}[]#'\",\\-0159~", max_size=9),
            lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(["a", "b", "c c"]), inner, max_size=4),
            max_leaves=12,
        ),
        min_size=1,
        max_size=6,
    )
)
def test_written_specs_read_back(spec: dict[str, Any]) -> None:
    assert parse(write(spec), "x").data == spec
