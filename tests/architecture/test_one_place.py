"""One change, one place: a toy of each kind goes through the whole pipeline with no other edit.

Each toy is what CONTRIBUTING.md shows, registered for the test and taken out again.
"""

from __future__ import annotations

import csv
import inspect
import io
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar

import pytest
import sympy as sp
from pydantic import PositiveInt

from costc import symbols as S
from costc.api import CostModel
from costc.blocks import ATTENTION, FFN
from costc.blocks.base import BATCH, SEQ, Block, Builder
from costc.count import shapes
from costc.dtypes import DTYPES, Dtype
from costc.emit import TARGETS, Artifact, Target
from costc.emit.targets import numpy as numpy_target
from costc.errors import DegreeError, SpecError
from costc.ir.reach import reach
from costc.ir.types import Axis, Constraint, Kind, Op, Read, Section
from costc.latency.form import BANDWIDTH, Constant, Demand, Form
from costc.latency.forms import FORMS
from costc.place.mesh import STRATEGIES, Sizes, Strategy
from costc.spec import model as model_spec
from costc.spec import platform
from costc.spec.catalog import Catalog
from costc.spec.reader import parse
from costc.spec.study import study

MODEL = """\
name: toy
title: Toy
sources: {config: {title: a config.json}}
source: config
hidden_size: 512
vocab_size: 32000
max_position_embeddings: 4096
attention: {full: %(attention)s}
ffn: {dense: %(ffn)s}
layers: [{repeat: 4, pattern: [{attention: full, ffn: dense}]}]
"""
GQA = "{kind: gqa, num_attention_heads: 16, num_key_value_heads: 4, head_dim: 32}"
GATED = "{kind: gated, intermediate_size: 2048}"


def compiled(attention: str = GQA, ffn: str = GATED, catalog: Catalog | None = None) -> CostModel:
    """A toy model, from the text of its spec."""
    return CostModel(model_spec.model(parse(MODEL % {"attention": attention, "ffn": ffn}, "toy.yaml")), catalog)


def emitted(model: CostModel) -> dict[str, Any]:
    """The names of the emitted module, run on its own."""
    return numpy_target.load(TARGETS["numpy"].emit(Artifact(model.fast_program, "Toy", "digest")))


def agrees(model: CostModel, **plan: int) -> dict[str, Any]:
    """Evaluate a point by the library and by the emitted module; they agree."""
    point = model.point("h100-sxm", "bf16", **plan)
    module = emitted(model)
    values = {**model.values("h100-sxm", "bf16"), "batch": 1, "isl": 2048, "osl": 512, **dict.fromkeys(STRATEGIES, 1), **plan}
    values.setdefault("microbatches", values["pp"])
    alone = module["evaluate"](**{name: values[name] for name in module["INPUTS"]})
    for name, value in point.items():
        assert value is None or alone[name] == pytest.approx(value, rel=1e-12), name
    return point


# ---- an attention kind


class Pooled(Block):
    """One head of `pool_dim`, shared by queries, keys and values; attends the last `pool_window` positions."""

    pool_dim: PositiveInt
    pool_window: PositiveInt

    def build(self, b: Builder, x: str, phase: str) -> str:
        hidden = b.tensors[x].axes[-1]
        pool = Axis("pool", b.dim("pool_dim", self.pool_dim, "elements of the pooled head"))
        law = reach(b.dim("pool_window", self.pool_window, "attended positions"))
        pair, context = Axis("pair", law.pairs, law), Axis("context", law.context, law)
        new = b.project("in_proj", x, (pool,), (hidden,))
        b.cache("pool_cache", (BATCH, context, pool))
        b.map("pool_store", (new,), Read("pool_cache", SEQ.size / context.size), work=0, domain=(BATCH, SEQ, pool))
        scores = b.contract("score", (new, "pool_cache"), (BATCH, pair), (pool,), module="attention_core")
        weights = b.op("softmax", Kind.REDUCE, (scores,), (BATCH, pair), (BATCH, pair), work=5)
        axes = (BATCH, pair, pool)
        mixed = b.op("attend", Kind.CONTRACT, (weights, "pool_cache"), (BATCH, SEQ, pool), axes, module="attention_core")
        return b.project("out_proj", mixed, (hidden,), (pool,))


@pytest.fixture
def pooled() -> Iterator[None]:
    ATTENTION.add("pooled", Pooled)
    yield
    ATTENTION.remove("pooled")


POOLED = "{kind: pooled, pool_dim: 128, pool_window: 256}"


