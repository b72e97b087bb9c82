"""The catalogue: what ships loads and has sources, and a user's own files come first."""

from __future__ import annotations

import math
import os
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import yaml

import costc
from costc.dtypes import UNITS
from costc.errors import CostcError
from costc.facts import Fact
from costc.ir.platform import Hardware
from costc.spec.catalog import KINDS, Catalog, shipped
from costc.spec.model import ModelEntry
from costc.spec.study import study

FILES = [(kind, path) for kind in KINDS for path in sorted((shipped() / kind).glob("*.yaml"))]
HARDWARE = sorted(p.stem for p in (shipped() / "hardware").glob("*.yaml"))


def label(value: Any) -> str:
    return value.stem if isinstance(value, Path) else str(value)


# ---- what ships


@pytest.mark.parametrize(("kind", "path"), FILES, ids=label)
def test_every_shipped_spec_loads_under_its_own_name(kind: str, path: Path) -> None:
    thing = Catalog().get(kind, path.stem)
    assert (thing.model if isinstance(thing, ModelEntry) else thing).name == path.stem
    assert thing.origin == str(path)


@pytest.mark.parametrize("path", sorted(shipped().glob("*.yaml")), ids=label)
def test_every_shipped_study_loads(path: Path) -> None:
    assert study(path).models


def test_nothing_lies_outside_a_known_folder() -> None:
    assert {p.name for p in shipped().iterdir() if p.is_dir()} == set(KINDS)
    assert not [p for p in shipped().rglob("*") if p.is_file() and p.suffix != ".yaml"]


def sourced(name: str, fact: Fact) -> None:
    assert fact.source.title.strip(), f"{name} has no source"
    assert math.isfinite(fact.value), name
    if fact.kind != "assumed":
        assert fact.source.url.startswith("https://"), (
            f"{name} is {fact.kind}, yet its source {fact.source.title!r} has no address"
        )


@pytest.mark.parametrize("name", HARDWARE)
def test_every_fact_of_a_device_has_a_source(name: str) -> None:
    device: Hardware = Catalog().hardware(name)
    assert {"memory", "memory_bandwidth", "scale_up", "domain"} <= set(device.facts())
    for key, fact in device.facts().items():
        sourced(f"{name}.{key}", fact)
    if device.price:
        assert len(device.price.date) >= 7, "a price is read in a month"


@pytest.mark.parametrize("name", HARDWARE)
def test_a_device_is_plausible(name: str) -> None:
    """Within what exists: a slip in a prefix is a factor of a thousand."""
    device: Hardware = Catalog().hardware(name)
    assert 10e9 <= device.memory.value <= 1e12
    assert 0.3e12 <= device.memory_bandwidth.value <= 20e12
    assert set(device.peak) <= set(UNITS)
    assert all(1e12 <= peak.value <= 20e15 for peak in device.peak.values())
    assert 10e9 <= device.scale_up.value <= 3e12
    assert device.tdp is None or 50 <= device.tdp.value <= 3000
    assert device.price is None or 0.1 / 3600 <= device.price.value <= 30 / 3600


@pytest.mark.parametrize("path", sorted((shipped() / "models").glob("*.yaml")), ids=label)
def test_every_fact_of_a_model_has_a_source(path: Path) -> None:
    entry = Catalog().model(path.stem)
    for name, fact in {**entry.scores, **({"parameters": entry.parameters} if entry.parameters else {})}.items():
        sourced(f"{path.stem}.{name}", fact)
    assert entry.source
    assert entry.model.scheme or Catalog().quantization(entry.model.quantization), "the scheme in which it is published ships too"


@pytest.mark.parametrize("kind", ["efficiency", "engine"])
def test_every_value_of_a_profile_has_a_source(kind: str) -> None:
    for profile in Catalog().all(kind):
        for name, fact in profile.values.items():
            assert fact.source.title.strip(), f"{profile.name}.{name}"


def aliases(path: Path) -> list[str]:
    return [str(a).lower() for a in yaml.safe_load(path.read_text(encoding="utf-8")).get("aliases", [])]


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_aliases_are_unique(kind: str) -> None:
    """Across all names and aliases of a kind, letter case aside."""
    paths = [p for k, p in FILES if k == kind]
    words = Counter(word for p in paths for word in {p.stem.lower(), *aliases(p)})
    assert not [word for word, count in words.items() if count > 1]


