"""Reading quantization_config: formats and coverage as worked out by hand, for small models of each method."""

from __future__ import annotations

from typing import Any

import pytest
import sympy as sp

from costc import symbols as S
from costc.blocks import KINDS
from costc.blocks.build import build, draft
from costc.count.rules import stored_byte
from costc.huggingface.config import ConfigError
from costc.huggingface.draft import Draft
from costc.huggingface.importer import spec_of
from costc.huggingface.quantization import names
from costc.huggingface.quantization.coverage import Coverage
from costc.huggingface.quantization.stored import Scheme, Stored
from costc.ir.model import Model
from costc.ir.types import Role
from costc.spec import model as model_spec
from costc.spec.reader import Document
from costc.spec.values import storage

Json = dict[str, Any]

SIZES: Json = {
    "hidden_size": 256, "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 64, "intermediate_size": 640,
    "vocab_size": 1000, "num_hidden_layers": 4, "max_position_embeddings": 4096, "torch_dtype": "bfloat16",
}  # fmt: skip
DENSE: Json = {"model_type": "llama", **SIZES}
EXPERTS: Json = {
    "model_type": "qwen3_moe", **SIZES, "num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 128,
    "decoder_sparse_step": 1, "mlp_only_layers": [],
}  # fmt: skip
#: a dense layer, three with experts, and one that drafts tokens
LATENT: Json = {
    "model_type": "deepseek_v3", **SIZES, "q_lora_rank": 128, "kv_lora_rank": 64, "qk_nope_head_dim": 32, "qk_rope_head_dim": 16,
    "v_head_dim": 32, "n_routed_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 128, "n_shared_experts": 1,
    "first_k_dense_replace": 1, "moe_layer_freq": 1, "n_group": 1, "topk_group": 1, "num_nextn_predict_layers": 1,
}  # fmt: skip
GPT_OSS: Json = {
    "model_type": "gpt_oss", **SIZES, "num_local_experts": 4, "num_experts_per_tok": 2, "sliding_window": 128,
    "layer_types": ["sliding_attention", "full_attention"] * 2,
}  # fmt: skip
BF16 = {"dtype": "bf16", "compute": "bf16"}
FP8_BLOCKS = {"dtype": "fp8", "block": [128, 128], "scale_byte": 4}
NVFP4 = {"dtype": "nvfp4", "block": [1, 16], "scale_byte": 1, "tensor_byte": 8}
FP8: Json = {"quant_method": "fp8", "fmt": "e4m3", "activation_scheme": "dynamic", "weight_block_size": [128, 128]}
OPT: Json = {"quant_method": "modelopt", "quant_algo": "NVFP4", "group_size": 16, "ignore": ["lm_head"]}
GPTQ: Json = {"quant_method": "gptq", "bits": 4, "group_size": 128, "desc_act": False, "sym": True}
AWQ: Json = {"quant_method": "awq", "bits": 4, "group_size": 128, "zero_point": True, "version": "gemm"}


def scheme(config: Json, quantization: Json | None = None, beside: Json | None = None) -> Any:
    """The `quantization` of the imported spec."""
    return spec(config, quantization, beside)["quantization"]


def spec(config: Json, quantization: Json | None = None, beside: Json | None = None) -> Json:
    given = {**config, "quantization_config": quantization} if quantization is not None else config
    return spec_of(given, "config.json", beside=beside)


def refusal(config: Json, quantization: Json, beside: Json | None = None) -> str:
    with pytest.raises(ConfigError) as caught:
        scheme(config, quantization, beside)
    return str(caught.value)


def layers(pattern: str, at: range = range(4)) -> list[str]:
    return [pattern.replace("{L}", str(i)) for i in at]


# ---- not quantized


@pytest.mark.parametrize(("said", "name"), [("bfloat16", "bf16"), ("float16", "fp16"), ("torch.float32", "fp32")])
def test_an_unquantized_checkpoint_has_a_scheme_of_the_catalogue(said: str, name: str) -> None:
    assert scheme({**DENSE, "torch_dtype": said}) == name


def test_a_missing_dtype_is_assumed_and_said() -> None:
    found = spec({k: v for k, v in DENSE.items() if k != "torch_dtype"})
    assert found["quantization"] == "bf16"
    assert found["note"] == "The config does not say a dtype; bfloat16 is assumed."


def test_an_unknown_dtype_is_refused() -> None:
    with pytest.raises(ConfigError, match="unknown format 'float8_e4m3fn'"):
        scheme({**DENSE, "torch_dtype": "float8_e4m3fn"})


# ---- fp8


