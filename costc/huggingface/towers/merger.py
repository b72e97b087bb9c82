"""Parameters of the towers beside a text model, from their configs: encoder, and what joins it to the text model.

They are named in a model's facts and take memory only where a server loads them; the text model's cost holds none of them.
One function for each layout, of (the tower's config, the config around it, the text model's hidden size).
"""

from __future__ import annotations

from costc.huggingface.config import Config
from costc.huggingface.row import Tower

#: fields on which no tensor's shape depends
SHAPELESS = (
    "hidden_act", "hidden_activation", "num_heads", "tokens_per_second", "window_size", "fullatt_block_indexes",
    "spatial_patch_size", "pooling_kernel_size", "default_output_length", "image_seq_length", "video_seq_length", "standardize",
    "use_clipped_linears", "global_head_dim", "layer_scale_init_value", "ls_init_value", "max_position_embeddings",
)  # fmt: skip
CHANNELS = ("in_channels", "in_chans", "num_channels")


def linear(out: int, in_: int, bias: bool = True) -> int:
    """A projection."""
    return out * in_ + out * bias


def sides(c: Config, name: str, default: int) -> tuple[int, int]:
    """Height and width of a patch or an image, of which a config gives one or both."""
    _, value = c.raw(name, default)
    found = value if isinstance(value, list) else [value, value]
    if len(found) != 2 or not all(isinstance(s, int) and not isinstance(s, bool) and 0 < s < 10**5 for s in found):
        raise c.refuse(name, "one or two whole numbers")
    return found[0], found[1]


def area(c: Config, name: str, default: int) -> int:
    """Points of a patch."""
    height, width = sides(c, name, default)
    return height * width


