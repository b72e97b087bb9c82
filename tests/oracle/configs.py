"""Configurations of published checkpoints, as in their config.json."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

from transformers.models.auto.configuration_auto import CONFIG_MAPPING

from tests.oracle.published import CLASS_DEFAULTS, DENSE, MIXTURES, STATE_SPACE, Overrides

# What a configuration object writes beside the architecture.
INCIDENTAL = {"transformers_version", "id2label", "label2id", "problem_type", "return_dict", "chunk_size_feed_forward",
              "output_hidden_states", "output_attentions", "is_encoder_decoder", "_name_or_path"}  # fmt: skip


@dataclass(frozen=True)
class Case:
    """One config.json."""

    name: str
    model_type: str
    config: dict[str, Any]
    source: str


@cache
def cases() -> list[Case]:
    found = installed()
    for name, (model_type, overrides) in (DENSE | MIXTURES | STATE_SPACE).items():
        source = "published values over transformers class defaults" if overrides else "transformers class defaults"
        found.append(Case(name, model_type, complete(model_type, overrides), source))
    for model_type in CLASS_DEFAULTS:
        found.append(Case(f"{model_type} defaults", model_type, complete(model_type, {}), "transformers class defaults"))
    return found


def installed() -> list[Case]:
    """The files that the installed aiconfigurator-core ships."""
    found = []
    for path in sorted(files("aiconfigurator_core").joinpath("model_configs").iterdir(), key=lambda p: p.name):
        if path.name.endswith("_config.json") and not path.name.endswith("_hf_quant_config.json"):
            config = json.loads(path.read_text(encoding="utf-8"))
            name = path.name.removesuffix("_config.json").replace("--", "/")
            found.append(Case(name, config["model_type"], config, f"aiconfigurator-core model_configs/{path.name}"))
    return found


def complete(model_type: str, overrides: Overrides) -> dict[str, Any]:
    """Every field of the configuration class; where both give one, it stands as published."""
    cls = CONFIG_MAPPING[model_type]
    return {**_merged(_architecture(cls(**overrides).to_dict()), overrides), "model_type": model_type}


def _merged(config: dict[str, Any], overrides: Overrides) -> dict[str, Any]:
    merged = dict(config)
    for key, value in overrides.items():
        nested = isinstance(value, dict) and isinstance(merged.get(key), dict)
        merged[key] = _merged(merged[key], value) if nested else value
    return merged


def _architecture(config: dict[str, Any]) -> dict[str, Any]:
    return {k: _architecture(v) if isinstance(v, dict) else v for k, v in config.items() if k not in INCIDENTAL}
