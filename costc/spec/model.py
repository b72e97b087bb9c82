"""Model specs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import BaseModel, Field, PositiveInt

from costc.blocks import ATTENTION, FFN
from costc.dtypes import DTYPES
from costc.errors import not_among
from costc.facts import Fact
from costc.ir.model import LayerRun, Model
from costc.registry import Registry
from costc.spec.reader import Document, mapping
from costc.spec.validate import FactSpec, SourceSpec, Strict, fact, validate
from costc.symbols import MODULES

#: no published model comes near; larger sizes are mistakes and would make exact integers slow
Size = Annotated[int, Field(gt=0, le=10**9)]


class LayerSpec(Strict):
    attention: str
    ffn: str


class RunSpec(Strict):
    repeat: Annotated[int, Field(gt=0, le=10_000)] = 1
    pattern: Annotated[list[LayerSpec], Field(min_length=1)]


class ModelSpec(Strict):
    """Keys as in Hugging Face configs where one exists."""

    name: str
    title: str
    aliases: list[str] = []
    sources: dict[str, SourceSpec]
    source: str
    hidden_size: Size
    vocab_size: Size
    max_position_embeddings: PositiveInt
    tie_word_embeddings: bool = False
    dtype: str = "bf16"
    quantization: str = "bf16"
    modules_to_not_convert: list[str] = []
    attention: dict[str, dict[str, Any]]
    ffn: dict[str, dict[str, Any]]
    layers: Annotated[list[RunSpec], Field(min_length=1)]
    parameters: FactSpec | None = None
    scores: dict[str, FactSpec] = {}
    note: str = ""


@dataclass(frozen=True)
class ModelEntry:
    """A model with the facts about it that its cost does not need."""

    model: Model
    aliases: tuple[str, ...]
    source: str
    parameters: Fact | None
    scores: dict[str, Fact]
    note: str
    origin: str = ""


def model(document: Document) -> ModelEntry:
    """Build a model from its spec."""
    spec = validate(ModelSpec, document, mapping(document))
    blocks = {
        part: {name: _block(document, registry, part, name, data) for name, data in getattr(spec, part).items()}
        for part, registry in (("attention", ATTENTION), ("ffn", FFN))
    }
    for i, run in enumerate(spec.layers):
        for j, layer in enumerate(run.pattern):
            for part in blocks:
                name = getattr(layer, part)
                if name not in blocks[part]:
                    raise document.error(("layers", i, "pattern", j, part), not_among(f"{part} block", name, blocks[part]))
    for i, module in enumerate(spec.modules_to_not_convert):
        if module not in MODULES:
            raise document.error(("modules_to_not_convert", i), not_among("module", module, MODULES))
    if spec.source not in spec.sources:
        raise document.error(("source",), not_among("source", spec.source, spec.sources))
    if spec.dtype not in DTYPES:
        raise document.error(("dtype",), not_among("dtype", spec.dtype, DTYPES))
    runs = tuple(LayerRun(r.repeat, tuple((p.attention, p.ffn) for p in r.pattern)) for r in spec.layers)
    built = Model(
        spec.name, spec.title, spec.hidden_size, spec.vocab_size, spec.max_position_embeddings, spec.tie_word_embeddings,
        blocks["attention"], blocks["ffn"], runs, spec.quantization, tuple(spec.modules_to_not_convert),
    )  # fmt: skip
    scores = {k: fact(document, ("scores", k), v, spec.sources, "1") for k, v in spec.scores.items()}
    count = fact(document, ("parameters",), spec.parameters, spec.sources, "1") if spec.parameters else None
    source = str(spec.sources[spec.source].build())
    return ModelEntry(built, tuple(spec.aliases), source, count, scores, spec.note, document.source)


def _block(document: Document, registry: Registry[type[BaseModel]], part: str, name: str, data: dict[str, Any]) -> Any:
    kind = data.get("kind")
    if kind is None:
        raise document.error((part, name), f"missing key 'kind'; one of: {', '.join(registry)}")
    if kind not in registry:
        raise document.error((part, name, "kind"), not_among(f"{part} kind", kind, registry))
    return validate(registry[kind], document, data, (part, name))


