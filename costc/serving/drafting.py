"""Speculative decoding: layers of the model's own draft tokens (multi-token prediction), and a decode step verifies them.

With k drafts of which each is accepted with probability a, if those before it were, a step commits

    1 + a + ... + a^k = (1 - a^(k+1)) / (1 - a)

tokens in expectation (Leviathan, Kalman and Matias 2023, arXiv 2211.17192, section 3.1). Each sequence puts k + 1 tokens into a
step; the drafts are made one after another, each by one pass of the draft layers over one token of each sequence.
"""

from __future__ import annotations

import sympy as sp

from costc import symbols as S
from costc.program import Steps

#: tokens that each sequence puts into a step
QUERIES = S.draft_tokens + 1


def committed(steps: Steps) -> sp.Expr:
    """Tokens that a step adds to each sequence in expectation."""
    expr = (1 - S.acceptance**QUERIES) / (1 - S.acceptance)
    return steps.let("drafting.committed", expr, "1", "tokens that a step commits for each sequence")


def drafted(layer: sp.Expr | None) -> sp.Expr:
    """Time of the drafts in all decode steps of a run without them, from that of one pass of a draft layer in each."""
    return S.draft_tokens * layer if layer is not None else sp.Integer(0)
