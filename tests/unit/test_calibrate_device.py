"""From tables to the profile of a device and engine: format words, fits, what stands in, defaults. Tables are made here."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from costc.calibrate import device as driver
from costc.calibrate import own, profiles, standins
from costc.calibrate.device import Measured, measure, measured
from costc.calibrate.kernels import Removed, Table
from costc.calibrate.numeric import seconds
from costc.calibrate.profile import text
from costc.calibrate.words import computed, word
from costc.errors import CostcError
from costc.ir.platform import ANY, Efficiency, Hardware
from costc.latency.forms import FORMS
from costc.spec.catalog import Catalog
from costc.spec.platform import efficiency
from costc.spec.profiles import ENGINES
from costc.spec.reader import parse

CATALOG = Catalog()
H100, H200, A100, B200 = (CATALOG.hardware(name) for name in ("h100-sxm", "h200", "a100-80gb", "b200"))
VALUES = CATALOG.efficiency("uniform").values
ROWS = 120
#: a rule that empties a table
BAD = Removed("eager", "the host was timed", 500)


def table(
    form: str, dtype: str, device: Hardware, engine: str, peak: str = "bf16", slower: float = 1.0, rows: int = ROWS
) -> Table:
    """Times of the form's own priors, `slower` times, with demands that say something about each constant."""
    chance = np.random.default_rng(len(form) + len(dtype))
    of = FORMS[form]
    columns = {d.name: 10 ** chance.uniform(0, 12 if d.unit in ("B", "FLOP") else 3, rows) for d in of.demands}
    given = {c.name: c.prior for c in of.constants} | own.rates(of, peak, device)
    times = slower * seconds(of, {**columns, **given})
    return Table(form, device.name, engine, dtype, "1.0", columns, times, np.arange(rows) % 2 == 1)


def emptied(form: str, dtype: str, device: Hardware, engine: str) -> Table:
    found = table(form, dtype, device, engine)
    none = found.seconds[:0]
    return replace(found, columns=dict.fromkeys(found.columns, none), seconds=none, held_out=none > 0, removed=(BAD,))


@pytest.fixture
def wheel(monkeypatch: pytest.MonkeyPatch) -> dict[tuple[str, str, str], list[Table]]:
    """A wheel by device, engine and family, to which a test adds tables."""
    tables: dict[tuple[str, str, str], list[Table]] = {}

    def reader(family: str) -> driver.Reader:
        def read(folder: Path, device: Hardware, engine: str) -> Iterator[Table]:
            yield from tables.get((device.name, engine, family), [])

        return read

    monkeypatch.setattr(driver, "READERS", {family: reader(family) for family in driver.READERS})
    return tables


def found_of(wheel: object, *devices: Hardware) -> dict[tuple[str, str], list[Measured]]:
    return measured([(d, e) for d in devices for e in ENGINES], Path())


# ---- words


@pytest.mark.parametrize(
    ("form", "dtype", "engine", "device", "expected"),
    [
        ("gemm", "bf16", "vllm", H100, "bf16"),
        ("gemm", "fp8_block", "vllm", H100, "fp8:block"),
        ("gemm", "fp8_static", "vllm", H100, "fp8:static"),
        ("gemm", "w8a16", "trtllm", A100, "bf16:int8"),
        ("grouped_gemm", "w4a16", "vllm", H100, "bf16:int4"),
        ("grouped_gemm", "w4a16_mxfp4", "vllm", H100, "bf16:mxfp4"),
        ("grouped_gemm", "w4a8_mxfp4", "sglang", B200, "fp8:mxfp4"),
        ("grouped_gemm", "nvfp4", "trtllm", B200, "nvfp4_throughput"),
        ("grouped_gemm", "nvfp4_low_latency", "trtllm", B200, "nvfp4"),
        ("grouped_gemm", "nvfp4", "vllm", B200, "nvfp4"),
        ("decode_mla", "fp8", "sglang", H100, "fp8"),
        ("decode_mla", "fp8", "trtllm", A100, "bf16:fp8"),
        ("decode_attention", "bf16:fp8", "vllm", H100, "bf16:fp8"),
        ("scan_prefill", "gdn", "vllm", H100, ANY),
        ("scan_prefill", "kda", "vllm", H100, "kda"),
        ("elementwise", "quantize", "vllm", H100, ANY),
        ("dispatch_scale_up", "fp8", "sglang", H100, ANY),
    ],
)
def test_words(form: str, dtype: str, engine: str, device: Hardware, expected: str) -> None:
    assert word(form, dtype, engine, device) == expected


