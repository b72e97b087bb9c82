"""Collectives: their forms grow with every size, are the ring bound without constants, and their tables are read rightly."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from costc.calibrate.kernels import Table, collective, floats
from costc.calibrate.numeric import seconds
from costc.latency.form import Form
from costc.latency.forms.collective import FORMS

RATES = {"bandwidth": 4e11}
BY_NAME = {form.name: form for form in FORMS}
SIZE = st.integers(0, 30).map(lambda power: 2**power)


@st.composite
def constants(draw: st.DrawFn, form: Form) -> dict[str, float]:
    """Constants anywhere between their bounds, in the logarithm where they are scales."""
    found = {}
    for c in form.constants:
        share = draw(st.floats(0, 1))
        found[c.name] = c.low * (c.high / c.low) ** share if c.log else c.low + share * (c.high - c.low)
    return found


def demands(ranks: int, message: float) -> dict[str, float]:
    return {"ranks": ranks, "message": message, "byte": 2 * message * (ranks - 1) / ranks}


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(FORMS), st.integers(1, 300), SIZE, st.integers(0, 300), SIZE, st.data())
def test_grows_with_ranks_and_message(form: Form, ranks: int, message: int, others: int, more: int, data: st.DataObject) -> None:
    values = {**data.draw(constants(form)), **RATES}
    few = seconds(form, {**values, **demands(ranks, message)})
    assert seconds(form, {**values, **demands(ranks + others, message)}) >= few * (1 - 1e-12)
    assert seconds(form, {**values, **demands(ranks, message + more)}) >= few * (1 - 1e-12)


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(FORMS), st.integers(1, 300), SIZE, SIZE, st.data())
def test_grows_with_every_demand(form: Form, ranks: int, message: int, more: int, data: st.DataObject) -> None:
    values = {**data.draw(constants(form)), **RATES, **demands(ranks, message)}
    name = data.draw(st.sampled_from([d.name for d in form.demands]))
    assert seconds(form, {**values, name: values[name] + more}) >= seconds(form, values) * (1 - 1e-12)


@pytest.mark.parametrize("form", FORMS, ids=lambda f: f.name)
@pytest.mark.parametrize("ranks", [2, 4, 8, 72])
def test_neutral_constants_give_the_ring_bound(form: Form, ranks: int) -> None:
    neutral = {c.name: c.neutral for c in form.constants}
    asked = demands(ranks, 3e6)
    assert seconds(form, {**neutral, **RATES, **asked}) == pytest.approx(asked["byte"] / 4e11)


def test_a_group_of_one_takes_its_launch_alone() -> None:
    for form in FORMS:
        prior = {c.name: c.prior for c in form.constants}
        assert seconds(form, {**prior, **RATES, **demands(1, 1e6)}) == pytest.approx(prior["launch_latency"])


@pytest.mark.parametrize(
    ("message", "moved"),
    [(2e4, 7 * 2e4 / (0.5 * 4e11)), (2e8, 1e-5 + 1.75 * 2e8 * (1 + 6 * 0.1) / (0.8 * 4e11))],
    ids=["small: at once", "large: a ring"],
)
def test_all_reduce_by_hand(message: float, moved: float) -> None:
    values = {"launch_latency": 4e-6, "hop_latency": 2e-7, "direct_efficiency": 0.5, "link_efficiency": 0.8,
              "switch_latency": 1e-5, "contention": 0.1}  # fmt: skip
    found = seconds(BY_NAME["all_reduce_scale_up"], {**values, **RATES, **demands(8, message)})
    assert found == pytest.approx(4e-6 + 7 * 2e-7 + moved)


def test_dispatch_by_hand() -> None:
    values = {"launch_latency": 2e-5, "hop_latency": 1e-7, "link_efficiency": 0.5, "byte": 2e6, "ranks": 16}
    assert seconds(BY_NAME["dispatch_scale_out"], {**values, **RATES}) == pytest.approx(2e-5 + 15e-7 + 1e-5)


def read(monkeypatch: pytest.MonkeyPatch, tables: dict[str, pd.DataFrame], device: str, engine: str) -> list[Table]:
    """What the reader makes of these tables, by their names."""

    def found(folder: Path, device: str, family: str, engine: str, table: str) -> list[Path]:
        return [Path("1.0", table)] if table in tables else []

    monkeypatch.setattr(collective, "files", found)
    monkeypatch.setattr(collective, "newest", lambda *where: next(iter(found(*where)), None))
    monkeypatch.setattr(collective, "opened", lambda path, columns: tables[path.name][list(columns)].copy())
    return list(collective.read(Path(), device, engine))


def test_nccl_counts_elements_of_its_format(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [("all_reduce", "half", 4, 1000, 0.02), ("all_reduce", "int8", 4, 2000, 0.03), ("alltoall", "int8", 8, 4000, 0.01)]
    frame = pd.DataFrame(rows, columns=["op_name", "nccl_dtype", "num_gpus", "message_size", "latency"])
    reduced, exchanged = read(monkeypatch, {"nccl_perf": frame}, "h200", "nccl")
    assert (reduced.form, exchanged.form) == ("all_reduce_ring_scale_up", "all_to_all_scale_up")
    assert reduced.columns["byte"].tolist() == [2 * 2000 * 3 / 4]
    assert reduced.seconds.tolist() == pytest.approx([2e-5])
    assert exchanged.columns["byte"].tolist() == [4000 * 7 / 8]
    assert [(r.rule, r.rows) for r in reduced.removed] == [("int8-sum", 1)]


def test_an_all_reduce_is_read_from_its_graph_and_across_servers_as_nccls(monkeypatch: pytest.MonkeyPatch) -> None:
    own = [("vLLM_custom_graph", 4, 512, 0.005), ("vLLM_custom_eager", 4, 512, 0.03), ("vLLM_custom_graph", 8, 512, 0.02),
           ("vLLM_custom_graph", 2, 2**24, 0.2)]  # fmt: skip
    ring = [("all_reduce", "half", 2, 2**24, 0.1)]
    tables = {
        "custom_allreduce_perf": pd.DataFrame(own, columns=["kernel_source", "num_gpus", "message_size", "latency"]),
        "nccl_perf": pd.DataFrame(ring, columns=["op_name", "nccl_dtype", "num_gpus", "message_size", "latency"]),
    }
    inside, across = read(monkeypatch, tables, "gb300", "vllm")
    assert (inside.form, across.form) == ("all_reduce_scale_up", "all_reduce_ring_scale_up")
    assert inside.columns["message"].tolist() == [1024]
    assert across.columns["ranks"].tolist() == [8]
    assert [(r.rule, r.rows) for r in inside.removed] == [("eager", 1), ("busy-link", 1)]


def test_copies_of_a_token() -> None:
    two, eight = floats([2]), floats([8])
    assert collective._copies(False, two, eight).tolist() == pytest.approx([2 * 7 / 8])
    assert collective._copies(True, two, eight).tolist() == pytest.approx([7 * (1 - (7 / 8) ** 2)])


def test_deepep_is_read_in_microseconds_and_apart_by_link(monkeypatch: pytest.MonkeyPatch) -> None:
    shape = ["device", "node_num", "hidden_size", "num_token", "num_topk", "num_experts"]
    rows = [("NVIDIA H200", 1, 1280, 10, 8, 256, 20.0, 30.0), ("NVIDIA H200", 4, 1280, 10, 8, 256, 50.0, 60.0),
            ("NVIDIA H100", 1, 1280, 20, 8, 256, 20.0, 30.0), ("NVIDIA H200", 1, 1280, 10, 2, 8, 40.0, 30.0)]  # fmt: skip
    frame = pd.DataFrame(rows, columns=[*shape, "dispatch_avg_t_us", "combine_avg_t_us"])
    found = {t.form: t for t in read(monkeypatch, {"wideep_deepep_ll_perf": frame}, "h200", "sglang")}
    assert set(found) == {f"{kind}_scale_{way}" for kind in ("dispatch", "combine") for way in ("up", "out")}
    assert found["dispatch_scale_up"].seconds.tolist() == pytest.approx([2e-5])
    assert found["dispatch_scale_up"].columns["byte"].tolist() == pytest.approx([10 * 1320 * 8 * 7 / 8])
    assert found["combine_scale_out"].columns["byte"].tolist() == pytest.approx([10 * 2560 * 8 * 3 / 4])
    assert found["combine_scale_out"].columns["ranks"].tolist() == [32]
    assert [(r.rule, r.rows) for r in found["dispatch_scale_up"].removed] == [("device", 2), ("few-experts", 2)]


def test_a_table_that_the_host_timed_has_no_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(collective, "_deepep", lambda *where: iter(QUICK if where[2] == "sglang" else ()))
    names = ["comm_backend", "phase", "comm_dtype", "topk", "latency", "ep_size", "node_num", "hidden_size", "num_tokens",
             "num_experts"]  # fmt: skip
    rows = [("deepep_ll", "dispatch", "default", 8, 25.0, 8, 1, 1280, 4, 256),
            ("deepep_ht", "dispatch", "default", 8, 25.0, 8, 1, 1280, 4, 256)]  # fmt: skip
    small, large = read(monkeypatch, {"moe_a2a_perf": pd.DataFrame(rows, columns=names)}, "h200", "vllm")
    assert (small.form, len(small), small.removed[0].rows) == ("dispatch_scale_up", 0, 1)
    assert (large.form, large.dtype, len(large)) == ("dispatch_large_scale_up", "fp8", 1)


def _quick(form: str) -> Table:
    one = floats([1.0])
    return Table(form, "h200", "sglang", "fp8", "1.0", {"byte": one, "ranks": one}, 1e-5 * one, one > 1)


QUICK = (_quick("dispatch_scale_up"), _quick("dispatch_large_scale_up"))
