"""State-space layers and their like: products counted by loops, one kernel a scan, states moved twice, weights shared once."""

from typing import Any

import pytest
import sympy as sp

from costc import symbols as S
from costc.blocks.build import build
from costc.count.footprint import cache_byte, parameters
from costc.count.rules import count
from costc.errors import CostcError
from costc.fuse.passes import fuse
from costc.huggingface.importer import spec_of
from costc.ir.model import Model
from costc.ir.types import Graph, Kind
from costc.place.apply import apply
from costc.place.mesh import STRATEGIES, mesh
from costc.serving.compose import reaches_of
from costc.spec import model as model_spec
from costc.spec.reader import Document

HEADS, SIZE, STATE, GROUPS, CHUNK, LAYERS = 8, 16, 12, 2, 8, 2
MAMBA2 = {
    "model_type": "mamba2", "vocab_size": 80, "hidden_size": 64, "num_hidden_layers": LAYERS, "num_heads": HEADS,
    "head_dim": SIZE, "state_size": STATE, "n_groups": GROUPS, "chunk_size": CHUNK, "conv_kernel": 4,
}  # fmt: skip
ZAMBA2 = {
    "model_type": "zamba2", "vocab_size": 80, "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 4,
    "layers_block_type": ["hybrid", "mamba", "hybrid", "hybrid"], "num_attention_heads": 4, "num_mem_blocks": 1,
    "n_mamba_heads": 8, "mamba_d_state": 12, "mamba_ngroups": 2, "chunk_size": 8, "adapter_rank": 5,
}  # fmt: skip
NEMOTRON = {
    "model_type": "nemotron_h", "vocab_size": 80, "hidden_size": 64, "intermediate_size": 96, "num_attention_heads": 4,
    "num_key_value_heads": 2, "mamba_num_heads": 8, "mamba_head_dim": 16, "hybrid_override_pattern": "M-M*",
}  # fmt: skip


def imported(config: dict[str, Any]) -> Model:
    return model_spec.model(Document(spec_of(config, "config.json"), {}, {}, "config.json")).model


def at(graph: Graph, tokens: int) -> dict[sp.Symbol, sp.Expr]:
    """The values of the symbols of a step of one sequence with that many tokens, none before."""
    known = {s: sp.Integer(v) for s, v in graph.bindings} | {S.batch: sp.Integer(1), S.seq: sp.Integer(tokens)}
    for law in reaches_of(graph):
        bound = law.bind(known)
        known |= {law.pairs: bound.pairs_of(sp.Integer(tokens), sp.Integer(0)), law.context: sp.Integer(1)}
    return known


def core(model: Model, phase: str, tokens: int) -> sp.Expr:
    """FLOP of the products of a scan, in one layer."""
    graph = build(model, phase)
    found = [o for s in graph for o in s.ops if o.kind is Kind.CONTRACT and o.module == "mixer_core"]
    return sp.Add(*(2 * o.points for o in found)).xreplace(at(graph, tokens))


@pytest.mark.parametrize("tokens", [CHUNK, 3 * CHUNK, 2 * CHUNK + 3])
def test_a_chunked_scan_is_counted_as_loops_count_it(tokens: int) -> None:
    products = 0
    for token in range(tokens):
        inside = token % CHUNK + 1
        products += inside * GROUPS * STATE  # queries with the keys of the chunk, shared by the heads of a group
        products += inside * HEADS * SIZE  # scores with values
        products += 2 * HEADS * SIZE * STATE  # what the token adds to the state, and what it reads of it
    assert core(imported(MAMBA2), "prefill", tokens) == 2 * products


def test_a_token_reads_the_state_in_one_product() -> None:
    assert core(imported(MAMBA2), "decode", 1) == 2 * HEADS * SIZE * STATE


