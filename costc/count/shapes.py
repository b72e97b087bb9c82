"""What a timed unit asks for beside FLOPs and bytes: the sizes that its closed form of time needs.

A unit is a kernel, a collective, or all kernels between the two routes of a mixture of experts, which engines run
as one grouped operation and which are measured so. The class follows from the structure, never from a block's kind.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import sympy as sp

from costc import symbols as S
from costc.ir.reach import Recurrent
from costc.ir.types import ONE, Axis, Cut, Graph, Kind, Link, Op, Role, Section, Tensor

#: the axis that a mixture of experts spreads its tokens over
SLOT = "slot"


@dataclass(frozen=True)
class Shape:
    """One unit of a section: its kernels by name, the class of its closed form, its sizes on one device, and what each link
    class carries where it is a collective."""

    section: str
    kernels: tuple[str, ...]
    form: str
    module: str
    sizes: Mapping[str, sp.Expr] = field(default_factory=dict)
    links: tuple[Link, ...] = ()

    @property
    def name(self) -> str:
        return self.kernels[0] if len(self.kernels) == 1 else "routed_experts"


def shapes(graph: Graph) -> tuple[Shape, ...]:
    """The units of a placed, fused graph, in order."""
    return tuple(shape for section in graph for shape in _section(section, graph.phase))


def kernel_name(ops: tuple[str, ...]) -> str:
    """One operator's name, or the first and last of a fused run."""
    return ops[0] if len(ops) == 1 else f"{ops[0]}_to_{ops[-1]}"


def _section(section: Section, phase: str) -> Iterator[Shape]:
    routed = [names for names in section.kernels if _routed(section, names)]
    for names in section.kernels:
        ops = tuple(section.op(n) for n in names)
        if names in routed:
            if names == routed[0]:
                yield _grouped(section, tuple(routed))
            continue
        form, sizes = _of(section, ops, phase)
        yield Shape(section.name, (kernel_name(names),), form, _module(ops), sizes, ops[0].link)


def _routed(section: Section, names: tuple[str, ...]) -> bool:
    ops = [section.op(n) for n in names]
    return all(op.kind is not Kind.COLLECTIVE and any(a.name == SLOT for a in op.domain) for op in ops)


def _module(ops: tuple[Op, ...]) -> str:
    return next((op.module for op in ops if op.kind is Kind.CONTRACT), ops[0].module)


def _of(section: Section, ops: tuple[Op, ...], phase: str) -> tuple[str, dict[str, sp.Expr]]:
    """(class, sizes) of a kernel or collective."""
    if ops[0].kind is Kind.COLLECTIVE:
        return "collective", {}
    laws = {a.reach for op in ops for a in op.domain if a.reach}
    products = [op for op in ops if op.kind is Kind.CONTRACT]
    if any(isinstance(law, Recurrent) for law in laws) or _holds_state(section, ops):
        return (f"scan_{phase}", {"heads": _heads(section, ops)}) if products else ("elementwise", {})
    if laws:
        softmax = len(products) > 1 and any(op.kind is Kind.REDUCE for op in ops)
        return _attention(section, products, phase) if softmax else ("roofline", {})
    if products and _weight(section, products[0]):
        sizes = _product(section, products)
        return "gemm" if sizes["groups"] == ONE else "batched_gemm", sizes
    return "elementwise", {}


def _holds_state(section: Section, ops: tuple[Op, ...]) -> bool:
    return any(section.tensor(r.tensor).role is Role.STATE for op in ops for r in (*op.reads, *op.writes))


def _heads(section: Section, ops: tuple[Op, ...]) -> sp.Expr:
    """Heads of a recurrence on this device: the extent of its state but for the last two axes; 1 without a state."""
    held = [section.tensor(r.tensor) for op in ops for r in op.reads if section.tensor(r.tensor).role is Role.STATE]
    if not held:
        return ONE
    axes = [a for a in held[0].axes if a.name not in ("batch", "states")]
    return _extent(axes[:-2], held[0].cuts)