@pytest.mark.usefixtures("pooled")
def test_attention_kind() -> None:
    model = compiled(POOLED)
    point = agrees(model, batch=4, isl=1000, osl=10)
    assert point["ttft"] > 0
    # counted by hand: 4 layers, two projections of 512 x 128, norm; window of 256; head for the last position
    layer = 2 * (2 * 512 * 128 + 3 * 512 * 2048)
    pairs = 256 * 257 // 2 + (1000 - 256) * 256
    assert point["flop_prefill"] == 4 * (1000 * 4 * layer + 4 * 2 * 2 * 128 * pairs) + 4 * 2 * 512 * 32000
    assert model.parameters == 4 * (2 * 512 * 128 + 3 * 512 * 2048 + 2 * 512) + 2 * 512 * 32000 + 512
    # two heads of 128, one cache: 512 bytes a sequence, position and pair of layers
    assert agrees(model, isl=1000, osl=10)["memory_kv"] == 4 * 256 * 128 * 2


@pytest.mark.usefixtures("pooled")
def test_attention_kind_under_every_parallelism() -> None:
    """It knows of none; they cut what it shares with others (FFN, vocabulary, batch, layers)."""
    assert agrees(compiled(POOLED), tp=4, pp=2, dp=2, batch=8)["devices"] == 16


@pytest.mark.usefixtures("pooled")
def test_attention_kind_in_messages_and_formulas() -> None:
    with pytest.raises(
        SpecError, match=r"toy.yaml:8:26: unknown attention kind 'poled'; allowed: .*pooled.*; did you mean 'pooled'\?"
    ):
        compiled("{kind: poled}")
    with pytest.raises(SpecError, match=r"missing key 'pool_window'; needed: kind, pool_dim, pool_window"):
        compiled("{kind: pooled, pool_dim: 128}")
    assert "pool_dim" in str(compiled(POOLED).formula("decode.attention.full.flop", bound=False))


# ---- an FFN kind


class LowRank(Block):
    """Two projections through `rank` elements."""

    group: ClassVar[str] = "ffn"

    rank: PositiveInt

    def build(self, b: Builder, x: str, phase: str) -> str:
        b.module = "ffn"
        hidden = b.tensors[x].axes[-1]
        inner = Axis("ffn", b.dim("rank", self.rank, "rank of the FFN"))
        return b.project("down", b.project("up", x, (inner,), (hidden,)), (hidden,), (inner,))


@pytest.fixture
def low_rank() -> Iterator[None]:
    FFN.add("low_rank", LowRank)
    yield
    FFN.remove("low_rank")


@pytest.mark.usefixtures("low_rank")
def test_ffn_kind() -> None:
    model = compiled(ffn="{kind: low_rank, rank: 64}")
    attention = 512 * 32 * (16 + 2 * 4 + 16)
    assert model.parameters == 4 * (attention + 2 * 512 * 64 + 2 * 512) + 2 * 512 * 32000 + 512
    assert agrees(model, tp=4)["scale_up_byte_prefill"] > 0  # its name `ffn` for the axis is what tensor parallelism cuts
    with pytest.raises(DegreeError, match="not divisible by tp 3"):
        model.point("h100-sxm", tp=3)


# ---- hardware and quantization: data beside a study

HARDWARE = """\
name: toy-device
title: Toy device
vendor: none
aliases: [TD1]
sources: {guess: {title: a guess}}
memory: {value: 1 TB, source: guess, kind: assumed}
memory_bandwidth: {value: 10 TB/s, source: guess, kind: assumed}
peak:
  bf16: {value: 1 PFLOP/s, source: guess, kind: assumed}
  fp8: {value: 2 PFLOP/s, source: guess, kind: assumed}
scale_up:
  link: none
  bandwidth: {value: 1 TB/s, source: guess, kind: assumed}
  domain: {value: 16, source: guess, kind: assumed}
"""
SCHEME = """\
name: toy-scheme
title: Toy scheme
sources: {guess: {title: a guess}}
source: guess
weights: {dtype: %s, block: [1, 32], scale_byte: 1}
converts: [attention, ffn]
others: bf16
activations: bf16
dispatch: bf16
kv_cache: %s
compute: %s
attention_compute: bf16
"""
STUDY = """\
name: toy_study
title: Toy study
sources: {guess: {title: a guess}}
models: [deepseek-r1-distill-qwen-7b]
hardware: [toy-device]
quantization: [toy-scheme]
keeps_quality: {schemes: [toy-scheme], source: guess}
efficiency: uniform
scenarios:
  chat:
    title: Chat
    isl: {value: 1000, source: guess}
    osl: {value: 100, source: guess}
    ttft: {value: 10 s, source: guess}
    tpot: {value: 1 s, source: guess}
    quality: {benchmark: MATH-500, value: {value: 50, source: guess}}
plans: {tp: [1, 2], pp: [1], dp: [1], ep: [1], max_devices: 2}
batches: [1, 2]
"""


