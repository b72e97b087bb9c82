"""The mapping table: the only place that knows names of architectures. A model_type that reuses known blocks is a row."""

from __future__ import annotations

from typing import Any

from costc.huggingface.families.decoder import decoder
from costc.huggingface.row import BF16_SCALES, LATE, Row, Traits, Wrapper
from costc.huggingface.table.classic import CLASSIC
from costc.huggingface.table.decoders import DECODERS
from costc.huggingface.table.latent import LATENT
from costc.huggingface.table.linear import LINEAR
from costc.huggingface.table.recurrent import RECURRENT

OWN_BIAS: dict[str, Any] = {"attention_bias": "attention_bias", "o_bias": "attention_bias"}
BIASED = Traits(**OWN_BIAS, mlp_bias="mlp_bias")

#: model_type -> how its configs are read
TABLE: dict[str, Row | Wrapper] = {
    "llama": Row(decoder, BIASED),
    "mistral": Row(decoder, Traits(window="all"), {"sliding_window": 4096, "num_key_value_heads": 8}),
    "mixtral": Row(decoder, Traits(window="all", moe="all"), {"num_key_value_heads": 8, "num_experts_per_tok": 2}),
    "qwen2": Row(decoder, Traits(attention_bias=True, **LATE), {"num_key_value_heads": 32, "max_window_layers": 28}),
    "qwen3": Row(
        decoder,
        Traits(attention_bias="attention_bias", o_bias="attention_bias", qk_norm="head", **LATE),
        {"num_key_value_heads": 32, "head_dim": 128, "max_window_layers": 28, **BF16_SCALES},
    ),
    "qwen3_moe": Row(
        decoder,
        Traits(attention_bias="attention_bias", o_bias="attention_bias", qk_norm="head", **LATE | {"window": "all"}, moe="step"),
        {"num_key_value_heads": 4, **BF16_SCALES},
        fixed={"qkv_bias": (False,), "use_qk_norm": (True,)},
    ),
    **DECODERS,
    **CLASSIC,
    **LATENT,
    **LINEAR,
    **RECURRENT,
}
