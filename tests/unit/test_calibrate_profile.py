"""A fitted profile: its text reads back as itself, byte for byte; what is wrong in it is refused at its place."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest

from costc.calibrate.fit import Fit, fit
from costc.calibrate.kernels import Table
from costc.calibrate.numeric import seconds
from costc.calibrate.profile import fitted_class, profile, tables_source, text
from costc.errors import CostcError, SpecError
from costc.ir.platform import ANY, Efficiency
from costc.latency.forms import FORMS
from costc.spec.catalog import Catalog
from costc.spec.platform import efficiency
from costc.spec.reader import parse

FORM = FORMS["roofline"]
RATES = {"peak": 9.89e14, "bandwidth": 3.35e12}


def fitted(dtype: str, seed: int = 1) -> Fit:
    chance = np.random.default_rng(seed)
    columns = {"flop": 10 ** chance.uniform(6, 13, 400), "byte": 10 ** chance.uniform(4, 10, 400)}
    true = {c.name: c.prior * 1.1 for c in FORM.constants}
    times = seconds(FORM, {**columns, **RATES, **true}) * np.exp(0.05 * chance.standard_normal(400))
    return fit(FORM, Table("roofline", "h100-sxm", "vllm", dtype, "0.24.0", columns, times, chance.random(400) < 0.5), RATES)


def made() -> Efficiency:
    values = Catalog().efficiency("uniform").values
    return profile(
        "h100-sxm-vllm", "H100 with vLLM, fitted", "h100-sxm", "vllm", [fitted("fp8", 2), fitted("bf16:fp8"), fitted(ANY)], values
    )


def test_the_text_reads_back_as_the_profile_and_writes_the_same_bytes() -> None:
    given = made()
    written = text(given)
    found, aliases = efficiency(parse(written, "x.yaml"))
    assert found.classes == given.classes
    assert found.values == given.values
    assert (found.name, found.title, found.device, found.engine) == (given.name, given.title, given.device, given.engine)
    assert aliases == ()
    assert text(found) == written
    assert text(made()) == written


def test_the_order_of_fits_does_not_matter() -> None:
    given = made()
    assert text(replace(given, classes=dict(reversed(given.classes.items())))) == text(given)


def test_a_constant_has_its_line() -> None:
    lines = text(made()).splitlines()
    assert any(re.fullmatch(r" {8}launch_latency: \{value: \S+, std: \S+, unit: s, kind: fitted\}", line) for line in lines)
    assert all(len(line) <= 160 for line in lines)


def test_figures_are_rounded_so_that_the_last_bit_does_not_matter() -> None:
    exact = fitted("bf16")
    near = replace(exact, constants={k: replace(c, value=c.value * (1 + 1e-13)) for k, c in exact.constants.items()})
    source = tables_source(exact)
    assert fitted_class(exact, source) == fitted_class(near, source)
    assert source.title == "kernel tables of aiconfigurator-core 0.12.0: h100-sxm, vllm 0.24.0"


def test_a_class_is_found_by_format_or_for_any() -> None:
    given = made()
    assert given.fitted("roofline", "fp8") == given.classes["roofline", "fp8"]
    assert given.fitted("roofline", "nvfp4") == given.classes["roofline", ANY]
    assert given.fitted("gemm", "fp8") is None


def test_what_lies_outside_the_hull_is_named() -> None:
    one = replace(made().classes["roofline", "fp8"], hull={"flop": (10.0, 20.0), "byte": (1.0, 2.0)})
    assert one.outside({"flop": 15, "byte": 1}) == ()
    assert one.outside({"flop": 21, "byte": 0.5}) == ("flop", "byte")
    assert one.outside({"flop": 9}) == ("flop",)


def test_profiles_without_classes_are_what_they_were() -> None:
    ideal = Catalog().efficiency("ideal")
    assert (ideal.classes, ideal.device, ideal.engine) == ({}, "", "")
    again, _ = efficiency(parse(text(ideal), "x.yaml"))
    assert again.values == ideal.values


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("  roofline:", "  roofine:", r"unknown operator class 'roofine'; allowed: .*; did you mean 'roofline'\?"),
        ("    fp8:", "    FP 8:", "'FP 8' is not a format: such as bf16"),
        (
            "launch_latency: {value: ",
            "launch_latencies: {value: ",
            "unknown constant 'launch_latencies'; allowed: .*'launch_latency'",
        ),
        ("hull: {flop:", "hull: {flops:", "unknown demand 'flops'; allowed: byte, flop; did you mean 'flop'"),
        ("unit: s,", "unit: ms,", "launch_latency is in 's', not 'ms'"),
        ("kind: fitted", "kind: guessed", "unknown kind 'guessed'; allowed: assumed, fitted"),
        ("      source: s", "      source: q", "unknown source 'q"),
        ("      n: ", "      n: -", "'n' is -.*; expected at least 0"),
        ("std: ", "std: -", "'std' is -.*; expected at least 0"),
    ],
)
def test_what_is_wrong_is_refused_at_its_place(old: str, new: str, message: str) -> None:
    written = flow_hull(text(made()))
    assert old in written, written[:1500]
    changed = written.replace(old, new, 1)
    with pytest.raises(SpecError, match=message) as caught:
        efficiency(parse(changed, "x.yaml"))
    place = next(i for i, line in enumerate(changed.splitlines(), 1) if new in line)
    assert caught.value.position is not None
    assert caught.value.position.line == place


def flow_hull(written: str) -> str:
    """The hull on one line, so that a mistake in it lies on the line of its key."""
    return re.sub(r"hull:\n +flop: (\[.*?\])\n +byte: (\[.*?\])", r"hull: {flop: \1, byte: \2}", written)


def test_a_value_outside_its_bounds_is_refused() -> None:
    wrong = re.sub(r"compute_efficiency: \{value: [\d.]+, std", "compute_efficiency: {value: 1.2, std", text(made()))
    with pytest.raises(SpecError, match=r"compute_efficiency is 1\.2; expected 0\.02 to 1$"):
        efficiency(parse(wrong, "x.yaml"))


def test_a_reversed_hull_is_refused() -> None:
    wrong = re.sub(r"flop: \[.*\]", "flop: [7, 3]", text(made()), count=1)
    with pytest.raises(CostcError, match="from 7 to 3: the lower end comes first"):
        efficiency(parse(wrong, "x.yaml"))
