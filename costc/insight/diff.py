"""Two models, two devices or two plans side by side: what differs in fields, in counts, and in the terms of the formulas."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import prod
from typing import Any

import sympy as sp

from costc import symbols as S
from costc.blocks.build import build
from costc.compiled import CostModel
from costc.count.footprint import parameters
from costc.errors import CostcError, not_among
from costc.ir.model import Model
from costc.ir.platform import Format, Hardware
from costc.ir.types import Kind, Role
from costc.place.mesh import STRATEGIES, mesh
from costc.spec.values import storage

#: formulas that are compared term by term
FORMULAS = ("prefill.flop", "decode.flop", "decode.weight_byte", "decode.kv_byte", "decode.activation_byte")
SIZES = ("hidden_size", "vocab_size", "num_hidden_layers", "max_position_embeddings", "tie_word_embeddings", "quantization")
LINKS = ("decode.scale_up_byte", "decode.scale_out_byte", "decode.launches")
#: fields of a quantization scheme that are compared as they are
SCHEME = ("converts", "others", "activations", "dispatch", "kv_cache", "compute", "attention_compute")
#: devices of a domain where no device is named: all links are scale-up ones
UNBOUNDED = 10**9
#: the context at which counts that grow with it are shown as numbers
AT_CONTEXT = 4096


@dataclass(frozen=True)
class Row:
    """A thing that differs: its value in A and in B (None: not there)."""

    name: str
    a: Any
    b: Any
    unit: str = ""

    @property
    def ratio(self) -> float | None:
        """B over A, where both are numbers."""
        numbers = all(isinstance(v, (int, float)) and not isinstance(v, bool) for v in (self.a, self.b))
        return self.b / self.a if numbers and self.a else None


@dataclass(frozen=True)
class Diff:
    """What differs. `terms`: by formula, the monomials whose coefficients are unlike."""

    a: str
    b: str
    fields: tuple[Row, ...]
    counts: tuple[Row, ...]
    terms: Mapping[str, tuple[Row, ...]] = field(default_factory=dict)


def _unlike(rows: list[Row]) -> tuple[Row, ...]:
    return tuple(r for r in rows if r.a != r.b)


# ---- models


def models(a: CostModel, b: CostModel) -> Diff:
    """Two models: fields of their specs, parameters by module, cache, state, FLOPs, and the formulas' terms."""
    both = [{*m.model.blocks} for m in (a, b)]
    left, right = (_fields(m.model, both[0] & both[1]) for m in (a, b))
    fields = [Row(k, left.get(k), right.get(k)) for k in dict.fromkeys([*left, *right])]
    whole = {s.degree: sp.Integer(1) for s in STRATEGIES.values()}
    terms = {name: _terms(*(_formula(m, name).subs(whole) for m in (a, b))) for name in FORMULAS}
    fields += _schemes(a, b)
    return Diff(a.model.name, b.model.name, _unlike(fields), _unlike(_counts(a, b)), {k: v for k, v in terms.items() if v})


def _fields(model: Model, common: set[str]) -> dict[str, Any]:
    """The fields of a model, by dotted name; of its blocks those that the other model has too field by field."""
    found: dict[str, Any] = {name: getattr(model, name) for name in SIZES}
    found |= {f"norm.{k}": v for k, v in vars(model.norm).items()} | {f"stem.{k}": v for k, v in vars(model.stem).items()}
    for name, block in model.blocks.items():
        found[f"{name}.layers"] = model.occurrences(name)
        dump: dict[str, Any] = getattr(block, "model_dump")()  # noqa: B009 - the protocol names only what building needs
        if name in common:
            found |= {f"{name}.{k}": v for k, v in dump.items()}
        else:
            found[name] = ", ".join(f"{k} {v}" for k, v in dump.items() if v not in (None, False))
    if model.mtp:
        found["mtp.count"] = model.mtp.count
    return found