def _weight(section: Section, op: Op) -> Tensor | None:
    return next((t for t in (section.tensor(r.tensor) for r in op.reads) if t.role is Role.WEIGHT and t.matrix), None)


def _extent(axes: list[Axis], cuts: tuple[Cut, ...]) -> sp.Expr:
    """Points of the axes on one device."""
    names = {a.name for a in axes}
    return sp.Mul(*(a.size for a in axes)) / sp.Mul(*(c.divisor for c in cuts if c.axis in names))


def _product(section: Section, products: list[Op]) -> dict[str, sp.Expr]:
    """Rows, columns, depth and stacked matrices of the products of one input, run as one."""
    columns = sp.Integer(0)
    for op in products:
        kept, weight = {a.name for a in section.tensor(op.writes[0].tensor).axes}, _weight(section, op)
        given = {n for r in op.reads for t in (section.tensor(r.tensor),) if t.role is not Role.WEIGHT for n in t.axis_names()}
        assert weight is not None
        rows = [a for a in op.domain if a.name in kept & given and not weight.has(a.name)]
        groups = [a for a in op.domain if a.name in kept & given and weight.has(a.name)]
        depth = [a for a in op.domain if a.name not in kept]
        if len(rows) + len(groups) + len(depth) == len(op.domain) and weight.matrix:
            # a weight used the other way round, into an axis that is part of the output's
            depth = [a for a in depth if a.name not in weight.matrix[1]]
        columns += op.points / _extent([*rows, *groups, *depth], op.cuts)
    extents = {"rows": rows, "depth": depth, "groups": groups}
    return {"columns": columns, **{name: _extent(axes, op.cuts) for name, axes in extents.items()}}


def _attention(section: Section, products: list[Op], phase: str) -> tuple[str, dict[str, sp.Expr]]:
    """Sizes of a softmax over query-key pairs. Keys and values that are one tensor are a latent."""
    score, attend = products[0], products[-1]
    keys, values = ({r.tensor for r in op.reads} for op in (score, attend))
    made = section.tensor(score.writes[0].tensor)
    held = [t for t in (section.tensor(k) for k in keys) if t.name in _context_tensors(section)]
    heads = [a for a in made.axes if a.name != "batch" and a.reach is None]
    own = [a for a in heads if any(t.has(a.name) for t in held)]
    latent = bool(keys & values)
    deep = [a for a in score.domain if not made.has(a.name)]
    wide = [a for a in attend.domain if not section.tensor(attend.reads[0].tensor).has(a.name)]
    sizes = {
        "kv_heads": _extent(own, score.cuts),
        "group": _extent([a for a in heads if a not in own], score.cuts),
        "head_dim": _extent(deep, score.cuts),
        "value_dim": _extent([a for a in wide if a.name != "seq"], attend.cuts),
    }
    return f"{phase}_{'latent' if latent else 'attention'}", sizes


def _context_tensors(section: Section) -> set[str]:
    return {t.name for t in section.tensors if any(a.name == "context" or a.reach for a in t.axes)}


def _grouped(section: Section, kernels: tuple[tuple[str, ...], ...]) -> Shape:
    """The routed experts of a layer as one unit; a slot is a pair of a token and an expert."""
    products = [section.op(n) for names in kernels for n in names if section.op(n).kind is Kind.CONTRACT]
    first, last = products[0], products[-1]
    up, down = _product(section, [first]), _product(section, [last])
    touched = next(r.fraction for r in first.reads if section.tensor(r.tensor).role is Role.WEIGHT)
    pairs, depth = up["rows"] * up["groups"], up["depth"] + down["depth"]
    slots = next(t for t in section.tensors if t.has(SLOT))
    selections = sp.Mul(*(a.size for a in slots.axes if a.name in ("expert", SLOT)))
    # into and out of each of the two products
    row = 2 * S.activation_byte * depth
    sizes = {
        "row_byte": pairs * row,
        "selected_byte": selections * row,
        "selections": selections,
        "touched": up["groups"] * touched,
        "depth": depth,
    }
    return Shape(section.name, tuple(kernel_name(k) for k in kernels), "grouped_gemm", first.module, sizes)