def test_fp8_in_blocks() -> None:
    assert scheme(DENSE, FP8) == {
        "name": "published-fp8",
        "title": "as published: fp8 in blocks of 128 x 128",
        "sources": {"config": {"title": "quantization_config of the checkpoint"}},
        "source": "config",
        "weights": FP8_BLOCKS,
        "converts": ["attention", "ffn"],
        "others": "bf16",
        "activations": "bf16",
        "dispatch": "fp8",
        "kv_cache": "bf16",
        "compute": "fp8",
        "attention_compute": "bf16",
        "note": "The config does not say how scales are stored: fp32 is assumed.",
    }


@pytest.mark.parametrize(("activations", "byte"), [("dynamic", 4), ("static", 8)])
def test_fp8_per_tensor(activations: str, byte: int) -> None:
    found = scheme(DENSE, {"quant_method": "fp8", "activation_scheme": activations})
    assert found["weights"] == {"dtype": "fp8", "tensor_byte": byte}


def test_fp8_scales_are_those_of_the_architecture() -> None:
    assert scheme({**DENSE, "model_type": "qwen3"}, FP8)["weights"]["scale_byte"] == 2
    rounded = scheme(DENSE, {**FP8, "scale_fmt": "ue8m0"})
    assert rounded["weights"]["scale_byte"] == 4
    assert "powers of two" in rounded["note"]


def test_fp8_experts_in_4_bits() -> None:
    found = scheme({**LATENT, "expert_dtype": "fp4"}, FP8)
    assert found["weights"] == {"dtype": "mxfp4", "block": [1, 32], "scale_byte": 1}
    assert (found["converts"], found["compute"], found["dispatch"]) == (["experts"], "fp8", "fp8")
    fp8 = {**FP8_BLOCKS, "compute": "fp8"}
    assert found["modules"] == {"attention": fp8, "ffn": fp8, "ffn.join_proj": BF16, "shared_experts": fp8}


def test_fp8_leaves_the_projection_that_joins_a_draft_layers_inputs() -> None:
    found = scheme(LATENT, FP8)
    assert found["converts"] == ["attention", "ffn", "experts", "shared_experts"]
    assert found["modules"] == {"ffn.join_proj": BF16}


def test_a_projection_that_is_left_out_everywhere() -> None:
    """MiMo-V2-Flash's list."""
    found = scheme(DENSE, {**FP8, "ignored_layers": layers("model.layers.{L}.self_attn.o_proj")})
    assert found["modules"] == {"attention.o_proj": BF16}


def test_a_projection_that_is_left_out_in_some_layers_draws_the_block_apart() -> None:
    found = spec(DENSE, {**FP8, "modules_to_not_convert": ["model.layers.0.self_attn.o_proj", "lm_head"]})
    assert found["quantization"]["modules"] == {"attention.full_2/attention.o_proj": BF16}
    assert found["attention"]["full"] == found["attention"]["full_2"]
    assert found["layers"] == [
        {"repeat": 1, "pattern": [{"attention": "full_2", "ffn": "dense"}]},
        {"repeat": 3, "pattern": [{"attention": "full", "ffn": "dense"}]},
    ]


def test_a_module_that_is_left_out_in_some_layers() -> None:
    found = scheme(DENSE, {**FP8, "modules_to_not_convert": layers("model.layers.{L}.mlp", range(3, 4))})
    assert found["modules"] == {"ffn.dense_2/ffn": BF16}


def test_prefixes_and_suffixes() -> None:
    """transformers: a name's beginning up to a dot, a regular expression, or a name's end."""
    listed = ["gate", "e_score_correction_bias", "lm_head"]
    assert scheme(EXPERTS, {**FP8, "modules_to_not_convert": listed})["converts"] == ["attention", "experts"]
    listed = ["model.layers.*.self_attn", "model.layers.1.mlp.gate"]
    assert scheme(EXPERTS, {**FP8, "modules_to_not_convert": listed})["converts"] == ["experts"]
    # 'gate' is the end of no 'gate_proj'
    assert scheme(DENSE, {**FP8, "modules_to_not_convert": ["gate"]})["converts"] == ["attention", "ffn"]


# ---- mxfp4


def test_mxfp4_converts_experts_alone() -> None:
    listed = ["model.layers.*.self_attn", "model.layers.*.mlp.router", "model.embed_tokens", "lm_head"]
    found = scheme(GPT_OSS, {"quant_method": "mxfp4", "modules_to_not_convert": listed})
    assert found["weights"] == {"dtype": "mxfp4", "block": [1, 32], "scale_byte": 1}
    assert (found["converts"], found["compute"], found["dispatch"]) == (["experts"], "bf16", "bf16")
    assert "modules" not in found


def test_a_method_that_converts_nothing_of_the_model_is_refused() -> None:
    assert "converts none of this model's weights" in refusal(DENSE, {"quant_method": "mxfp4"})


