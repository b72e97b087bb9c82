"""What a device keeps: weights, cache per sequence, and the activation peak. Reads roles, never kinds."""

from __future__ import annotations

import sympy as sp

from costc import symbols as S
from costc.count.rules import byte_of, element_byte
from costc.ir.types import Graph, Role, Section, Tensor
from costc.minmax import Ceiling


def parameters(graph: Graph, *, trained: bool = True, module: str | None = None) -> sp.Expr:
    """Parameters of the model, or of one module: sizes of weights, shared ones once; buffers apart (`trained=False`)."""
    return sp.Add(
        *(
            t.size * section.layers
            for section in graph
            for t in section.of_role(Role.WEIGHT)
            if t.trained is trained and not t.shared and module in (None, t.module)
        )
    )


def weight_byte(graph: Graph, times: str = "stage_layers") -> sp.Expr:
    """Bytes of weights on one device of the last pipeline stage (or of all stages: `layers`), in stored-weight symbols."""
    return sp.Add(
        *(
            byte_of(t, section.name) * getattr(section, times)
            for section in graph
            for t in section.of_role(Role.WEIGHT)
            if not t.shared
        )
    )


def cache_byte(
    graph: Graph, tokens: sp.Expr, times: str = "stage_layers", roles: tuple[Role, ...] = (Role.CACHE, Role.STATE)
) -> sp.Expr:
    """Bytes of cache of one sequence after `tokens` tokens, on one device; in whole blocks of `kv_block` tokens."""
    total = sp.Integer(0)
    for section in graph:
        stage = section.cache_layers if times == "stage_layers" else None
        for tensor in section.tensors:
            if tensor.role in roles and not tensor.shared:
                total += _kept(tensor, tokens) * (stage if stage is not None else getattr(section, times))
    return total


def _kept(tensor: Tensor, tokens: sp.Expr) -> sp.Expr:
    """Bytes of one sequence's cache tensor on one device; a state is kept whole, a cache in blocks."""
    one = tensor.size / S.batch / sp.Mul(*(c.divisor for c in tensor.cuts if c.axis != "batch")) * element_byte(tensor)
    for axis in tensor.axes:
        if axis.reach:
            kept = axis.reach.stored(tokens)
            one *= (kept if tensor.role is Role.STATE else S.kv_block * Ceiling(kept / S.kv_block)) / axis.size
    return one


def activation_peaks(graph: Graph) -> tuple[sp.Expr, ...]:
    """Candidates for the activation peak of a step: bytes live while each kernel runs. The peak is their maximum."""
    peaks = {_live(section, kernel) for section in graph for kernel in section.kernels}
    return tuple(sorted(peaks, key=str))


def _live(section: Section, kernel: tuple[str, ...]) -> sp.Expr:
    """Activations that exist while a kernel runs: written before or by it, and read by it or later.

    What never leaves the chip is not among them, even where the kernel's operators enclose those of another.
    """
    order = [op.name for op in section.ops]
    first, last = min(order.index(n) for n in kernel), max(order.index(n) for n in kernel)
    written = set(section.inputs) | {w.tensor for op in section.ops[: last + 1] for w in op.writes}
    inside = {w.tensor for n in kernel for w in section.op(n).writes}
    later = {r.tensor for op in section.ops[first:] for r in op.reads}
    live = sp.Integer(0)
    for tensor in section.of_role(Role.ACTIVATION):
        if tensor.name in written and (tensor.name in later or tensor.name in inside) and not tensor.on_chip:
            live += byte_of(tensor, section.name)
    return live