def _schemes(a: CostModel, b: CostModel) -> list[Row]:
    """How the published checkpoints are stored and computed, field by field."""
    left, right = (m.scheme(None) for m in (a, b))
    rows = [Row("quantization.weights", _said(left.weights), _said(right.weights))]
    rows += [Row(f"quantization.{name}", _plainly(getattr(left, name)), _plainly(getattr(right, name))) for name in SCHEME]
    for key in dict.fromkeys([*left.modules, *right.modules]):
        pair = [_said(s.modules[key][0]) if key in s.modules else None for s in (left, right)]
        rows.append(Row(f"quantization.{key}", pair[0], pair[1]))
    return rows


def _said(stored: Format) -> str:
    """A storage format in words."""
    block = " x ".join("all" if n is None else str(n) for n in stored.block)
    scaled = f", scale of {stored.scale_byte:g} B on {block}" if stored.scale_byte else ""
    return f"{stored.dtype}{scaled}"


def _plainly(value: object) -> str:
    return ", ".join(map(str, value)) if isinstance(value, tuple) else str(value)


def _counts(a: CostModel, b: CostModel) -> list[Row]:
    left, right = by_module(a.model), by_module(b.model)
    rows = [Row("parameters", a.parameters, b.parameters)]
    rows += [Row("active parameters", active(a.model), active(b.model))]
    rows += [Row(f"parameters.{m}", left.get(m), right.get(m)) for m in dict.fromkeys([*left, *right])]
    rows += [Row("parameters of draft layers", a.mtp_parameters, b.mtp_parameters)]
    rows += [Row("parameters of towers", sum(a.model.towers.values()), sum(b.model.towers.values()))]
    rows += [Row("weights as published", stored(a), stored(b), "B")]
    rows += [Row("KV cache per token, bf16", a.kv_byte_per_token(), b.kv_byte_per_token(), "B")]
    kept = [m.kv_byte_per_token(m.scheme(None).kv_cache) for m in (a, b)]
    rows += [Row("KV cache per token, as published", kept[0], kept[1], "B")]
    rows += [Row("state per sequence", a.state_byte(), b.state_byte(), "B")]
    at = {S.batch: 1, S.context: AT_CONTEXT}
    flop = [_number(m.formula("decode.flop"), at) for m in (a, b)]
    return [*rows, Row(f"FLOPs per token at context {AT_CONTEXT}", flop[0], flop[1], "FLOP")]


def _number(expr: sp.Expr, at: Mapping[sp.Symbol, int]) -> float | None:
    """The value of a formula in batch and context at degree 1."""
    degrees = {s.degree: 1 for s in STRATEGIES.values()}
    value = expr.subs({**at, **degrees})
    return float(value) if value.is_number else None


def active(model: Model) -> int:
    """Parameters whose products a token passes: of routed experts those that it visits, and no embedding that is looked up."""
    graph = build(model, "prefill")
    known: dict[sp.Symbol, sp.Expr] = {s: sp.Integer(v) for s, v in graph.bindings}
    total = sp.Integer(0)
    for section in graph:
        fanout = next((op.fanout for op in section.ops if op.kind is Kind.ROUTE), sp.Integer(1))
        looked_up = {r.tensor for op in section.ops if op.kind is Kind.LOOKUP for r in op.reads}
        for tensor in section.of_role(Role.WEIGHT):
            experts = next((axis.size for axis in tensor.axes if axis.name == "expert"), None)
            if tensor.trained and tensor.name not in looked_up and tensor.module != "adapter":
                total += tensor.size * section.layers * (fanout / experts if experts is not None else 1)
    return int(total.xreplace(known))


def stored(model: CostModel) -> float:
    """Bytes of all weights, as the checkpoint stores them."""
    whole = {s.degree.name: 1.0 for s in STRATEGIES.values()} | {"microbatches": 1.0, "batch": 1.0, "isl": 2.0, "osl": 2.0}
    inputs = {str(s): 1.0 for s in model.fast_program.inputs}
    found = model.evaluator({**inputs, **storage(model.model, model.scheme(None)), **whole})
    return float(found["memory_weights"])


