"""The core of softmax attention over a cache of keys and values, which several attention kinds share."""

from __future__ import annotations

from dataclasses import dataclass

from costc.blocks.base import BATCH, SEQ, Axes, Builder
from costc.ir.reach import Reach
from costc.ir.types import Axis, Kind, Read


@dataclass(frozen=True)
class Heads:
    """KV heads, the query heads of each, and the elements of keys and values."""

    kv: Axis
    group: Axis
    key: Axis
    value: Axis

    @property
    def query(self) -> Axes:
        """The axes that tell query heads apart."""
        return (self.kv, self.group)


def store(b: Builder, heads: Heads, law: Reach, k: str, v: str, *, same: bool = False) -> None:
    """Append keys and values to the cache; `same`: the values are the keys, which are stored once."""
    context = Axis("context", law.context, law)
    made = (("k_cache", k, heads.key),) if same else (("k_cache", k, heads.key), ("v_cache", v, heads.value))
    for name, new, element in made:
        b.cache(name, (BATCH, context, heads.kv, element))
        stored = Read(name, SEQ.size / context.size)
        b.map(f"{name}_store", (new,), stored, work=0, domain=(BATCH, SEQ, heads.kv, element))


def attend(
    b: Builder,
    heads: Heads,
    law: Reach,
    q: str,
    sinks: bool = False,
    k: str = "k_cache",
    v: str = "v_cache",
    chosen: tuple[str, ...] = (),
) -> str:
    """Scores, softmax and weighted sum over the attended pairs; keys and values are read from the cache.

    `chosen`: indices of what is attended, where that is not all.
    """
    pair = Axis("pair", law.pairs, law)
    reads: tuple[str, ...] = (q, k, *chosen)
    if sinks:
        reads += (b.weight("sinks", heads.query),)
    s = b.contract("score", reads, (BATCH, pair, *heads.query), (heads.key,), module="attention_core")
    p = b.op("softmax", Kind.REDUCE, (s,), (BATCH, pair, *heads.query), (BATCH, pair, *heads.query), work=5)
    return b.op(
        "attend",
        Kind.CONTRACT,
        (p, v),
        (BATCH, SEQ, *heads.query, heads.value),
        (BATCH, pair, *heads.query, heads.value),
        module="attention_core",
    )
