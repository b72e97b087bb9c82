"""How the weights of a checkpoint are stored: from its quantization_config, or the hf_quant_config.json beside it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from costc.errors import not_among
from costc.huggingface.config import Config, shown
from costc.huggingface.draft import Draft
from costc.huggingface.quantization import modelopt as nvidia
from costc.huggingface.quantization import schemes
from costc.huggingface.quantization.compressed_tensors import compressed_tensors
from costc.huggingface.quantization.coverage import FIRST, Coverage
from costc.huggingface.quantization.schemes import Around
from costc.huggingface.quantization.stored import Scheme, Stored

DTYPES = {"bfloat16": "bf16", "float16": "fp16", "float32": "fp32", "half": "fp16", "float": "fp32"}
FIELDS = ("quantization_config", "compression_config")
#: formats of products for which activations travel in 8 bits
SENT_IN_8_BITS = ("fp8", "nvfp4")
FP8, MODELOPT = "fp8", "modelopt"

#: quant_method -> how it is read
METHODS: dict[str, Callable[[Config, Around], Scheme]] = {
    FP8: schemes.fp8,
    "mxfp4": schemes.mxfp4,
    "gptq": schemes.gptq,
    "awq": schemes.awq,
    "bitsandbytes": schemes.bitsandbytes,
    "compressed-tensors": compressed_tensors,
}


def quantization(whole: Config, text: Config, beside: Mapping[str, Any] | None, draft: Draft) -> str | dict[str, Any]:
    """A scheme of the catalogue by name, or one of the checkpoint's own as a mapping.

    Args:
        whole, text: the config, and the text model's part of it.
        beside: what a hf_quant_config.json says.
        draft: the model; blocks that layers store in unlike ways are drawn apart in it.
    """
    others = _others(whole, text, draft)
    c = _config(whole, text)
    file = Config(beside, "hf_quant_config.json") if beside is not None else None
    if file:
        file.unused("producer", "quant_method")
    inner = file.section("quantization") if file else None
    if c is None and inner is None:
        return others
    scheme = _scheme(c, inner, Around(text, others))
    if file:
        file.finish()
    return _mapping(scheme, Coverage(scheme, draft).keys(), others, c or inner)


def _others(whole: Config, text: Config, draft: Draft) -> str:
    """The format of what is not converted."""
    asked = ("dtype", "torch_dtype")
    word = text.word(asked, None) or whole.word(asked, None)
    if word is None:
        draft.notes.append("The config does not say a dtype; bfloat16 is assumed.")
        return "bf16"
    name = word.removeprefix("torch.")
    if name not in DTYPES:
        raise text.error("dtype", not_among("format", name, DTYPES))
    return DTYPES[name]


def _config(whole: Config, text: Config) -> Config | None:
    """The quantization_config, wherever it is."""
    places = (whole,) if whole is text else (whole, text)
    found = [place.section(name) for place in places for name in FIELDS if name in place]
    if len(found) > 1 and found[0].data != found[1].data:
        raise found[1].error("quant_method", f"differs from {found[0].where.rstrip('.')}; one quantization_config is expected")
    for again in found[1:]:
        again.unused(*again.data)
    return found[0] if found else None


def _scheme(c: Config | None, beside: Config | None, around: Around) -> Scheme:
    """What the config, or the file beside it, says."""
    if c is None:
        assert beside is not None
        return nvidia.modelopt(None, around, beside)
    method = c.word("quant_method", MODELOPT if "quant_algo" in c else None)
    if method == MODELOPT:
        return nvidia.modelopt(c, around, beside)
    if method not in METHODS:
        raise c.error("quant_method", not_among("method", str(method), (*METHODS, MODELOPT)))
    scheme = METHODS[method](c, around)
    if method == FP8 and "quant_algo" in c:
        nvidia.over(c, around, beside, scheme)
    elif beside is not None:
        raise c.error("quant_method", f"is {shown(method)}, and there is a hf_quant_config.json; one of the two is expected")
    return scheme


def _mapping(scheme: Scheme, keys: Mapping[str, Stored | None], others: str, c: Config | None) -> dict[str, Any]:
    """A scheme as its spec holds it."""
    own = next((made for module in FIRST if (made := keys.get(module))), None) or next((m for m in keys.values() if m), None)
    if own is None:
        assert c is not None
        raise c.error("quant_method", "converts none of this model's weights")
    plain = Stored(others, others)
    modules = {}
    for key, made in keys.items():
        whole = "/" not in key and "." not in key
        if (whole and made not in (None, own)) or not whole:
            stored = made or plain
            modules[key] = {**stored.mapping(), "compute": stored.compute}
    experts = keys.get("experts", own)
    sent = experts.compute if experts else others
    return {
        "name": f"published-{scheme.name}",
        "title": _title(keys, own),
        "sources": {"config": {"title": f"{c.where.rstrip('.') if c else 'quantization'} of the checkpoint"}},
        "source": "config",
        "weights": own.mapping(),
        "converts": [key for key, made in keys.items() if made == own and "/" not in key and "." not in key],
        **({"modules": modules} if modules else {}),
        "others": others,
        "activations": others,
        "dispatch": "fp8" if sent in SENT_IN_8_BITS else others,
        "kv_cache": scheme.kv_cache or others,
        "compute": own.compute,
        "attention_compute": others,
        **({"note": " ".join(dict.fromkeys(scheme.notes))} if scheme.notes else {}),
    }


def _title(keys: Mapping[str, Stored | None], own: Stored) -> str:
    """The formats, the scheme's own first."""
    words = dict.fromkeys((own.words(), *(made.words() for made in keys.values() if made)))
    return f"as published: {', '.join(words)}"
