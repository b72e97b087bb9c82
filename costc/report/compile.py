"""Compiling a study: every file it makes, whether they are up to date, and writing them whole."""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from costc.compiled import CostModel
from costc.emit import TARGETS, Artifact, mangle
from costc.emit.evaluator import Evaluator
from costc.errors import CostcError
from costc.report.argue import Chosen
from costc.report.context import context
from costc.report.figures import figures
from costc.report.render import render
from costc.search.choose import choose, recommend
from costc.search.grid import by_pair, evaluate
from costc.spec.catalog import Catalog, shipped
from costc.spec.study import Study, study

CACHE = ".costc.json"
Say = Callable[[str], None]


@dataclass(frozen=True)
class Outcome:
    """What a compilation did: lines to print, and the exit code (1: stale under --check, or nothing meets the limits)."""

    lines: tuple[str, ...]
    code: int


def compile_study(path: Path, out: Path, check: bool, say: Say = lambda text: None) -> Outcome:
    """Compile a study, or (`check`) compare what lies under `out` with what would be written."""
    if not check and (known := _unchanged(path, out)):
        return known
    found = study(path)
    files, unmet = _files(found, path, say)
    if check:
        return checked(files, out, sorted(str(p.relative_to(out)) for p in _left_over(found, out, files)))
    write_all({out / name: text for name, text in files.items()})
    for left in _left_over(found, out, files):
        left.unlink()
        if not any(left.parent.iterdir()):
            left.parent.rmdir()
    lines = (f"wrote {len(files)} files under {out / 'generated' / found.name} and {out / 'reports'}", *found.taken, *unmet)
    _remember(path, out, files, lines, int(bool(unmet)))
    return Outcome(lines, int(bool(unmet)))


def compile_model(path: Path, out: Path, check: bool, say: Say = lambda text: None) -> Outcome:
    """Compile one model, from its spec or config.json: its evaluator and formulas into generated/<model>/, without a report."""
    model = CostModel(Catalog(path.parent if path.suffix != ".json" and path.is_file() else None).model(str(path)))
    files = _generated(model, "generated", say)
    if check:
        return checked(files, out, [])
    write_all({out / name: text for name, text in files.items()})
    folder = out / "generated" / mangle(model.model.name)
    note = (model.entry.note,) if model.entry.note else ()
    return Outcome((f"wrote {len(files)} files under {folder}: {model.parameters:,} parameters", *note), 0)


def checked(files: dict[str, str], out: Path, left_over: list[str]) -> Outcome:
    """What differs from what lies there."""
    stale = [name for name, text in files.items() if not _same(out / name, text)] + left_over
    lines = tuple(f"stale: {name}" for name in stale) or (f"{len(files)} files are up to date",)
    return Outcome(lines, int(bool(stale)))


def _generated(model: CostModel, folder: str, say: Say, continuous: bool = False) -> dict[str, str]:
    """What the targets emit of a model, by path; where `continuous`, of its closed loop too."""
    say(f"compiling {model.model.name}")
    artifact = Artifact(
        model.fast_program,
        model.model.title,
        digest_of(Path(model.entry.origin)),
        tuple(model.formula_list),
        tuple(model.bindings.items()),
    )
    served = replace(artifact, formulas=())
    programs = {"": (artifact, model.program, model.fast_program)}
    if continuous:
        programs["_closed_loop"] = (served, model.closed_loop.program, model.closed_loop.fast_program)
    files = {}
    for target in TARGETS.values():
        for tail, (of, readable, fast) in programs.items():
            path = f"{folder}/{target.path(mangle(model.model.name) + tail)}"
            files[path] = target.emit(of.with_program(readable if target.readable else fast))
    return files