# ---- compressed-tensors


def group(weights: Json, inputs: Json | None = None, targets: list[str] | None = None, **more: Any) -> Json:
    return {"targets": targets or ["Linear"], "weights": weights, "input_activations": inputs, "output_activations": None, **more}


def compressed(*groups: Json, form: str | None = None, ignore: list[str] | None = None, **more: Any) -> Json:
    named = {f"group_{i}": g for i, g in enumerate(groups)}
    base = {"quant_method": "compressed-tensors", "config_groups": named, "ignore": ["lm_head"] if ignore is None else ignore}
    return {**base, "format": form, "quantization_status": "compressed", **more}


INT4: Json = {"num_bits": 4, "type": "int", "strategy": "group", "group_size": 32, "symmetric": True}
CHANNEL: Json = {"num_bits": 8, "type": "float", "strategy": "channel", "symmetric": True}
TOKEN: Json = {"num_bits": 8, "type": "float", "strategy": "token", "symmetric": True, "dynamic": True}
FP4: Json = {"num_bits": 4, "type": "float", "strategy": "tensor_group", "group_size": 16}


@pytest.mark.parametrize(
    ("given", "form", "weights", "compute"),
    [
        (group(INT4), "pack-quantized", {"dtype": "int4", "block": [1, 32], "scale_byte": 2, "tensor_byte": 16}, "bf16"),
        # a 4-bit zero point
        (
            group({**INT4, "symmetric": False}), "pack-quantized",
            {"dtype": "int4", "block": [1, 32], "scale_byte": 2.5, "tensor_byte": 16}, "bf16",
        ),
        (group(CHANNEL, TOKEN), "float-quantized", {"dtype": "fp8", "block": [1, None], "scale_byte": 2}, "fp8"),
        (group(CHANNEL), "float-quantized", {"dtype": "fp8", "block": [1, None], "scale_byte": 2}, "bf16"),
        (
            group({**CHANNEL, "strategy": "tensor"}, {**TOKEN, "strategy": "tensor", "dynamic": False}), "float-quantized",
            {"dtype": "fp8", "tensor_byte": 4}, "fp8",
        ),
        (
            group({**CHANNEL, "strategy": "block", "block_structure": [128, 128]}, TOKEN), "float-quantized",
            {"dtype": "fp8", "block": [128, 128], "scale_byte": 2}, "fp8",
        ),
        (
            group({**CHANNEL, "type": "int"}, {**TOKEN, "type": "int"}), "int-quantized",
            {"dtype": "int8", "block": [1, None], "scale_byte": 2}, "int8",
        ),
        (group(FP4, {**FP4, "dynamic": "local"}), "nvfp4-pack-quantized", NVFP4, "nvfp4"),
        (group(FP4), "nvfp4-pack-quantized", {**NVFP4, "tensor_byte": 4}, "bf16"),
        (
            group({**INT4, "type": "float", "scale_dtype": "torch.uint8"}, format="mxfp4-pack-quantized"), None,
            {"dtype": "mxfp4", "block": [1, 32], "scale_byte": 1}, "bf16",
        ),
    ],
)  # fmt: skip
def test_formats_of_compressed_tensors(given: Json, form: str, weights: Json, compute: str) -> None:
    found = scheme(DENSE, compressed(given, form=form))
    assert (found["weights"], found["compute"]) == (weights, compute)
    assert found["converts"] == ["attention", "ffn"]


def test_experts_alone_by_regular_expressions() -> None:
    """Kimi-K2.5's list."""
    ignored = ["lm_head", "re:.*self_attn.*", "re:.*shared_experts.*", "re:.*mlp\\.(gate|up|gate_up|down)_proj.*"]
    found = scheme(LATENT, compressed(group(INT4), form="pack-quantized", ignore=ignored))
    # nothing is said of the layer that drafts tokens, so it is as the others
    assert (found["converts"], "modules" in found) == (["experts"], False)


def test_a_name_is_the_whole_name() -> None:
    """An ignored parent says nothing of its children, and so is not understood."""
    assert "'model.layers.1.mlp'" not in refusal(DENSE, compressed(group(INT4), ignore=["lm_head", "model.layers.1.mlp"]))
    assert "covers no weight" in refusal(DENSE, compressed(group(INT4), ignore=["lm_head", "model.layers.1.mlp"]))
    found = scheme(DENSE, compressed(group(INT4), ignore=["lm_head", *layers("model.layers.{L}.mlp.down_proj")]))
    assert found["modules"] == {"ffn.down_proj": BF16}


