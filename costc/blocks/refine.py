"""Refining precision modules: weights that a checkpoint stores unlike the rest of their module get a module of their own.

A key of a scheme's exceptions is a module, '<section>/<module>' for the weights of that module in one section,
'<module>.<weight>' for one weight of it, or '<section>/<module>.<weight>'; the later are the more particular, and win. The first
is no refinement; the others become module names.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from costc.ir.types import Graph, Op, Section, Tensor

SUFFIX = "_weight"


def base(key: str) -> str:
    """The module that a key refines, or the module that it is."""
    return key.split("/", 1)[-1].split(".", 1)[0]


def refinements(keys: Iterable[str]) -> tuple[str, ...]:
    """The keys that name less than a module."""
    return tuple(sorted(k for k in keys if "/" in k or "." in k))


def refined(graph: Graph, keys: tuple[str, ...], within: str = "") -> Graph:
    """The graph with the modules of matching weights, and of the products that read them, replaced by the keys.

    `within`: a name under which all its sections go ('mtp').
    """
    return graph.evolve(sections=tuple(_section(s, keys, within or s.name) for s in graph)) if keys else graph


def _section(section: Section, keys: tuple[str, ...], name: str) -> Section:
    found = {t.name: key for t in section.tensors if (key := _key(name, t, keys))}
    if not found:
        return section
    tensors = tuple(replace(t, module=found.get(t.name, t.module)) for t in section.tensors)
    return section.evolve(tensors=tensors, ops=tuple(_op(op, found) for op in section.ops))


def _key(section: str, tensor: Tensor, keys: tuple[str, ...]) -> str | None:
    weight = f"{tensor.module}.{tensor.name.removesuffix(SUFFIX)}"
    own = (f"{section}/{weight}", weight, f"{section}/{tensor.module}")
    return next((k for k in own if k in keys), None) if tensor.matrix else None


def _op(op: Op, found: dict[str, str]) -> Op:
    module = next((found[r.tensor] for r in op.reads if r.tensor in found and base(found[r.tensor]) == op.module), None)
    return replace(op, module=module) if module else op
