"""Memory of a device of the last pipeline stage, as an engine allocates it, and the largest batch that fits.

Weights W, KV cache in whole blocks for every sequence at its full length, and what is reserved, R: the activation peak of a
step of `max_num_batched_tokens` tokens (engines profile with such a step) and what the framework takes. Of a memory M the
cache may have

    KV <= u M - a W - b R    with the fraction u = memory_utilization, and never more than M - W - R

    a = b = 1: vLLM, whose gpu_memory_utilization bounds all that the engine takes
    a = 1, b = 0: SGLang, whose mem_fraction_static bounds weights and cache
    a = b = u: TensorRT-LLM, whose free_gpu_memory_fraction is of what the rest leaves free
"""

from __future__ import annotations

from dataclasses import dataclass

import sympy as sp

from costc import symbols as S
from costc.count import footprint
from costc.ir.types import Graph
from costc.latency.units import DP
from costc.minmax import Floor, Max, Min
from costc.program import Steps
from costc.serving.schedule import Schedule
from costc.serving.sections import Bindings


@dataclass(frozen=True)
class Memory:
    """Bytes on one device, and sequences."""

    weights: sp.Expr
    kv: sp.Expr
    activation: sp.Expr
    total: sp.Expr
    limit: sp.Expr
    max_batch: sp.Expr


def memory(graphs: tuple[Graph, Graph], bindings: Bindings, plan: Schedule, steps: Steps) -> Memory:
    """The parts, from the footprints of the prefill and the decode graph."""
    let = steps.let
    before, after = graphs
    weights = let("memory.weights", footprint.weight_byte(before).xreplace(bindings), "B", "weights of a device")
    sequence = footprint.cache_byte(after, S.isl + S.osl).xreplace(bindings)
    sequence = let("memory.kv_per_sequence", sequence, "B", "cache of one sequence at its full length, on a device")
    kv = let("memory.kv", plan.sequences * sequence, "B", "cache of the rank's sequences")
    fixed, growing = _activation(before, after, bindings, steps)
    activation = let("memory.activation", Max(fixed, plan.sequences * growing), "B", "largest activations of a step")
    reserved = let("memory.reserved", activation + S.framework_byte, "B", "activations and framework")
    total = let("memory.total", weights + kv + reserved, "B", "all parts")
    divided, weight_share, share = S.memory_utilization * S.memory_byte, S.memory_weight_share, S.memory_reserved_share
    limit = Min(divided + (1 - weight_share) * weights + (1 - share) * reserved, S.memory_byte)
    limit = let("memory.limit", limit, "B", "what all parts together may take")
    left = let("memory.left", divided - weight_share * weights - share * S.framework_byte, "B", "left for cache and activations")
    free = let("memory.free", S.memory_byte - weights - S.framework_byte, "B", "free on the device beside weights and framework")
    # whichever peak is larger must fit beside the cache
    most = Min(*((room - part * fixed) / sequence for room, part in ((left, share), (free, 1))))
    most = Min(most, *(room / (sequence + part * growing) for room, part in ((left, share), (free, 1))))
    most = let("memory.max_batch", DP * Max(0, Floor(most)), "1", "most sequences that fit")
    return Memory(weights, kv, activation, total, limit, most)


def _activation(before: Graph, after: Graph, bindings: Bindings, steps: Steps) -> tuple[sp.Expr, sp.Expr]:
    """(peak of a full prefill step, peak of a decode step per sequence)."""
    from_one = {S.batch: DP, S.seq: S.max_num_batched_tokens}
    longest = Max(S.max_num_batched_tokens, S.isl)
    per_sequence = {S.batch: DP, S.seq: sp.Integer(1)}
    peaks = []
    for graph, at, context in ((before, from_one, longest), (after, per_sequence, S.isl + S.osl)):
        found = []
        for peak in footprint.activation_peaks(graph):
            reached = {s: context for s in peak.free_symbols if s.name.startswith("context_")}
            found.append(peak.xreplace(bindings).xreplace({**at, **reached}))
        peaks.append(largest(found))
    return (
        steps.let("memory.prefill_peak", peaks[0], "B", "activations of a prefill step of full size"),
        steps.let("memory.decode_peak", peaks[1], "B", "activations of a decode step, for one sequence"),
    )


def largest(candidates: list[sp.Expr]) -> sp.Expr:
    """The maximum of positive sums, without those that another one exceeds term by term."""
    terms = [sp.expand(c).as_coefficients_dict() for c in dict.fromkeys(candidates)]
    kept = [t for t in terms if not any(o is not t and all(o[m] >= c for m, c in t.items()) for o in terms)]
    return Max(*(sp.Add(*(m * c for m, c in t.items())) for t in kept or terms[:1]), evaluate=len(kept) < 2)
