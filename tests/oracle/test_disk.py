"""Stored bytes against published checkpoints: index totals, or sums over the headers of all shards.

The checkpoint's config.json goes through the importer; bytes of all weights are summed as the compiler counts them, with the
layers that draft tokens, and with 2 bytes a parameter of a tower. A difference is a formula, with its reason, never a tolerance.
'header sums' and 'counts' are those of public audits of the files on huggingface.co, quoted where the case says so.
"""

from __future__ import annotations

import importlib.util
import json
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import sympy as sp

from costc import symbols as S
from costc.blocks.build import build, draft
from costc.count.rules import stored_byte
from costc.huggingface.importer import spec_of
from costc.ir.model import Model
from costc.ir.types import Role, Section, Tensor
from costc.spec import model as model_spec
from costc.spec.catalog import Catalog
from costc.spec.reader import Document
from costc.spec.values import format_of, storage
from tests.unit.test_quantization_import import compressed, group, unnamed

FOUND = importlib.util.find_spec("aiconfigurator_core")
pytestmark = pytest.mark.skipif(FOUND is None, reason="aiconfigurator_core, which holds the config.json files, is not installed")

Json = dict[str, Any]
Difference = Callable[[Json], int]


def folder() -> Path:
    assert FOUND is not None
    return Path(next(iter(FOUND.submodule_search_locations or ()))) / "model_configs"


def read(name: str) -> Json | None:
    path = folder() / f"{name.replace('/', '--')}.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else None


def imported(name: str, quantization: Json | None = None, beside: Json | None = None) -> tuple[Json, Model]:
    """The text model's config, and the model, of one of the files; with another quantization where one is given."""
    config = read(f"{name}_config")
    assert config is not None
    if quantization:
        config["quantization_config"] = quantization
    found = spec_of(config, f"{name}/config.json", beside=beside or (None if quantization else read(f"{name}_hf_quant_config")))
    return config.get("text_config", config), model_spec.model(Document(found, {}, {}, name)).model


def weights(model: Model) -> Iterator[tuple[Section, Tensor, dict[str, Any]]]:
    """(section, weight, values of symbols) of all that the checkpoint stores."""
    scheme = model.scheme or Catalog().quantization(model.quantization)
    values = {name: sp.nsimplify(v) for name, v in storage(model, scheme).items()}
    for graph in (build(model, "prefill"), draft(model, "prefill")):
        known = values | ({s.name: v for s, v in graph.bindings} if graph else {})
        for section in graph or ():
            yield from ((section, t, known) for t in section.of_role(Role.WEIGHT) if not t.shared)


def valued(expression: sp.Expr, known: dict[str, Any]) -> sp.Expr:
    return expression.xreplace({s: known[s.name] for s in expression.free_symbols})


def on_disk(model: Model) -> int:
    """Bytes of all weights, and of the towers in 16 bits."""
    total = sum(valued(stored_byte(t) * section.layers, known) for section, t, known in weights(model))
    assert total == int(total)
    return int(total) + 2 * sum(model.towers.values())


def by_format(model: Model) -> Counter[str]:
    """Bytes by format of the matrices' elements; 'scales', and 'vectors'."""
    found: Counter[str] = Counter()
    assert model.scheme is not None
    for section, t, known in weights(model):
        size = valued(t.size * section.layers, known)
        elements = int(size * known[f"weight_byte_{S.key(t.module) if t.matrix else 'norm'}"])
        found[format_of(model, model.scheme, t.module).dtype if t.matrix else "vectors"] += elements
        found["scales"] += int(valued(stored_byte(t) * section.layers, known)) - elements
    return found


# ---- differences


def none(c: Json) -> int:
    return 0


def sparse(c: Json) -> int:
    """Layers with experts, those that draft tokens included."""
    return int(c["num_hidden_layers"] - c.get("first_k_dense_replace", 0) + c.get("num_nextn_predict_layers", 0))


def corrections(c: Json) -> int:
    """The correction bias of routers is fp32, where vectors are counted in 16 bits."""
    return 2 * sparse(c) * int(c["n_routed_experts"])


def scalars(matrices: int) -> int:
    """Two fp32 scalars a matrix, which a count of elements leaves out where their shape is empty."""
    return 8 * matrices


def columns(c: Json) -> int:
    """g_idx: 4 bytes a column of each matrix of a dense layer."""
    hidden, inner, out = c["hidden_size"], c["intermediate_size"], c["num_attention_heads"] * c["head_dim"]
    return int(4 * c["num_hidden_layers"] * (5 * hidden + out + inner))


