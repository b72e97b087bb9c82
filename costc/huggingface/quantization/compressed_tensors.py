"""compressed-tensors: groups of modules, each with its own number format and scales (the format of LLM Compressor).

Sources: github.com/vllm-project/compressed-tensors, quantization/quant_args.py and compressors/.
"""

from __future__ import annotations

from typing import Any

from costc.errors import not_among
from costc.huggingface.config import Config, shown
from costc.huggingface.quantization.lists import NAMES, Patterns
from costc.huggingface.quantization.schemes import ASIDE, NO_G_IDX, Around, blocks, eight_bit_cache, unconverted
from costc.huggingface.quantization.stored import LINEAR, Scheme, Stored

FORMATS = (
    "pack-quantized",
    "int-quantized",
    "float-quantized",
    "naive-quantized",
    "nvfp4-pack-quantized",
    "mxfp4-pack-quantized",
    "mxfp8-quantized",
    "mixed-precision",
)
STRATEGIES = ("tensor", "channel", "group", "block", "tensor_group", "token")
SCALES = {"torch.uint8": 1, "torch.float8_e4m3fn": 1, "torch.bfloat16": 2, "torch.float16": 2, "torch.float32": 4}
#: how weights were calibrated: without a bearing on how they are stored
ARGS_ASIDE = ("dynamic", "observer", "observer_kwargs")
#: the unpacked shape of a packed matrix, two int64
SHAPE = 16


def compressed_tensors(c: Config, around: Around) -> Scheme:
    """Groups target modules by class ('Linear') or by name; a name wins over a class."""
    c.unused(*ASIDE, "quantization_status", "global_compression_ratio", "run_compressed", "use_optimized_inference")
    c.only("sparsity_config", {}, {"format": "dense"})
    c.only("transform_config", {})
    c.only("dequantize", False)
    form = c.word("format", None, FORMATS)
    scheme = Scheme("", skipped=unconverted(c, "ignore", NAMES))
    groups = c.section("config_groups")
    for name in groups.data:
        group = groups.section(name)
        made = _group(group, around, group.word("format", form, FORMATS), scheme)
        targets = group.items("targets", str)
        if "Linear" in targets:
            scheme.default = scheme.default or dict.fromkeys((*LINEAR, "head"), made)
            if scheme.default["head"] != made:
                raise group.error("targets", "holds 'Linear', as another group's do")
        by_name = [t for t in targets if t != "Linear"]
        for target in by_name:
            if target[:1].isupper() and "." not in target:
                raise group.error("targets", not_among("class", target, ("Linear",)))
        if by_name:
            scheme.named.append((Patterns(group, "targets", by_name, NAMES), made))
    made_of = [*scheme.default.values(), *(made for _, made in scheme.named)]
    if not made_of:
        raise c.error("config_groups", "is empty; expected one or more groups")
    scheme.name = f"compressed-{made_of[0].dtype}"
    scheme.kv_cache = eight_bit_cache(c, "kv_cache_scheme")
    return scheme


def _group(group: Config, around: Around, form: str | None, scheme: Scheme) -> Stored:
    """How a group's weights are stored, and what they are multiplied in."""
    group.only("output_activations")
    args = group.section("weights")
    args.unused(*ARGS_ASIDE)
    bits, kind = args.size("num_bits"), args.word("type", "int", ("int", "float"))
    strategy = args.word("strategy", "tensor", STRATEGIES)
    if (kind, bits) not in {("int", 4), ("int", 8), ("float", 4), ("float", 8)}:
        raise args.error("num_bits", f"is {bits}, of type {kind}; known: 4 and 8")
    block, scale = _scales(args, kind, bits, strategy)
    dtype = {("float", 8): "fp8", ("float", 4): "nvfp4" if block == (1, 16) else "mxfp4"}.get((kind, bits), f"int{bits}")
    if dtype == "mxfp4" and block != (1, 32):
        raise args.error("group_size", f"is {shown(block[1])}; 4-bit floats have groups of 16 or 32")
    static, asked = _inputs(group)
    tensor: float = 0
    if dtype == "nvfp4":
        tensor = 4 + (4 if asked else 0)
    elif strategy == "tensor":
        scale, tensor = 0, 2 + (2 if static else 0)
    elif static:
        tensor = 2
    if form == "pack-quantized":
        shape = around.text.count("packed_shape_byte", SHAPE)
        tensor += shape
        scheme.notes.append(f"The unpacked shape of a matrix is taken as {shape} bytes; {NO_G_IDX}.")
    if dtype in ("fp8", "int4", "int8") and "scale_dtype" not in args:
        scheme.notes.append("Scales are taken as 2 bytes each, as LLM Compressor stores them.")
    return Stored(dtype, _compute(group, asked, dtype, around), block, scale, tensor)


def _scales(args: Config, kind: str, bits: int, strategy: str) -> tuple[tuple[int | None, int | None], float]:
    """(rows and columns that share a scale, bytes of it and of a zero point)."""
    args.only("actorder", "group", "weight", "static", "dynamic", True, False)
    args.only("zp_dtype", "torch.int8", "torch.int32", "torch.uint8")
    size = args.count("group_size", None, -1)
    block: tuple[int | None, int | None] = (None, None)
    default = 2
    shape = args.raw("block_structure", None)[1]
    if strategy == "block":
        rows = blocks(args, "block_structure")
        block = (rows[0], rows[1])
    elif shape is not None:
        raise args.error("block_structure", f"is {shown(shape)}, with strategy {strategy}")
    if strategy == "channel" or (strategy == "group" and size == -1):
        block = (1, None)
    elif strategy in ("group", "tensor_group"):
        if not size or size < 1:
            raise args.refuse("group_size", "at least 1")
        block = (1, size)
        default = 1 if kind == "float" and bits == 4 else 2
    elif strategy == "token":
        raise args.error("strategy", "is 'token', which weights do not have")
    word = args.word("scale_dtype", None, SCALES)
    scale: float = SCALES[word] if word else default
    if not args.flag("symmetric", True):
        scale += bits / 8
    return block, scale


def _inputs(group: Config) -> tuple[bool, tuple[str, int] | None]:
    """(whether the input has a scale that is stored, type and bits of the input or None)."""
    given = group.section("input_activations", None)
    if given is None:
        return False, None
    given.unused(*ARGS_ASIDE, "actorder", "block_structure", "group_size", "strategy", "symmetric", "scale_dtype", "zp_dtype")
    dynamic: Any = given.raw("dynamic", False)[1]
    return dynamic is False, (given.word("type", "int", ("int", "float")), given.size("num_bits"))


def _compute(group: Config, asked: tuple[str, int] | None, dtype: str, around: Around) -> str:
    """The format of a product: of the inputs, unless only the weights are quantized."""
    if asked is None:
        return around.others
    if asked == ("float", 4) and dtype in ("nvfp4", "mxfp4"):
        return dtype
    known = {("float", 8): "fp8", ("int", 8): "int8"}
    if asked not in known:
        raise group.error("input_activations", f"is {asked[1]}-bit {asked[0]}, with weights in {dtype}; this is not modelled")
    return known[asked]