@pytest.fixture
def beside(tmp_path: Path) -> Path:
    """A study, and beside it a device and a scheme of its own."""
    for folder, name, text in (
        ("hardware", "toy-device", HARDWARE),
        ("quantization", "toy-scheme", SCHEME % ("fp8", "fp8", "fp8")),
        (".", "study", STUDY),
    ):
        (tmp_path / folder).mkdir(exist_ok=True)
        (tmp_path / folder / f"{name}.yaml").write_text(text, encoding="utf-8")
    return tmp_path


def test_hardware(beside: Path) -> None:
    model = compiled(catalog=Catalog(beside))
    point = model.point("toy-device")
    assert point["memory_limit"] == pytest.approx(0.92e12)
    assert point == model.point("TD1")
    assert point["cost_per_million_tokens"] is None  # it has no price
    assert "toy-device" in Catalog(beside).names("hardware")
    assert "toy-device" not in Catalog().names("hardware")


def test_quantization(beside: Path) -> None:
    model = compiled(catalog=Catalog(beside))
    point, plain = model.point("toy-device", "toy-scheme"), model.point("toy-device", "bf16")
    converted = 4 * (512 * 32 * (16 + 2 * 4 + 16) + 3 * 512 * 2048)
    assert plain["memory_weights"] - point["memory_weights"] == converted * (2 - 1 - 1 / 32)
    assert plain["memory_kv"] == 2 * point["memory_kv"]


def test_both_in_a_study(beside: Path) -> None:
    found = study(beside / "study.yaml")
    assert [d.name for d in found.hardware] == ["toy-device"]
    assert [q.name for q in found.quantization] == ["toy-scheme"]
    model = CostModel(found.models[0], Catalog(beside))
    assert model.point(found.hardware[0], found.quantization[0])["ttft"] > 0


def test_both_in_a_report(beside: Path, tmp_path: Path) -> None:
    compiler = pytest.importorskip("costc.report.compile", reason="costc/report is not there yet")
    assert compiler
    from costc.api import compile_study

    outcome = compile_study(beside / "study.yaml", tmp_path / "out")
    assert outcome.code in (0, 1)
    text = (tmp_path / "out" / "reports" / "toy_study.md").read_text(encoding="utf-8")
    assert "Toy device" in text


# ---- a number format