def test_groups_by_name_win_over_the_class() -> None:
    named = group(CHANNEL, TOKEN, ["re:.*down_proj"])
    found = scheme(DENSE, compressed(group(INT4, format="pack-quantized"), named))
    assert found["weights"]["dtype"] == "int4"
    assert found["modules"] == {"ffn.down_proj": {"dtype": "fp8", "block": [1, None], "scale_byte": 2, "compute": "fp8"}}


def test_a_head_that_is_not_ignored_is_converted_unless_it_is_the_embedding() -> None:
    given = compressed(group(CHANNEL, TOKEN), ignore=[])
    assert scheme(DENSE, given)["converts"] == ["attention", "ffn", "head"]
    assert scheme({**DENSE, "tie_word_embeddings": True}, given)["converts"] == ["attention", "ffn"]


def test_the_cache_in_8_bits() -> None:
    given = compressed(group(INT4), kv_cache_scheme={"num_bits": 8, "type": "float", "strategy": "tensor", "dynamic": False})
    assert scheme(DENSE, given)["kv_cache"] == "fp8"


# ---- modelopt


def test_modelopt_by_either_file() -> None:
    beside = {
        "producer": {"name": "modelopt"},
        "quantization": {"quant_algo": "FP8", "kv_cache_quant_algo": "FP8", "exclude_modules": ["lm_head"]},
    }
    found = scheme(DENSE, beside=beside)
    assert (found["weights"], found["converts"]) == ({"dtype": "fp8", "tensor_byte": 8}, ["attention", "ffn"])
    assert (found["kv_cache"], found["compute"], found["dispatch"]) == ("fp8", "fp8", "fp8")
    # Qwen3-32B-FP8-Static: no quant_method
    inputs = {"dynamic": False, "num_bits": 8, "type": "float"}
    own = {
        "quant_algo": "FP8",
        "ignore": ["lm_head"],
        "config_groups": {"group_0": {"weights": inputs, "input_activations": inputs}},
    }
    assert scheme(DENSE, own) == {
        **found,
        "kv_cache": "bf16",
        "sources": {"config": {"title": "quantization_config of the checkpoint"}},
    }
    # what only one of the files says counts
    both = scheme(DENSE, {**own, "kv_cache_scheme": None}, beside)
    assert both["kv_cache"] == "fp8"


def test_nvfp4_with_the_output_projection_alone() -> None:
    """DeepSeek-V3.1-NVFP4: of attention the last projection; nothing of the layer that drafts tokens."""
    left = ("q_a_proj", "q_b_proj", "kv_a_proj_with_mqa", "kv_b_proj")
    excluded = ["lm_head", "model.layers.4*", *(x for w in left for x in layers(f"model.layers.{{L}}.self_attn.{w}"))]
    found = scheme(LATENT, {**OPT, "ignore": excluded})
    assert (found["weights"], found["compute"]) == (NVFP4, "nvfp4")
    assert found["converts"] == ["ffn", "experts", "shared_experts"]
    assert found["modules"] == {
        "attention.o_proj": {**NVFP4, "compute": "nvfp4"},
        "mtp/attention.o_proj": BF16,
        "ffn.join_proj": BF16,
        "mtp/experts": BF16,
        "mtp/shared_experts": BF16,
    }


def test_a_list_that_is_silent_on_draft_layers() -> None:
    """What it leaves out of the last layer it leaves out of these."""
    found = scheme(LATENT, {**OPT, "ignore": ["lm_head", *layers("model.layers.{L}.self_attn*")]})
    assert found["converts"] == ["ffn", "experts", "shared_experts"]
    assert found["modules"] == {"ffn.join_proj": BF16}


def test_a_wildcard_after_a_layers_digits_is_one() -> None:
    """'layers.1*' is layer 1, and 10 and 11."""
    found = spec({**DENSE, "num_hidden_layers": 12}, {**OPT, "ignore": ["lm_head", "model.layers.1*"]})
    apart = [i for run in found["layers"] for _ in range(run["repeat"]) for i in run["pattern"]]
    assert [i for i, layer in enumerate(apart) if layer["attention"] == "full_2"] == [1, 10, 11]


def test_a_name_does_not_cover_one_that_begins_alike() -> None:
    assert scheme(EXPERTS, {**OPT, "ignore": ["lm_head", *layers("model.layers.{L}.mlp.gate")]})["converts"] == [
        "attention",
        "experts",
    ]


