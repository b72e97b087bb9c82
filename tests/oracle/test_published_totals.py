"""Architectures that transformers has no class for: counts against published totals, each with its source."""

from __future__ import annotations

import pytest

from tests.oracle import ours
from tests.oracle.configs import installed
from tests.oracle.ours import buffers

HUB = "https://huggingface.co"


def _parts(name: str) -> tuple[int, int, int]:
    """(parameters of the text model, of its towers, buffers)."""
    model = ours.imported(next(c.config for c in installed() if c.name == name))
    return sum(ours.parameters(model).values()), sum(model.towers.values()), buffers(model)


def test_kimi_k2() -> None:
    """Sum over the headers of all shards of moonshotai/Kimi-K2-Instruct, router corrections (60 x 384) included."""
    text, _, corrections = _parts("moonshotai/Kimi-K2-Instruct")
    assert text + corrections == 1_026_408_232_448


def test_kimi_k3() -> None:
    """The hub's total of moonshotai/Kimi-K3: text, tower, router corrections (92 x 896), and A_log stored for 128 instead of 96
    heads in each of 69 layers.
    """
    text, tower, corrections = _parts("moonshotai/Kimi-K3")
    assert text + tower + corrections + 69 * 32 == 2_779_931_837_184


@pytest.mark.parametrize(
    ("name", "like"),
    [
        ("sgl-project/DeepSeek-V4-Flash-FP8", "deepseek-ai/DeepSeek-V4-Flash"),
        ("sgl-project/DeepSeek-V4-Pro-FP8", "deepseek-ai/DeepSeek-V4-Pro"),
        ("MiniMaxAI/MiniMax-M3", "nvidia/MiniMax-M3-NVFP4"),
    ],
)
def test_another_form_of_a_config_that_has_an_oracle(name: str, like: str) -> None:
    assert _parts(name)[0] == _parts(like)[0]


@pytest.mark.parametrize(
    ("name", "published", "digits", "source"),
    [
        (
            "nvidia/Llama-3_3-Nemotron-Super-49B-v1",
            49.9e9,
            0.05e9,
            f"{HUB}/nvidia/Llama-3_3-Nemotron-Super-49B-v1, as GGUF: 49.9B",
        ),
        (
            "stepfun-ai/Step-3.7-Flash",
            196e9,
            0.5e9,
            "Step 3.5 Flash, the same text model: 196B, https://apxml.com/models/step-35-flash",
        ),
    ],
)
def test_rounded_totals(name: str, published: float, digits: float, source: str) -> None:
    """What is published is rounded; the count must round to it."""
    assert abs(_parts(name)[0] - published) <= digits, source
