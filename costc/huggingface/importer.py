"""config.json in, model spec out: finds the row of the mapping table, runs its builder, adds name, source and quantization."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from costc.errors import not_among
from costc.huggingface import files
from costc.huggingface.config import Config, ConfigError
from costc.huggingface.draft import Draft
from costc.huggingface.families.common import HIDDEN
from costc.huggingface.quantization import quantization
from costc.huggingface.row import Row, Wrapper
from costc.huggingface.table import TABLE

TYPE, TIED = "model_type", "tie_word_embeddings"
#: how folders of a download cache are called: models--owner--name/snapshots/<revision>/config.json
CACHED = "models--"


def import_config(path: str, kind: str | None = None, name: str | None = None, beside: str | None = None) -> dict[str, Any]:
    """The model spec (a mapping, as its YAML holds) of a config.json file, a folder with one, or '-' for stdin.

    Args:
        kind: read it as this model_type, whatever it says itself.
        name: the model's name; by default from the file.
        beside: the hf_quant_config.json, where it does not lie beside the config.
    Raises:
        ConfigError: it cannot be read, or holds something that is not understood.
    """
    data, found, source = files.read(path)
    quantized = files.read(beside)[0] if beside is not None else found
    return spec_of(data, source, kind, _name(data, path) if name is None else name, quantized)


def spec_of(
    data: Mapping[str, Any], source: str, kind: str | None = None, name: str = "model", beside: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """The model spec of a config that has been read."""
    whole, text, row, draft = _text(data, source, kind)
    row.build(text, draft, row.traits)
    scheme = quantization(whole, text, beside, draft)
    text.finish()
    if whole is not text:
        whole.finish()
    found = draft.spec()
    return {
        "name": _slug(name),
        "title": _title(name),
        "sources": {"config": {"title": f"{_title(name)}, config.json"}},
        "source": "config",
        "quantization": scheme,
        **found,
    }


def _text(data: Mapping[str, Any], source: str, kind: str | None) -> tuple[Config, Config, Row, Draft]:
    """(the config, the text model's part of it, its row, a draft that knows the towers)."""
    whole, draft = Config(data, source), Draft()
    whole.only("is_encoder_decoder", False)
    asked = whole.word(TYPE, None) if kind is None else kind
    if asked is None:
        raise whole.error(TYPE, f"is missing; --as says how to read it{_readers(data)}")
    row = TABLE.get(asked)
    if row is None:
        raise whole.error(TYPE, f"{not_among('model_type', asked, TABLE)}; --as reads it like a known one{_readers(data)}")
    text, wrappers = whole, []
    while isinstance(row, Wrapper):
        outer, wrapper = text, row
        wrappers.append((outer, wrapper))
        outer.unused(*wrapper.ignored)
        flat = bool(wrapper.kind) and wrapper.text not in outer and any(name in outer for name in HIDDEN)
        text = outer if flat else outer.section(wrapper.text)
        inner = wrapper.kind if flat else text.word(TYPE, wrapper.kind or None) or wrapper.kind
        row = TABLE.get(inner)
        if row is None:
            raise text.error(TYPE, not_among("model_type", inner, TABLE))
        if not flat:
            _inherit(outer, wrapper, text)
    text.defaults = {**row.defaults, **text.defaults}
    text.unused(*row.ignored)
    for name, values in row.fixed.items():
        text.only(name, *values)
    for outer, wrapper in wrappers:
        _towers(outer, wrapper, text, draft)
    return whole, text, row, draft


def _inherit(outer: Config, wrapper: Wrapper, text: Config) -> None:
    """What a multimodal config says of its text model: the dtype, and whether the head is tied."""
    text.defaults |= {k: outer.data[k] for k in ("dtype", "torch_dtype") if k in outer}
    outer.unused(TIED)
    said = [c.data[TIED] for c in (outer, text) if TIED in c and (c is text or wrapper.tied != "text")]
    if said:
        text.data = {**text.data, TIED: any(said) if wrapper.tied == "either" else said[0]}


#: architectures that are named to somebody whose config has an unknown one
NAMED = 5


def _readers(data: Mapping[str, Any]) -> str:
    """Which rows of the table would understand every field of a config."""
    found = []
    for kind in TABLE:
        try:
            spec_of(data, "", kind)
        except ConfigError:
            continue
        found.append(kind)
    return f" (all its fields are understood as {', '.join(found[:NAMED])})" if found else ""


def _towers(outer: Config, wrapper: Wrapper, text: Config, draft: Draft) -> None:
    """Count the parameters of the towers beside the text model, or name them as left out."""
    for name, count in wrapper.towers.items():
        if name not in outer:
            outer.unused(name)
        elif count is None:
            outer.unused(name)
            draft.notes.append(f"{name} is left out: its tower is not counted.")
        else:
            draft.towers[name.removesuffix("_config")] = count(outer.section(name), outer, text.size(HIDDEN))


def _name(data: Mapping[str, Any], path: str) -> str:
    """'owner/name' or a name: of the repository in a download cache, of the file or its folder, or what the config says."""
    said = str(data.get("_name_or_path") or data.get(TYPE) or "model")
    if path == "-":
        return said
    place = Path(path).absolute()
    cached = next((p.name for p in place.parents if p.name.startswith(CACHED)), None)
    if cached:
        return cached.removeprefix(CACHED).replace("--", "/")
    stem = place.name.removesuffix(".json").removesuffix("config").rstrip("_-.")
    return (stem or place.parent.name or said).replace("--", "/")


def _slug(name: str) -> str:
    """A name as a spec allows it: the part after the owner."""
    plain = re.sub(r"[^A-Za-z0-9._-]+", "-", name.rsplit("/", 1)[-1]).strip("-._")
    return plain.lower() or "model"


def _title(text: str) -> str:
    """A title as a spec allows it: one plain line."""
    return "".join(ch for ch in text if ch.isprintable() and ch not in '\\"').strip()[:200] or "model"
