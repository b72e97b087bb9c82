"""How the tables' formats are asked for by programs: 'computed', or 'computed:stored' where what is stored differs.

    bf16:fp8    attention with a cache of fp8, or weights of it restored before the product
    bf16:int4, bf16:int8, bf16:mxfp4    weights restored before the product
    fp8:mxfp4   such weights times activations of mxfp8
    fp8:block   scales of two-dimensional blocks; fp8:static: one scale for the tensor, the activations' known before

Constants of forms that no format moves are asked for as 'any'.
"""

from __future__ import annotations

from typing import Final

from costc.dtypes import DTYPES, computed_in
from costc.ir.platform import ANY, Hardware
from costc.latency.forms import FORMS

#: readers' words that are not ours
FORMATS: Final = {
    "fp8_block": "fp8:block",
    "fp8_static": "fp8:static",
    "w4a16": "bf16:int4",
    "w8a16": "bf16:int8",
    "w4a16_mxfp4": "bf16:mxfp4",
    "w4a8_mxfp4": "fp8:mxfp4",
}
#: of kernels that share a form, the one that programs take: gated delta rules for scans, quantizing for elementwise
LEADING: Final = {"scan_prefill": "gdn", "scan_decode": "gdn", "elementwise": "quantize"}
#: attention with a cache of fp8 multiplies in fp8 or in bf16, and a program says one of both: its constants stand under both,
#: each with the peak that the word says
CACHED: Final = ("prefill_mla", "decode_mla", "prefill_attention", "decode_attention")
CACHES: Final = ("fp8", "bf16:fp8")
#: TensorRT-LLM has two kernels of a format: on these devices the faster one for few tokens is what end-to-end times agree with
QUICK: Final = "nvfp4_low_latency"
QUICK_DEVICES: Final = ("b200", "gb200")


def word(form: str, dtype: str, engine: str, device: Hardware) -> str:
    """The format under which a profile of the device holds the constants of a table of an engine."""
    if form in LEADING:
        return ANY if dtype == LEADING[form] else dtype
    if not any(c.per_dtype for c in FORMS[form].constants):
        return ANY
    if (form, engine) == ("grouped_gemm", "trtllm") and device.name in QUICK_DEVICES and dtype in ("nvfp4", QUICK):
        return "nvfp4" if dtype == QUICK else "nvfp4_throughput"
    if form in CACHED and dtype == "fp8" and computed_in("fp8", set(device.peak)) == "bf16":
        return "bf16:fp8"
    return FORMATS.get(dtype, dtype)


def computed(dtype: str) -> str:
    """The format computed in; bf16 where the word says a kernel or 'any'."""
    name = dtype.partition(":")[0].removesuffix("_throughput").removesuffix("_low_latency")
    return name if name in DTYPES else "bf16"
