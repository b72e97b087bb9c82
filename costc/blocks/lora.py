"""Low-rank adapters: a pass that adds x A B beside every weight that the adapters target (arXiv 2106.09685)."""

from __future__ import annotations

from dataclasses import replace

import sympy as sp

from costc.blocks.base import Dimensions
from costc.errors import CostcError, not_among
from costc.ir.model import Lora
from costc.ir.types import Axis, Graph, Kind, Op, Read, Role, Section, Tensor

SUFFIX = "_weight"


def adapted(graph: Graph, lora: Lora, dimensions: Dimensions) -> Graph:
    """The graph with adapters.

    Every token runs through one adapter; a step reads `active` of the `resident` ones, as SGMV and BGMV kernels do
    (Punica, arXiv 2310.18547).

    Raises:
        CostcError: a target is no weight of the model.
    """
    known = {t.name.removesuffix(SUFFIX) for s in graph for t in s.of_role(Role.WEIGHT) if t.matrix}
    for target in lora.targets:
        if target not in known:
            raise CostcError(not_among("LoRA target", target, known))
    rank = Axis("lora_rank", dimensions.bind("lora_rank", lora.rank, "rank of the adapters", ""))
    adapter = Axis("adapter", dimensions.bind("lora_resident", lora.resident, "adapters in memory", ""))
    read = dimensions.bind("lora_active", lora.active, "adapters that a step reads", "") / adapter.size
    sections = tuple(_section(s, lora, rank, adapter, read) for s in graph)
    return graph.evolve(sections=sections, bindings=tuple(dimensions.values.items()))


def _section(section: Section, lora: Lora, rank: Axis, adapter: Axis, read: sp.Expr) -> Section:
    tensors, ops = list(section.tensors), []
    for op in section.ops:
        target = next((r.tensor for r in op.reads if r.tensor.removesuffix(SUFFIX) in lora.targets), None)
        if op.kind is not Kind.CONTRACT or target is None:
            ops.append(op)
            continue
        made, added, final = _beside(section, op, section.tensor(target), rank, adapter, read)
        tensors += made
        ops += [*added, final]
    return section.evolve(tensors=tuple(tensors), ops=tuple(ops))


def _beside(
    section: Section, op: Op, weight: Tensor, rank: Axis, adapter: Axis, read: sp.Expr
) -> tuple[list[Tensor], list[Op], Op]:
    """The adapter of one product: down to the rank, up from it, and the product itself, which adds the result."""
    assert weight.matrix is not None
    axes = {a.name: a for a in weight.axes}
    out, in_ = (tuple(axes[n] for n in names) for names in weight.matrix)
    stack = tuple(a for a in weight.axes if a.name not in {*weight.matrix[0], *weight.matrix[1]})
    x = section.tensor(next(r.tensor for r in op.reads if section.tensor(r.tensor).role is not Role.WEIGHT))
    rows = tuple(a for a in x.axes if a.name not in {i.name for i in in_})
    name = op.name
    like = replace(weight, module="adapter", shared=False)
    down = replace(like, name=f"{name}_lora_a", axes=(adapter, *stack, rank, *in_), matrix=((rank.name,), weight.matrix[1]))
    up = replace(like, name=f"{name}_lora_b", axes=(adapter, *stack, *out, rank), matrix=(weight.matrix[0], (rank.name,)))
    small = Tensor(f"{name}_lora_x", (*rows, rank), Role.ACTIVATION)
    result = Tensor(f"{name}_lora_y", (*rows, *out), Role.ACTIVATION)
    reads = (Read(x.name), Read(down.name, read)), (Read(small.name), Read(up.name, read))
    first = Op(f"{name}_lora_down", Kind.CONTRACT, (*rows, rank, *in_), reads[0], (Read(small.name),), "adapter")
    second = Op(f"{name}_lora_up", Kind.CONTRACT, (*rows, *out, rank), reads[1], (Read(result.name),), "adapter")
    return [down, up, small, result], [first, second], replace(op, reads=(*op.reads, Read(result.name)))
