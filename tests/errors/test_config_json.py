"""Bad config.json files: a clear error each, no code run, bounded time and memory."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from costc.huggingface.config import ConfigError
from costc.huggingface.importer import import_config, spec_of

LLAMA: dict[str, Any] = {
    "model_type": "llama",
    "hidden_size": 4096,
    "intermediate_size": 14336,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "vocab_size": 128256,
    "max_position_embeddings": 8192,
}


def said(changes: dict[str, Any] | None = None, without: str = "", **more: Any) -> str:
    """What is said of Llama's config with changes."""
    data = {k: v for k, v in {**LLAMA, **(changes or {}), **more}.items() if k != without}
    with pytest.raises(ConfigError) as caught:
        spec_of(data, "config.json")
    return str(caught.value)


def said_of(path: Path | str) -> str:
    with pytest.raises(ConfigError) as caught:
        import_config(str(path))
    return str(caught.value)


def test_the_unchanged_config_is_read() -> None:
    assert spec_of(LLAMA, "config.json")["layers"] == [{"repeat": 32, "pattern": [{"attention": "full", "ffn": "dense"}]}]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"hidden_size": "4096"}, "config.json: hidden_size: is '4096'; expected a whole number"),
        ({"hidden_size": [4096]}, "config.json: hidden_size: is a list of 1; expected a whole number"),
        ({"hidden_size": 4096.5}, "config.json: hidden_size: is 4096.5; expected a whole number"),
        ({"hidden_size": True}, "config.json: hidden_size: is true; expected a whole number"),
        ({"hidden_size": -1}, "config.json: hidden_size: is -1; expected 1 to 1000000000"),
        ({"hidden_size": 0}, "config.json: hidden_size: is 0; expected 1 to 1000000000"),
        ({"hidden_size": 10**30}, f"config.json: hidden_size: is {10**30}; expected 1 to 1000000000"),
        ({"hidden_size": float("nan")}, "config.json: hidden_size: is nan; expected a whole number"),
        ({"hidden_size": float("inf")}, "config.json: hidden_size: is inf; expected a whole number"),
        ({"num_hidden_layers": 10**9}, "config.json: num_hidden_layers: is 1000000000; expected 1 to 10000"),
        ({"attention_bias": "yes"}, "config.json: attention_bias: is 'yes'; expected true or false"),
        ({"hidden_act": 3}, "config.json: hidden_act: is 3; expected text"),
        ({"num_key_value_heads": 5}, "config.json: num_key_value_heads: 5 does not divide 32 num_attention_heads"),
        ({"hidden_size": 4097}, "32 num_attention_heads do not divide hidden_size 4097"),
        ({"sparsity_2_4": 1}, "config.json: sparsity_2_4: is 1, which is not understood"),
        ({"num_hiden_layers": 3}, "did you mean 'num_hidden_layers'?"),
        ({"model_type": "lama"}, "config.json: model_type: unknown model_type 'lama'; allowed: "),
        ({"model_type": "lama"}, "did you mean 'llama'?; --as reads it like a known one"),
        ({"model_type": 7}, "config.json: model_type: is 7; expected text"),
        ({"layer_types": ["full_attention"]}, "config.json: layer_types: has 1 items where 32 layers are expected"),
        ({"layer_types": ["warp_attention"] * 32}, "config.json: layer_types: holds 'warp_attention', which is not understood"),
        ({"layer_types": "full"}, "config.json: layer_types: is 'full'; expected a list of words"),
        ({"quantization_config": {"quant_method": "squeeze"}}, "quantization_config.quant_method: unknown"),
    ],
)
def test_a_field_is_named_with_what_is_expected(changes: dict[str, Any], message: str) -> None:
    assert message in said(changes)


def test_a_missing_field_is_named() -> None:
    assert said(without="hidden_size").startswith("config.json: hidden_size: is missing")
    assert said(without="model_type").startswith("config.json: model_type: is missing; --as says how to read it")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"model_type": "llama", "hidden_size": 40', ":1:42: not valid JSON"),
        ("", ":1:1: not valid JSON"),
        ("[1, 2]", ": holds list; a config.json is an object of fields"),
        ('"llama"', ": holds str; a config.json is an object"),
        ('{"a": 1, "a": 2}', ": field 'a' stands twice"),
        ('{"hidden_size": ' + "9" * 5000 + "}", ": a number of thousands of digits"),
        ("{" + '"a":{' * 100_000, ": nested too deep for a config.json"),
        ('{"_class_name": "StableDiffusionPipeline", "unet": ["diffusers", "UNet2DConditionModel"]}', "model_type: is missing"),
        ('{"_class_name": "FluxTransformer2DModel", "attention_head_dim": 128}', "model_type: is missing"),
        ('{"model_type": "bert", "hidden_size": 768}', "unknown model_type 'bert'"),
    ],
)
def test_text_that_is_no_model_config(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "config.json").write_text(text)
    assert message in said_of(tmp_path / "config.json")
    assert message in said_of(tmp_path)


