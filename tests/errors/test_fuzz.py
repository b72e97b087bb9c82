"""Whatever is wrong with a spec, a user sees a CostcError: mutations of the shipped specs, and junk."""

from __future__ import annotations

import copy
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from costc.errors import CostcError, SpecError
from costc.spec import model, platform, study
from costc.spec.catalog import shipped
from costc.spec.reader import Document, parse, read

READ = {
    "models": model.model,
    "hardware": platform.hardware,
    "quantization": platform.quantization,
    "efficiency": platform.efficiency,
    "engine": platform.engine,
}
FILES = sorted(p for kind in READ for p in (shipped() / kind).glob("*.yaml"))
STUDY = next(iter(sorted(shipped().glob("*.yaml"))))

often = settings(max_examples=300, derandomize=True, deadline=None, database=None, suppress_health_check=list(HealthCheck))
seldom = settings(often, max_examples=60)

WORDS = [
    "nan",
    ".inf",
    "1e999",
    "1e12",
    "yes",
    "0 GB",
    "-1 GB",
    "80 GB",
    "a.yaml",
    "..",
    "/",
    "\0",
    "x" * 5000,
    "{}",
    "*a",
    "__class__",
]
NESTED: list[Any] = [[], {}, [[[]]], {"value": {"value": 1}}, {"kind": []}, {"str": 1, "int": [2]}]
JUNK = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(10**45), 10**45),
    st.floats(),
    st.text(max_size=8),
    st.sampled_from(WORDS),
    st.lists(st.integers(), max_size=2),
    st.dictionaries(st.text(max_size=4), st.integers(), max_size=2),
    st.sampled_from(NESTED),
)
MEANING = ["", "\t", "{", "}", "[", "]", ":", "- ", "&", "*", "!", "%", "@", "'", '"', "|", ">", "#", "?", "\x85", "é"]


@cache
def data_of(path: Path) -> Any:
    return read(path).data


def places(data: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The paths of all keys and items."""
    inner = list(data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ())
    return [(*path, key) for key, _ in inner] + [p for key, value in inner for p in places(value, (*path, key))]


@st.composite
def mutated(draw: st.DrawFn, path: Path) -> Any:
    """The data of a spec after one to three changes: a key deleted, renamed or added, a value replaced, an item repeated."""
    data = copy.deepcopy(data_of(path))
    for _ in range(draw(st.integers(1, 3))):
        found = places(data)
        if not found:
            return data
        *parents, last = draw(st.sampled_from(found))
        holder = data
        for part in parents:
            holder = holder[part]
        junk = copy.deepcopy(draw(JUNK))
        change = draw(st.sampled_from(["delete", "replace", "replace", "insert", "double"]))
        if change == "delete":
            del holder[last]
        elif change == "replace":
            holder[last] = junk
        elif isinstance(holder, dict):
            holder[draw(st.text(max_size=5)) if change == "insert" else f"{last}s"] = junk
        else:
            holder.insert(last, junk if change == "insert" else copy.deepcopy(holder[last]))
    return data


def as_text(data: Any) -> str:
    return yaml.safe_dump(data, allow_unicode=True, sort_keys=False)


def refusal(build: Callable[[], Any]) -> CostcError | None:
    """The error with which a spec is refused, if it is: nothing but a CostcError may come of it, and it says something."""
    try:
        build()
    except CostcError as error:
        said = error
    else:
        return None
    assert str(said)
    return said


def read_as(kind: str, document: Document) -> None:
    said = refusal(lambda: READ[kind](document))
    assert said is None or (isinstance(said, SpecError) and said.position), "a mistake in a document has a place in it"


@often
@given(st.data())
def test_mutated_specs(data: st.DataObject) -> None:
    path = data.draw(st.sampled_from(FILES))
    changed = data.draw(mutated(path))
    read_as(path.parent.name, Document(changed, {}, {}, "given.yaml") if data.draw(st.booleans()) else parsed(changed))


def parsed(changed: Any) -> Document:
    """By way of text, as a user's file is; what YAML itself refuses is refused in the same way."""
    try:
        return parse(as_text(changed), "given.yaml")
    except CostcError:
        return Document({}, {}, {}, "given.yaml")


@seldom
@given(st.data())
def test_mutated_studies(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    folder = tmp_path_factory.getbasetemp() / "studies"
    folder.mkdir(exist_ok=True)
    path = folder / "study.yaml"
    path.write_text(as_text(data.draw(mutated(STUDY))), encoding="utf-8")
    refusal(lambda: study.study(path))


@often
@given(st.data())
def test_broken_text(data: st.DataObject) -> None:
    """Characters of a real spec deleted, doubled or replaced by those that mean something to YAML."""
    path = data.draw(st.sampled_from(FILES))
    text = list(path.read_text(encoding="utf-8"))
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(text) - 1))
        text[at] = data.draw(
            st.sampled_from(
                [
                    "",
                    "\n",
                    "\t",
                    "{",
                    "}",
                    "[",
                    "]",
                    ":",
                    "- ",
                    "&",
                    "*",
                    "!",
                    "%",
                    "@",
                    "'",
                    '"',
                    "|",
                    ">",
                    "#",
                    "?",
                    "\x85",
                    "é",
                ]
            )
        )
    broken = "".join(text)
    said = refusal(lambda: READ[path.parent.name](parse(broken, "given.yaml")))
    assert said is None or str(said).startswith("given.yaml:")


@often
@given(st.binary(max_size=200))
def test_any_bytes(tmp_path_factory: pytest.TempPathFactory, raw: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "bytes.yaml"
    path.write_bytes(raw)
    for build in READ.values():
        with pytest.raises(CostcError):
            build(read(path))


@often
@given(st.text(max_size=60))
def test_any_text(text: str) -> None:
    for kind, build in READ.items():
        try:
            document = parse(text, f"{kind}.yaml")
        except CostcError:
            continue
        with pytest.raises(CostcError):
            build(document)
