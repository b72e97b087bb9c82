"""Model specs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import BaseModel, Field

from costc.blocks import ATTENTION, FFN
from costc.dtypes import DTYPES
from costc.errors import not_among
from costc.facts import Fact
from costc.ir.model import LayerRun, Model
from costc.registry import Registry
from costc.spec.reader import Document, described, mapping
from costc.spec.validate import BlockName, FactSpec, Name, SourceSpec, Strict, Title, fact, validate
from costc.symbols import MODULES

#: no published model comes near; larger sizes are mistakes and would make exact integers slow
MAX_SIZE, MAX_LAYERS = 10**9, 10_000
Size = Annotated[int, Field(gt=0, le=MAX_SIZE)]


class LayerSpec(Strict):
    """The blocks of one layer, by name."""

    attention: str
    ffn: str


class RunSpec(Strict):
    """A pattern of layers, `repeat` times."""

    repeat: Annotated[int, Field(gt=0, le=MAX_LAYERS)] = 1
    pattern: Annotated[list[LayerSpec], Field(min_length=1)]


class ModelSpec(Strict):
    """Keys as in Hugging Face configs where one exists."""

    name: Name
    title: Title
    aliases: list[str] = []
    sources: dict[str, SourceSpec]
    source: str
    hidden_size: Size
    vocab_size: Size
    max_position_embeddings: Size
    tie_word_embeddings: bool = False
    dtype: str = "bf16"
    quantization: str = "bf16"
    modules_to_not_convert: list[str] = []
    attention: dict[BlockName, dict[str, Any]]
    ffn: dict[BlockName, dict[str, Any]]
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
    _check(document, spec, blocks)
    runs = tuple(LayerRun(r.repeat, tuple((p.attention, p.ffn) for p in r.pattern)) for r in spec.layers)
    built = Model(
        spec.name,
        spec.title,
        spec.hidden_size,
        spec.vocab_size,
        spec.max_position_embeddings,
        spec.tie_word_embeddings,
        blocks["attention"],
        blocks["ffn"],
        runs,
        spec.quantization,
        tuple(spec.modules_to_not_convert),
    )
    scores = {k: fact(document, ("scores", k), v, spec.sources, "1") for k, v in spec.scores.items()}
    count = fact(document, ("parameters",), spec.parameters, spec.sources, "1") if spec.parameters else None
    source = str(spec.sources[spec.source].build())
    return ModelEntry(built, tuple(spec.aliases), source, count, scores, spec.note, document.source)


def _check(document: Document, spec: ModelSpec, blocks: dict[str, dict[str, Any]]) -> None:
    """Every name that the spec uses is one that it, or the compiler, knows."""
    for i, run in enumerate(spec.layers):
        for j, layer in enumerate(run.pattern):
            for part in blocks:
                name = getattr(layer, part)
                if name not in blocks[part]:
                    raise document.error(("layers", i, "pattern", j, part), not_among(f"{part} block", name, blocks[part]))
    layers = sum(run.repeat * len(run.pattern) for run in spec.layers)
    if layers > MAX_LAYERS:
        raise document.error(("layers",), f"{layers} layers; at most {MAX_LAYERS} are read")
    for i, module in enumerate(spec.modules_to_not_convert):
        if module not in MODULES:
            raise document.error(("modules_to_not_convert", i), not_among("module", module, MODULES))
    if spec.source not in spec.sources:
        raise document.error(("source",), not_among("source", spec.source, spec.sources))
    if spec.dtype not in DTYPES:
        raise document.error(("dtype",), not_among("dtype", spec.dtype, DTYPES))


def _block(document: Document, registry: Registry[type[BaseModel]], part: str, name: str, data: dict[str, Any]) -> Any:
    if "kind" not in data:
        raise document.key_error((part, name), f"missing key 'kind'; one of: {', '.join(registry)}")
    kind = data["kind"]
    if not isinstance(kind, str):
        raise document.error((part, name, "kind"), f"'kind' is {described(kind)}; expected one of: {', '.join(registry)}")
    if kind not in registry:
        raise document.error((part, name, "kind"), not_among(f"{part} kind", kind, registry))
    for key, value in data.items():
        if isinstance(value, int) and value > MAX_SIZE:
            raise document.error((part, name, key), f"{key!r} is {value}; expected at most {MAX_SIZE}")
    return validate(registry[kind], document, data, (part, name))