@pytest.mark.parametrize("phase", ["prefill", "decode"])
def test_a_scan_is_one_kernel_after_the_convolutions(phase: str) -> None:
    section = next(s for s in fuse(build(imported(MAMBA2), phase)) if s.name == "mixer.mamba")
    kernel = next(k for k in section.kernels if "scan_store" in k)
    assert {o.name for o in section.ops if o.name.startswith("scan_")} <= set(kernel)
    # the gate reads what the first projections wrote, as the convolutions do, but waits for the scan
    assert not any("gated_norm" in k and "x_conv" in k for k in section.kernels)


def test_a_step_reads_and_writes_each_state_once() -> None:
    model = imported(MAMBA2)
    graph = fuse(build(model, "decode"))
    kept = cache_byte(graph, sp.Integer(5), "layers").xreplace(at(graph, 1))
    rows = count(graph).where(resource="kv_byte")
    assert sp.expand(rows.total().xreplace(at(graph, 1)) - 2 * kept) == 0
    channels = HEADS * SIZE + 2 * GROUPS * STATE
    assert sp.expand(kept - LAYERS * S.activation_byte * (HEADS * SIZE * STATE + 3 * channels)) == 0


def test_a_state_keeps_the_format_that_the_config_says() -> None:
    model = imported({**MAMBA2, "mamba_ssm_cache_dtype": "float32"})
    graph = build(model, "decode")
    kept = cache_byte(graph, sp.Integer(5), "layers").xreplace(at(graph, 1))
    assert sp.expand(kept).coeff(S.byte) == LAYERS * HEADS * SIZE * STATE * 4


@pytest.mark.parametrize(("tp", "exchanged"), [(1, False), (GROUPS, False), (2 * GROUPS, True)])
def test_ranks_that_share_a_group_exchange_the_sums_of_its_norm(tp: int, exchanged: bool) -> None:
    graph = apply(build(imported(MAMBA2), "decode"), mesh())
    section = next(s for s in graph if s.name == "mixer.mamba")
    link = next(link for link in section.op("gated_norm_all_reduce_tp").link if link.name == "scale_up")
    plan = at(graph, 1) | {
        S.domain: sp.Integer(8),
        STRATEGIES["tp"].degree: sp.Integer(tp),
        STRATEGIES["dp"].degree: sp.Integer(1),
    }
    sent, hops = (sp.simplify(e.xreplace(plan)) for e in (link.byte, link.hops))
    assert (sent != 0) == (hops != 0) == exchanged


def test_a_shared_block_is_counted_once_and_computed_at_each_use() -> None:
    once, three = imported({**ZAMBA2, "layers_block_type": ["hybrid", "mamba", "mamba", "mamba"]}), imported(ZAMBA2)
    sizes = [int(parameters(g).xreplace(dict(g.bindings))) for g in (build(once, "prefill"), build(three, "prefill"))]
    hidden, inner, rank = 64, 96, 5
    own = hidden * hidden + rank * (hidden + 2 * inner)  # the projection into the layer, and the FFN's adapter
    assert sizes[1] - sizes[0] == 2 * own
    used = [sum(m.occurrences(b) for b in m.blocks if b.startswith("attention.")) for m in (once, three)]
    assert used == [1, 3]


def test_one_block_a_layer() -> None:
    runs = imported(NEMOTRON).runs
    assert sum(r.layers for r in runs) == 4
    assert {len(layer) for r in runs for layer in r.pattern} == {1}


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({**NEMOTRON, "hybrid_override_pattern": "MX"}, "hybrid_override_pattern: holds 'X'"),
        ({**NEMOTRON, "num_hidden_layers": 5}, "the pattern has 4 layers"),
        ({**ZAMBA2, "layers_block_type": ["hybrid"]}, "1 kinds of layers where num_hidden_layers is 4"),
        ({**ZAMBA2, "tie_word_embeddings": False}, "not modelled"),
        ({**MAMBA2, "num_heads": 7}, "not modelled"),
        ({**MAMBA2, "mamba_ssm_cache_dtype": "int3"}, "mamba_ssm_cache_dtype"),
    ],
)
def test_what_is_not_understood_is_refused_by_name(config: dict[str, Any], message: str) -> None:
    with pytest.raises(CostcError, match=message):
        imported(config)
