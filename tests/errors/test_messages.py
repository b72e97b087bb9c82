"""Every mistake in a spec has a message: cases/<kind>-<mistake>.yaml holds the mistake, <kind>-<mistake>.txt what is said.

The kind (model, hardware, quantization, efficiency, engine, study) says what the file is read as. A new case is a
new .yaml file; `--update-golden` writes its message, which is then read with a user's eyes.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from costc.blocks import ATTENTION, FFN
from costc.dtypes import DTYPES, UNITS
from costc.errors import CostcError, SpecError, not_among
from costc.spec import model, platform, study
from costc.spec.catalog import KINDS, Catalog
from costc.spec.reader import MAX_BYTES, read

CASES = Path(__file__).parent / "cases"
NAMES = sorted(p.stem for p in CASES.glob("*.yaml") if not p.stem.endswith("-valid"))
BUILD: dict[str, Callable[[Path], Any]] = {
    "model": lambda path: model.model(read(path)),
    "hardware": lambda path: platform.hardware(read(path)),
    "quantization": lambda path: platform.quantization(read(path)),
    "efficiency": lambda path: platform.efficiency(read(path)),
    "engine": lambda path: platform.engine(read(path)),
    "study": study.study,
}


def build(path: Path) -> Any:
    """Read a spec as what its name begins with."""
    return BUILD[path.name.split("-")[0]](path)


def message(path: Path) -> str:
    """What a user is told about a spec."""
    with pytest.raises(CostcError) as caught:
        build(path)
    return str(caught.value)


def open_sets() -> Iterator[tuple[str, str]]:
    """(listing, placeholder) of sets that grow by one file each: growth must not touch an expected message."""
    for what, words in {"attention kinds": ATTENTION, "FFN kinds": FFN, "dtypes": DTYPES, "matrix-unit formats": UNITS}.items():
        yield ", ".join(sorted(words)), f"<{what}>"
    for kind in KINDS:
        yield not_among("", "", Catalog().choices(kind)).split("allowed: ")[1], f"<{kind}>"


def settled(text: str) -> str:
    for listing, placeholder in open_sets():
        text = re.sub(f"(?<=: ){re.escape(listing)}(?=;|$)", placeholder, text)
    return text


@pytest.fixture(autouse=True)
def in_cases(monkeypatch: pytest.MonkeyPatch) -> None:
    """Messages name the file as it was given: here, relative."""
    monkeypatch.chdir(CASES)


@pytest.mark.parametrize("name", NAMES)
def test_message(name: str, update_golden: bool) -> None:
    begun = time.perf_counter()
    said = settled(message(Path(f"{name}.yaml"))) + "\n"
    assert time.perf_counter() - begun < 2, "a mistake is found in bounded time"
    expected = CASES / f"{name}.txt"
    if update_golden:
        expected.write_text(said, encoding="utf-8")
    assert expected.exists(), f"no expected message; read this one and run with --update-golden: {said}"
    assert said == expected.read_text(encoding="utf-8")


@pytest.mark.parametrize("name", NAMES)
def test_message_has_a_place_and_no_jargon(name: str) -> None:
    said = message(Path(f"{name}.yaml"))
    assert re.match(rf"{re.escape(name)}\.yaml:\d+:\d+: \S", said), "file, line and column come first"
    assert len(said) < 500
    assert "\n" not in said
    for word in ("pydantic", "Input should", "Value error", "validation", "Traceback", "NoneType", "dict[", "str(", "Errno"):
        assert word not in said


@pytest.mark.parametrize("name", NAMES)
def test_position_is_inside_the_file(name: str) -> None:
    with pytest.raises(SpecError) as caught:
        build(Path(f"{name}.yaml"))
    at = caught.value.position
    assert at is not None
    lines = Path(f"{name}.yaml").read_bytes().decode("utf-8", "replace").split("\n")
    assert 1 <= at.line <= len(lines)
    assert 1 <= at.column <= len(lines[at.line - 1]) + 1


@pytest.mark.parametrize("kind", sorted(BUILD))
def test_what_the_cases_derive_from_is_valid(kind: str) -> None:
    assert build(Path(f"{kind}-valid.yaml"))


def test_every_expected_message_has_a_case() -> None:
    assert sorted(p.stem for p in CASES.glob("*.txt")) == NAMES


# ---- files that are no text files


def test_missing_file(tmp_path: Path) -> None:
    path = tmp_path / "model-absent.yaml"
    assert message(path) == f"{path}: No such file or directory"


def test_folder_for_a_file(tmp_path: Path) -> None:
    path = tmp_path / "model-folder.yaml"
    path.mkdir()
    assert message(path) == f"{path}: a folder; a spec is a YAML file"


def test_path_through_a_file(tmp_path: Path) -> None:
    (tmp_path / "plain").write_text("x")
    path = tmp_path / "plain" / "model-x.yaml"
    assert message(path) == f"{path}: Not a directory"


def test_special_file(tmp_path: Path) -> None:
    os = pytest.importorskip("os")
    path = tmp_path / "model-pipe.yaml"
    if not hasattr(os, "mkfifo"):
        pytest.skip("no named pipes here")
    os.mkfifo(path)
    assert message(path) == f"{path}: a special file; a spec is a YAML file"


def test_large_file(tmp_path: Path) -> None:
    path = tmp_path / "model-large.yaml"
    path.write_text("# " + "x" * MAX_BYTES)
    assert message(path) == f"{path}: {MAX_BYTES + 2} bytes; a spec has at most {MAX_BYTES}"


def test_unreadable_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As refused by the system; simulated, as a superuser may read everything."""

    def refused(self: Path) -> bytes:
        raise PermissionError(13, "Permission denied", str(self))

    path = tmp_path / "model-unreadable.yaml"
    path.write_text("name: x")
    monkeypatch.setattr(Path, "read_bytes", refused)
    assert message(path) == f"{path}: Permission denied"


def test_code_in_a_tag_does_not_run() -> None:
    message(Path("model-code-tag.yaml"))
    assert not Path("pwned").exists()


@pytest.mark.parametrize(
    "text", ["name: " + "[" * 10_000, "name: " + "{a: " * 10_000, "- " * 10_000, "? " * 10_000, "[" * 400_000]
)
def test_deep_nesting(text: str, tmp_path: Path) -> None:
    path = tmp_path / "model-deep.yaml"
    path.write_text(text)
    assert "nested deeper than 30 levels" in message(path) or "plain word" in message(path)


def test_a_byte_order_mark_and_crlf_are_read(tmp_path: Path) -> None:
    path = tmp_path / "model-windows.yaml"
    text = Path("model-valid.yaml").read_text(encoding="utf-8")
    path.write_bytes(b"\xef\xbb\xbf" + text.replace("\n", "\r\n").encode())
    assert build(path) == build(Path("model-valid.yaml")) or build(path).model == build(Path("model-valid.yaml")).model


def test_an_edited_spec_is_read_anew(tmp_path: Path) -> None:
    (tmp_path / "hardware").mkdir()
    path = tmp_path / "hardware" / "device.yaml"
    text = Path("hardware-valid.yaml").read_text(encoding="utf-8")
    path.write_text(text)
    assert Catalog(tmp_path).hardware("device").memory.value == 80e9
    path.write_text(text.replace("80 GB", "120 GB"))
    assert Catalog(tmp_path).hardware("device").memory.value == 120e9