def test_mixed_precision() -> None:
    layer = "model.layers.{L}."
    by_format = {
        "MXFP8": layers(f"{layer}self_attn.q_proj") + layers(f"{layer}self_attn.o_proj"),
        "NVFP4": [
            f"model.layers.{i}.mlp.experts.{e}.{w}_proj" for i in range(4) for e in range(4) for w in ("gate", "up", "down")
        ],
        "W4A16_NVFP4": ["lm_head"],
    }
    listed = {name: {"quant_algo": algo} for algo, all_names in by_format.items() for name in all_names}
    given = {"quant_method": "modelopt", "quant_algo": "MIXED_PRECISION", "quantized_layers": listed, "ignore": ["mtp*"]}
    found = scheme(EXPERTS, given)
    assert (found["weights"], found["compute"], found["converts"]) == (NVFP4, "nvfp4", ["experts"])
    exponents = {"dtype": "fp8", "block": [1, 32], "scale_byte": 1, "compute": "fp8"}
    assert found["modules"] == {
        # a tie is converted but for its exceptions
        "attention": exponents,
        "attention.k_proj": BF16,
        "attention.v_proj": BF16,
        "head": {**NVFP4, "tensor_byte": 4, "compute": "bf16"},
    }
    del listed["model.layers.2.mlp.experts.3.up_proj"]
    assert "names 3 of 4 experts of layer 2 (mlp.experts.up_proj)" in refusal(EXPERTS, given)


def test_experts_converted_from_another_format() -> None:
    """DeepSeek-V4-NVFP4: what is excluded stays in 8 bits, and so does the layer that drafts tokens."""
    listed = {f"layers.{i}.ffn.experts": {"quant_algo": "NVFP4", "group_size": 16} for i in range(4)}
    given = {
        **FP8,
        "quant_algo": "MIXED_PRECISION",
        "moe_quant_algo": "NVFP4",
        "quantized_layers": listed,
        "ignore": ["*.attn.*", "mtp.*"],
    }
    found = scheme(EXPERTS, given)
    assert found["converts"] == ["experts"]
    assert found["modules"] == {"attention": {**FP8_BLOCKS, "scale_byte": 2, "compute": "fp8"}}
    found = scheme({**LATENT, "expert_dtype": "fp4"}, given)
    assert found["modules"]["mtp/experts"] == {"dtype": "mxfp4", "block": [1, 32], "scale_byte": 1, "compute": "fp8"}


def test_a_stub_of_a_list_is_said() -> None:
    found = scheme(EXPERTS, beside={"quantization": {"quant_algo": "FP8", "kv_cache_quant_algo": "FP8"}})
    assert found["converts"] == ["attention", "experts"]
    assert "No list of excluded modules" in found["note"]


# ---- gptq, awq, bitsandbytes


def test_gptq() -> None:
    found = scheme(DENSE, GPTQ)
    # 2 bytes of scale, half a byte of zero point
    assert found["weights"] == {"dtype": "int4", "block": [1, 128], "scale_byte": 2.5}
    assert (found["converts"], found["compute"], found["dispatch"]) == (["attention", "ffn"], "bf16", "bf16")
    assert "g_idx" in found["note"]
    whole = scheme(DENSE, {**GPTQ, "bits": 8, "group_size": -1, "lm_head": True})
    assert whole["weights"] == {"dtype": "int8", "block": [1, None], "scale_byte": 3}
    assert whole["converts"] == ["attention", "ffn", "head"]


def test_gptq_dynamic() -> None:
    skipped = scheme(
        EXPERTS, {**GPTQ, "dynamic": {"lm_head": {}, "model.embed_tokens": {}, "-:.*attn.*": {}, "-:.*visual.*": {}}}
    )
    assert (skipped["converts"], "modules" in skipped) == (["experts"], False)
    changed = scheme(DENSE, {**GPTQ, "dynamic": {"+:.*down_proj": {"bits": 8, "group_size": 32}}})
    assert changed["modules"] == {"ffn.down_proj": {"dtype": "int8", "block": [1, 32], "scale_byte": 3, "compute": "bf16"}}
    layered = spec(DENSE, {**GPTQ, "dynamic": {r"-:.*layers\.[13-9]\..*": {}}})
    assert layered["quantization"]["modules"] == {"attention.full_2/attention": BF16, "ffn.dense_2/ffn": BF16}
    first, second = {"attention": "full", "ffn": "dense"}, {"attention": "full_2", "ffn": "dense_2"}
    assert layered["layers"] == [{"repeat": 2, "pattern": [first, second]}]


def test_gptq_names_what_it_converts() -> None:
    inside = [["self_attn.k_proj", "self_attn.v_proj", "self_attn.q_proj"], [f"mlp.experts.{e}.down_proj" for e in range(4)]]
    found = scheme(EXPERTS, {**GPTQ, "modules_in_block_to_quantize": inside})
    packed = {"dtype": "int4", "block": [1, 128], "scale_byte": 2.5, "compute": "bf16"}
    assert found["converts"] == ["attention"]
    assert found["modules"] == {"attention.o_proj": BF16, "experts.down_proj": packed}