def zero_biases(c: Json) -> int:
    """A fp16 bias of zeros for each row."""
    hidden, inner, head = c["hidden_size"], c["intermediate_size"], c["head_dim"]
    rows = head * (c["num_attention_heads"] + 2 * c["num_key_value_heads"]) + 2 * inner + 2 * hidden
    return int(2 * c["num_hidden_layers"] * rows)


def kimi_k2(c: Json) -> int:
    """112 bytes a layer beside: the audit counts tensors that the architecture does not have as weights."""
    return corrections(c) + 112 * int(c["num_hidden_layers"])


def kimi_k2_thinking(c: Json) -> int:
    """256 bytes a layer beside, as above; without the tower."""
    return corrections(c) + 256 * int(c["num_hidden_layers"]) - MOON_VIT


#: bytes of Kimi-K2.5's tower and projector: its file has them, Kimi-K2-Thinking has the same text model alone
MOON_VIT = 942287840


def kimi_k3(c: Json) -> int:
    """11122432 elements are fp32 (published count), 32 of them in each of 69 KDA layers are not counted as weights here."""
    kda = len(c["linear_attn_config"]["kda_layers"])
    return 2 * 11122432 + 2 * 32 * kda


def glm_5_nvfp4(c: Json) -> int:
    matrices = 3 * c["first_k_dense_replace"] + 3 * (c["num_hidden_layers"] - c["first_k_dense_replace"]) * (
        c["n_routed_experts"] + 1
    )
    return corrections(c) - scalars(matrices)


def minimax_m2_nvfp4(c: Json) -> int:
    """Attention is stored in fp32, of which the config says nothing: the published count of F32 is that of its matrices."""
    hidden, out = c["hidden_size"], c["num_attention_heads"] * c["head_dim"]
    kept = c["num_key_value_heads"] * c["head_dim"]
    attention = c["num_hidden_layers"] * 2 * hidden * (out + kept)
    return int(2 * attention - scalars(3 * c["num_hidden_layers"] * c["num_local_experts"]))


def nemotron_nano_nvfp4(c: Json) -> int:
    """Routers are stored in fp32; a Mamba layer's first projection, here in five parts, is one matrix of the file."""
    pattern = c["hybrid_override_pattern"]
    experts, mamba = pattern.count("E"), pattern.count("M") - 6
    routers = experts * (c["n_routed_experts"] * (c["hidden_size"] + 1))
    matrices = experts * 2 * (c["n_routed_experts"] + c["n_shared_experts"]) + mamba * 6
    return int(2 * routers - scalars(matrices))


def gemma_4(c: Json) -> int:
    """A scalar a layer, and two vectors of the tower's 1152 elements that standardize images, are buffers."""
    return int(2 * c["num_hidden_layers"]) + 2 * 2 * 1152


def gemma_4_experts(c: Json) -> int:
    return gemma_4(c) - scalars(3 * c["num_hidden_layers"] * c["num_experts"])


def qwen_3_5_gptq(c: Json) -> int:
    """g_idx of the experts; decay and norm of a linear layer are fp32."""
    experts = c["num_hidden_layers"] * c["num_experts"] * 4 * (2 * c["hidden_size"] + c["moe_intermediate_size"])
    linear = c["layer_types"].count("linear_attention")
    return int(experts + 2 * linear * (c["linear_num_value_heads"] + c["linear_value_head_dim"]))


# ---- checkpoints


FP8_CHANNEL: Json = {"num_bits": 8, "type": "float", "strategy": "channel", "symmetric": True}
FP8_TOKEN: Json = {"num_bits": 8, "type": "float", "strategy": "token", "symmetric": True, "dynamic": True}
INT4: Json = {"num_bits": 4, "type": "int", "strategy": "group", "group_size": 128, "symmetric": True, "actorder": "weight"}
GPTQ: Json = {"quant_method": "gptq", "bits": 4, "group_size": 128, "desc_act": True, "sym": True}
EXPERTS_ALONE: Json = {
    "lm_head": {}, "model.language_model.embed_tokens": {},
    "-:.*attn.*": {}, "-:.*shared_expert.*": {}, "-:.*mtp.*": {}, "-:.*visual.*": {},
}  # fmt: skip
HUB = "https://huggingface.co"


@dataclass(frozen=True)
class Checkpoint:
    """`config`: the file that describes it; `source`: of `published`, bytes of all tensors.

    `drafts`: whether the files hold the layers that draft tokens.
    """

    name: str
    config: str
    published: int
    source: str
    difference: Difference = none
    quantization: Json | None = None
    beside: Json | None = None
    drafts: bool = True


