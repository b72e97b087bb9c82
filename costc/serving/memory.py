"""Memory of a device of the last pipeline stage, as an engine allocates it, and the largest batch that fits.

Weights, KV cache in whole blocks for every sequence at its full length, the activation peak of a step
of `max_num_batched_tokens` tokens (engines profile with such a step), and what the framework takes. The
engine may use a fraction `memory_utilization` of the device.
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
    limit = let("memory.limit", S.memory_byte * S.memory_utilization, "B", "what the engine may use")
    total = let("memory.total", weights + kv + activation + S.framework_byte, "B", "all parts")
    left = let("memory.left", limit - weights - S.framework_byte, "B", "left for cache and activations")
    # whichever peak is larger must fit beside the cache
    most = Min((left - fixed) / sequence, left / (sequence + growing))
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
