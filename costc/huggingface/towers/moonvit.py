"""Parameters of vision towers and of what joins them to the text model: transformers' Kimi K2.5 and MiniMax M3 classes."""

from __future__ import annotations

from costc.huggingface.config import Config


def _encoder_layer(width: int, inner: int) -> int:
    """Attention and a plain FFN with biases, and two layer norms."""
    return 4 * (width**2 + width) + 2 * width * inner + inner + width + 4 * width


def moonvit(c: Config, around: Config, hidden: int) -> int:
    """Patches with learned positions, encoder layers, a norm; neighbouring patches are merged by an MLP."""
    c.unused("pos_emb_time", "init_pos_emb_time", "num_attention_heads", "vt_num_attention_heads", "hidden_act", "model_type")
    c.unused("pos_emb_type", "video_attn_type", "merge_type", "projector_ln_eps", "text_hidden_size", "mm_projector_type")
    c.unused("projector_hidden_act", "_attn_implementation", "rope_parameters", "mm_hidden_size")
    c.only("mm_projector_type", "patchmerger")
    width = c.size(("hidden_size", "vt_hidden_size"), 1152)
    inner = c.size(("intermediate_size", "vt_intermediate_size"), 4304)
    layers = c.size(("num_hidden_layers", "vt_num_hidden_layers"), 27)
    rows, columns = (c.size((f"pos_emb_{side}", f"init_pos_emb_{side}"), 64) for side in ("height", "width"))
    merged = c.items("merge_kernel_size", int, [2, 2], 2)
    patch = 3 * c.size("patch_size", 14) ** 2
    tower = patch * width + width + rows * columns * width + layers * _encoder_layer(width, inner) + 2 * width
    joined = width * merged[0] * merged[1]
    normed = around.size("projection_hidden_size", c.size("mm_hidden_size", width))
    total: int = tower + 2 * normed + joined**2 + joined + joined * hidden + hidden
    return total


def merged_twice(c: Config, around: Config, hidden: int) -> int:
    """Patches over two frames, encoder layers, a norm before them; an MLP, and another over neighbouring patches."""
    inside = c.section("img_token_compression_config", None)
    around.unused("img_token_compression_config", "merged_hidden_size")
    c.unused("num_attention_heads", "hidden_act", "attention_dropout", "model_type", "image_size", "position_embedding_type")
    c.unused("rope_mode", "vocab_size", "vision_segment_max_frames", "projection_dim", "rope_theta", "rope_parameters")
    sizes = c if inside is None else inside
    if inside is not None:
        inside.only("image_token_compression_method", "patch_merge")
        c.unused("temporal_patch_size", "spatial_merge_size")
    width, inner, layers = c.size("hidden_size", 1280), c.size("intermediate_size", 5120), c.size("num_hidden_layers", 32)
    pixels = c.size("num_channels", 3) * sizes.size("temporal_patch_size", 2) * c.size("patch_size", 14) ** 2
    tower = pixels * width + 2 * width + layers * _encoder_layer(width, inner)
    joined, merged = around.size("projector_hidden_size", 6144), hidden * sizes.size("spatial_merge_size", 2) ** 2
    total: int = tower + (width + 1) * joined + 2 * (joined + 1) * hidden + (merged + 1) * joined
    return total
