"""Quantization methods with one format for all that they convert: how each stores a matrix, and what it converts.

Where stored bytes are not in the config, the function says whose layout is taken, and the scheme's notes say that it is assumed.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from costc.huggingface.config import MISSING, Config, shown
from costc.huggingface.quantization.lists import GLOBS, NAMES, PREFIXES, Patterns
from costc.huggingface.quantization.stored import LINEAR, Scheme, Stored

#: what transformers and exporters write beside the fields that matter
ASIDE = ("quant_method", "producer", "dequantize", "version", "backend")
#: bytes and words of a scale, by the name of its format
SCALES = {"float32": (4, "fp32"), "bfloat16": (2, "bf16"), "float8_e8m0fnu": (1, "an 8-bit exponent")}
NO_G_IDX = "the order of columns (g_idx, 4 bytes a column) and the 16-bit zero biases that some exporters store are left out"


@dataclass(frozen=True)
class Around:
    """What a method may need of the rest of the config.

    Args:
        text: the text model's config.
        others: format of what is not converted.
    """

    text: Config
    others: str


def unconverted(c: Config, field: str | tuple[str, ...], style: str = PREFIXES) -> list[Patterns]:
    """A list of modules that are not converted, if the config has one."""
    name, _ = c.raw(field, None)
    entries = c.items(field, str, None)
    return [Patterns(c, name, entries, style)] if entries is not None else []


def fp8(c: Config, around: Around) -> Scheme:
    """8-bit floats with a scale for each block, or for each tensor (arXiv 2412.19437; transformers, FineGrainedFP8Config).

    `fp8_scale_dtype` and `fp8_draft_join` are no fields of configs: rows of the mapping table say with them what checkpoints of
    an architecture do. The head is never converted: not without a list (transformers leaves out the output embedding), nor in
    the engines.
    """
    c.unused(*ASIDE)
    c.only("fmt", "e4m3", "float8_e4m3fn")
    c.only("dequantize", False)
    c.only("modules_to_convert", [])
    block = blocks(c, "weight_block_size", None)
    static = c.word("activation_scheme", "dynamic", ("dynamic", "static")) == "static"
    scheme = Scheme("fp8", skipped=unconverted(c, ("modules_to_not_convert", "ignored_layers")))
    rounded = c.word("scale_fmt", "float", ("float", "ue8m0")) == "ue8m0"
    scale, words = SCALES[around.text.word("fp8_scale_dtype", "float32", SCALES)]
    if block is None:
        made = Stored("fp8", "fp8", tensor_byte=8 if static else 4)
        scheme.notes.append("Scales are taken as fp32: one a matrix" + (", and one for its input." if static else "."))
    else:
        # a static scale of the input is one number
        made = Stored("fp8", "fp8", (block[0], block[1]), scale, 4 if static else 0)
        values = ", with powers of two for values" if rounded and scale > 1 else ""
        scheme.notes.append(f"The config does not say how scales are stored: {words} is assumed{values}.")
    scheme.default = dict.fromkeys(LINEAR, made)
    if around.text.flag("fp8_draft_join"):
        scheme.default["join"] = made
    if around.text.word("expert_dtype", "fp8", ("fp8", "fp4")) == "fp4":
        scheme.default["experts"] = Stored("mxfp4", "fp8", (1, 32), 1)
        scheme.notes.append("expert_dtype fp4: in groups of 32 with an 8-bit exponent; products at the fp8 rate are assumed.")
    return scheme


def blocks(c: Config, field: str, default: Any = MISSING) -> Any:
    """Rows and columns that share a scale."""
    found = c.items(field, int, default, 2)
    if found is not default and min(found) < 1:
        raise c.refuse(field, "whole numbers of at least 1")
    return found


def mxfp4(c: Config, around: Around) -> Scheme:
    """Experts in 4-bit floats, groups of 32 with an 8-bit exponent; nothing else (gpt-oss, arXiv 2508.10925)."""
    c.unused(*ASIDE)
    c.only("dequantize", False)
    made = Stored("mxfp4", around.others, (1, 32), 1)
    return Scheme("mxfp4", {"experts": made}, unconverted(c, "modules_to_not_convert"))


def gptq(c: Config, around: Around) -> Scheme:
    """Integers in groups along the input, a 16-bit scale and a packed zero point each (arXiv 2210.17323; AutoGPTQ's layout)."""
    c.unused(*ASIDE, *GPTQ_ASIDE)
    c.only("checkpoint_format", "gptq", "gptq_v2")
    c.only("format", "gptq", "gptq_v2")
    c.only("is_marlin_format", False)
    made = _grouped(c, around, c.size("bits"), c.count("group_size", 128, -1), "bits")
    scheme = Scheme(f"gptq-{made.dtype}", dict.fromkeys(LINEAR, made), unconverted(c, "modules_to_not_convert"))
    scheme.notes.append(f"Scales are 2 bytes a group, zero points are packed beside them; {NO_G_IDX}.")
    if c.flag("lm_head", False):
        scheme.default["head"] = made
    scheme.only = _only(c, "modules_in_block_to_quantize")
    _dynamic(c, around, scheme)
    return scheme


def _only(c: Config, field: str) -> Patterns | None:
    """The linear layers of a block that are converted, where the config names them: a list, or a list of lists."""
    _, given = c.raw(field, [])
    rows = given if isinstance(given, list) else [given]
    names = [n for row in rows for n in (row if isinstance(row, list) else [row])]
    if not all(isinstance(n, str) for n in names):
        raise c.refuse(field, "names, or lists of names")
    # the experts of a layer are named one by one
    entries = sorted({f"*.{re.sub(EXPERT, '.experts.*.', n)}" for n in names})
    return Patterns(c, field, entries, GLOBS) if entries else None


#: how weights were found, and what engines make of them
GPTQ_ASIDE = (
    "desc_act", "sym", "damp_percent", "damp_auto_increment", "static_groups", "true_sequential", "model_name_or_path",
    "model_file_base_name", "meta", "tokenizer", "dataset", "act_group_aware", "model_seqlen", "block_name_to_quantize",
    "module_name_preceding_first_block", "batch_size", "pad_token_id", "max_input_length", "cache_block_outputs", "pack_dtype",
    "use_cuda_fp16", "exllama_config", "use_exllama", "disable_exllama", "max_input_len", "mse", "quantizer", "uri", "hyb_act",
    "adapter",
)  # fmt: skip
AWQ_ASIDE = ("do_fuse", "fuse_max_seq_len", "modules_to_fuse", "provider", "checkpoint_format", "format")
BNB_ASIDE = (
    "llm_int8_threshold",
    "llm_int8_enable_fp32_cpu_offload",
    "llm_int8_has_fp16_weight",
    "bnb_4bit_compute_dtype",
    "bnb_4bit_quant_storage",
)
EXPERT = r"\.experts\.\d+\."
OVERRIDE_ASIDE = ("desc_act", "sym", "damp_percent", "static_groups", "mse")


def _grouped(c: Config, around: Around, bits: int, group: int, field: str) -> Stored:
    """A scale of 2 bytes and a zero point of as many bits as the weights for each group; -1: a group spans the input."""
    if bits not in (2, 4, 8):
        raise c.error(field, f"is {bits}; known: 2, 4, 8")
    if group == 0:
        raise c.error("group_size", "is 0; expected -1 or at least 1")
    return Stored(f"int{bits}", around.others, (1, None if group < 0 else group), 2 + bits / 8)


def _dynamic(c: Config, around: Around, scheme: Scheme) -> None:
    """`dynamic`: '-:' and a regular expression skips modules, '+:' or none changes their bits or group (GPTQModel)."""
    given = c.section("dynamic", None)
    skipped: list[str] = []
    for name in given.data if given else ():
        given.unused(name)
        pattern = f"re:{name.removeprefix('-:').removeprefix('+:')}"
        if name.startswith("-:"):
            skipped.append(pattern)
            continue
        own = given.section(name)
        own.unused(*OVERRIDE_ASIDE)
        bits, group = own.size("bits", c.size("bits")), own.count("group_size", c.count("group_size", 128, -1), -1)
        made = _grouped(own, around, bits, group, "bits")
        fields = {"dtype": made.dtype, "block": made.block, "scale_byte": made.scale_byte}
        scheme.changes.append((Patterns(c, "dynamic", [pattern], NAMES), fields))
    if skipped:
        scheme.skipped.append(Patterns(c, "dynamic", skipped, NAMES))


def awq(c: Config, around: Around) -> Scheme:
    """4-bit integers in groups along the input, a 16-bit scale and a 4-bit zero point each (arXiv 2306.00978; AutoAWQ)."""
    c.unused(*ASIDE, *GPTQ_ASIDE, *AWQ_ASIDE)
    c.only("zero_point", True)
    c.only("lm_head", False)
    bits = c.size(("bits", "w_bit"), 4)
    if bits != 4:
        raise c.error("bits", f"is {bits}; known: 4")
    made = _grouped(c, around, bits, c.count(("group_size", "q_group_size"), 128, -1), "bits")
    return Scheme("awq-int4", dict.fromkeys(LINEAR, made), unconverted(c, "modules_to_not_convert", GLOBS))


def bitsandbytes(c: Config, around: Around) -> Scheme:
    """4-bit floats in blocks of 64 (QLoRA, arXiv 2305.14314), or LLM.int8 (arXiv 2208.07339).

    A 4-bit matrix is kept with its table of 16 levels; with double quantization its scales are 8-bit, in blocks of 256 with a
    fp32 scale, and have a table of 256. An int8 matrix is kept with a fp32 scale a row and a byte that names its layout.
    """
    c.unused(*ASIDE, *BNB_ASIDE)
    four, eight = (c.flag((f"load_in_{n}bit", f"_load_in_{n}bit"), False) for n in (4, 8))
    if four is eight:
        raise c.error("load_in_4bit", "and load_in_8bit exclude each other; one of them is expected")
    skipped = unconverted(c, "llm_int8_skip_modules", GLOBS)
    kind = c.word("bnb_4bit_quant_type", "fp4", ("nf4", "fp4"))
    double = c.flag("bnb_4bit_use_double_quant", False)
    if eight:
        made = Stored("int8", "int8", (1, None), 4, 1)
        note = "Columns of outliers are multiplied in 16 bits; all are counted as int8."
    else:
        # 16 levels in fp32; a scale for each 64; doubly: 1 byte, 4 for each 256 of them, and their table of 256 in fp32
        made = Stored(kind, around.others, (1, 64), 1 + 4 / 256 if double else 4, 64 + (1024 if double else 0))
        note = "The state that describes each matrix (some 100 bytes of JSON) is left out."
    # without a list, transformers leaves out the head
    modules = LINEAR if not skipped else (*LINEAR, "head")
    return Scheme(f"bnb-{made.dtype}", dict.fromkeys(modules, made), skipped, notes=[note])


def eight_bit_cache(c: Config, *fields: str) -> str | None:
    """'fp8' where one of the fields says that the cache is kept in 8-bit floats, None where none says anything."""
    for name in fields:
        _, given = c.raw(name, None)
        if given is None:
            continue
        if given == "FP8" or (isinstance(given, Mapping) and _is_fp8(given)):
            return "fp8"
        raise c.error(name, f"is {_said(given)}, which is not modelled; known: an 8-bit float")
    return None


def _is_fp8(given: Mapping[str, Any]) -> bool:
    return given.get("type") == "float" and given.get("num_bits") == 8


def _said(given: Any) -> str:
    return f"{given.get('num_bits')}-bit {given.get('type')}" if isinstance(given, Mapping) else shown(given)
