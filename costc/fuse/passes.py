"""Fusion passes. Each matches the structure of the graph, never a block kind.

They reproduce what serving engines do by default: one attention kernel (FlashAttention, arXiv
2205.14135), projections of one input as one GEMM, chains of elementwise operators as one kernel.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce

from costc.ir.types import Graph, Kind, Op, Role, Section
from costc.ir.verify import verify

Kernel = tuple[str, ...]
Kernels = tuple[Kernel, ...]
POINTWISE = (Kind.MAP, Kind.REDUCE)


def fuse(graph: Graph) -> Graph:
    """The graph with every section's operators grouped into kernels."""
    return verify(graph.evolve(sections=tuple(_fuse(s) for s in graph)))


def _fuse(section: Section) -> Section:
    alone: Kernels = tuple((op.name,) for op in section.ops)
    return section.evolve(kernels=reduce(lambda kernels, run: run(section, kernels), PASSES.values(), alone))


def fuse_on_chip(section: Section, kernels: Kernels) -> Kernels:
    """Operators joined by a tensor that never leaves the chip run as one."""

    def joined(first: tuple[str, ...], second: tuple[str, ...]) -> bool:
        return any(section.tensor(t).on_chip for t in _written(section, first) & _read(section, second))

    result: list[Kernel] = []
    for kernel in kernels:
        before = [k for k in result if joined(k, kernel)]
        result = [k for k in result if k not in before] + [sum((*before, kernel), ())]
    return tuple(result)


def fuse_inputs(section: Section, kernels: Kernels) -> Kernels:
    """Matrix products of one activation with weights of one module run as one, reading it once."""

    def key(kernel: tuple[str, ...]) -> tuple[frozenset[str], str] | None:
        ops = [section.op(name) for name in kernel]
        if any(op.kind is not Kind.CONTRACT for op in ops) or not _has_weight(section, ops[0]):
            return None
        inputs = frozenset(t for op in ops for t in _moving(section, op))
        return inputs, ops[0].module

    return _merge(kernels, lambda a, b: key(a) is not None and key(a) == key(b))


def fuse_pointwise(section: Section, kernels: Kernels) -> Kernels:
    """Elementwise operators that feed one another, or read what one kernel wrote, run as one."""
    writer = {t: kernel for kernel in kernels for t in _written(section, kernel)}

    def pointwise(kernel: tuple[str, ...]) -> bool:
        return all(section.op(name).kind in POINTWISE for name in kernel)

    def joined(first: tuple[str, ...], second: tuple[str, ...]) -> bool:
        if not (pointwise(first) and pointwise(second)):
            return False
        sources = {writer[t] for t in _read(section, first) if t in writer}
        siblings = any(writer.get(t) in sources for t in _read(section, second))
        return siblings or bool(_written(section, first) & _read(section, second))

    return _merge(kernels, joined, lambda between, a, b: _through(section, between, a, b))


PASSES: dict[str, Callable[[Section, Kernels], Kernels]] = {
    "fuse_on_chip": fuse_on_chip,
    "fuse_inputs": fuse_inputs,
    "fuse_pointwise": fuse_pointwise,
}


def _merge(
    kernels: Kernels,
    joined: Callable[[Kernel, Kernel], bool],
    apart: Callable[[Kernels, Kernel, Kernel], bool] = lambda between, first, second: False,
) -> Kernels:
    """Merge each kernel into the last earlier one that it is joined to, unless those between keep the two `apart`."""
    result: list[Kernel] = []
    for kernel in kernels:
        places = (i for i in reversed(range(len(result))) if joined(result[i], kernel))
        at = next((i for i in places if not apart(tuple(result[i + 1 :]), result[i], kernel)), None)
        if at is None:
            result.append(kernel)
        else:
            result[at] = result[at] + kernel
    return tuple(result)


def _through(section: Section, between: Kernels, first: Kernel, second: Kernel) -> bool:
    """Whether what `first` writes reaches `second` by way of a kernel between: the two cannot run at once."""
    from_first = _written(section, first)
    through: set[str] = set()
    for kernel in between:
        if _read(section, kernel) & (from_first | through):
            through |= _written(section, kernel)
    return bool(through & _read(section, second))


def _written(section: Section, kernel: tuple[str, ...]) -> set[str]:
    return {w.tensor for name in kernel for w in section.op(name).writes}


def _read(section: Section, kernel: tuple[str, ...]) -> set[str]:
    return {r.tensor for name in kernel for r in section.op(name).reads}


def _moving(section: Section, op: Op) -> set[str]:
    return {r.tensor for r in op.reads if section.tensor(r.tensor).role is not Role.WEIGHT}


def _has_weight(section: Section, op: Op) -> bool:
    return any(section.tensor(r.tensor).role is Role.WEIGHT for r in op.reads)
