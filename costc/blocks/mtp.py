"""Multi-token prediction: the layers that draft the token after next from the last layer's output and the next token.

Each norms both, joins them (2 x hidden to hidden), runs a layer of the model's own kind, norms, and uses the head.
DeepSeek-V3, section 2.2 (arXiv 2412.19437).
"""

from __future__ import annotations

import sympy as sp

from costc.blocks.base import BATCH, SEQ, Builder
from costc.blocks.stem import Frame, head, looked_up
from costc.ir.model import Mtp
from costc.ir.types import Axis, Section


def join(frame: Frame, mtp: Mtp) -> Section:
    """The embedding of the next token and the hidden state, normed and joined."""
    b = Builder("join", "head", frame.dimensions, frame.model.norm)
    b.module = "embedding"
    weight = b.weight("embedding_weight", (frame.vocab,), (frame.hidden,), shared=not mtp.own_embedding)
    b.module = "ffn"
    axes = (BATCH, SEQ, frame.hidden)
    token = b.norm("embedding_norm", looked_up(b, "lookup", weight, frame.vocab, frame.hidden), frame.hidden, style=b.style)
    state = b.norm("hidden_norm", b.input("x", axes), frame.hidden, style=b.style)
    both = Axis("joined", 2 * frame.hidden.size)
    y = b.map("concat", (token, state), (BATCH, SEQ, both), work=0)
    b.project("join_proj", y, (frame.hidden,), (both,))
    return b.section(sp.Integer(mtp.count), sp.Integer(mtp.count))


def draft_head(frame: Frame, mtp: Mtp) -> Section:
    """The norm after a draft layer, and the model's head."""
    section = head(frame, own=mtp.own_head)
    return section.evolve(layers=sp.Integer(mtp.count), stage_layers=sp.Integer(mtp.count))
