"""Several copies of the residual stream: the weights with which they are merged and mixed come from the streams themselves.

Hyper-connections (arXiv 2409.19606), manifold-constrained as in DeepSeek-V4 (mHC, arXiv 2512.24880; transformers'
deepseek_v4). The weights are kept and computed in high precision: they are vectors here, which no scheme quantizes.
"""

from __future__ import annotations

import sympy as sp

from costc.blocks.base import Axes, Builder
from costc.ir.types import Axis, Kind

MODULE, CORE = "mixer", "mixer_core"


def coefficients(b: Builder, streams: str, tokens: Axes, rows: sp.Expr, scales: int) -> tuple[str, str, str]:
    """`rows` numbers for each token, from all its streams, before their activation; and the bias and scale that go with them.

    They stay on chip: one kernel reads the streams, weighs and merges them.
    """
    over = b.tensors[streams].axes[-2:]
    mix = Axis("mix", rows)
    normed = b.op("stream_norm", Kind.REDUCE, (streams,), (*tokens, *over), (*tokens, *over), module=MODULE, work=3, on_chip=True)
    weight = b.weight("stream_proj_weight", (mix, *over), module=MODULE)
    found = b.contract("stream_proj", (normed, weight), (*tokens, mix), over, module=CORE, on_chip=True)
    vectors = (
        b.weight("stream_base", (mix,), module=MODULE),
        b.weight("stream_scale", (Axis("part", sp.Integer(scales)),), module=MODULE),
    )
    return found, *vectors


def merged(b: Builder, streams: str, tokens: Axes, found: tuple[str, ...]) -> str:
    """One stream: the sum of all, each weighed by a sigmoid of its number."""
    stream, hidden = b.tensors[streams].axes[-2:]
    pre = b.op("stream_pre", Kind.MAP, found, (*tokens, stream), (*tokens, stream), module=MODULE, work=6, on_chip=True)
    return b.op("merged", Kind.REDUCE, (pre, streams), (*tokens, hidden), (*tokens, stream, hidden), module=MODULE, work=2)