def test_bytes_that_are_no_text(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_bytes(b'{"model_type": "\xff\xfe"}')
    assert "byte 16 is not UTF-8" in said_of(tmp_path)


def test_places_that_are_no_config(tmp_path: Path) -> None:
    assert "No such file" in said_of(tmp_path / "nothing.json")
    assert "No such file" in said_of(tmp_path)
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    assert "symbolic links" in said_of(tmp_path / "loop")
    (tmp_path / "gone.json").symlink_to(tmp_path / "nothing")
    assert "No such file" in said_of(tmp_path / "gone.json")
    (tmp_path / "zero.json").symlink_to("/dev/zero")
    assert "special file" in said_of(tmp_path / "zero.json")
    os.mkfifo(tmp_path / "pipe.json")
    assert "special file" in said_of(tmp_path / "pipe.json")
    assert "null" in said_of("\0.json")


def test_a_link_to_a_config_is_followed(tmp_path: Path) -> None:
    """Download caches keep config.json as a link to a blob."""
    blob = tmp_path / "blobs" / "1f"
    blob.parent.mkdir()
    blob.write_text(json.dumps(LLAMA))
    snapshot = tmp_path / "models--meta-llama--Meta-Llama-3-8B" / "snapshots" / "main"
    snapshot.mkdir(parents=True)
    (snapshot / "config.json").symlink_to(blob)
    found = import_config(str(snapshot))
    assert (found["name"], found["title"]) == ("meta-llama-3-8b", "meta-llama/Meta-Llama-3-8B")


def _costc(*words: str, stdin: bytes = b"", memory: int | None = None) -> subprocess.CompletedProcess[bytes]:
    def limit() -> None:
        if memory:
            resource.setrlimit(resource.RLIMIT_AS, (memory, memory))

    run = [sys.executable, "-m", "costc", *words]
    return subprocess.run(run, input=stdin, capture_output=True, timeout=60, check=False, preexec_fn=limit)


def test_a_huge_file_is_refused_without_reading_it(tmp_path: Path) -> None:
    place = tmp_path / "config.json"
    with place.open("wb") as file:
        file.truncate(200_000_000)
    done = _costc("import", str(place), memory=400_000_000)
    assert done.returncode == 2
    assert done.stderr.decode().strip().endswith("200000000 bytes; a config.json has at most 8000000")


def test_a_huge_stream_is_cut(tmp_path: Path) -> None:
    done = _costc("import", "-", stdin=b" " * 50_000_000, memory=400_000_000)
    assert done.returncode == 2
    assert b"stdin: more than 8000000 bytes" in done.stderr


def test_stdin_is_read() -> None:
    done = _costc("import", "-", stdin=json.dumps(LLAMA).encode())
    assert done.returncode == 0, done.stderr
    assert b"hidden_size: 4096" in done.stdout


def test_no_code_of_the_model_runs(tmp_path: Path) -> None:
    """`auto_map` names code beside the config; nothing imports it."""
    (tmp_path / "modeling_evil.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")
    auto_map = {"AutoConfig": "modeling_evil.Config", "AutoModel": {"nested": ["modeling_evil.Model"]}}
    (tmp_path / "config.json").write_text(json.dumps({**LLAMA, "auto_map": auto_map}))
    done = subprocess.run(
        [sys.executable, "-m", "costc", "import", "config.json"], cwd=tmp_path, capture_output=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    assert not (tmp_path / "ran").exists()


def test_a_mistake_shows_no_traceback(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({**LLAMA, "hidden_size": "x"}))
    for command in (("import",), ("eval", "--hardware", "h200"), ("formulas",), ("compile",)):
        done = _costc(command[0], str(tmp_path / "config.json"), *command[1:])
        assert done.returncode == 2
        assert done.stderr.decode().startswith("error: ")
        assert b"Traceback" not in done.stderr