def test_awq() -> None:
    found = scheme(EXPERTS, {**AWQ, "modules_to_not_convert": ["gate", "self_attn"]})
    assert found["weights"] == {"dtype": "int4", "block": [1, 128], "scale_byte": 2.5}
    assert found["converts"] == ["experts"]


@pytest.mark.parametrize(
    ("given", "weights", "compute"),
    [
        ({"load_in_8bit": True}, {"dtype": "int8", "block": [1, None], "scale_byte": 4, "tensor_byte": 1}, "int8"),
        (
            {"load_in_4bit": True, "bnb_4bit_quant_type": "nf4"},
            {"dtype": "nf4", "block": [1, 64], "scale_byte": 4, "tensor_byte": 64}, "bf16",
        ),
        (
            {"_load_in_4bit": True, "bnb_4bit_use_double_quant": True},
            {"dtype": "fp4", "block": [1, 64], "scale_byte": 1 + 4 / 256, "tensor_byte": 64 + 1024}, "bf16",
        ),
    ],
)  # fmt: skip
def test_bitsandbytes(given: Json, weights: Json, compute: str) -> None:
    found = scheme(DENSE, {"quant_method": "bitsandbytes", **given})
    assert (found["weights"], found["compute"], found["converts"]) == (weights, compute, ["attention", "ffn"])


# ---- what is not understood


@pytest.mark.parametrize(
    ("config", "quantization", "message"),
    [
        (DENSE, {"quant_method": "fp9"}, "quant_method: unknown method 'fp9'"),
        (DENSE, {}, "quant_method: unknown method 'None'"),
        (DENSE, {**FP8, "weight_block": [1, 2]}, "weight_block: is a list of 2, which is not understood"),
        (DENSE, {**FP8, "fmt": "e5m2"}, "fmt: is 'e5m2', which is not modelled"),
        (DENSE, {**FP8, "activation_scheme": "block"}, "activation_scheme: unknown value 'block'"),
        (DENSE, {**FP8, "weight_block_size": [128]}, "has 1 items where 2 are expected"),
        (DENSE, {**FP8, "weight_block_size": 128}, "weight_block_size: is 128"),
        (DENSE, {**FP8, "modules_to_convert": ["lm_head"]}, "modules_to_convert: is a list of 1"),
        (DENSE, {**FP8, "modules_to_not_convert": "lm_head"}, "expected a list of words"),
        (DENSE, {**FP8, "modules_to_not_convert": ["model.layers.1.atention"]}, "holds 'atention', which covers no weight"),
        (DENSE, {**FP8, "modules_to_not_convert": ["model.layers.99.mlp"]}, "names layer 99; the model has 4"),
        (DENSE, {**FP8, "modules_to_not_convert": ["(a"]}, "no regular expression"),
        (DENSE, {**FP8, "modules_to_not_convert": [f"{i}_norm" for i in range(1001)]}, "has 1001 entries that are unlike"),
        (DENSE, {**FP8, "modules_to_not_convert": ["(.*a)*b"]}, "more repeats than are read"),
        (DENSE, {**OPT, "quant_algo": "NVFP5"}, "quant_algo: unknown algorithm 'NVFP5'"),
        (DENSE, {**OPT, "group_size": 32}, "group_size: is 32; NVFP4 has 16"),
        (DENSE, {**OPT, "kv_cache_quant_algo": "NVFP4"}, "kv_cache_quant_algo: is 'NVFP4', which is not modelled"),
        (DENSE, {**OPT, "ignore": ["decoder.blocks*"]}, "holds 'blocks*', which covers no weight"),
        (DENSE, {**OPT, "config_groups": {"g": {"weights": {"num_bits": 8}}}}, "num_bits: is 8, where quant_algo says 4"),
        (DENSE, compressed(group({**INT4, "num_bits": 3})), "num_bits: is 3, of type int"),
        (DENSE, compressed(group({**INT4, "strategy": "row"})), "strategy: unknown value 'row'"),
        (DENSE, compressed(group({**INT4, "group_size": None})), "group_size: is null"),
        (DENSE, compressed(group(INT4, {"num_bits": 4, "type": "int"})), "4-bit int, with weights in int4"),
        (DENSE, compressed(group(INT4, targets=["Conv1d"])), "unknown class 'Conv1d'"),
        (DENSE, compressed(group(INT4), form="marlin-24"), "format: unknown value 'marlin-24'"),
        (DENSE, compressed(group(INT4), kv_cache_scheme={"num_bits": 4, "type": "int"}), "is 4-bit int, which is not modelled"),
        (DENSE, compressed(group(INT4), sparsity_config={"format": "sparse"}), "sparsity_config: is a mapping of 1"),
        (DENSE, compressed(), "config_groups: is empty"),
        (EXPERTS, compressed(group(INT4), ignore=["re:.*experts\\.1\\..*"]), "tells experts apart"),
        (DENSE, {**GPTQ, "bits": 3}, "bits: is 3; known: 2, 4, 8"),
        (DENSE, {**GPTQ, "group_size": 0}, "group_size: is 0"),
        (DENSE, {**GPTQ, "checkpoint_format": "marlin"}, "checkpoint_format: is 'marlin'"),
        (DENSE, {**AWQ, "zero_point": False}, "zero_point: is false"),
        (DENSE, {**AWQ, "bits": 8}, "bits: is 8; known: 4"),
        (DENSE, {"quant_method": "bitsandbytes"}, "one of them is expected"),
        (DENSE, {"quant_method": "bitsandbytes", "load_in_4bit": True, "bnb_4bit_quant_type": "nf5"}, "unknown value 'nf5'"),
    ],
)
def test_what_is_not_understood_is_refused_by_name(config: Json, quantization: Json, message: str) -> None:
    assert message in refusal(config, quantization)