NVFP4_BESIDE: Json = {
    "quantization": {"quant_algo": "NVFP4", "kv_cache_quant_algo": "FP8", "group_size": 16, "exclude_modules": ["lm_head"]}
}
L8, L70 = "meta-llama/Meta-Llama-3.1-8B", "meta-llama/Meta-Llama-3.1-70B"
CHECKPOINTS = (
    Checkpoint("Llama-3.1-8B", L8, 16060522496, f"{HUB}/meta-llama/Llama-3.1-8B, index total_size"),
    Checkpoint(
        "Mixtral-8x7B", "mistralai/Mixtral-8x7B-v0.1", 93405585408, f"{HUB}/mistralai/Mixtral-8x7B-v0.1, index total_size"
    ),
    Checkpoint("Qwen3.5-27B", "Qwen/Qwen3.5-27B", 55562855904, f"{HUB}/Qwen/Qwen3.5-27B, index total_size"),
    Checkpoint("GLM-5.2", "zai-org/GLM-5.2", 1506659919872, f"{HUB}/zai-org/GLM-5.2, header sums", corrections),
    Checkpoint("GLM-5.2-FP8", "zai-org/GLM-5.2-FP8", 755617140416, f"{HUB}/zai-org/GLM-5.2-FP8, header sums", corrections),
    Checkpoint(
        # the index's own total_size is elements times 2; the counts are BF16 3918786560, F8_E4M3 680571043840, F32 41555600
        "DeepSeek-V3", "deepseek-ai/DeepSeek-V3", 3918786560 * 2 + 680571043840 + 41555600 * 4,
        f"{HUB}/deepseek-ai/DeepSeek-V3, counts by format of the hub", corrections,
    ),
    Checkpoint("DeepSeek-R1", "deepseek-ai/DeepSeek-R1", 688574839360, f"{HUB}/deepseek-ai/DeepSeek-R1, as V3", corrections),
    Checkpoint("Qwen3-32B-FP8", "Qwen/Qwen3-32B-FP8", 34322434048, f"{HUB}/Qwen/Qwen3-32B-FP8, counts by format of the hub"),
    Checkpoint(
        "Kimi-K2-Instruct", "moonshotai/Kimi-K2-Instruct", 1029173256720, f"{HUB}/moonshotai/Kimi-K2-Instruct, header sums",
        kimi_k2,
    ),
    Checkpoint("Kimi-K2.5", "moonshotai/Kimi-K2.5", 595148192736, f"{HUB}/moonshotai/Kimi-K2.5, header sums", corrections),
    Checkpoint(
        "Kimi-K2-Thinking", "moonshotai/Kimi-K2.5", 594205920512, f"{HUB}/moonshotai/Kimi-K2-Thinking, header sums",
        kimi_k2_thinking,
    ),
    Checkpoint("Kimi-K3", "moonshotai/Kimi-K3", 1560860324864, f"{HUB}/moonshotai/Kimi-K3, header sums", kimi_k3),
    Checkpoint("gpt-oss-20b", "openai/gpt-oss-20b", 13761264768, f"{HUB}/openai/gpt-oss-20b, index total_size"),
    Checkpoint(
        "gpt-oss-120b", "openai/gpt-oss-120b", 65248815744,
        f"{HUB}/the-qa-company/gpt-oss-120b/commit/6b0e4641a960e79b83d9c2327297012cd488a2ee, index total_size",
    ),
    Checkpoint("GLM-5-NVFP4", "nvidia/GLM-5-NVFP4", 460816669184, f"{HUB}/nvidia/GLM-5-NVFP4, counts by format", glm_5_nvfp4),
    Checkpoint(
        "MiniMax-M2.5-NVFP4", "nvidia/MiniMax-M2.5-NVFP4", 139862328320,
        f"{HUB}/nvidia/MiniMax-M2.5-NVFP4, counts by format", minimax_m2_nvfp4, drafts=False,
    ),
    Checkpoint(
        "Nemotron-3-Nano-NVFP4", "nvidia/NVIDIA-Nemotron-3-Nano-30B-A3B-NVFP4", 19339733888,
        f"{HUB}/nvidia/NVIDIA-Nemotron-3-Nano-30B-A3B-NVFP4, counts by format", nemotron_nano_nvfp4,
    ),
    Checkpoint(
        "Gemma-4-31B-IT-NVFP4", "nvidia/Gemma-4-31B-IT-NVFP4", 32633255032, f"{HUB}/nvidia/Gemma-4-31B-IT-NVFP4, header sums",
        gemma_4,
    ),
    Checkpoint(
        "Gemma-4-26B-A4B-NVFP4", "nvidia/Gemma-4-26B-A4B-NVFP4", 18782268572,
        f"{HUB}/nvidia/Gemma-4-26B-A4B-NVFP4, counts by format", gemma_4_experts,
    ),
    Checkpoint(
        "Llama-3.1-8B FP8-dynamic", L8, 9083953152, f"{HUB}/RedHatAI/Meta-Llama-3.1-8B-Instruct-FP8-dynamic, header sums",
        quantization=compressed(group(FP8_CHANNEL, FP8_TOKEN), form="float-quantized"),
    ),
    Checkpoint(
        "Llama-3.1-8B GPTQ", L8, 5735587840, f"{HUB}/RedHatAI/Meta-Llama-3.1-8B-Instruct-quantized.w4a16, header sums",
        lambda c: columns(c) + zero_biases(c), GPTQ,
    ),
    Checkpoint(
        "Llama-3.3-70B w4a16", L70, 39525311232, f"{HUB}/RedHatAI/Llama-3.3-70B-Instruct-quantized.w4a16, header sums",
        columns, compressed(group(INT4), form="pack-quantized"),
    ),
    Checkpoint(
        "Llama-3-70B AWQ", L70, 39767785472, "index total_size of a Llama-3-70B AWQ checkpoint of 9 shards",
        quantization={"quant_method": "awq", "bits": 4, "group_size": 128, "zero_point": True, "version": "gemm"},
    ),
    Checkpoint(
        # the file has 12 scalars of a layer in fp32 and 4 in bf16: 56 bytes, as two fp32 scalars for each of 7 matrices
        "Llama-3.3-70B NVFP4", L70, 42709045632, f"{HUB}/nvidia/Llama-3.3-70B-Instruct-FP4, header sums", beside=NVFP4_BESIDE,
    ),
    Checkpoint(
        "Qwen3.5-397B-A17B-GPTQ-Int4", "Qwen/Qwen3.5-397B-A17B", 235657499488,
        f"{HUB}/Qwen/Qwen3.5-397B-A17B-GPTQ-Int4, index total_size",
        qwen_3_5_gptq, {**GPTQ, "desc_act": False, "lm_head": False, "dynamic": EXPERTS_ALONE},
    ),
)  # fmt: skip


