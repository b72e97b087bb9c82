"""An architecture is a row of the mapping table: its name stands nowhere else, and a new one needs no other edit."""

from __future__ import annotations

import ast
import json
from pathlib import Path

import pytest

import costc
from costc.blocks import KINDS
from costc.huggingface.families.decoder import decoder
from costc.huggingface.row import Row, Traits
from costc.huggingface.table import TABLE

PACKAGE = Path(costc.__file__).parent
ROWS = PACKAGE / "huggingface" / "table"
GUIDE = PACKAGE.parent / "CONTRIBUTING.md"
#: names of architectures that are also the field's word for a kind of layer
WORDS = {"mamba"}
TOY = {
    "model_type": "toy_llama",
    "hidden_size": 256,
    "intermediate_size": 512,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "vocab_size": 1000,
    "max_position_embeddings": 4096,
    "sliding_window": 128,
    "layer_types": ["sliding_attention", "full_attention"] * 2,
    "toy_note": "costs nothing",
}


def test_no_architecture_is_named_outside_the_table() -> None:
    kinds = {kind for registry in KINDS.values() for kind in registry}
    names = set(TABLE) - kinds - WORDS
    found = {
        (str(path.relative_to(PACKAGE)), node.value)
        for path in PACKAGE.rglob("*.py")
        if ROWS not in path.parents
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value in names
    }
    assert not found


def test_the_row_in_the_guide_is_all_that_an_architecture_needs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    row = next(line for line in GUIDE.read_text(encoding="utf-8").splitlines() if line.startswith('"toy_llama"'))
    rows = eval("{" + row + "}", {"Row": Row, "Traits": Traits, "decoder": decoder})
    (tmp_path / "config.json").write_text(json.dumps(TOY))
    with pytest.raises(costc.CostcError, match="unknown model_type 'toy_llama'"):
        costc.load(tmp_path)
    monkeypatch.setitem(TABLE, "toy_llama", rows["toy_llama"])
    (tmp_path / "config.json").write_text(json.dumps(TOY, indent=1))
    model = costc.load(tmp_path)
    heads = 256 * 64 * (4 + 2 + 2) + 64 * (4 + 2 + 2) + 4 * 64 * 256 + 2 * 64
    assert model.parameters == 2 * 1000 * 256 + 4 * (heads + 3 * 256 * 512 + 2 * 256) + 256
    assert model.point("h100-sxm", isl=1000, osl=10)["ttft"] > 0
    assert model.kv_byte_per_token() == 4 * 2 * 2 * 64 * 2


def test_an_unknown_architecture_is_read_as_a_known_one(tmp_path: Path) -> None:
    from costc.huggingface.importer import import_config

    (tmp_path / "config.json").write_text(json.dumps({**TOY, "model_type": "brand_new", "toy_note": None}))
    assert import_config(str(tmp_path), kind="qwen3")["layers"]
