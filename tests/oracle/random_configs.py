"""Random valid configs of each architecture that has a tiny configuration, as strategies: they shrink field by field.

A config is drawn in three steps: every field that the configuration class knows, by its own rule (`OWN`) or the common one
(`FIELDS`); what stands around a text model; and how the file is written: all fields, as `save_pretrained` does, or only sizes
and what differs from what the class takes where a file says nothing.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from hypothesis import strategies as st
from transformers.models.auto.configuration_auto import CONFIG_MAPPING

from tests.oracle.configs import complete
from tests.oracle.models import TEXT_ONLY, Config
from tests.oracle.random_classes import OWN
from tests.oracle.random_fields import ABSENT, FIELDS, FOLLOWING, SAID, Rule, made, maybe, one_of, size
from tests.oracle.reduced import INSIDE, TINY_VISION, overrides_of

#: fields of the towers beside a text model
VISION: dict[str, Rule] = {
    **dict.fromkeys(("num_hidden_layers", "depth"), size(1, 3)),
    **dict.fromkeys(("hidden_size", "embed_dim"), one_of(32, 64, 96)),
    "intermediate_size": size(),
    "out_hidden_size": made(lambda f: f["hidden_size"]),
}


# ---- whole configs


@st.composite
def configs(draw: st.DrawFn, name: str) -> Config:
    """A config.json of an architecture, or of one around it."""
    model_type, base = overrides_of(name)
    fields = draw(_fields(model_type, base))
    full = draw(st.booleans(), label="all fields")
    said = {"model_type": model_type, **(fields if full else _said(model_type, fields))}
    if name not in INSIDE:
        return complete(model_type, fields) if full else said
    # the whole model of some classes is not built here
    tied = fields["tie_word_embeddings"] if name in TEXT_ONLY else draw(st.booleans(), label="tied")
    around = complete(name.partition("+")[0], {"text_config": {"model_type": model_type, **fields}, "tie_word_embeddings": tied})
    if not full:
        around["text_config"] = said
    vision = around.get("vision_config")
    if vision:
        vision |= {k: v for k, v in TINY_VISION.items() if k in vision}
        vision |= {k: draw(rule(fields), label=f"vision {k}") for k, rule in VISION.items() if k in vision}
    return around


@st.composite
def _fields(draw: st.DrawFn, model_type: str, base: Config) -> Config:
    """The fields of a class, drawn."""
    names: Mapping[str, str] = CONFIG_MAPPING[model_type].attribute_map
    found = {names.get(k, k): v for k, v in base.items()}
    declared = _declared(model_type)
    own, known = OWN.get(model_type, {}), {*declared, *found} - {*names}
    for field in (*FIELDS, *(k for k in own if k not in FIELDS)):
        if field in known or field in own:
            rule = own.get(field) or FIELDS[field]
            if field in FOLLOWING and field not in own and declared.get(field, 0) is None:
                rule = maybe(rule)
            found[field] = draw(rule(found), label=field)
            if found[field] is ABSENT:
                del found[field]
    return found


def _declared(model_type: str) -> dict[str, Any]:
    """What a class takes for each field that a file leaves out."""
    return {k: field.default for k, field in CONFIG_MAPPING[model_type].__dataclass_fields__.items()}


def _said(model_type: str, fields: Config) -> Config:
    """The sizes, and the fields that are not what the class takes anyway."""
    declared = _declared(model_type)

    def as_declared(k: str, v: Any) -> bool:
        return k in declared and declared[k] is not dataclasses.MISSING and (type(v), v) == (type(declared[k]), declared[k])

    return {k: v for k, v in fields.items() if k in SAID or not as_declared(k, v)}
