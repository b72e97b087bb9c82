"""How many parameters a model has, by what they do."""

from __future__ import annotations

import re
from collections.abc import Iterator

from torch import nn
from transformers import PreTrainedModel

from tests.oracle.models import Config, build

GROUPS = (
    "embedding", "attention", "mixer", "ffn", "experts", "shared_experts", "router", "norm", "head", "other", "vision", "mtp",
)  # fmt: skip

# Tried in order, on a parameter's name. What no term of the field covers is put where costc has it:
# - gemma3n, gemma4: inputs per layer (per_layer_*) and the widening to several streams (altup_*projections) with the embedding;
# - gemma3n's AltUp (but for its router) and LAuReL, deepseek_v4's hyper-connections (attn_hc, ffn_hc, hc_head) with
#   the mixers;
# - zamba, zamba2: the linear that maps a shared block's output into each layer with its FFN;
# - nemotron_h: the projections of all tokens into and out of the experts' latent width (fc1_latent, fc2_latent) with the experts.
BY_NAME = (
    ("vision", r"vision|visual|audio|projector|embed_vision|patch_embed"),
    ("mtp", r"(^|\.)mtp"),
    ("embedding", r"per_layer_(input_gate|model_projection|projection)\.|altup_(unembed_)?projections"),
    ("router", r"modality_router"),
    ("mixer", r"altup|laurel\.linear|_hc\.|hc_head\."),
    ("ffn", r"layers\.\d+\.linear\."),
    ("experts", r"_latent_proj\."),
    ("embedding", r"\.project_in\."),
    ("head", r"\.project_out\."),
    ("embedding", r"embed_tokens|embed_in\.|embed_positions|word_embeddings\.|\.wte\.|\.wpe\.|\.embeddings\.weight"),
    ("head", r"^(language_model\.)?lm_head\.|embed_out\."),
    ("shared_experts", r"\.shared_experts?(_gate)?\.|\.share_expert\."),
    ("router", r"(mlp|moe|feed_forward|mixer|ffn)\.(gate|router)\.|\.router\.|gate_network\."),
    ("experts", r"\.experts\."),
    ("ffn", r"\.fc[12]\."),
    ("mixer", r"\.(mamba|linear_attn|conv|short_conv)\."),
)
BY_CLASS = (
    ("mixer", r"Mamba|Mixer|GatedDelta|DeltaAttention|LinearAttention$|LightningAttention|ShortConv"),
    ("attention", r"Attention$|MLA$"),
    ("ffn", r"MLP$|FFN$|FeedForward|MoE$|Moe$|SparseMoeBlock$"),
)
# KimiLinearAttention is full attention (its linear mixer is KimiLinearDeltaAttention).
FULL_ATTENTION = {"KimiLinearAttention"}


def parameters(config: Config) -> dict[str, int]:
    """Numel of the parameters by group; a tied head counts as the embedding alone."""
    totals = dict.fromkeys(GROUPS, 0)
    for group, names in parameters_by_name(config).items():
        totals[group] = sum(names.values())
    return totals


def parameters_by_name(config: Config) -> dict[str, dict[str, int]]:
    """For each group the names with their layer numbers as `*`, and the numel of all of them together."""
    return _by_name(build(config))


def _by_name(model: PreTrainedModel) -> dict[str, dict[str, int]]:
    found: dict[str, dict[str, int]] = {}
    for group, name, numel in grouped(model):
        names = found.setdefault(group, {})
        key = re.sub(r"\.\d+(?=\.)", ".*", name)
        names[key] = names.get(key, 0) + numel
    return found


def buffers(config: Config) -> dict[str, int]:
    """Numel of the buffers that a checkpoint stores, by name with layer numbers as `*`."""
    model = build(config)
    found: dict[str, int] = {}
    for path, module in model.named_modules():
        for name, buffer in module.named_buffers(recurse=False):
            if name not in module._non_persistent_buffers_set:
                key = re.sub(r"\.\d+(?=\.)", ".*", f"{path}.{name}")
                found[key] = found.get(key, 0) + buffer.numel()
    return found


def grouped(model: PreTrainedModel) -> Iterator[tuple[str, str, int]]:
    """(group, name, numel) of each unique parameter."""
    dense_mixture = not getattr(model.config.get_text_config(decoder=True), "num_local_experts", 1)
    for name, parameter in model.named_parameters():
        group = _group(model, name)
        if ".shared_mlp." in name:  # granitemoehybrid: without routed experts it is the layer's dense FFN
            group = "ffn" if dense_mixture else "shared_experts"
        yield group, name, parameter.numel() - _never_stored(model, name, parameter)


def _never_stored(model: PreTrainedModel, name: str, parameter: nn.Parameter) -> int:
    """longcat_flash allocates rows of its zero experts (identities), which no checkpoint has."""
    zero = getattr(model.config, "zero_expert_num", None) or 0
    return parameter[:zero].numel() if zero and name.endswith("experts.gate_up_proj") else 0


def _group(model: PreTrainedModel, name: str) -> str:
    owners = list(_owners(model, name))
    by_name = next((group for group, pattern in BY_NAME if re.search(pattern, name)), None)
    if by_name in ("vision", "mtp"):
        return by_name
    if "Norm" in type(owners[-1]).__name__:
        return "norm"
    if by_name is not None:
        return by_name
    for owner in reversed(owners[1:]):
        kind = type(owner).__name__
        if kind in FULL_ATTENTION:
            return "attention"
        for group, pattern in BY_CLASS:
            if re.search(pattern, kind):
                return group
    return "other"


def _owners(model: PreTrainedModel, name: str) -> Iterator[nn.Module]:
    module: nn.Module = model
    yield module
    for part in name.split(".")[:-1]:
        module = getattr(module, part)
        yield module
