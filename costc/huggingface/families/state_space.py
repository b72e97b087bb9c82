"""State-space layers: Mamba 1 and 2 from the several names that configs give their fields, and models of nothing else."""

from __future__ import annotations

from collections.abc import Callable
from math import ceil
from typing import Any

from costc.huggingface.config import LAYERS, Config
from costc.huggingface.draft import Draft
from costc.huggingface.families.common import HIDDEN, stem
from costc.huggingface.quantization import DTYPES
from costc.huggingface.row import Traits

EXPAND = ("mamba_expand", "expand")
STATE = ("ssm_state_size", "mamba_d_state", "state_size")
ACTIVATION = ("hidden_act", "mamba_hidden_act", "hidden_mamba_act")
KERNEL = ("mamba_d_conv", "conv_kernel")
CONV_BIAS = ("mamba_conv_bias", "use_conv_bias")
RANK = ("mamba_dt_rank", "time_step_rank")
HEADS = ("mamba_num_heads", "mamba_n_heads", "n_mamba_heads", "num_heads")
HEAD_SIZE = ("mamba_head_dim", "mamba_d_head", "mamba_headdim")
GROUPS = ("mamba_n_groups", "mamba_ngroups", "n_groups")
CHUNK = ("mamba_chunk_size", "chunk_size")
#: of the recurrent state; vLLM and SGLang take it from the config where it says one
STATE_DTYPE = ("mamba_ssm_cache_dtype", "mamba_ssm_dtype")
#: makes the mixer block of a config
Mixer = Callable[[Config, Draft], str]


def mamba1(c: Config, draft: Draft, inner: int | None = None, **fields: Any) -> str:
    """The name of a Mamba block; `inner` channels, by default `expand` times the hidden size."""
    rank = _auto(c, RANK)
    given = {
        "intermediate_size": _expanded(c, inner),
        "state_size": c.size(STATE),
        "time_step_rank": ceil(c.size(HIDDEN) / 16) if rank is None else rank,
        "conv_kernel": c.size(KERNEL),
        "use_conv_bias": c.flag(CONV_BIAS, True),
        "state_dtype": _dtype(c),
    }
    return draft.block("mixer", "mamba", "mamba1", **{**given, **fields})


def mamba2(c: Config, draft: Draft, inner: int | None = None, **fields: Any) -> str:
    """The name of a Mamba-2 block, whose heads together have `inner` elements (by default `expand` times the hidden size)."""
    count = c.size(HEADS)
    size = fields.pop("head_dim", None) or _auto(c, HEAD_SIZE)
    expanded = _expanded(c, inner)
    if expanded != count * (size or expanded // count):
        raise c.error(HEADS[0], f"{count} heads of {size or 'equal'} elements where expand gives {expanded}: not modelled")
    given = {
        "num_heads": count,
        "head_dim": size or expanded // count,
        "state_size": c.size(STATE),
        "n_groups": c.size(GROUPS),
        "conv_kernel": c.size(KERNEL),
        "chunk_size": c.size(CHUNK),
        "use_conv_bias": c.flag(CONV_BIAS, True),
        "state_dtype": _dtype(c),
    }
    return draft.block("mixer", "mamba", "mamba2", **{**given, **fields})


def mamba(c: Config, draft: Draft, traits: Traits) -> None:
    """Mamba in every layer, and nothing else."""
    _only(c, draft, traits, mamba1(c, draft, c.size("intermediate_size", None), use_bias=c.flag("use_bias")))


def normed_mamba(c: Config, draft: Draft, traits: Traits) -> None:
    """Falcon Mamba (arXiv 2410.05355): time steps, B and C are normed, without scales."""
    inner = c.size("intermediate_size", None)
    _only(c, draft, traits, mamba1(c, draft, inner, use_bias=c.flag("use_bias"), ssm_norm="plain"))


def second_mamba(c: Config, draft: Draft, traits: Traits) -> None:
    """Mamba-2 in every layer, and nothing else."""
    bias = c.flag("use_bias")
    _only(c, draft, traits, mamba2(c, draft, head_dim=c.size("head_dim"), use_bias=bias, out_bias=bias))


def _only(c: Config, draft: Draft, traits: Traits, mixer: str) -> None:
    stem(c, draft, traits)
    for _ in range(c.size(LAYERS)):
        draft.layer(mixer=mixer)


def _expanded(c: Config, inner: int | None) -> int:
    """Channels: as many as are given, else so many times the hidden size."""
    c.unused(*EXPAND, *ACTIVATION)
    return inner or int(c.number(EXPAND) * c.size(HIDDEN))


def _auto(c: Config, names: tuple[str, ...]) -> int | None:
    """A size, None where it says 'auto' or nothing."""
    size: int | None = None if c.raw(names, None)[1] == "auto" else c.size(names, None)
    return size


def _dtype(c: Config) -> str | None:
    word = c.word(STATE_DTYPE, None, allowed=(*DTYPES, "auto"))
    return DTYPES.get(word) if word else None