JUNK: list[Any] = [0, -1, 2**40, 0.5, True, "", "x", "re:(", [], [1], ["x"], [[]], {}, {"x": 1}, {"x": {}}, [None], "\x00"]


@pytest.mark.parametrize(
    "quantization",
    [
        FP8,
        {**OPT, "quantized_layers": {}, "config_groups": {"g": {"weights": {"num_bits": 4}}}, "kv_cache_scheme": None},
        {**GPTQ, "dynamic": {"-:x": {}}, "modules_in_block_to_quantize": [["self_attn.q_proj"]], "lm_head": False},
        {**AWQ, "modules_to_not_convert": []},
        compressed(group(INT4, TOKEN), form="pack-quantized", kv_cache_scheme=None),
        {"quant_method": "bitsandbytes", "load_in_4bit": True, "bnb_4bit_quant_type": "nf4", "llm_int8_skip_modules": None},
    ],
    ids=lambda q: q["quant_method"],
)
def test_junk_is_refused_or_makes_a_scheme(quantization: Json) -> None:
    """Whatever a field holds, an error says so, or the compiler takes the result."""
    for path in paths(quantization):
        for junk in JUNK:
            try:
                found = spec(DENSE, replaced(quantization, path, junk))
            except ConfigError:
                continue
            model_spec.model(Document(found, {}, {}, "config.json"))


