"""A field that a file leaves out is read as transformers' configuration class takes it, or asked for."""

from __future__ import annotations

from typing import Any

import pytest
from transformers.models.auto.configuration_auto import CONFIG_MAPPING

from costc.errors import CostcError
from costc.huggingface.importer import spec_of
from tests.oracle.models import Config
from tests.oracle.reduced import overrides_of, reduced, reduced_names

#: cost does not depend on how long a context may be; whether a checkpoint has draft layers is not the class's to say
ASIDE = {"max_position_embeddings", "max_seq_len", "num_mtp_layers", "num_nextn_predict_layers", "base_config_key", "model_type"}
#: the config around this text model says whether its head is tied; `kv_lora_rank` tells two kinds of attention apart; and a
#: field of another name is meant
EXCEPTIONS = {
    ("qwen3_vl_moe_text", "tie_word_embeddings"),
    ("bailing_hybrid", "kv_lora_rank"),
    ("step3p5", "num_local_experts"),
}
KINDS = sorted({overrides_of(name)[0] for name in reduced_names()})


def _read(config: Config) -> Any:
    """The spec, or why there is none."""
    try:
        return {k: v for k, v in spec_of(config, "config.json").items() if k != "note"}
    except CostcError as error:
        return str(error)


@pytest.mark.parametrize("kind", KINDS)
def test_fields_left_out_are_as_their_class_has_them(kind: str) -> None:
    name = next(n for n in reduced_names() if overrides_of(n)[0] == kind)
    whole = reduced(name)
    text = {**(whole.get("text_config") or whole), "model_type": kind}
    cls = CONFIG_MAPPING[kind]
    for field, declared in cls.__dataclass_fields__.items():
        default = declared.default
        if not isinstance(default, (bool, int, float, str)) or field in ASIDE or (kind, field) in EXCEPTIONS:
            continue
        names = {field, cls.attribute_map.get(field), *(a for a, real in cls.attribute_map.items() if real == field)}
        without = {k: v for k, v in text.items() if k not in names}
        read = _read(without)
        assert read == _read({**without, field: default}) or (isinstance(read, str) and "is missing" in read), field
