"""An input of its own for each layer: a second embedding of the tokens, and a projection of the first.

Gemma 3n and 4: transformers' Gemma3nTextModel and Gemma4TextModel. The layers' part is blocks/auxiliary/per_layer_input.py. The
table has a vocabulary of its own, which is cut as the first one's is (vLLM: VocabParallelEmbedding).
"""

from __future__ import annotations

import sympy as sp

from costc import symbols as S
from costc.blocks.base import BATCH, SEQ, Builder
from costc.blocks.stem import Frame, looked_up
from costc.ir.types import Axis, Section
from costc.minmax import Floor


def layer_inputs(frame: Frame) -> Section:
    """The inputs of all layers."""
    stem = frame.model.stem
    b = Builder("layer_inputs", "head", frame.dimensions, frame.model.norm)
    b.module = "embedding"
    x = b.input("x", (BATCH, SEQ, frame.hidden))
    own = b.dim("hidden_size_per_layer_input", stem.per_layer_size, "elements of a layer's own input")
    rows = b.dim("vocab_size_per_layer_input", stem.per_layer_vocab, "vocabulary of the layers' own inputs")
    each, vocab = Axis("per_layer", own), Axis("vocab", rows)
    layer = frame.axis("layer_input", "num_hidden_layers", frame.model.num_hidden_layers, "layers")
    table = b.weight("per_layer_weight", (vocab,), (layer, each))
    looked = looked_up(b, "per_layer_lookup", table, vocab, layer, each)
    y = b.project("per_layer_model_projection", x, (layer, each), (frame.hidden,), module="embedding")
    y = b.norm("per_layer_projection_norm", y, each)
    b.outputs.append(b.map("per_layer_input", (y, looked), (BATCH, SEQ, layer, each), work=2))
    return b.section(sp.Integer(1), Floor(1 / S.pp))  # the last of several stages does not embed