def test_dtype(beside: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(DTYPES, "fp6", Dtype("fp6", 6, "fp8", lacks="bf16"))
    (beside / "quantization" / "six.yaml").write_text(
        (SCHEME % ("fp6", "fp6", "fp6")).replace("toy-scheme", "six"), encoding="utf-8"
    )
    model = compiled(catalog=Catalog(beside))
    point, plain = model.point("toy-device", "six", batch=64), model.point("toy-device", "bf16", batch=64)
    assert point["memory_kv"] * 16 == plain["memory_kv"] * 6
    assert model.point("toy-device", "bf16", kv_cache_dtype="fp6", batch=64)["memory_kv"] == point["memory_kv"]
    assert model.values("toy-device", "six")["peak_ffn"] == 2e15, "computed on the fp8 unit"
    assert model.values("a100-80gb", "six")["peak_ffn"] == model.values("a100-80gb", "bf16")["peak_ffn"], "and in bf16 without it"


# ---- an output target


def steps_as_csv(artifact: Artifact) -> str:
    """Name, unit and comment of each step."""
    out = io.StringIO()
    rows = csv.writer(out, lineterminator="\n")
    rows.writerow(("step", "unit", "comment"))
    rows.writerows((s.name, s.unit, s.comment) for s in artifact.program)
    return out.getvalue()


@pytest.fixture
def csv_target() -> Iterator[None]:
    TARGETS.add("csv", Target("csv", lambda model: f"{model}/steps.csv", steps_as_csv))
    yield
    TARGETS.remove("csv")


@pytest.mark.usefixtures("csv_target")
def test_target() -> None:
    model = compiled()
    target = TARGETS["csv"]
    rows = list(csv.DictReader(io.StringIO(target.emit(Artifact(model.fast_program, "Toy", "digest")))))
    assert [r["step"] for r in rows] == [s.name for s in model.fast_program]
    assert target.path("toy") == "toy/steps.csv"
    assert target in TARGETS.values()


@pytest.mark.usefixtures("csv_target")
def test_target_in_a_compiled_study(beside: Path, tmp_path: Path) -> None:
    pytest.importorskip("costc.report.compile", reason="costc/report is not there yet")
    from costc.api import compile_study

    compile_study(beside / "study.yaml", tmp_path / "out")
    assert list((tmp_path / "out" / "generated" / "toy_study").rglob("steps.csv"))


# ---- a parallelism


def _inner_cuts(sizes: Sizes) -> Mapping[str, sp.Expr]:
    return {"ffn": S.degree("xp", "toy FFN-parallel degree")} if "ffn" in sizes else {}


def _inner_constraints(sizes: Sizes) -> tuple[Constraint, ...]:
    xp = S.degree("xp", "toy FFN-parallel degree")
    return (
        (Constraint(sp.Mod(sizes["ffn"], xp), f"FFN width {{{sizes['ffn']}}} is not divisible by xp {{xp}}"),)
        if "ffn" in sizes
        else ()
    )


@pytest.fixture
def xp() -> Iterator[None]:
    """A further cut of the FFN's width, on devices of its own."""
    degree = S.degree("xp", "toy FFN-parallel degree")
    STRATEGIES.add("xp", Strategy("xp", "toy FFN parallelism", degree, _inner_cuts, place=3, constraints=_inner_constraints))
    yield
    STRATEGIES.remove("xp")
    del S.VARS["xp"]


def same(a: Mapping[str, Any], b: Mapping[str, Any]) -> None:
    assert a.keys() == b.keys()
    for name, value in a.items():
        assert value is None if b[name] is None else value == pytest.approx(b[name], rel=1e-12), name


def test_parallelism_at_degree_1_changes_nothing(request: pytest.FixtureRequest) -> None:
    plans = [{}, {"tp": 4, "batch": 8}, {"tp": 2, "pp": 2, "dp": 2, "batch": 32, "microbatches": 2}]
    without = [compiled().point("h100-sxm", **plan) for plan in plans]
    request.getfixturevalue("xp")
    for plan, before in zip(plans, without, strict=True):
        same(compiled().point("h100-sxm", **plan), before)
        same(compiled().point("h100-sxm", xp=1, **plan), before)


@pytest.mark.usefixtures("xp")
def test_parallelism() -> None:
    model = compiled()
    one, two = agrees(model, batch=8), agrees(model, batch=8, xp=2)
    assert two["devices"] == 2
    assert one["scale_up_byte_prefill"] == 0
    # one all-reduce after each of 4 FFNs: 2 (n-1)/n of tokens x hidden in bf16, sent by each of n devices
    assert two["scale_up_byte_prefill"] == 4 * 2 * (2 - 1) / 2 * (8 * 2048) * 512 * 2 * 2
    ffn = 4 * 3 * 512 * 2048 * 2
    assert one["memory_weights"] - two["memory_weights"] == ffn / 2


@pytest.mark.usefixtures("xp")
def test_parallelism_with_others() -> None:
    """A width cut twice is all-reduced over both groups."""
    model = compiled()
    both = agrees(model, batch=8, tp=2, xp=2)
    assert both["devices"] == 4
    frame = model.evaluate("h100-sxm", "bf16", xp=[1, 2, 4, 3], tp=2, batch=8)
    assert list(frame["devices"][:3]) == [2, 4, 8]
    assert frame["ttft"].isna().tolist() == [False, False, False, True]
    with pytest.raises(DegreeError, match="toy: FFN width 2048 is not divisible by xp 3"):
        model.point("h100-sxm", xp=3)
    text = model.show("prefill")
    assert "all_reduce_xp" in text
    assert "all_reduce_tp" in text


@pytest.mark.usefixtures("xp")
def test_parallelism_in_a_study(beside: Path, tmp_path: Path) -> None:
    path = beside / "study.yaml"
    path.write_text(STUDY.replace("plans: {", "plans: {xp: [1, 2], "), encoding="utf-8")
    assert study(path).plans.degrees["xp"] == (1, 2)
    from costc.api import compile_study

    compile_study(path, tmp_path / "out")
    assert "xp" in (tmp_path / "out/generated/toy_study").rglob("evaluator.py").__next__().read_text(encoding="utf-8")


# ---- a closed form of operator time

TOY_PROFILE = """\
name: toy-fitted
title: Toy, fitted
device: h100-sxm
engine: toy
sources: {guess: {title: a guess}}
values:
  compute_efficiency: {value: 1, source: guess, kind: assumed}
  memory_efficiency: {value: 1, source: guess, kind: assumed}
  link_efficiency: {value: 1, source: guess, kind: assumed}
  launch_latency: {value: 0 s, source: guess, kind: assumed}
  scale_up_latency: {value: 0 s, source: guess, kind: assumed}
  scale_out_latency: {value: 0 s, source: guess, kind: assumed}
classes:
  toy_stream:
    any:
      source: guess
      n: 10
      constants:
        launch_latency: {value: 2.0e-05, std: 0, unit: s, kind: fitted}
        passes: {value: 3, std: 0, unit: "1", kind: fitted}
"""


@pytest.fixture
def toy_stream(monkeypatch: pytest.MonkeyPatch) -> Iterator[Form]:
    """The form of the guide, for norms, by a rule on structure."""
    names: dict[str, Any] = {"Demand": Demand, "Constant": Constant, "Form": Form, "BANDWIDTH": BANDWIDTH}
    exec(compile(next(x for x in samples("python") if "toy_stream" in x), str(GUIDE), "exec"), names)
    (form,) = names["FORMS"]
    monkeypatch.setitem(FORMS, form.name, form)
    of = shapes._of

    def ruled(section: Section, ops: tuple[Op, ...], phase: str) -> tuple[str, dict[str, sp.Expr]]:
        return ("toy_stream", {}) if ops[-1].name == "norm" else of(section, ops, phase)

    monkeypatch.setattr(shapes, "_of", ruled)
    yield form
    for name in [n for n in S.VARS if n.startswith("toy_stream")]:
        del S.VARS[name]


@pytest.mark.usefixtures("toy_stream")
def test_form_of_time() -> None:
    model = compiled()
    asked = [s for s in model.evaluator.inputs if s.startswith("toy_stream")]
    assert asked == ["toy_stream_launch_latency", "toy_stream_passes"]
    profile = platform.efficiency(parse(TOY_PROFILE, "toy-fitted.yaml"))[0]
    fitted = {k: v for k, v in model.values("h100-sxm", "bf16", profile).items() if k in asked}
    assert fitted == {"toy_stream_launch_latency": 2e-5, "toy_stream_passes": 3.0}
    values = {**model.values("h100-sxm", "bf16", "ideal"), **dict.fromkeys(STRATEGIES, 1)}
    values |= {"batch": 4, "isl": 1000, "osl": 2, "microbatches": 1}
    neutral, changed = model.evaluator(values), model.evaluator({**values, **fitted})
    # nine norms, each of them launched and its bytes moved twice more: a sum of two tensors and their norm, and its weights
    byte = 4 * (4 * 512 * 2) + 512 * 2
    wanted = 9 * (2e-5 + (3 - 1) * byte / values["memory_bandwidth"])
    assert changed["tpot"] - neutral["tpot"] == pytest.approx(wanted, rel=1e-9)
    agrees(model, batch=4, isl=100)


# ---- what CONTRIBUTING.md shows

GUIDE = Path(__file__).parents[2] / "CONTRIBUTING.md"


def samples(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", GUIDE.read_text(encoding="utf-8"), re.DOTALL)


@pytest.mark.parametrize("toy", [Pooled, LowRank])
def test_the_guide_shows_these_toys(toy: type[Block]) -> None:
    assert any(inspect.getsource(toy) in sample for sample in samples("python"))


def test_the_specs_in_the_guide_are_valid() -> None:
    device, scheme = (parse(sample, "CONTRIBUTING.md") for sample in samples("yaml"))
    assert platform.hardware(device)[0].domain.value == 8
    assert platform.quantization(scheme)[0].weights.block == (1, 32)


def test_the_strategy_and_the_target_in_the_guide_run() -> None:
    names = {**globals(), "Mapping": Mapping}
    strategy, target = (next(s for s in samples("python") if word in s) for word in ("STRATEGIES.add", "TARGETS.add"))
    try:
        exec(compile(strategy + target, str(GUIDE), "exec"), names)
        model = compiled()
        assert model.point("h100-sxm", xp=2)["devices"] == 2
        assert TARGETS["csv"].emit(Artifact(model.program, "Toy", "digest")).count("\n") == len(model.program.steps)
    finally:
        STRATEGIES.remove("xp")
        TARGETS.remove("csv")
        del S.VARS["xp"]


def test_nothing_is_left_behind() -> None:
    assert "xp" not in STRATEGIES
    assert "csv" not in TARGETS
    assert "pooled" not in ATTENTION
    assert "low_rank" not in FFN
    assert "fp6" not in DTYPES