@pytest.mark.parametrize("checkpoint", CHECKPOINTS, ids=lambda c: c.name)
def test_bytes_on_disk(checkpoint: Checkpoint) -> None:
    config, model = imported(checkpoint.config, checkpoint.quantization, checkpoint.beside)
    model = model if checkpoint.drafts else replace(model, mtp=None)
    sizes = {"head_dim": config["hidden_size"] // config["num_attention_heads"]} if "num_attention_heads" in config else {}
    assert on_disk(model) + checkpoint.difference({**sizes, **config}) == checkpoint.published, checkpoint.source


def test_counts_by_format_of_deepseek_v4() -> None:
    """DeepSeek-V4-Flash: the hub counts F8_E4M3, I8 (two 4-bit elements each), F8_E8M0 (scales) and BF16 elements.

    BF16 elements that are vectors here: the norms of attention and of entries, of layers, of the draft layer and the last one.
    """
    config, model = imported("deepseek-ai/DeepSeek-V4-Flash")
    found = by_format(model)
    assert found["fp8"] == 6023020544
    assert found["mxfp4"] == 141733920768
    assert found["scales"] == 8858737664
    layers, hidden, head = config["num_hidden_layers"] + 1, config["hidden_size"], config["head_dim"]
    kinds = Counter(config["compress_ratios"])
    norms = (
        layers * (2 * hidden + config["q_lora_rank"] + head)
        + (kinds[4] + kinds[128]) * head
        + kinds[4] * config["index_head_dim"]
    )
    assert found["bf16"] // 2 + norms + 4 * hidden == 1415259264


def quantized() -> list[str]:
    """Configs of the files that say a quantization."""
    if FOUND is None:
        return []
    found = [
        p.name.removesuffix("_config.json") for p in folder().glob("*_config.json") if not p.name.endswith("hf_quant_config.json")
    ]
    return sorted(
        n
        for n in found
        if "quant" in n.lower() or "FP" in n or "quantization_config" in (folder() / f"{n}_config.json").read_text()
    )


@pytest.mark.parametrize("name", quantized())
def test_quantized_configs_are_read_and_their_weights_have_names(name: str) -> None:
    _, model = imported(name)
    assert model.scheme is not None
    assert not unnamed(model)
    assert on_disk(model) > 0
