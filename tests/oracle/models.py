"""The reference models: transformers' classes, from the dict of a config.json, without weights."""

from __future__ import annotations

import copy
import warnings
from typing import Any

import torch
import transformers
from transformers import PreTrainedConfig, PreTrainedModel
from transformers.models.auto.configuration_auto import CONFIG_MAPPING
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING, MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING

transformers.logging.set_verbosity_error()
warnings.filterwarnings("ignore", module="transformers")

Config = dict[str, Any]

# transformers' own class for kimi_k25 reads a text model of type kimi_k2 as deepseek_v3.
SAME_CLASS = {"kimi_k2": "deepseek_v3"}
# The whole model needs packages that are not installed (timm); its text model stands alone.
TEXT_ONLY = {"gemma3n"}
# About storing or remote code; model_type is passed apart.
DROPPED = {"quantization_config", "compression_config", "auto_map", "expert_dtype"}


class NoOracle(Exception):
    """transformers has no class that reads this configuration as its checkpoint means it."""


def configuration(config: Config) -> PreTrainedConfig:
    """The configuration object of a config.json."""
    plain = _plain(config)
    model_type = plain.pop("model_type", None)
    model_type = SAME_CLASS.get(model_type, model_type)
    if model_type not in CONFIG_MAPPING:
        raise NoOracle(f"model_type {model_type!r} is not known to transformers {transformers.__version__}")
    cls = CONFIG_MAPPING[model_type]
    if "text_config" in cls.sub_configs and "text_config" not in plain and "hidden_size" in plain:
        raise NoOracle(f"{model_type}: a flat config.json, of which the class would read nothing (it wants text_config)")
    try:
        made = cls.from_dict(plain)
    except Exception as error:
        raise NoOracle(f"{cls.__name__}: {type(error).__name__}: {error}") from error
    return made.get_text_config(decoder=True) if model_type in TEXT_ONLY else made


def build(config: Config, device: str = "meta", dtype: torch.dtype = torch.float32) -> PreTrainedModel:
    """The model with its LM head; on the meta device it takes no memory."""
    made = configuration(config)
    whole = getattr(made, "vision_config", None) is not None and type(made) in MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING
    classes = MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING if whole else MODEL_FOR_CAUSAL_LM_MAPPING
    if type(made) not in classes:
        raise NoOracle(f"no causal LM for {type(made).__name__}")
    chosen = classes[type(made)]
    cls = chosen[0] if isinstance(chosen, tuple) else chosen
    try:
        with torch.device(device), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # tensors without elements: of zero shared experts
            model = cls._from_config(made, dtype=dtype, attn_implementation="eager", experts_implementation="eager")
            return model.eval().requires_grad_(False)
    except Exception as error:
        raise NoOracle(f"{cls.__name__}: {type(error).__name__}: {error}") from error


def _plain(config: Config) -> Config:
    return {k: _plain(v) if isinstance(v, dict) else copy.deepcopy(v) for k, v in config.items() if k not in DROPPED}
