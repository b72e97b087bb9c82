"""From a user's CSV of kernels to a profile that costs are evaluated with."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from costc.calibrate.numeric import seconds
from costc.calibrate.own import SHARE, calibrated, priors, rates
from costc.calibrate.profile import text
from costc.errors import CostcError
from costc.ir.platform import ANY, Efficiency
from costc.latency.forms import FORMS
from costc.spec.catalog import Catalog
from costc.spec.platform import efficiency
from costc.spec.reader import parse

FORM = FORMS["roofline"]
H100 = Catalog().hardware("h100-sxm")
TRUE = {"launch_latency": 5e-6, "compute_efficiency": 0.7, "memory_efficiency": 0.85}
UNIFORM = Catalog().efficiency("uniform")


def measured(folder: Path, rows: int, dtype: str = "bf16", worse: str = "") -> Path:
    chance = np.random.default_rng(rows)
    flop, byte = 10 ** chance.uniform(7, 13, rows), 10 ** chance.uniform(5, 10, rows)
    given = {"flop": flop, "byte": byte, **rates(FORM, dtype, H100), **TRUE}
    micro = seconds(FORM, given) * np.exp(0.03 * chance.standard_normal(rows)) * 1e6
    lines = [f"roofline,{dtype},{f!r},{b!r},{t!r}" for f, b, t in zip(flop.tolist(), byte.tolist(), micro.tolist(), strict=True)]
    path = folder / "kernels.csv"
    path.write_text("\n".join(["form,dtype,flop,byte,time_us", *lines, *([worse] if worse else [])]) + "\n")
    return path


def test_many_rows_give_back_what_they_were_made_with(tmp_path: Path) -> None:
    found = calibrated(measured(tmp_path, 300, worse="roofline,bf16,1e9,1e6,-5"), H100, UNIFORM, "mine", "vllm")
    given = found.profile.fitted("roofline", "bf16")
    assert given is not None
    assert {k: c.value for k, c in given.constants.items()} == pytest.approx(TRUE, rel=0.05)
    assert given.held_out is not None
    assert given.held_out.mean < 0.05
    assert [flag.line for flag in found.flags] == [302]
    assert (found.profile.name, found.profile.device, found.profile.engine) == ("mine", "h100-sxm", "vllm")
    assert given.source.title.startswith("measurements of kernels.csv, SHA-256 ")


def test_the_profile_reads_back(tmp_path: Path) -> None:
    found = calibrated(measured(tmp_path, 40), H100, UNIFORM, "mine").profile
    again, _ = efficiency(parse(text(found), "mine.yaml"))
    assert again.classes == found.classes
    assert again.values == UNIFORM.values


def test_a_profile_that_is_there_says_what_was_known(tmp_path: Path) -> None:
    base = calibrated(measured(tmp_path, 300), H100, UNIFORM, "base").profile
    known = priors(FORM, "bf16", base)
    for constant in FORM.constants:
        value, spread = known[constant.name]
        assert value == pytest.approx(TRUE[constant.name], rel=0.05)
        assert spread == pytest.approx(SHARE * constant.spread)
    assert priors(FORM, "bf16", UNIFORM) == {}
    path = measured(tmp_path, 3)
    near, far = (calibrated(path, H100, given, "x").fits[0].values for given in (base, UNIFORM))
    assert abs(near["memory_efficiency"] - 0.85) <= abs(far["memory_efficiency"] - 0.85) + 1e-9
    assert calibrated(path, H100, base, "x").profile.classes.keys() == base.classes.keys()


def test_rates_are_those_of_format_and_link() -> None:
    assert rates(FORM, "fp8", H100) == {"peak": H100.peak["fp8"].value, "bandwidth": H100.memory_bandwidth.value}
    assert rates(FORM, "nvfp4", H100)["peak"] == H100.peak["bf16"].value
    assert rates(FORM, "bf16:fp8", H100)["peak"] == H100.peak["bf16"].value
    assert rates(FORMS["send_scale_up"], ANY, H100) == {"bandwidth": H100.scale_up.value}
    assert H100.scale_out is not None
    assert rates(FORMS["send_scale_out"], ANY, H100) == {"bandwidth": H100.scale_out.value}


def test_forms_without_constants_of_a_format_are_fitted_over_all(tmp_path: Path) -> None:
    path = tmp_path / "links.csv"
    rows = [f"send_scale_up,{d},{b},1,{1 + b / 4e5}" for d in ("bf16", "fp8") for b in (1e4, 1e5, 1e6, 1e7)]
    path.write_text("\n".join(["form,dtype,byte,hops,time_us", *rows]) + "\n")
    found: Efficiency = calibrated(path, H100, UNIFORM, "links").profile
    assert list(found.classes) == [("send_scale_up", ANY)]
    assert found.classes["send_scale_up", ANY].n == 8


def test_a_rate_that_the_device_lacks_is_said() -> None:
    with pytest.raises(CostcError, match="unknown dtype 'w4a16'"):
        rates(FORM, "w4a16", H100)
    alone = replace(H100, scale_out=None)
    with pytest.raises(CostcError, match="has no link beyond its domain, on which send_scale_out was measured"):
        rates(FORMS["send_scale_out"], ANY, alone)
    with pytest.raises(CostcError, match="lacks fp8 and what stands in for it, in which roofline was measured"):
        rates(FORM, "fp8", replace(H100, peak={"int8": H100.peak["int8"]}))