def places(c: Config, image: int, patch: int) -> int:
    """Patches of an image."""
    (high, wide), (tall, broad) = sides(c, "image_size", image), sides(c, "patch_size", patch)
    return (high // tall) * (wide // broad)


def merging(deepstack: tuple[int, ...]) -> Tower:
    """Qwen3-VL's: blocks with layer norms and biases, a merger of patches, and one more for each layer of `deepstack`.

    Args:
        deepstack: layers whose patches are merged too, where the config does not say.
    """

    def count(c: Config, whole: Config, hidden: int) -> int:
        c.unused(*SHAPELESS)
        width, inner, out = c.size("hidden_size", 1152), c.size("intermediate_size", 4304), c.size("out_hidden_size", 3584)
        patch = c.size(CHANNELS, 3) * c.size("temporal_patch_size", 2) * area(c, "patch_size", 16)
        merged = width * c.size("spatial_merge_size", 2) ** 2
        block = 4 * width + linear(3 * width, width) + linear(width, width) + linear(inner, width) + linear(width, inner)
        merger = linear(merged, merged) + linear(out, merged)
        stacked = len(c.items("deepstack_visual_indexes", int, list(deepstack)))
        embedded = linear(width, patch) + c.size("num_position_embeddings", 2304) * width
        found: int = embedded + c.size("depth", 27) * block + 2 * width + merger + stacked * (2 * merged + merger)
        return found

    return count


def windowed(c: Config, whole: Config, hidden: int) -> int:
    """Qwen2.5-VL's: blocks with RMS norms and gated FFNs, a merger of patches (arXiv 2502.13923)."""
    c.unused(*SHAPELESS)
    width, inner, out = c.size("hidden_size", 3584), c.size("intermediate_size", 3420), c.size("out_hidden_size", 3584)
    patch = c.size(CHANNELS, 3) * c.size("temporal_patch_size", 2) * area(c, "patch_size", 14)
    merged = width * c.size("spatial_merge_size", 2) ** 2
    ffn = 2 * linear(inner, width) + linear(width, inner)
    block = 2 * width + linear(3 * width, width) + linear(width, width) + ffn
    count: int = width * patch + c.size("depth", 32) * block + width + linear(merged, merged) + linear(out, merged)
    return count


def plain(c: Config, whole: Config, hidden: int) -> int:
    """Qwen2-VL's: blocks with layer norms and plain FFNs, a merger of patches (arXiv 2409.12191)."""
    c.unused(*SHAPELESS)
    width, out, ratio = c.size("embed_dim", 1280), c.size("hidden_size", 3584), c.number("mlp_ratio", 4)
    patch = c.size(CHANNELS, 3) * c.size("temporal_patch_size", 2) * area(c, "patch_size", 14)
    merged, inner = width * c.size("spatial_merge_size", 2) ** 2, int(width * ratio)
    block = 4 * width + linear(3 * width, width) + linear(width, width) + linear(inner, width) + linear(width, inner)
    count: int = width * patch + c.size("depth", 32) * block + 2 * width + linear(merged, merged) + linear(out, merged)
    return count


def siglip(c: Config, whole: Config, hidden: int) -> int:
    """SigLIP (arXiv 2303.15343) without what joins it to a text model; its pooling head where `vision_use_head`."""
    c.unused(*SHAPELESS, "num_attention_heads", "num_image_tokens", "projection_dim", "projector_hidden_act")
    width, inner = c.size("hidden_size", 768), c.size("intermediate_size", 3072)
    ffn = linear(inner, width) + linear(width, inner)
    block = 4 * width + 4 * linear(width, width) + ffn
    head = width + 4 * linear(width, width) + 2 * width + ffn if c.flag("vision_use_head", True) else 0
    embedded = linear(width, c.size(CHANNELS, 3) * area(c, "patch_size", 16)) + places(c, 224, 16) * width
    count: int = embedded + c.size("num_hidden_layers", 12) * block + 2 * width + head
    return count


def siglip_pooled(c: Config, whole: Config, hidden: int) -> int:
    """SigLIP, whose patches are pooled, normed and projected without a bias (Gemma 3, arXiv 2503.19786)."""
    width: int = c.size("hidden_size", 768)
    return siglip(c, whole, hidden) + width + width * hidden


def axial(c: Config, whole: Config, hidden: int) -> int:
    """Gemma 4's: blocks with four norms and gated FFNs without biases, a learned embedding for each coordinate."""
    c.unused(*SHAPELESS)
    width, inner = c.size("hidden_size", 768), c.size("intermediate_size", 3072)
    heads, head = c.size("num_attention_heads", 12), c.size("head_dim", 64)
    kept = heads + c.size("num_key_value_heads", 12)
    c.unused("attention_bias")
    block = 4 * width + 2 * width * head * kept + 2 * head + 3 * width * inner
    embedded = 3 * area(c, "patch_size", 16) * width + 2 * c.size("position_embedding_size", 10240) * width
    count: int = embedded + c.size("num_hidden_layers", 16) * block + width * hidden
    return count


def pooled(c: Config, whole: Config, hidden: int) -> int:
    """Kimi K3's: blocks with RMS norms and no biases, a norm, an MLP over neighbouring patches, a norm (arXiv 2607.24653)."""
    c.unused("vt_num_attention_heads", "init_pos_emb_time", "pos_emb_interpolation_mode", "projector_ln_eps")
    c.unused("activation_func", "projector_hidden_act", "merge_type", "_attn_implementation", "text_hidden_size")
    for name, value in (("norm_type", "rmsnorm"), ("mlp_type", "mlp2"), ("mm_projector_type", "patchmergerv2")):
        c.only(name, value)
    for name in ("attn_bias", "linear_bias", "patch_embed_proj_bias"):
        c.only(name, False)
    c.only("pos_emb_type", "divided_fixed")
    width, inner = c.size("vt_hidden_size"), c.size("vt_intermediate_size")
    block = 2 * width + 4 * width * c.size("qkv_hidden_size", width) + 2 * width * inner
    tall, broad = c.items("merge_kernel_size", int, [2, 2], 2)
    merged = c.size("mm_hidden_size", width) * tall * broad
    embedded = (3 * area(c, "patch_size", 14) + c.size("init_pos_emb_height") * c.size("init_pos_emb_width")) * width
    count: int = embedded + c.size("vt_num_hidden_layers") * block + width + merged**2 + (merged + 1) * hidden
    return count


def downsampled(c: Config, whole: Config, hidden: int) -> int:
    """Step 3.7's: blocks with scaled residuals, then two convolutions of 3 x 3 that each double the channels."""
    c.unused(*SHAPELESS, "intermediate_size", "num_attention_heads", "heads", "use_rope2d", "output_dim")
    for name, modelled in (("use_cls_token", False), ("use_ln_pre", True), ("use_ln_post", False), ("use_abs_posemb", True)):
        c.only(name, modelled)
    c.only("pool_type", "none")
    whole.only("understand_projector_stride", 2)
    width = c.size(("width", "hidden_size"), 1536)
    inner = int(width * c.number("mlp_ratio", 8960 / 1536))
    block = 6 * width + 4 * linear(width, width) + linear(inner, width) + linear(width, inner)
    embedded = (c.size(CHANNELS, 3) * area(c, "patch_size", 14) + places(c, 728, 14) + 2) * width
    down = linear(2 * width, 9 * width) + linear(4 * width, 18 * width)
    joined = linear(hidden, 4 * width, whole.flag("projector_bias", False))
    count: int = embedded + c.size(("layers", "num_hidden_layers"), 47) * block + down + joined
    return count