def paths(value: Any, at: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    """Of all fields, at any depth."""
    found = [at] if at else []
    return found + [p for k, v in value.items() for p in paths(v, (*at, k))] if isinstance(value, dict) else found


def replaced(value: Json, path: tuple[str, ...], junk: Any) -> Json:
    head, *rest = path
    return {**value, head: replaced(value[head], tuple(rest), junk) if rest else junk}


def test_files_that_disagree_are_refused() -> None:
    def beside(**fields: Any) -> Json:
        return {"quantization": {"quant_algo": "NVFP4", "exclude_modules": ["lm_head"], **fields}}

    assert "quant_algo: is 'NVFP4'; hf_quant_config.json says 'FP8'" in refusal(DENSE, OPT, beside(quant_algo="FP8"))
    assert "list different modules" in refusal(DENSE, OPT, beside(exclude_modules=["lm_head", "mtp*"]))
    assert "one of the two is expected" in refusal(DENSE, FP8, beside())
    assert "hf_quant_config.json: quantization.calibration: is 1, which is not understood" in refusal(
        DENSE, OPT, beside(calibration=1)
    )
    with pytest.raises(ConfigError, match=r"compression_config\.quant_method: differs from quantization_config"):
        scheme({**DENSE, "compression_config": AWQ}, FP8)


# ---- what the compiler makes of it


def stored(model: Model, section: str, weight: str, *, drafts: bool = False) -> sp.Expr:
    """Bytes of one weight of a section."""
    graph = draft(model, "prefill") if drafts else build(model, "prefill")
    assert graph is not None
    assert model.scheme is not None
    values = {name: sp.nsimplify(v) for name, v in storage(model, model.scheme).items()}
    values |= {s.name: v for s, v in graph.bindings}
    found = next(t for s in graph if s.name == section for t in s.of_role(Role.WEIGHT) if t.name == f"{weight}_weight")
    expression = stored_byte(found)
    return expression.xreplace({s: values[s.name] for s in expression.free_symbols})


def compiled(config: Json, quantization: Json) -> Model:
    return model_spec.model(Document(spec(config, quantization), {}, {}, "config.json")).model


def test_stored_bytes_by_hand() -> None:
    # 640 x 256: 5 x 2 blocks
    assert stored(compiled(DENSE, FP8), "ffn.dense", "up_proj") == 640 * 256 + 4 * 5 * 2
    # 256 x 640 in groups of 128 along the input: 5 a row
    assert stored(compiled(DENSE, GPTQ), "ffn.dense", "down_proj") == 256 * 640 / sp.Integer(2) + 256 * 5 * sp.Rational(5, 2)
    # 4 experts of 128 x 256
    per_expert = 128 * 256 / sp.Integer(2) + 128 * 256 / sp.Integer(16) + 8
    assert stored(compiled(EXPERTS, OPT), "ffn.moe", "gate_proj") == 4 * per_expert


def test_a_part_of_a_module_has_its_own_bytes() -> None:
    excluded = [
        "lm_head",
        "model.layers.4*",
        *(
            x
            for w in ("q_a_proj", "q_b_proj", "kv_a_proj_with_mqa", "kv_b_proj")
            for x in layers(f"model.layers.{{L}}.self_attn.{w}")
        ),
    ]
    model = compiled(LATENT, {**OPT, "ignore": excluded})
    size = 256 * 4 * 32
    assert stored(model, "attention.mla", "o_proj") == size / sp.Integer(2) + size / sp.Integer(16) + 8
    assert stored(model, "attention.mla", "o_proj", drafts=True) == 2 * size
    assert stored(model, "attention.mla", "q_a_proj") == 2 * 128 * 256
    assert stored(model, "join", "join_proj", drafts=True) == 2 * 256 * 512


def test_layers_that_differ_in_several_ways() -> None:
    """The most common way keeps the block's name."""
    made = Draft()
    block = made.block("attention", "full", "gqa", num_attention_heads=4, num_key_value_heads=2, head_dim=64)
    for _ in range(5):
        made.layer(attention=block)
    scheme = Scheme("test", {"attention": Stored("int4", "bf16", (1, 32), 2)})
    from costc.huggingface.config import Config
    from costc.huggingface.quantization.lists import GLOBS, Patterns

    listed = ["model.layers.1.self_attn*", "model.layers.2.self_attn.q_proj", "model.layers.4.self_attn.q_proj"]
    scheme.skipped = [Patterns(Config({}, "config.json"), "ignore", listed, GLOBS)]
    keys = Coverage(scheme, made).keys()
    plain = {"attention.full_2/attention.q_proj", "attention.full_3/attention"}
    assert {k for k, v in keys.items() if v is None and k not in ("head", "embedding")} == plain
    assert [names for layer in made.layers for _, names in layer] == [("full",), ("full_3",), ("full_2",), ("full",), ("full_2",)]


def test_every_block_kind_has_names() -> None:
    """A kind whose weights have no names could not be told in a list."""
    for part, registry in KINDS.items():
        for kind in registry:
            assert kind in names.KINDS or f"{kind}_{part}" in names.KINDS, (
                f"{part} kind {kind!r} is missing in huggingface/names.py"
            )


@pytest.mark.parametrize("config", [DENSE, EXPERTS, LATENT, GPT_OSS], ids=lambda c: c["model_type"])
def test_every_matrix_of_a_block_has_a_name(config: Json) -> None:
    assert not unnamed(compiled(config, FP8))


def unnamed(model: Model) -> list[str]:
    """Matrices that huggingface.names does not know as the compiler does, or knows and the compiler does not."""
    found = []
    for section in build(model, "prefill"):
        if section.name not in model.blocks:
            ends = {(s, m, w.name) for s, m, w, _, _ in names.ENDS}
            matrices = {
                (section.name, t.module, t.name.removesuffix("_weight")) for t in section.of_role(Role.WEIGHT) if t.matrix
            }
            found += [": ".join(at) for at in sorted(matrices - ends)]
            continue
        part, block = section.name.split(".")[0], model.blocks[section.name]
        given = {k: v for k, v in block.model_dump().items() if v is not None}  # type: ignore[attr-defined]
        known = {w.name for _, w, _ in names.weights(part, given)}
        matrices = {t.name.removesuffix("_weight") for t in section.of_role(Role.WEIGHT) if t.matrix}
        found += [f"{block.kind}: {n}" for n in sorted(matrices ^ known)]
    return found


def test_units_are_symbols_of_the_program() -> None:
    """Refined modules are inputs of the program under a name that code can hold."""
    model = compiled(DENSE, {**FP8, "ignored_layers": layers("model.layers.{L}.self_attn.o_proj")})
    assert model.scheme is not None
    assert f"weight_byte_{S.key('attention.o_proj')}" in storage(model, model.scheme)
