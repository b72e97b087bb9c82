"""Choosing what a query attends: a small attention of its own scores every cached key, and the best are kept.

The lightning indexer of DeepSeek Sparse Attention (DeepSeek-V3.2-Exp, arXiv 2512.02556): few heads over one shared key of a
token, `sum over heads of weight x relu(q k)`. It reads every cached key, however few are then attended, and hands over their
indices. Engines run it whole on every rank of a tensor-parallel group: its axes are `index_head` and `index_dim`, which no
strategy cuts. Scores stay on chip here; a kernel that hands them to a separate sort moves some 8 bytes more for each pair.
"""

from __future__ import annotations

from dataclasses import dataclass

import sympy as sp

from costc.blocks.base import BATCH, SEQ, Axes, Builder
from costc.ir.model import Norm
from costc.ir.reach import Reach, reach
from costc.ir.types import Axis, Kind, Read

#: an index is a 32-bit integer
INDEX_BYTE = sp.Integer(4)
CORE = "attention_core"


@dataclass(frozen=True)
class Index:
    """Heads and elements of the indexer, and the law of the keys that it scores."""

    head: Axis
    element: Axis
    law: Reach

    @property
    def pair(self) -> Axis:
        return Axis("pair", self.law.pairs, self.law)

    @property
    def context(self) -> Axis:
        return Axis("context", self.law.context, self.law)


def index(b: Builder, heads: int, size: int, law: Reach) -> Index:
    """The axes of an indexer of this block."""
    return Index(
        Axis("index_head", b.dim("index_n_heads", heads, "heads of the indexer")),
        Axis("index_dim", b.dim("index_head_dim", size, "elements of an indexer head")),
        law,
    )


def index_cache(b: Builder, i: Index, key_byte: float | None) -> str:
    """The cache of the indexer's keys; `key_byte`: bytes of an element where it is not the KV cache's own."""
    return b.cache(
        "index_cache", (BATCH, i.context, i.element), element_byte=None if key_byte is None else sp.nsimplify(key_byte)
    )


def store_keys(b: Builder, i: Index, k: str, key_byte: float | None) -> str:
    """Append one key for each token."""
    cache = index_cache(b, i, key_byte)
    b.map("index_store", (k,), Read(cache, SEQ.size / i.context.size), 3, (BATCH, SEQ, i.element))
    return cache


def projected(b: Builder, i: Index, name: str, x: str, heads: Axes = (), norm: Norm | None = None) -> str:
    """Queries (with `heads`) or keys of the indexer; normed over a head's elements where `norm` is given."""
    y = b.project(f"index_{name}_proj", x, (*heads, i.element), (b.tensors[x].axes[-1],))
    y = b.norm(f"index_{name}_norm", y, i.element, style=norm) if norm else y
    return b.map(f"index_{name}_rope", (y,), (BATCH, SEQ, *heads, i.element), work=3) if heads else y


def summed_scores(b: Builder, i: Index, x: str, q: str, cache: str) -> str:
    """One score of each query and key: `sum over heads of weight x relu(q k)`, the weights a projection of `x`."""
    weights = b.project("index_weights_proj", x, (i.head,), (b.tensors[x].axes[-1],))
    s = b.contract("index_score", (q, cache), (BATCH, i.pair, i.head), (i.element,), module=CORE)
    # relu, product and sum: 3 FLOP a score
    return b.op("index_weigh", Kind.REDUCE, (s, weights), (BATCH, i.pair), (BATCH, i.pair, i.head), module=CORE, work=3)


def best_blocks(b: Builder, x: str, heads: int, size: int, kept: int) -> str:
    """The indices of the `kept` blocks of keys that hold the best scores, for each head of the indexer (MiniMax-M3).

    Each head of the indexer chooses for its share of the attention's heads; a block's score is the best of its keys'.
    """
    i = index(b, heads, size, reach(None))
    cache = store_keys(b, i, projected(b, i, "k", x, norm=Norm()), None)
    q = projected(b, i, "q", x, (i.head,), norm=Norm())
    s = b.contract("index_score", (q, cache), (BATCH, i.pair, i.head), (i.element,), module=CORE)
    blocks = Axis("index", b.dim("index_topk_blocks", kept, "blocks that a query attends"))
    return chosen(b, i, s, (blocks,), (i.head,))


def chosen(b: Builder, i: Index, scores: str, kept: Axes, heads: Axes = ()) -> str:
    """The indices of the `kept` best keys of each query, by a partial sort (taken as 5 FLOP a score)."""
    return b.op(
        "index_topk",
        Kind.REDUCE,
        (scores,),
        (BATCH, SEQ, *heads, *kept),
        (BATCH, i.pair, *heads),
        module=CORE,
        work=5,
        element_byte=INDEX_BYTE,
    )
