"""The short causal convolution that recurrent mixers put before their scan: one filter for each channel, then SiLU."""

from __future__ import annotations

from costc.blocks.base import BATCH, SEQ, Axes, Builder
from costc.ir.reach import Reach
from costc.ir.types import Axis, Read


def convolved(
    b: Builder, name: str, x: str, channels: Axes, kernel: int, law: Reach, *, bias: bool = False, act: bool = True
) -> str:
    """`x` [batch seq channels] convolved over the sequence with `kernel` taps for each channel.

    The state is the last kernel - 1 inputs, in the format of the activations. 2 FLOP a tap, and 4 for the SiLU, where `act`.
    vLLM keeps as many columns; transformers one more.
    """
    size = b.dim("conv_kernel", kernel, "taps of the short convolution")
    weight = b.weight(f"{name}_conv_weight", (*channels, Axis("tap", size)))
    reads: tuple[str, ...] = (x, weight)
    if bias:
        reads += (b.weight(f"{name}_conv_bias", channels),)
    if kernel > 1:
        earlier = Axis("earlier", size - 1)
        reads += (b.state(f"{name}_conv_state", (*channels, earlier), law),)
    y = b.map(f"{name}_conv", reads, (BATCH, SEQ, *channels), work=2 * kernel + (4 if act else 0))
    if kernel > 1:
        b.map(f"{name}_conv_store", (x,), Read(f"{name}_conv_state"), work=0, domain=(BATCH, *channels, earlier))
    return y
