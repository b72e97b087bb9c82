"""Model specs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field

from costc.blocks import KINDS
from costc.dtypes import DTYPES
from costc.errors import not_among
from costc.facts import Fact
from costc.ir.model import PARTS, Layer, LayerRun, Lora, Model, Mtp, Norm, Stem
from costc.registry import Registry
from costc.spec.platform import quantization_from
from costc.spec.reader import Document, KeyPath, described, mapping
from costc.spec.validate import BlockName, FactSpec, Name, SourceSpec, Strict, Title, fact, validate
from costc.symbols import MODULES

#: no published model comes near; larger sizes are mistakes and would make exact integers slow
MAX_SIZE, MAX_LAYERS = 10**9, 10_000
Size = Annotated[int, Field(gt=0, le=MAX_SIZE)]
Count = Annotated[int, Field(ge=0, le=MAX_SIZE)]
Parameters = Annotated[int, Field(gt=0, le=MAX_SIZE**2)]
Names = str | list[str] | None


class LayerSpec(Strict):
    """The blocks of one layer, by name: one or several of a part, or none."""

    attention: Names = None
    mixer: Names = None
    ffn: Names = None
    auxiliary: Names = None

    def blocks(self) -> Layer:
        """As '<part>.<name>', in the order of the parts."""
        found = []
        for part in PARTS:
            names = getattr(self, part)
            found += [f"{part}.{name}" for name in ([names] if isinstance(names, str) else names or [])]
        return tuple(found)


class RunSpec(Strict):
    """A pattern of layers, `repeat` times."""

    repeat: Annotated[int, Field(gt=0, le=MAX_LAYERS)] = 1
    pattern: Annotated[list[LayerSpec], Field(min_length=1)]


class NormSpec(Strict):
    """The norm of the layers."""

    kind: Literal["rms", "layer"] = "rms"
    weight: bool = True
    bias: bool = False


class StemSpec(Strict):
    """What stands around the layers; see ir.model.Stem."""

    learned_positions: Count = 0
    embedding_norm: bool = False
    embedding_size: Count = 0
    final_norm: bool = True
    head_bias: bool = False
    logit_softcap: bool = False
    per_layer_size: Count = 0
    per_layer_vocab: Count = 0
    streams: Size = 1
    altup_streams: Count = 0


class MtpSpec(Strict):
    """Layers that draft tokens."""

    count: Size
    layer: LayerSpec
    own_embedding: bool = False
    own_head: bool = False


class LoraSpec(Strict):
    """Low-rank adapters."""

    rank: Size
    targets: Annotated[list[str], Field(min_length=1)]
    resident: Size = 1
    active: Size = 1


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
    quantization: str | dict[str, Any] = "bf16"
    modules_to_not_convert: list[str] = []
    norm: NormSpec = NormSpec()
    stem: StemSpec = StemSpec()
    attention: dict[BlockName, dict[str, Any]] = {}
    mixer: dict[BlockName, dict[str, Any]] = {}
    ffn: dict[BlockName, dict[str, Any]] = {}
    auxiliary: dict[BlockName, dict[str, Any]] = {}
    layers: Annotated[list[RunSpec], Field(min_length=1)]
    mtp: MtpSpec | None = None
    lora: LoraSpec | None = None
    towers: dict[str, Parameters] = {}
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
        f"{part}.{name}": _block(document, KINDS[part], part, name, data)
        for part in PARTS
        for name, data in getattr(spec, part).items()
    }
    _check(document, spec, blocks)
    runs = tuple(LayerRun(r.repeat, tuple(layer.blocks() for layer in r.pattern)) for r in spec.layers)
    inline = quantization_from(document, spec.quantization, ("quantization",)) if isinstance(spec.quantization, dict) else None
    built = Model(
        spec.name,
        spec.title,
        spec.hidden_size,
        spec.vocab_size,
        spec.max_position_embeddings,
        spec.tie_word_embeddings,
        blocks,
        runs,
        inline[0].name if inline else str(spec.quantization),
        tuple(spec.modules_to_not_convert),
        Norm(**spec.norm.model_dump()),
        Stem(**spec.stem.model_dump()),
        Mtp(spec.mtp.count, spec.mtp.layer.blocks(), spec.mtp.own_embedding, spec.mtp.own_head) if spec.mtp else None,
        Lora(spec.lora.rank, tuple(spec.lora.targets), spec.lora.resident, spec.lora.active) if spec.lora else None,
        spec.towers,
        inline[0] if inline else None,
    )
    scores = {k: fact(document, ("scores", k), v, spec.sources, "1") for k, v in spec.scores.items()}
    count = fact(document, ("parameters",), spec.parameters, spec.sources, "1") if spec.parameters else None
    source = str(spec.sources[spec.source].build())
    return ModelEntry(built, tuple(spec.aliases), source, count, scores, spec.note, document.source)


def _check(document: Document, spec: ModelSpec, blocks: dict[str, Any]) -> None:
    """Every name that the spec uses is one that it, or the compiler, knows."""
    for i, run in enumerate(spec.layers):
        for j, layer in enumerate(run.pattern):
            _check_layer(document, layer, ("layers", i, "pattern", j), blocks)
    if spec.mtp:
        _check_layer(document, spec.mtp.layer, ("mtp", "layer"), blocks)
    layers = sum(run.repeat * len(run.pattern) for run in spec.layers)
    if layers > MAX_LAYERS:
        raise document.error(("layers",), f"{layers} layers; at most {MAX_LAYERS} are read")
    for i, module in enumerate(spec.modules_to_not_convert):
        if module not in MODULES:
            raise document.error(("modules_to_not_convert", i), not_among("module", module, MODULES))
    if spec.lora:
        if spec.lora.active > spec.lora.resident:
            said = f"{spec.lora.active} active adapters are more than {spec.lora.resident} resident ones"
            raise document.error(("lora", "active"), said)
        if len(set(spec.lora.targets)) < len(spec.lora.targets):
            raise document.error(("lora", "targets"), "a target stands twice")
    if spec.source not in spec.sources:
        raise document.error(("source",), not_among("source", spec.source, spec.sources))
    if spec.dtype not in DTYPES:
        raise document.error(("dtype",), not_among("dtype", spec.dtype, DTYPES))


def _check_layer(document: Document, layer: LayerSpec, path: KeyPath, blocks: dict[str, Any]) -> None:
    """A layer holds a block, and names only blocks that the spec has."""
    names = layer.blocks()
    if not names:
        raise document.error(path, f"an empty layer; expected one or more of: {', '.join(PARTS)}")
    for block in names:
        part, name = block.split(".", 1)
        if block not in blocks:
            own = [b.split(".", 1)[1] for b in blocks if b.startswith(f"{part}.")]
            raise document.error((*path, part), not_among(f"{part} block", name, own))


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