def _files(found: Study, path: Path, say: Say) -> tuple[dict[str, str], tuple[str, ...]]:
    """All texts by path, and a line for each scenario in which nothing meets the limits."""
    models = {entry.model.name: CostModel(entry) for entry in found.models}
    files: dict[str, str] = {}
    for model in models.values():
        files |= _generated(model, f"generated/{found.name}", say, found.continuous)
    chosen = []
    pairs = {n: by_pair(found, m.model, _evaluator(found, m)) for n, m in models.items()}
    for scenario in found.scenarios:
        say(f"searching {scenario.name}")
        grids = {n: evaluate(found, m.model, _evaluator(found, m), scenario, pairs[n]) for n, m in models.items()}
        choices = {n: choose(found, grid, scenario) for n, grid in grids.items()}
        chosen.append(Chosen(scenario, choices, recommend(found, scenario, choices)))
    say("writing the report")
    for item in chosen:
        files |= {f"reports/figures/{found.name}/{name}.svg": text for name, text in figures(found, item).items()}
    page = context(found, chosen, {n: m.parameters for n, m in models.items()}, digest_of(path))
    files[f"reports/{found.name}.md"] = render(page, f"figures/{found.name}", path.as_posix())
    unmet = tuple(
        f"{c.scenario.name}: nothing meets the limits; the report says what is short" for c in chosen if c.recommended is None
    )
    return files, unmet


def _evaluator(found: Study, model: CostModel) -> Evaluator:
    return model.closed_loop.evaluator if found.continuous else model.evaluator


def digest_of(path: Path) -> str:
    """A short digest of a spec file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()[:16]


def _same(path: Path, text: str) -> bool:
    return path.is_file() and path.read_bytes() == text.encode()


def write_all(files: dict[Path, str]) -> None:
    """Write all files beside their places, then rename all: on a failure nothing has changed.

    Raises:
        CostcError: a file cannot be written.
    """
    parts = {path: path.with_name(f".{path.name}.part") for path in files}
    made: list[Path] = []
    try:
        for path, part in parts.items():
            if path.is_dir():
                raise CostcError(f"{path}: is a folder; a file is to be written there")
            made += [folder for folder in path.parents if not folder.exists()]
            path.parent.mkdir(parents=True, exist_ok=True)
            part.write_bytes(files[path].encode())
    except (OSError, CostcError) as error:
        for part in parts.values():
            with contextlib.suppress(OSError):
                part.unlink()
        for folder in sorted(set(made), key=lambda f: -len(f.parts)):
            with contextlib.suppress(OSError):
                folder.rmdir()
        if isinstance(error, CostcError):
            raise
        raise CostcError(f"{error.filename or path}: {error.strerror or error}; nothing was written") from None
    for path, part in parts.items():
        part.replace(path)


def _left_over(found: Study, out: Path, files: dict[str, str]) -> Iterator[Path]:
    """Files of an earlier compilation of this study that it no longer makes."""
    for folder in (out / "generated" / found.name, out / "reports" / "figures" / found.name):
        for path in sorted(folder.rglob("*")):
            if path.is_file() and path.name != CACHE and path.relative_to(out).as_posix() not in files:
                yield path


# ---- knowing that nothing changed, without compiling


def _state(path: Path) -> str:
    """A digest of all that a compilation reads: the study, specs beside it, the catalogue, and the compiler."""
    package = Path(__file__).parent.parent
    folders = ((package, "*.py"), (package, "*.j2"), (shipped(), "*.yaml"), (path.parent, "*.yaml"), (path.parent, "*.json"))
    digest = hashlib.sha256(path.name.encode())
    for folder, pattern in folders:
        for file in sorted(f for f in folder.rglob(pattern) if f.name != CACHE):
            digest.update(f"{file.relative_to(folder)}\0".encode() + file.read_bytes())
    return digest.hexdigest()


def _cache(path: Path, out: Path) -> Path:
    return out / "generated" / path.stem / CACHE


def _unchanged(path: Path, out: Path) -> Outcome | None:
    """The earlier outcome, where neither what is read nor what was written has changed."""
    try:
        known = json.loads(_cache(path, out).read_text())
        same = known["state"] == _state(path) and all(
            hashlib.sha256((out / name).read_bytes()).hexdigest() == digest for name, digest in known["files"].items()
        )
    except (OSError, ValueError, KeyError):
        return None
    return Outcome(("nothing changed", *known["unmet"]), known["code"]) if same else None


def _remember(path: Path, out: Path, files: dict[str, str], lines: tuple[str, ...], code: int) -> None:
    digests = {name: hashlib.sha256(text.encode()).hexdigest() for name, text in files.items()}
    known = {"state": _state(path), "files": digests, "unmet": list(lines[1:]), "code": code}
    write_all({_cache(path, out): json.dumps(known)})
