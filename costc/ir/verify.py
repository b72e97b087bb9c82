"""Invariants of the representation, run after every pass that makes or changes a graph."""

from __future__ import annotations

from costc.ir.types import Graph, Kind, Op, Role, Section


class IRError(AssertionError):
    """A pass or block broke an invariant: a defect of the compiler, never of a spec."""


def verify(graph: Graph) -> Graph:
    """Return the graph unchanged, or raise IRError naming section, operator and invariant."""
    names = [s.name for s in graph]
    _hold(len(names) == len(set(names)), graph.model, "section names are distinct")
    for section in graph:
        _section(section)
    return graph


def _hold(true: bool, where: str, invariant: str) -> None:
    if not true:
        raise IRError(f"{where}: {invariant}")


def _section(section: Section) -> None:
    names = [t.name for t in section.tensors]
    _hold(len(names) == len(set(names)), section.name, "tensor names are distinct")
    known = {t.name: t for t in section.tensors}
    for tensor in section.tensors:
        axes = tensor.axis_names()
        _hold(len(axes) == len(set(axes)), f"{section.name}.{tensor.name}", "axis names are distinct")
        if tensor.matrix:
            _hold(set(sum(tensor.matrix, ())) <= set(axes), f"{section.name}.{tensor.name}", "matrix axes are its own")
    written = set(section.inputs) | {t.name for t in section.tensors if t.role is not Role.ACTIVATION}
    for op in section.ops:
        where = f"{section.name}.{op.name}"
        for access in op.reads + op.writes:
            _hold(access.tensor in known, where, f"tensor {access.tensor} is declared")
        for access in op.reads:
            _hold(access.tensor in written, where, f"tensor {access.tensor} is written before it is read")
        written |= {access.tensor for access in op.writes}
        _sizes(op, section, where)
    if section.kernels:
        fused = [name for kernel in section.kernels for name in kernel]
        _hold(sorted(fused) == sorted(o.name for o in section.ops), section.name, "each operator is in one kernel")


def _sizes(op: Op, section: Section, where: str) -> None:
    _hold(bool(op.writes), where, "an operator writes something")
    sizes: dict[str, object] = {}
    for axis in op.domain:
        _hold(sizes.setdefault(axis.name, axis.size) == axis.size, where, f"axis {axis.name} has one size")
    if op.kind in (Kind.COLLECTIVE, Kind.ROUTE):
        return
    for access in op.reads + op.writes:
        for axis in section.tensor(access.tensor).axes:
            if axis.name in sizes:
                _hold(sizes[axis.name] == axis.size, where, f"axis {axis.name} of {access.tensor} has its size")
