"""A config.json on the command line: imported, used as it is, compiled; both ways give the same numbers."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import costc

FP8 = {"quant_method": "fp8", "fmt": "e4m3", "activation_scheme": "dynamic", "weight_block_size": [128, 128]}
DENSE: dict[str, Any] = {
    "model_type": "llama",
    "hidden_size": 1024,
    "intermediate_size": 2816,
    "num_hidden_layers": 8,
    "num_attention_heads": 16,
    "num_key_value_heads": 4,
    "vocab_size": 32000,
    "max_position_embeddings": 8192,
    "torch_dtype": "bfloat16",
}
CONFIGS: dict[str, dict[str, Any]] = {
    "dense": DENSE,
    "fp8": {**DENSE, "quantization_config": FP8},
    "experts": {
        **DENSE,
        "model_type": "qwen3_moe",
        "head_dim": 64,
        "num_experts": 16,
        "num_experts_per_tok": 2,
        "moe_intermediate_size": 512,
        "mlp_only_layers": [0],
    },
    "scan": {
        "model_type": "mamba2",
        "hidden_size": 1024,
        "num_hidden_layers": 6,
        "num_heads": 32,
        "head_dim": 64,
        "state_size": 128,
        "n_groups": 4,
        "vocab_size": 32000,
        "chunk_size": 256,
    },
    "latent": {
        **DENSE,
        "model_type": "deepseek_v3",
        "num_key_value_heads": 16,
        "q_lora_rank": 256,
        "kv_lora_rank": 128,
        "qk_nope_head_dim": 64,
        "qk_rope_head_dim": 32,
        "v_head_dim": 64,
        "n_routed_experts": 16,
        "num_experts_per_tok": 4,
        "moe_intermediate_size": 256,
        "n_shared_experts": 1,
        "first_k_dense_replace": 1,
        "num_nextn_predict_layers": 1,
    },
}


def run(*words: str, cwd: Path) -> str:
    done = subprocess.run([sys.executable, "-m", "costc", *words], cwd=cwd, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("name", CONFIGS)
def test_an_imported_spec_is_what_the_config_is(tmp_path: Path, name: str) -> None:
    (tmp_path / "config.json").write_text(json.dumps(CONFIGS[name]))
    (tmp_path / "model.yaml").write_text(run("import", "config.json", cwd=tmp_path))
    at = ("--hardware", "h100-sxm", "--tp", "2", "--batch", "8", "--json")
    found = [json.loads(run("eval", model, *at, cwd=tmp_path)) for model in ("config.json", "model.yaml", ".")]
    assert found[0] == found[1] == found[2]
    assert found[0]["ttft"] > 0


def test_a_config_is_compiled(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({**DENSE, "_name_or_path": "toy/Toy-1B"}))
    assert "parameters" in run("compile", "config.json", cwd=tmp_path)
    assert "are up to date" in run("compile", "config.json", "--check", cwd=tmp_path)
    made = sorted(p.name for p in (tmp_path / "generated").rglob("*") if p.is_file())
    assert made == ["evaluator.py", "formulas.md"]


def test_python_takes_a_config(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps(DENSE))
    attention = 2 * 1024 * 1024 + 2 * 1024 * 256
    expected = 2 * 32000 * 1024 + 8 * (attention + 3 * 1024 * 2816 + 2 * 1024) + 1024
    assert costc.load(tmp_path).parameters == costc.load(tmp_path / "config.json").parameters == expected


def test_a_name_is_given_or_taken_from_the_place(tmp_path: Path) -> None:
    place = tmp_path / "my-model"
    place.mkdir()
    (place / "config.json").write_text(json.dumps(DENSE))
    assert "name: my-model\n" in run("import", "my-model", cwd=tmp_path)
    assert "name: other\n" in run("import", "my-model", "--name", "other", cwd=tmp_path)


def test_an_unknown_architecture_says_what_it_could_be_read_as(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({**DENSE, "model_type": "brand_new"}))
    done = subprocess.run(
        [sys.executable, "-m", "costc", "import", "config.json"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "unknown model_type 'brand_new'" in done.stderr
    assert "llama" in done.stderr.partition("understood as")[2]
    assert "hidden_size: 1024" in run("import", "config.json", "--as", "llama", cwd=tmp_path)
