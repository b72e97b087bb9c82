"""The core of gated delta rules: a state [key elements, value elements] for each head, which every token decays and corrects.

    S_t = (S_{t-1} decayed) + k_t (beta_t (v_t - k_t S_{t-1}))        o_t = q_t S_t

A prompt is worked through in chunks of C tokens (WY representation and UT transform; DeltaNet, arXiv 2406.06484, section 3.2;
Gated DeltaNet, arXiv 2412.06464, section 3.3; with a decay for each key element: Kimi Linear, arXiv 2510.26692, section 3).
Multiply-adds of a chunk, for each value head, with P = C (C + 1) / 2 causal pairs:

    A = beta k k^T, P d_k        T = (1 + A)^-1, C (C - 1)(C - 2) / 6        u = T beta v, P d_v       w = T beta k, P d_k
    v' = u - w S, C d_k d_v      o = q S + (q k^T) v', C d_k d_v + P d_k + P d_v                       S + k^T v', C d_k d_v

Pairs above the diagonal are not counted, as for attention; a kernel that multiplies whole tiles does up to twice the P terms.
The whole is one kernel that keeps its intermediates on the chip. A single token takes two products with the state and an update.
"""

from __future__ import annotations

from dataclasses import dataclass

import sympy as sp

from costc.blocks.base import BATCH, SEQ, Axes, Builder
from costc.ir.reach import Recurrent
from costc.ir.types import Axis, Kind, Read

#: tokens of a chunk in flash-linear-attention, vLLM and SGLang
CHUNK = 64
CORE = "mixer_core"
STATE = "recurrent_state"


@dataclass(frozen=True)
class Scan:
    """What a delta rule runs on.

    Args:
        heads: axes that tell value heads apart, each with a state.
        key, value: elements of a key and of a value.
        decays: axes of the decay of a token: the heads, or the heads and key elements.
    """

    heads: Axes
    key: Axis
    value: Axis
    decays: Axes
    law: Recurrent


def recurrent(b: Builder, chunk: int = CHUNK) -> Recurrent:
    """The law of a scan in chunks."""
    size = b.dim("delta_chunk", chunk, "tokens of a chunk of the delta rule's scan")
    return Recurrent(str(size), size)


def unit_length(b: Builder, name: str, x: str) -> str:
    """Queries or keys scaled to length 1."""
    axes = b.tensors[x].axes
    return b.op(f"{name}_length", Kind.REDUCE, (x,), axes, axes, work=3)


def scanned(b: Builder, s: Scan, phase: str, q: str, k: str, v: str, decay: str, beta: str, state_byte: sp.Expr | None) -> str:
    """The outputs [batch seq heads value]; `decay` are log decays, and `beta` logits of the step sizes."""
    b.state(STATE, (*s.heads, s.key, s.value), s.law, state_byte)
    # exp of the summed log decays, and the sigmoid of beta
    gate = b.map("decay", (decay, beta), (BATCH, SEQ, *s.decays), work=6, on_chip=True)
    return _chunks(b, s, gate, q, k, v) if phase == "prefill" else _step(b, s, gate, q, k, v)


def _chunks(b: Builder, s: Scan, gate: str, q: str, k: str, v: str) -> str:
    chunk, pair = s.law.chunk, Axis("pair", s.law.pairs, s.law)
    pairs, tokens = (BATCH, pair, *s.heads), (BATCH, SEQ, *s.heads)
    # substitution takes C (C - 1)(C - 2) / 6 multiply-adds of a chunk, here spread over its C (C + 1) / 2 pairs
    solved = Axis("solved", (chunk - 1) * (chunk - 2) / (3 * (chunk + 1)))
    a = _product(b, "key_key", (k, gate), pairs, (s.key,))
    t = _product(b, "invert", (a,), pairs, (solved,))
    u = _product(b, "new_values", (t, v, gate), (*tokens, s.value), (), (*pairs, s.value))
    w = _product(b, "new_keys", (t, k, gate), (*tokens, s.key), (), (*pairs, s.key))
    old = _product(b, "recall", (w, STATE), (*tokens, s.value), (s.key,))
    new = b.map("correct", (u, old), (*tokens, s.value), on_chip=True)
    scores = _product(b, "query_key", (q, k, gate), pairs, (s.key,))
    near = _product(b, "read_chunk", (scores, new), (*tokens, s.value), (), (*pairs, s.value))
    far = _product(b, "read_state", (q, STATE, gate), (*tokens, s.value), (s.key,))
    # the decayed state and the sum of k (x) v' over the tokens, written back
    grown = (BATCH, SEQ, *s.heads, s.key, s.value)
    b.op("write_state", Kind.CONTRACT, (STATE, k, new, gate), Read(STATE), grown, module=CORE)
    return b.map("output", (near, far), (*tokens, s.value))


def _step(b: Builder, s: Scan, gate: str, q: str, k: str, v: str) -> str:
    tokens, axes = (BATCH, SEQ, *s.heads, s.value), b.tensors[STATE].axes
    old = _product(b, "recall", (k, STATE, gate), tokens, (s.key,))
    new = b.map("correct", (v, old, gate), tokens, work=2, on_chip=True)
    # decay of the state, the key times the correction, sum
    state = b.map("update", (STATE, k, new, gate), axes, work=3, on_chip=True)
    b.map("state_store", (state,), Read(STATE), work=0, domain=axes)
    return b.contract("read_state", (q, state), tokens, (s.key,), module=CORE)


def _product(b: Builder, name: str, reads: tuple[str, ...], writes: Axes, over: Axes, domain: Axes | None = None) -> str:
    at = domain or (*writes, *over)
    return b.op(name, Kind.CONTRACT, reads, writes, at, module=CORE, on_chip=True)
