"""From a fused graph to its cost table.

One multiply-add is 2 FLOP; matrix FLOPs and elementwise ones are rows apart. A kernel moves what it
reads from outside itself once, and what it writes that is read outside. Weights are stored with
their quantization scales: a scale per block, blocks counted with ceil on ragged edges.
"""

from __future__ import annotations

from collections.abc import Iterator

import sympy as sp

from costc import symbols as S
from costc.count.rows import CostRow, CostTable, check
from costc.ir.types import ONE, Graph, Kind, Op, Read, Role, Section, Tensor
from costc.minmax import Ceiling

BYTE_RESOURCE = {
    Role.WEIGHT: "weight_byte",
    Role.CACHE: "kv_byte",
    Role.STATE: "kv_byte",
    Role.ACTIVATION: "activation_byte",
}


def count(graph: Graph) -> CostTable:
    """The cost table of one step in one phase."""
    rows = tuple(row for section in graph for row in _section(section, graph.phase))
    weights = ((section, t) for section in graph for t in section.of_role(Role.WEIGHT))
    return check(CostTable(rows, tuple((stored_symbol(s.name, t), stored_byte(t)) for s, t in weights)))


def stored_symbol(section: str, tensor: Tensor) -> sp.Symbol:
    """The symbol that stands for the bytes of a whole weight."""
    return sp.Symbol(f"stored.{section}.{tensor.name}", positive=True)


def stored_byte(tensor: Tensor) -> sp.Expr:
    """Bytes of a whole weight as it lies in memory, scales included. A vector keeps the norms' format."""
    if tensor.matrix is None:
        return tensor.size * S.weight_byte("norm")
    sizes = {a.name: a.size for a in tensor.axes}
    rows, columns = (sp.Mul(*(sizes[n] for n in names)) for names in tensor.matrix)
    out, in_, scale, whole = S.scale_geometry(tensor.module)
    scales = Ceiling(rows / out) * Ceiling(columns / in_) * scale + whole
    return tensor.size * S.weight_byte(tensor.module) + tensor.size / (rows * columns) * scales


def byte_of(tensor: Tensor, section: str) -> sp.Expr:
    """Bytes of the part of a tensor that one device holds."""
    if tensor.role is Role.WEIGHT:
        return stored_symbol(section, tensor) * tensor.share
    return tensor.size * tensor.share * element_byte(tensor)


def element_byte(tensor: Tensor) -> sp.Expr:
    """Bytes of an element of a cache, state or activation."""
    return tensor.element_byte or (S.kv_byte if tensor.role is Role.CACHE else S.activation_byte)


def _section(section: Section, phase: str) -> Iterator[CostRow]:
    for names in section.kernels:
        yield from _kernel(section, tuple(section.op(name) for name in names), phase)


def _kernel(section: Section, ops: tuple[Op, ...], phase: str) -> Iterator[CostRow]:
    """The rows of one kernel: work of each operator, one launch, and what moves in and out of the whole."""
    found = [(r, m, a) for op in ops for r, m, a in _work(op) if a != 0]
    if ops[0].kind is not Kind.COLLECTIVE:
        found.append(("launches", ops[0].module, ONE))
        found += [(r, m, a) for r, m, a in _moved(section, ops) if a != 0]
    group, name = _group(section, ops), _kernel_name(ops)
    peers = {f"{link.name}_byte": link.peers for link in ops[0].link}
    for resource, module, amount in found:
        at = (section.layers, section.stage_layers, peers.get(resource, ONE))
        yield CostRow(section.name, group, name, phase, resource, module, amount, *at)


def _group(section: Section, ops: tuple[Op, ...]) -> str:
    return "communication" if ops[0].kind is Kind.COLLECTIVE else section.group


def _kernel_name(ops: tuple[Op, ...]) -> str:
    """One operator's name, or the first and last of a fused run."""
    return ops[0].name if len(ops) == 1 else f"{ops[0].name}_to_{ops[-1].name}"


def _work(op: Op) -> Iterator[tuple[str, str, sp.Expr]]:
    if op.kind is Kind.COLLECTIVE:
        for link in op.link:
            yield f"{link.name}_byte", op.module, link.byte
            yield f"{link.name}_hops", op.module, link.hops
    elif op.kind is Kind.CONTRACT:
        yield "flop", op.module, 2 * op.points
    else:
        yield "vector_flop", op.module, op.work * op.points


def _moved(section: Section, ops: tuple[Op, ...]) -> Iterator[tuple[str, str, sp.Expr]]:
    """Bytes between memory and chip, by what they belong to. What is read and then written moves twice (a state)."""
    outside = {r.tensor for op in section.ops if op not in ops for r in op.reads} | set(section.outputs)
    read_anywhere = {r.tensor for op in section.ops for r in op.reads}
    made: set[str] = set()
    reads: dict[str, list[Read]] = {}
    writes: dict[str, list[Read]] = {}
    for op in ops:
        for access in op.reads:
            if access.tensor not in made:
                reads.setdefault(access.tensor, []).append(access)
        for access in op.writes:
            made.add(access.tensor)
            kept = section.tensor(access.tensor).role is Role.ACTIVATION
            if not kept or access.tensor in outside or access.tensor not in read_anywhere:
                writes.setdefault(access.tensor, []).append(access)
    for name in dict.fromkeys((*reads, *writes)):
        tensor = section.tensor(name)
        moved = sp.Add(*(_union(found[name]) for found in (reads, writes) if name in found))
        yield BYTE_RESOURCE[tensor.role], tensor.module, byte_of(tensor, section.name) * moved


def _union(accesses: list[Read]) -> sp.Expr:
    """The fraction of a tensor that several accesses of one kernel move: unlike parts add, like ones coincide."""
    if any(a.fraction == ONE for a in accesses):
        return ONE
    parts = {a.part: a.fraction for a in accesses}
    return sp.cancel(sp.Add(*parts.values())) if len(parts) > 1 else next(iter(parts.values()))
