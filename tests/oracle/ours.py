"""What costc counts for a config.json, in the groups and cases in which the references count."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from typing import Any

import sympy as sp

from costc import symbols as S
from costc.blocks.build import build
from costc.huggingface.importer import spec_of
from costc.ir.model import Model
from costc.ir.reach import Chunked, Reach, Recurrent, TopK, Window
from costc.ir.types import Graph, Kind, Role, Tensor
from costc.serving.compose import reaches_of
from costc.spec import model as model_spec
from costc.spec.reader import Document

Values = dict[sp.Symbol, sp.Expr]


def imported(config: Mapping[str, Any], kind: str | None = None) -> Model:
    """The model of a config.json, without its quantization."""
    plain = {k: v for k, v in config.items() if k not in ("quantization_config", "compression_config")}
    for name in ("text_config",):
        if isinstance(plain.get(name), dict):
            plain[name] = {k: v for k, v in plain[name].items() if k != "quantization_config"}
    return model_spec.model(Document(spec_of(plain, "config.json", kind), {}, {}, "config.json")).model


def parameters(model: Model) -> dict[str, int]:
    """Trained parameters by group; a tied head's matrix counts as the embedding."""
    graph = build(model, "prefill")
    known = dict(graph.bindings)
    found: Counter[str] = Counter()
    for section in graph:
        for t in section.of_role(Role.WEIGHT):
            if t.trained and not t.shared:
                tied = t.name == "lm_head_weight" and model.tie_word_embeddings
                found["embedding" if tied else t.module] += int((t.size * section.layers).xreplace(known))
    return {k: v for k, v in found.items() if v}


def buffers(model: Model) -> int:
    """Elements of what is stored and not counted as a parameter: corrections of routers."""
    graph = build(model, "prefill")
    known = dict(graph.bindings)
    weights = ((s, t) for s in graph for t in s.of_role(Role.WEIGHT) if not t.trained)
    return sum(int((t.size * s.layers).xreplace(known)) for s, t in weights)


def flops(model: Model, phase: str, batch: int, seq: int, past: int, masked: bool = True) -> dict[str, int]:
    """Matrix FLOPs of a step by '<section>.<operator>', all layers.

    `masked`: attention computes every query against every key that it touches, as eager implementations do, and masks; also
    those that a top-k choice leaves out.
    """
    graph = build(model, phase)
    at = _step(graph, batch, seq, past, masked)
    found = {}
    for section in graph:
        for op in section.ops:
            if op.kind is Kind.CONTRACT:
                found[f"{section.name}.{op.name}"] = int((2 * op.points * section.layers).xreplace(at).xreplace(at))
    return found


def _step(graph: Graph, batch: int, seq: int, past: int, masked: bool) -> Values:
    known: Values = {s: sp.Integer(v) for s, v in graph.bindings}
    at = {**known, S.batch: sp.Integer(batch), S.seq: sp.Integer(seq)}
    for law in reaches_of(graph):
        bound = law.bind(known)
        pairs, context = _masked(bound, seq, past) if masked else (None, None)
        at[law.pairs] = pairs or bound.pairs_of(sp.Integer(seq), sp.Integer(past))
        at[law.context] = context or bound.context_of(sp.Integer(seq), sp.Integer(past))
    return at


def _masked(law: Reach, seq: int, past: int) -> tuple[sp.Expr | None, sp.Expr | None]:
    """(pairs, context) of a law where what it leaves out is computed and masked."""
    if isinstance(law, Recurrent):
        return None, None
    dense = getattr(law, "dense", lambda: Reach() if isinstance(law, TopK) else law)()
    context = dense.context_of(sp.Integer(seq), sp.Integer(past))
    return seq * context, context


@cache
def _operators(model_key: int, name: str) -> frozenset[str]:
    model = _MODELS[model_key]
    found = set()
    for phase in ("prefill", "decode"):
        for section in build(model, phase):
            found |= {f"{name}.{op.name}" for op in section.ops if section.name == name and op.module == "mixer_core"}
    return frozenset(found)


_MODELS: dict[int, Model] = {}


def core_operators(model: Model, section: str) -> frozenset[str]:
    """The operators of a mixer's scan."""
    _MODELS[id(model)] = model
    return _operators(id(model), section)


def on_one_token(flops_all: dict[str, int], model: Model, batch: int, seq: int, past: int) -> dict[str, int]:
    """FLOPs where layers that share another's cache compute the last token of the step alone, against the same keys."""
    layers = [layer for run in model.runs for _ in range(run.repeat) for layer in run.pattern]
    sharing = [layer for layer in layers if any(getattr(model.blocks[name], "shared_kv", False) for name in layer)]
    found = dict(flops_all)
    for key, value in flops_all.items():
        section = next((name for name in model.blocks if key.startswith(f"{name}.")), None)
        if section:
            times = sum(layer.count(section) for layer in sharing)
            one = value // model.occurrences(section)
            found[key] = value - times * (one - one // seq)
    return found


def windows(model: Model) -> list[int]:
    """The window or chunk of each layer that has one and a cache of its own, in order of size."""
    graph = build(model, "decode")
    known: Values = {s: sp.Integer(v) for s, v in graph.bindings}
    found: list[int] = []
    for section in graph:
        laws = {a.reach.bind(known) for t in section.of_role(Role.CACHE) if not t.shared for a in t.axes if a.reach}
        sizes = {law.chunk if isinstance(law, Chunked) else law.window for law in laws if isinstance(law, (Chunked, Window))}
        found += [int(size) for size in sizes] * int(section.layers.xreplace(known))
    return sorted(found)


def kept(model: Model, tokens: int, local_less: int = 0, whole_kernel: bool = False, wide_state: bool = False) -> int:
    """Bytes of cache and state that one sequence keeps after `tokens` tokens, all layers, in bf16 and blocks of one token.

    `local_less`: so many tokens fewer in windows and chunks; `whole_kernel`: one more column in convolution states;
    `wide_state`: recurrent states in fp32 where the config does not say.
    """
    graph = build(model, "decode")
    known: Values = {s: sp.Integer(v) for s, v in graph.bindings}
    unit = {S.kv_byte: sp.Integer(2), S.activation_byte: sp.Integer(2), S.byte: sp.Integer(1)}
    total = sp.Integer(0)
    for section in graph:
        for tensor in section.tensors:
            if tensor.role in (Role.CACHE, Role.STATE) and not tensor.shared:
                one = _one(tensor, tokens, known, local_less, whole_kernel, wide_state)
                total += one.xreplace(known) * section.layers
    return int(sp.nsimplify(total.xreplace(unit)))


def _one(tensor: Tensor, tokens: int, known: Values, local_less: int, whole_kernel: bool, wide_state: bool) -> sp.Expr:
    size = tensor.element_byte or (S.kv_byte if tensor.role is Role.CACHE else S.activation_byte)
    if wide_state and tensor.role is Role.STATE and not tensor.element_byte and not tensor.has("earlier"):
        size = sp.Integer(4)
    for axis in tensor.axes:
        if axis.name == "batch":
            continue
        if axis.reach:
            size *= _shorter(axis.reach.bind(known), local_less).stored(sp.Integer(tokens))
        else:
            size *= axis.size + (1 if whole_kernel and axis.name == "earlier" else 0)
    return size


def _shorter(law: Reach, less: int) -> Reach:
    if isinstance(law, Window):
        return replace(law, window=law.window - less)
    return replace(law, chunk=law.chunk - less) if isinstance(law, Chunked) else law