def test_peaks_are_of_the_format_computed_in() -> None:
    assert [computed(d) for d in ("bf16:int4", "fp8:block", "nvfp4_throughput", "kda", ANY)] == [
        "bf16",
        "fp8",
        "nvfp4",
        "bf16",
        "bf16",
    ]
    assert driver.rates(A100)["fp8"] == A100.peak["bf16"].value  # which stands in for it there
    assert driver.rates(B200)["nvfp4"] == B200.peak["fp4"].value


# ---- fits


def test_each_table_is_fitted_on_its_half(wheel: dict[tuple[str, str, str], list[Table]]) -> None:
    wheel["h100-sxm", "vllm", "gemm"] = [table("gemm", "fp8_block", H100, "vllm", "fp8"), emptied("gemm", "nvfp4", H100, "vllm")]
    block, empty = measure(H100, "vllm", "gemm", Path())
    assert (block.dtype, empty.dtype) == ("fp8:block", "nvfp4")
    assert block.fit is not None
    assert (block.fit.n, block.fit.dtype) == (ROWS // 2, "fp8:block")
    assert block.fit.held_out is not None
    assert block.fit.held_out.n == ROWS // 2
    assert block.fit.held_out.mean < 0.01
    assert (empty.fit, empty.removed, empty.note) == (None, (BAD,), BAD.reason)


def test_a_table_that_cannot_be_fitted_says_why(wheel: dict[tuple[str, str, str], list[Table]]) -> None:
    wheel["h100-sxm", "vllm", "gemm"] = [table("gemm", "bf16", H100, "vllm", slower=1e6)]
    (one,) = measure(H100, "vllm", "gemm", Path())
    assert one.fit is None
    assert "is their unit right?" in one.note


def test_formats_of_an_exchange_are_one_class(wheel: dict[tuple[str, str, str], list[Table]]) -> None:
    parts = [table("dispatch_scale_up", d, H100, "sglang", ANY) for d in ("bf16", "fp8")]
    wheel["h100-sxm", "sglang", "collective"] = parts
    (one,) = measure(H100, "sglang", "collective", Path())
    assert one.dtype == ANY
    assert one.fit is not None
    assert one.fit.n == ROWS


def test_nccl_serves_all_engines_and_comes_first(wheel: dict[tuple[str, str, str], list[Table]]) -> None:
    form = "all_reduce_ring_scale_up"
    wheel["h100-sxm", "nccl", "collective"] = [table(form, "bf16", H100, "nccl", ANY)]
    wheel["h100-sxm", "trtllm", "collective"] = [table(form, "bf16", H100, "trtllm", ANY, slower=2)]
    found = found_of(wheel, H100)
    for engine in ENGINES:
        (one,) = found["h100-sxm", engine]
        assert one.fit is not None
        assert one.fit.engine == "nccl"


@pytest.mark.parametrize("given", ["fp8", "bf16:fp8"])
def test_a_cache_of_fp8_stands_under_both_words_at_the_peak_that_each_says(
    given: str, wheel: dict[tuple[str, str, str], list[Table]]
) -> None:
    wheel["h100-sxm", "trtllm", "mla"] = [table("prefill_mla", given, H100, "trtllm", computed(given), rows=400)]
    fits = {one.dtype: one.fit for one in measure(H100, "trtllm", "mla", Path())}
    assert set(fits) == {"fp8", "bf16:fp8"}
    narrow, wide = fits["fp8"], fits["bf16:fp8"]
    assert narrow is not None
    assert wide is not None
    if given == "fp8":  # a rate above bf16's peak cannot be said by a share of it
        assert wide.values["compute_efficiency"] > 0.85
    else:
        assert wide.values["compute_efficiency"] / narrow.values["compute_efficiency"] == pytest.approx(2, rel=0.1)


def test_a_device_without_fp8_has_one_word(wheel: dict[tuple[str, str, str], list[Table]]) -> None:
    wheel["a100-80gb", "trtllm", "mla"] = [table("decode_mla", "fp8", A100, "trtllm")]
    assert [one.dtype for one in measure(A100, "trtllm", "mla", Path())] == ["bf16:fp8"]


def test_files_of_a_wheel_are_read_and_fitted(tmp_path: Path) -> None:
    """The readers themselves, on files as they lie in the wheel: products in two formats, NCCL, and an engine without tables."""
    pytest.importorskip("pyarrow", reason="tables are parquet files")
    import pandas as pd

    def write(family: str, engine: str, name: str, rows: pd.DataFrame) -> None:
        path = tmp_path / "h100_sxm" / family / engine / "0.24.0" / f"{name}.parquet"
        path.parent.mkdir(parents=True)
        rows.to_parquet(path)

    shapes = [(m, n, k) for m in (1, 16, 256, 4096) for n in (1024, 4096, 8192) for k in (1024, 4096, 8192)]
    frame = pd.DataFrame(shapes, columns=["m", "n", "k"])
    flop, byte = 2.0 * frame.m * frame.n * frame.k, 2.0 * (frame.m * frame.k + frame.n * frame.k + frame.m * frame.n)
    frame["latency"] = 1e3 * (4e-6 + np.maximum(flop / (0.7 * H100.peak["bf16"].value), byte / (0.8 * 3.35e12)))
    write("gemm", "vllm", "gemm_perf", pd.concat([frame.assign(gemm_dtype=d) for d in ("bfloat16", "fp8_block")]))
    sizes = pd.DataFrame([(n, 2**i) for n in (2, 4, 8) for i in range(8, 28, 2)], columns=["num_gpus", "message_size"])
    sizes["latency"] = 1e3 * (8e-6 + 2.0 * sizes.message_size / (0.6 * 450e9))
    sizes = pd.concat([sizes.assign(op_name=o, nccl_dtype=d) for o in ("all_gather", "all_reduce") for d in ("half", "int8")])
    write("comm", "nccl", "nccl_perf", sizes)
    found = measured([(H100, engine) for engine in ENGINES], tmp_path)
    own = {one.key: one for one in found["h100-sxm", "vllm"]}
    assert set(own) == {("gemm", "bf16"), ("gemm", "fp8:block"), ("all_gather_scale_up", ANY), ("all_reduce_ring_scale_up", ANY)}
    plain = own["gemm", "bf16"].fit
    assert plain is not None
    assert (plain.version, plain.engine) == ("0.24.0", "vllm")
    assert plain.in_sample.mean < 0.1
    assert sum(r.rows for r in own["all_reduce_ring_scale_up", ANY].removed if r.rule == "int8-sum") == 30
    assert {one.form for one in found["h100-sxm", "sglang"]} == {"all_gather_scale_up", "all_reduce_ring_scale_up"}
    lent = profiles.assembled(H100, "trtllm", found, VALUES).classes["gemm", "fp8:block"]
    assert "h100-sxm, vllm 0.24.0, fp8:block; stands in: no table of trtllm" in lent.source.title


# ---- what stands in


def assembled(found: dict[tuple[str, str], list[Measured]], device: Hardware, engine: str) -> Efficiency:
    return profiles.assembled(device, engine, found, VALUES)


def test_the_table_says_who_stands_in_before_any_other(wheel: dict[tuple[str, str, str], list[Table]]) -> None:
    wheel["h100-sxm", "vllm", "moe"] = [emptied("grouped_gemm", "fp8", H100, "vllm")]
    wheel["h100-sxm", "sglang", "moe"] = [table("grouped_gemm", "fp8", H100, "sglang", "fp8", slower=3)]
    wheel["h200", "vllm", "moe"] = [table("grouped_gemm", "fp8", H200, "vllm", "fp8")]
    one = assembled(found_of(wheel, H100, H200), H100, "vllm").classes["grouped_gemm", "fp8"]
    assert one.source.title.endswith("h200, vllm 1.0, fp8; stands in: the newest table has a configuration that was not tuned")
    assert (one.n, one.held_out, bool(one.hull)) == (0, None, True)
    launch = next(c for c in FORMS["grouped_gemm"].constants if c.name == "launch_latency")
    given = one.constants["launch_latency"]
    assert given.kind == "assumed"
    assert given.std == pytest.approx(launch.spread * given.value, rel=0.06)


def test_another_engine_then_a_device_of_the_kind(wheel: dict[tuple[str, str, str], list[Table]]) -> None:
    wheel["h200", "trtllm", "gemm"] = [table("gemm", "fp8", H200, "trtllm", "fp8")]
    found = found_of(wheel, H100, H200)
    for device, engine in ((H200, "sglang"), (H100, "sglang")):
        one = assembled(found, device, engine).classes["gemm", "fp8"]
        assert "h200, trtllm 1.0, fp8; stands in: no table of" in one.source.title
    assert ("gemm", "fp8") not in assembled({**found, **found_of(wheel, B200)}, B200, "vllm").classes


def test_own_constants_come_first_and_unasked_kernels_are_not_lent(wheel: dict[tuple[str, str, str], list[Table]]) -> None:
    wheel["h100-sxm", "vllm", "scan"] = [table("scan_prefill", "kda", H100, "vllm", rows=400)]
    wheel["h100-sxm", "vllm", "gemm"] = [table("gemm", "fp8", H100, "vllm", "fp8")]
    wheel["h100-sxm", "trtllm", "gemm"] = [table("gemm", d, H100, "trtllm", "fp8") for d in ("fp8", "fp8_static")]
    found = found_of(wheel, H100)
    vllm, sglang = (assembled(found, H100, engine) for engine in ("vllm", "sglang"))
    assert vllm.classes["gemm", "fp8"].n == ROWS // 2
    # the engine's own table of the format is nearer than another's with scales that are known before
    assert ("gemm", "fp8:static") not in vllm.classes
    assert ("gemm", "fp8:static") in sglang.classes
    assert vllm.classes["scan_prefill", "kda"].n == 200
    assert ("scan_prefill", "kda") not in sglang.classes


def test_the_nearest_format_and_defaults_fill_the_rest(wheel: dict[tuple[str, str, str], list[Table]]) -> None:
    wheel["h100-sxm", "vllm", "moe"] = [table("grouped_gemm", d, H100, "vllm") for d in ("bf16", "w4a16_mxfp4")]
    found = assembled(found_of(wheel, H100), H100, "vllm")
    restored = found.classes["grouped_gemm", "bf16:nvfp4"]
    assert "bf16:mxfp4; stands in: no table in this format" in restored.source.title
    assert found.fitted("grouped_gemm", "int8") is found.classes["grouped_gemm", ANY]
    assert found.classes["grouped_gemm", ANY].n == 0
    roofline = found.classes["roofline", ANY]
    assert (roofline.hull, roofline.source) == ({}, standins.DEFAULT)
    for name, form in FORMS.items():
        of = found.fitted(name, "bf16")
        assert of is not None
        assert set(of.constants) == {c.name for c in form.constants}


def test_the_profile_reads_back_with_what_was_left_out(wheel: dict[tuple[str, str, str], list[Table]]) -> None:
    other = Removed("eager", "another reason", 3)
    kept = replace(table("gemm", "bf16", H100, "vllm"), removed=(other,))
    wheel["h100-sxm", "vllm", "gemm"] = [kept, emptied("gemm", "fp8_block", H100, "vllm")]
    given = assembled(found_of(wheel, H100), H100, "vllm")
    assert given.rules == {"eager": "another reason", "eager-2": BAD.reason}
    assert given.removed == {("gemm", "bf16"): {"eager": 3}, ("gemm", "fp8:block"): {"eager-2": 500}}
    again, _ = efficiency(parse(text(given), "x.yaml"))
    assert (again.rules, again.removed, again.classes) == (given.rules, given.removed, given.classes)
    assert text(again) == text(given)


def test_a_row_that_was_left_out_has_a_rule() -> None:
    wrong = text(CATALOG.efficiency("h100-sxm-vllm")).replace("  eager: ", "  eagre: ", 1)
    with pytest.raises(CostcError, match=r"x\.yaml:\d+:\d+: unknown rule 'eager'; allowed: above, "):
        efficiency(parse(wrong, "x.yaml"))


def test_processes_change_nothing(wheel: dict[tuple[str, str, str], list[Table]]) -> None:
    """The pool is the same map; without tables it is quick."""
    assert measured([(H100, "vllm")], Path("/nonexistent"), 2) == measured([(H100, "vllm")], Path("/nonexistent"))


# ---- what ships


@pytest.mark.parametrize("device", profiles.DEVICES)
def test_shipped_profiles(device: str) -> None:
    for engine in ENGINES:
        found = CATALOG.efficiency(profiles.named(device, engine))
        assert (found.device, found.engine) == (device, engine)
        assert {form for form, _ in found.classes} == set(FORMS)
        for (form, _), one in found.classes.items():
            assert set(one.constants) == {c.name for c in FORMS[form].constants}, (form, one.dtype)
            if not one.n:
                assert all(c.kind == "assumed" for c in one.constants.values())
                assert one.held_out is None
            else:
                assert one.digest
                assert one.held_out is not None
        for rows in found.removed.values():
            assert set(rows) <= set(found.rules)
        gemm, attention = found.classes["gemm", "bf16"], found.classes["prefill_attention", "bf16"]
        assert min(gemm.n, attention.n) > 1000, "measured, not lent"


def test_every_stand_in_of_the_table_is_used() -> None:
    titles = {
        (name.rpartition("-")[2], form, one.source.title)
        for name in CATALOG.names("efficiency")
        for (form, _), one in CATALOG.efficiency(name).classes.items()
    }
    for one in standins.TABLE:
        assert any(o == one.owner and form in one.forms and one.reason in said for o, form, said in titles), one


def test_the_profile_of_other_devices_is_all_defaults() -> None:
    shipped = CATALOG.efficiency("assumed")
    assert text(profiles.assumed(VALUES)) == text(shipped)
    assert all(c.kind == "assumed" and c.std > 0 for one in shipped.classes.values() for c in one.constants.values())
