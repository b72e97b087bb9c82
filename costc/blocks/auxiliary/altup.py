"""Alternating updates: several residual streams, of which a layer computes one; the others are predicted and corrected.

Before the layer every stream is predicted as a mixture of all, after it each is corrected by what the layer made of the active
one; both mixtures come from a small router. Sources: arXiv 2301.13310; transformers' Gemma3nTextAltUp.
"""

from __future__ import annotations

from typing import ClassVar

from pydantic import PositiveInt

from costc.blocks import AUXILIARY
from costc.blocks.base import BATCH, SEQ, Block, Builder
from costc.ir.types import ONE, Axis, Kind, Read


class AltUp(Block):
    """`altup_num_inputs` streams; `altup_correct_scale`: the active one is scaled by a vector for what reads it next."""

    group: ClassVar[str] = "mixer"

    altup_num_inputs: PositiveInt
    altup_correct_scale: bool = True

    def build(self, b: Builder, x: str, phase: str) -> str:
        b.module = "mixer"
        hidden = b.tensors[x].axes[-1]
        n = b.dim("altup_num_inputs", self.altup_num_inputs, "residual streams")
        stream, out, modality = Axis("stream", n), Axis("stream_out", n), Axis("modality", n)
        b.weight("norm_weight", (hidden,), module="norm")
        b.weight("scale_weight", (hidden,))
        b.weight("router_weight", (modality,), (hidden,), module="router")
        streams = b.input("streams", (BATCH, SEQ, stream, hidden))
        mixture = self._modalities(b, "predict", Read(streams, ONE / n), hidden, modality)
        weight = b.weight("predict_weight", (stream, out), (modality,))
        coefficients = b.contract("predict_coefficients", (mixture, weight), (BATCH, SEQ, stream, out), (modality,), on_chip=True)
        predicted = b.contract("predict", (streams, coefficients), (BATCH, SEQ, out, hidden), (stream,), on_chip=True)
        axes = (BATCH, SEQ, out, hidden)
        predicted = b.op("predict_sum", Kind.MAP, (predicted, streams), axes, axes)
        mixture = self._modalities(b, "correct", Read(x), hidden, modality)
        weight = b.weight("correct_weight", (out,), (modality,))
        coefficients = b.contract("correct_coefficients", (mixture, weight), (BATCH, SEQ, out), (modality,), on_chip=True)
        corrected = b.map("correct", (x, predicted, coefficients), axes, work=3)
        b.outputs.append(corrected)
        if not self.altup_correct_scale:
            return corrected
        reads = (Read(corrected, ONE / n), Read("scale_weight"))
        return b.op("corrected_active", Kind.MAP, reads, (BATCH, SEQ, hidden), (BATCH, SEQ, hidden))

    def _modalities(self, b: Builder, name: str, x: Read, hidden: Axis, modality: Axis) -> str:
        """What the router says of one stream: a number for each."""
        axes = (BATCH, SEQ, hidden)
        normed = b.op(f"{name}_norm", Kind.REDUCE, (x, Read("norm_weight")), axes, axes, work=4, on_chip=True)
        routed = b.contract(
            f"{name}_router", (normed, "router_weight"), (BATCH, SEQ, modality), (hidden,), module="router", on_chip=True
        )
        return b.map(f"{name}_tanh", (routed,), (BATCH, SEQ, modality), work=4, on_chip=True)


AUXILIARY.add("altup", AltUp)
