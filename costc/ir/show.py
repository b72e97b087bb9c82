"""A text listing of a graph: one line per operator."""

from __future__ import annotations

from costc.ir.types import Graph, Op, Section


def show(graph: Graph) -> str:
    """The graph as text: sections with their multiplicity, operators with axes and tensors."""
    return "\n".join(_section(s) for s in graph)


def _section(section: Section) -> str:
    kernel_of = {name: kernel[0] for kernel in section.kernels for name in kernel}
    lines = [f"{section.name}  x {section.layers}  [{section.group}]"]
    for op in section.ops:
        mark = f"  in {kernel_of[op.name]}" if kernel_of.get(op.name, op.name) != op.name else ""
        lines.append(f"  {op.name:<18} {op.kind.value:<10} {_access(op, section)}{mark}")
    return "\n".join(lines)


def _access(op: Op, section: Section) -> str:
    def tensor(name: str) -> str:
        return f"{name}[{' '.join(section.tensor(name).axis_names())}]"

    reads = ", ".join(tensor(r.tensor) for r in op.reads)
    writes = ", ".join(tensor(w.tensor) for w in op.writes)
    link = "  " + ", ".join(f"{k.name}: {k.byte} B" for k in op.link) if op.link else ""
    return f"{reads} -> {writes}{link}"