@pytest.mark.parametrize(("kind", "path"), [(k, p) for k, p in FILES if aliases(p)], ids=label)
def test_aliases_find_their_spec(kind: str, path: Path) -> None:
    for alias in aliases(path):
        for word in (alias, alias.upper()):
            assert Catalog().get(kind, word) is Catalog().get(kind, path.stem)


def test_letter_case_of_a_name_does_not_matter() -> None:
    assert Catalog().hardware("H200") is Catalog().hardware("h200")
    assert costc.load("DeepSeek-R1").model.name == "deepseek-r1"


# ---- a user's own files

H200 = 143771 * 2**20
OWN = (shipped() / "hardware" / "h200.yaml").read_text(encoding="utf-8").replace("value: 143771 MiB", "value: 287542 MiB")


@pytest.fixture
def beside(tmp_path: Path) -> Path:
    (tmp_path / "hardware").mkdir()
    (tmp_path / "hardware" / "h200.yaml").write_text(OWN, encoding="utf-8")
    (tmp_path / "hardware" / "mine.yaml").write_text(
        OWN.replace("name: h200", "name: mine").replace("\ntitle:", "\naliases: [my-own]\ntitle:", 1) if "aliases:" not in OWN
        else OWN.replace("name: h200", "name: mine").replace("aliases: [", "aliases: [my-own, "), encoding="utf-8",
    )  # fmt: skip
    return tmp_path


def test_own_files_win_and_say_so(beside: Path) -> None:
    catalog = Catalog(beside)
    assert catalog.hardware("h200").memory.value == 2 * H200
    assert catalog.notes == [f"hardware 'h200' is taken from {beside / 'hardware' / 'h200.yaml'}; it also ships with costc"]
    catalog.hardware("h200")
    assert len(catalog.notes) == 1, "said once"
    assert Catalog().hardware("h200").memory.value == H200


def test_own_files_that_hide_nothing_say_nothing(beside: Path) -> None:
    catalog = Catalog(beside)
    assert catalog.hardware("mine").name == "mine"
    assert catalog.hardware("My-Own").name == "mine"
    assert catalog.hardware("h100-sxm").name == "h100-sxm"
    assert catalog.notes == []


def test_names_are_those_of_both_places(beside: Path) -> None:
    assert set(Catalog(beside).names("hardware")) == {*HARDWARE, "mine"}


def test_the_shipped_folder_beside_a_study_is_the_catalogue_itself() -> None:
    catalog = Catalog(shipped())
    assert catalog.hardware("h200").memory.value == H200
    assert catalog.notes == []


def test_the_notes_reach_a_study(beside: Path) -> None:
    path = beside / "study.yaml"
    text = (shipped() / "deepseek_r1.yaml").read_text(encoding="utf-8")
    path.write_text(text, encoding="utf-8")
    found = study(path)
    assert any("'h200' is taken from" in note for note in found.notes)
    assert next(d for d in found.hardware if d.name == "h200").memory.value == 2 * H200


def test_a_path_is_taken_from_beside_the_study_then_from_here(
    beside: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert Catalog(beside).hardware("hardware/mine.yaml").name == "mine"
    assert Catalog(beside).hardware(str(beside / "hardware" / "mine.yaml")).name == "mine"
    monkeypatch.chdir(beside / "hardware")
    assert Catalog().hardware("mine.yaml").name == "mine"
    (tmp_path / "elsewhere").mkdir()
    assert Catalog(tmp_path / "elsewhere").hardware(f".{os.sep}mine.yaml").name == "mine"


def test_a_library_call_with_a_folder_of_specs(beside: Path) -> None:
    model = costc.load("llama-3.1-8b", beside)
    assert model.point("mine")["memory_limit"] == pytest.approx(2 * costc.load("llama-3.1-8b").point("h200")["memory_limit"])


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_an_unknown_name_gives_the_nearest(kind: str) -> None:
    name = Catalog().names(kind)[0]
    with pytest.raises(CostcError) as caught:
        Catalog().get(kind, name + "x")
    assert str(caught.value).endswith("?")
    assert name in str(caught.value)
