"""What costc counts for a config.json, in the groups and cases in which the references count."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

import sympy as sp

from costc import symbols as S
from costc.blocks.build import build
from costc.count.footprint import cache_byte
from costc.huggingface.importer import spec_of
from costc.ir.model import Model
from costc.ir.types import Graph, Kind, Role
from costc.serving.compose import reaches_of
from costc.spec import model as model_spec
from costc.spec.reader import Document


def imported(config: Mapping[str, Any], kind: str | None = None) -> Model:
    """The model of a config.json, without its quantization."""
    plain = {k: v for k, v in config.items() if k not in ("quantization_config", "compression_config")}
    for name in ("text_config",):
        if isinstance(plain.get(name), dict):
            plain[name] = {k: v for k, v in plain[name].items() if k != "quantization_config"}
    return model_spec.model(Document(spec_of(plain, "config.json", kind), {}, {}, "config.json")).model


def parameters(model: Model) -> dict[str, int]:
    """Trained parameters by group; a tied head counts as the embedding."""
    graph = build(model, "prefill")
    known = dict(graph.bindings)
    found: Counter[str] = Counter()
    for section in graph:
        for t in section.of_role(Role.WEIGHT):
            if t.trained and not t.shared:
                group = "embedding" if t.module == "head" and model.tie_word_embeddings else t.module
                found[group] += int((t.size * section.layers).xreplace(known))
    return {k: v for k, v in found.items() if v}


def flops(model: Model, phase: str, batch: int, seq: int, past: int, masked: bool = True) -> dict[str, int]:
    """Matrix FLOPs of a step by '<section>.<operator>', all layers.

    `masked`: attention computes every query against every key that it touches, as eager implementations do, and masks.
    """
    graph = build(model, phase)
    at = _step(graph, batch, seq, past, masked)
    found = {}
    for section in graph:
        for op in section.ops:
            if op.kind is Kind.CONTRACT:
                found[f"{section.name}.{op.name}"] = int((2 * op.points * section.layers).xreplace(at).xreplace(at))
    return found


def _step(graph: Graph, batch: int, seq: int, past: int, masked: bool) -> dict[sp.Symbol, sp.Expr]:
    known = {s: sp.Integer(v) for s, v in graph.bindings}
    at = {**known, S.batch: sp.Integer(batch), S.seq: sp.Integer(seq)}
    for law in reaches_of(graph):
        bound = law.bind(known)
        context = bound.context_of(sp.Integer(seq), sp.Integer(past))
        at[law.context] = context
        at[law.pairs] = seq * context if masked else bound.pairs_of(sp.Integer(seq), sp.Integer(past))
    return at


def kept(model: Model, tokens: int, activation_byte: float = 2) -> int:
    """Bytes of cache and state that one sequence keeps after `tokens` tokens, all layers, in blocks of one token."""
    graph = build(model, "decode")
    known = {s: sp.Integer(v) for s, v in graph.bindings}
    unit = {S.kv_block: sp.Integer(1), S.kv_byte: sp.Integer(2), S.activation_byte: sp.Float(activation_byte)}
    return int(cache_byte(graph, sp.Integer(tokens), "layers").xreplace(known).xreplace(unit).xreplace(known))
