"""Every symbol that a published expression may hold, with its unit and meaning.

A `Var` is the definition; `Var.symbol` is the sympy symbol. Model dimensions are made on the way
(`dimension_var`), as each model has its own; all others are listed here.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import sympy as sp

#: precision modules: groups of weights that a quantization scheme treats apart
MODULES = ("embedding", "attention", "mixer", "ffn", "experts", "shared_experts", "router", "norm", "head", "adapter")
#: modules whose weights meet a matrix unit, and the cores of attention and of scans, which have no weights
COMPUTE_MODULES = (
    "embedding",
    "attention",
    "attention_core",
    "mixer",
    "mixer_core",
    "ffn",
    "experts",
    "shared_experts",
    "router",
    "head",
    "adapter",
)


@dataclass(frozen=True)
class Var:
    """A defined symbol: `name` in code, `tex` in formulas, `unit` (SI, '1' for counts), `meaning`."""

    name: str
    tex: str
    unit: str
    meaning: str
    integer: bool = False
    positive: bool = True

    @property
    def symbol(self) -> sp.Symbol:
        sign = {"positive": True} if self.positive else {"nonnegative": True}
        return sp.Symbol(self.name, integer=True, **sign) if self.integer else sp.Symbol(self.name, real=True, **sign)


VARS: dict[str, Var] = {}


def define(name: str, tex: str, unit: str, meaning: str, *, integer: bool = False, positive: bool = True) -> sp.Symbol:
    """Define a symbol once; a second definition must be the same."""
    var = Var(name, tex, unit, meaning, integer, positive)
    if VARS.setdefault(name, var) != var:
        raise ValueError(f"symbol {name!r} is defined twice, differently")
    return var.symbol


def dimension_var(name: str, meaning: str) -> sp.Symbol:
    """A model dimension (a positive integer count), named as in the model's config."""
    words = name.replace("_", r"\_")
    return define(name, rf"\mathrm{{{words}}}", "1", meaning, integer=True)


def _count(name: str, tex: str, meaning: str, *, positive: bool = True) -> sp.Symbol:
    return define(name, tex, "1", meaning, integer=True, positive=positive)


# ---- one step of the model: what blocks are written in
batch = _count("batch", "B", "sequences in a step of the replica, over all attention data-parallel ranks")
seq = _count("seq", "q", "new tokens of each sequence in the step")
past = _count("past", "p", "tokens of each sequence already in the cache before the step", positive=False)
expert_skew = define("expert_skew", r"\sigma", "1", "routing skew: t tokens touch as many experts as t/skew uniform ones")

# ---- workload
context = _count("context", "c", "tokens that a decode step attends, its own included")
isl = _count("isl", "I", "input sequence length, tokens per request")
osl = _count("osl", "O", "output sequence length, tokens per request")
max_num_batched_tokens = _count("max_num_batched_tokens", "M", "most tokens of a rank in one prefill step")
microbatches = _count("microbatches", "m", "pipeline micro-batches")
kv_block = _count("kv_block", r"\beta", "tokens in one block of the KV cache")

waves = define("waves", "W", "1", "prompts that each of the requests in flight is followed by in a run, itself included")
length_spread = define("length_spread", r"\delta", "1", "range of the output lengths over the longest", positive=False)
scheduler_interval = define(
    "scheduler_interval", "n_{\\mathrm{s}}", "1", "steps between two looks of the scheduler for new requests", positive=False
)
batch_wait = define("batch_wait", "n_{\\mathrm{w}}", "1", "steps that the scheduler waits for more prompts", positive=False)
prefix_hit_rate = define("prefix_hit_rate", "h", "1", "part of the prompts that is in the cache already", positive=False)
dependent_launch = _count(
    "dependent_launch", "f_{\\mathrm{d}}", "1 where a kernel starts before the one before it ends, else 0", positive=False
)
synchronous = _count(
    "synchronous", "f_{\\mathrm{s}}", "1 where a step is prepared after the one before it, else 0", positive=False
)
unfused_experts = _count(
    "unfused_experts", "f_{\\mathrm{u}}", "1 where prefill launches the experts' kernels apart, else 0", positive=False
)
prefill_first = _count("prefill_first", "f", "1 where a step with prompts carries no decode, else 0", positive=False)
draft_tokens = _count("draft_tokens", "k", "tokens drafted for each sequence in a decode step", positive=False)
acceptance = define(
    "acceptance", "a", "1", "chance that a draft is accepted, if those before it were; less than 1", positive=False
)
max_num_seqs = _count("max_num_seqs", "n_{\\mathrm{r}}", "most requests of a rank that run at once")

# ---- plan: a strategy defines its degree; the number of pipeline stages also decides how layers are split


def degree(name: str, meaning: str) -> sp.Symbol:
    """The symbol of a parallel degree."""
    return _count(name, rf"\mathit{{{name}}}", meaning)


pp = degree("pp", "pipeline stages")


