"""Every fault of measurements has a message: measurements/<kind>-<fault>.* holds the fault, <kind>-<fault>.txt what is said.

The kind (serving, kernels, result) says what the file is read as. A new case is a new file; `--update-golden` writes its message.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from costc.calibrate.measurements import read
from costc.calibrate.tables import kernels
from costc.errors import CostcError
from costc.latency.forms import FORMS

CASES = Path(__file__).parent / "measurements"
FILES = sorted(p.name for p in CASES.iterdir() if p.suffix != ".txt")
NAMES = [name for name in FILES if "-valid" not in name]
#: forms that no other file adds to, so that messages stay
ROOFLINE = {"roofline": FORMS["roofline"]}


def take(name: str) -> object:
    """Read a file of measurements as what its name begins with."""
    path = Path(name)
    return kernels(path, ROOFLINE, "h100-sxm") if name.startswith("kernels") else read([path])


def message(name: str) -> str:
    with pytest.raises(CostcError) as caught:
        take(name)
    return str(caught.value)


@pytest.fixture(autouse=True)
def in_cases(monkeypatch: pytest.MonkeyPatch) -> None:
    """Messages name the file as it was given: here, relative."""
    monkeypatch.chdir(CASES)


@pytest.mark.parametrize("name", NAMES)
def test_message(name: str, update_golden: bool) -> None:
    said, expected = message(name) + "\n", CASES / f"{Path(name).stem}.txt"
    if update_golden:
        expected.write_text(said, encoding="utf-8")
    assert expected.exists(), f"no expected message; read this one and run with --update-golden: {said}"
    assert said == expected.read_text(encoding="utf-8")


@pytest.mark.parametrize("name", NAMES)
def test_message_names_the_file_and_no_jargon(name: str) -> None:
    said = message(name)
    assert re.match(rf"{re.escape(name)}(:\d+:\d+)?: \S", said)
    assert len(said) < 800
    for word in ("Traceback", "NoneType", "KeyError", "Errno", "could not convert", "csv.Error", "Expecting value:"):
        assert word not in said


@pytest.mark.parametrize("name", [name for name in FILES if "-valid" in name])
def test_what_the_cases_derive_from_is_valid(name: str) -> None:
    assert take(name)


def test_every_expected_message_has_a_case() -> None:
    assert sorted(p.stem for p in CASES.glob("*.txt")) == sorted(Path(name).stem for name in NAMES)


@pytest.mark.parametrize("ending", ["csv", "json"])
def test_missing_folder_and_bytes(tmp_path: Path, ending: str) -> None:
    absent, folder, raw = tmp_path / f"absent.{ending}", tmp_path / f"folder.{ending}", tmp_path / f"raw.{ending}"
    folder.mkdir()
    raw.write_bytes(b"isl,osl\xff\xfe")
    for path, said in ((absent, "No such file"), (folder, "Is a directory"), (raw, "byte 7 is not UTF-8")):
        with pytest.raises(CostcError, match=said):
            read([path])
