"""Parameters of vision towers and of what joins them to the text model: transformers' Pixtral and Llama 4 vision classes."""

from __future__ import annotations

from costc.huggingface.config import Config


def pixtral(c: Config, around: Config, hidden: int) -> int:
    """A vision transformer with gated FFNs and RMS norms; neighbouring patches are merged, then two projections."""
    _irrelevant(c)
    c.unused("head_dim", "vocab_size", "num_attention_heads", "model_type", "image_size")
    width, inner, layers = c.size("hidden_size", 1024), c.size("intermediate_size", 4096), c.size("num_hidden_layers", 24)
    pixels = c.size("num_channels", 3) * c.size("patch_size", 16) ** 2
    tower = pixels * width + width + layers * (4 * width**2 + 3 * width * inner + 2 * width)
    around.only("vision_feature_layer", -1)
    merged = width * around.size("spatial_merge_size", 2) ** 2 * width
    bias = 2 * hidden if around.flag("multimodal_projector_bias", False) else 0
    total: int = tower + width + merged + (width + hidden) * hidden + bias
    return total


def shuffled(c: Config, around: Config, hidden: int) -> int:
    """A vision transformer with biases and layer norms, a class token and learned positions; a pixel shuffle, an MLP, and a
    projection.
    """
    _irrelevant(c)
    c.unused("num_attention_heads", "pixel_shuffle_ratio", "projector_dropout", "multi_modal_projector_bias")
    c.unused("vision_feature_select_strategy", "model_type")
    width, inner, layers = c.size("hidden_size", 768), c.size("intermediate_size", 5632), c.size("num_hidden_layers", 34)
    patch = c.size("patch_size", 14)
    pixels = c.size("num_channels", 3) * patch**2
    positions = (c.size("image_size", 448) // patch) ** 2 + 1
    layer = 4 * (width**2 + width) + 2 * width * inner + inner + width + 4 * width
    joined, out = c.size("projector_input_dim", 4096), c.size("projector_output_dim", 4096)
    tower = (pixels + 1 + positions + 4) * width + layers * layer
    total: int = tower + inner * joined + out**2 + c.size("vision_output_dim", 7680) * hidden
    return total


def _irrelevant(c: Config) -> None:
    c.unused("hidden_act", "attention_dropout", "initializer_range", "norm_eps", "rope_theta", "rope_parameters")