# ---- quantization
activation_byte = define("activation_byte", "a", "B", "bytes of an activation element in memory and on links")
dispatch_byte = define("dispatch_byte", r"a_{\mathrm{d}}", "B", "bytes of an activation element sent to an expert")
kv_byte = define("kv_byte", r"\kappa", "B", "bytes of a KV-cache element")
byte = define("byte", r"\mathrm{B}", "B", "one byte, which numbers of bytes are counted in")
logit_byte = define("logit_byte", r"a_{\mathrm{l}}", "B", "bytes of a logit")


def key(module: str) -> str:
    """A module, or a part of one, as part of a symbol's name."""
    return re.sub(r"\W", "_", module)


def weight_byte(module: str) -> sp.Symbol:
    """Bytes of a weight element of a module."""
    return define(
        f"weight_byte_{key(module)}", rf"w_{{\mathrm{{{_tex(module)}}}}}", "B", f"bytes of a weight element, module {module}"
    )


def scale_geometry(module: str) -> tuple[sp.Symbol, sp.Symbol, sp.Symbol, sp.Symbol]:
    """Rows and columns of a scale block, bytes of a block's scale, bytes of a tensor's scale."""
    t, module = _tex(module), key(module)
    return (
        define(f"block_out_{module}", rf"r_{{\mathrm{{{t}}}}}", "1", f"output rows that share a scale, module {module}"),
        define(f"block_in_{module}", rf"c_{{\mathrm{{{t}}}}}", "1", f"input columns that share a scale, module {module}"),
        define(
            f"scale_byte_{module}", rf"s_{{\mathrm{{{t}}}}}", "B", f"bytes of a block's scale, module {module}", positive=False
        ),
        define(
            f"tensor_byte_{module}", rf"z_{{\mathrm{{{t}}}}}", "B", f"bytes of a tensor's scale, module {module}", positive=False
        ),
    )


def _tex(name: str) -> str:
    return name.replace("_", r"\_")


# ---- rates: bound last
def peak(module: str) -> sp.Symbol:
    """The rate at which a module's products are computed."""
    meaning = f"dense peak in the format that {module} computes in"
    return define(f"peak_{key(module)}", rf"P_{{\mathrm{{{_tex(module)}}}}}", "FLOP/s", meaning)


def converts(module: str) -> sp.Symbol:
    """Whether activations are converted before a module's products."""
    meaning = f"1 where {module} computes in a narrower format than its activations have, else 0"
    return define(f"converts_{key(module)}", rf"q_{{\mathrm{{{_tex(module)}}}}}", "1", meaning, positive=False)


memory_bandwidth = define("memory_bandwidth", r"\beta_{\mathrm{m}}", "B/s", "memory bandwidth of a device")
memory_byte = define("memory_byte", r"C", "B", "memory of a device")
scale_up_bandwidth = define("scale_up_bandwidth", r"\beta_{\mathrm{u}}", "B/s", "scale-up link, per direction and device")
scale_up_peer_bandwidth = define(
    "scale_up_peer_bandwidth", r"\beta_{\mathrm{p}}", "B/s", "scale-up link to one peer, per direction"
)
scale_out_links = _count("scale_out_links", "n_{\\mathrm{o}}", "1 where the device has a scale-out link, else 0", positive=False)
scale_out_bandwidth = define("scale_out_bandwidth", r"\beta_{\mathrm{o}}", "B/s", "scale-out link, per direction and device")
domain = _count("domain", "D", "devices in a scale-up domain")
tdp = define("tdp", r"\Pi", "W", "thermal design power of a device")
price = define("price", r"c_{\mathrm{USD}}", "USD/s", "price of a device")
compute_efficiency = define("compute_efficiency", r"\eta_{\mathrm{c}}", "1", "achieved fraction of the peak")
memory_efficiency = define("memory_efficiency", r"\eta_{\mathrm{m}}", "1", "achieved fraction of the memory bandwidth")
link_efficiency = define("link_efficiency", r"\eta_{\mathrm{l}}", "1", "achieved fraction of a link's bandwidth")
launch_latency = define("launch_latency", r"\lambda", "s", "time to start one kernel", positive=False)
scale_up_latency = define("scale_up_latency", r"\alpha_{\mathrm{u}}", "s", "latency of one scale-up hop", positive=False)
scale_out_latency = define("scale_out_latency", r"\alpha_{\mathrm{o}}", "s", "latency of one scale-out hop", positive=False)
framework_byte = define("framework_byte", "F", "B", "memory that the framework takes on a device", positive=False)
memory_utilization = define("memory_utilization", "u", "1", "part of the memory that the engine divides up")
memory_weight_share = define("memory_weight_share", "u_{\\mathrm{w}}", "1", "part of the weights that is charged to it")
memory_reserved_share = define(
    "memory_reserved_share", "u_{\\mathrm{r}}", "1", "part of activations and framework that is charged to it", positive=False
)