def by_module(model: Model) -> dict[str, int]:
    """Trained parameters by precision module."""
    graph = build(model, "prefill")
    modules = dict.fromkeys(t.module for s in graph for t in s.of_role(Role.WEIGHT) if t.trained and not t.shared)
    return {m: int(parameters(graph, module=m).xreplace(dict(graph.bindings))) for m in modules}


# ---- devices


def devices(a: Hardware, b: Hardware) -> Diff:
    """Two devices: their facts, and the FLOPs per byte at which compute and memory balance, by format."""
    left, right = a.facts(), b.facts()
    fields = [
        Row(k, left[k].value if k in left else None, right[k].value if k in right else None, (left.get(k) or right[k]).unit)
        for k in dict.fromkeys([*left, *right])
    ]
    balance = [Row(f"balance.{d}", _balance(a, d), _balance(b, d), "FLOP/B") for d in dict.fromkeys([*a.peak, *b.peak])]
    return Diff(a.name, b.name, _unlike(fields), _unlike(balance))


def _balance(device: Hardware, name: str) -> float | None:
    """FLOPs in a format for each byte of memory traffic, at the peaks of both."""
    return device.peak[name].value / device.memory_bandwidth.value if name in device.peak else None


# ---- plans


def plans(model: CostModel, a: Mapping[str, int], b: Mapping[str, int], device: Hardware | None = None) -> Diff:
    """Two plans of one model: the terms of what one device computes, moves and sends; in one domain where no device is given.

    Raises:
        CostcError: a degree that is not known; DegreeError: one that the model cannot take.
    """
    full = [{**dict.fromkeys(STRATEGIES, 1), **plan} for plan in (a, b)]
    for plan in full:
        for name in plan:
            if name not in STRATEGIES:
                raise CostcError(not_among("parallelism", name, STRATEGIES))
        model.check(plan, {"domain": device.domain.value if device else float("inf"), "scale_out_links": 1.0})
    domain = sp.Integer(int(device.domain.value)) if device else sp.Integer(UNBOUNDED)
    bound = [{STRATEGIES[k].degree: sp.Integer(v) for k, v in plan.items()} | {S.domain: domain} for plan in full]
    terms = {}
    for name in (*FORMULAS, *LINKS):
        left, right = (_formula(model, name).subs(at) for at in bound)
        terms[name] = _terms(left, right)
    fields = [Row(k, full[0][k], full[1][k]) for k in full[0]]
    placed = [prod(plan[s.name] for s in mesh().placed()) for plan in full]
    counts = [Row("devices", placed[0], placed[1])]
    return Diff(_named(a), _named(b), _unlike(fields), _unlike(counts), {k: v for k, v in terms.items() if v})


def _named(plan: Mapping[str, int]) -> str:
    return ",".join(f"{k}={v}" for k, v in plan.items())


# ---- algebra


def _formula(model: CostModel, name: str) -> sp.Expr:
    """A published formula with the model's dimensions put in; 0 where the model has none of the resource."""
    return model.formula(name) if name in model.formulas() else sp.Integer(0)


def _terms(a: sp.Expr, b: sp.Expr) -> tuple[Row, ...]:
    """Monomials of two expressions whose coefficients differ; those of quantization scales, which are small, left out."""
    left, right = (sp.expand(e.xreplace(dict.fromkeys(_scales(e), sp.S.Zero))).as_coefficients_dict() for e in (a, b))
    rows = (
        Row(str(monomial), _plain(left.get(monomial, sp.S.Zero)), _plain(right.get(monomial, sp.S.Zero)))
        for monomial in sorted({*left, *right}, key=sp.default_sort_key)
    )
    return tuple(row for row in rows if row.a != row.b)


def _scales(expr: sp.Expr) -> set[sp.Symbol]:
    return {s for s in expr.free_symbols if s.name.startswith(("scale_byte_", "tensor_byte_"))}


def _plain(value: sp.Expr) -> int | float:
    return int(value) if value.is_Integer else float(value)
