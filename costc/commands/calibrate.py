"""`costc calibrate` and `costc profile`: fitting constants to measurements, and reading what was fitted."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from costc.commands.options import Beside, Csv, Json, one_format
from costc.errors import CostcError, not_among

if TYPE_CHECKING:
    from costc.calibrate.points import Flag
    from costc.spec.catalog import Catalog

Files = Annotated[
    list[Path] | None,
    typer.Argument(
        help="your measurements: CSV of kernels or of serving, results of vllm bench serve, SGLang bench_serving or AIPerf "
        "(.json, .jsonl); without any, the kernel tables of aiconfigurator-core are fitted"
    ),
]
Text = str | None


def calibrate(
    measurements: Files = None,
    device: Annotated[Text, typer.Option(help="device name, alias or spec file")] = None,
    engine: Annotated[Text, typer.Option(help="vllm, sglang or trtllm; with measurements, engine settings by name")] = None,
    engines: Annotated[bool, typer.Option("--engines", help="engine settings, from the measured serving runs")] = False,
    all_: Annotated[bool, typer.Option("--all", help="every device and engine with kernel tables")] = False,
    name: Annotated[Text, typer.Option(help="name of what is written; default: measured")] = None,
    model: Annotated[Text, typer.Option(help="model of serving results that do not name it")] = None,
    quantization: Annotated[Text, typer.Option(help="scheme of serving results that do not name it")] = None,
    tp: Annotated[int, typer.Option(help="tensor-parallel degree of serving results that do not say it")] = 1,
    ep: Annotated[int, typer.Option(help="expert-parallel degree")] = 1,
    dp: Annotated[int, typer.Option(help="attention data-parallel degree")] = 1,
    efficiency: Annotated[str, typer.Option(help="profile that says what was known before")] = "fitted",
    out: Annotated[Path | None, typer.Option(help="folder to write NAME.yaml into; default: print it")] = None,
    processes: Annotated[int, typer.Option(help="processors for kernel tables")] = 2,
    specs: Beside = None,
) -> None:
    """Fit constants to measurements: an efficiency profile from kernels, engine settings from serving results."""
    from costc.spec.catalog import Catalog

    catalog = Catalog(specs)
    if out is not None and not out.is_dir():
        raise CostcError(f"{out}: not a folder")
    if not measurements:
        _only_with_measurements({"--name": name, "--model": model, "--quantization": quantization})
        if engines:
            _engines(catalog, {"--device": device, "--engine": engine, "--all": all_ or None}, out)
        else:
            _tables(catalog, device, engine, all_, out, processes)
        return
    if all_ or engines:
        raise CostcError(f"--{'all' if all_ else 'engines'} takes no measurements of your own; name one --device and --engine")
    kinds = {_of_kernels(path) for path in measurements}
    if len(kinds) > 1:
        raise CostcError("tables of kernels and results of serving are fitted one after the other, not in one call")
    if kinds == {True}:
        _kernels(catalog, measurements, device, engine, name or "measured", efficiency, out)
    else:
        said = {"model": model, "device": device, "engine": engine, "quantization": quantization}
        given = {k: v for k, v in said.items() if v}
        _serving(catalog, measurements, name, given, {"tp": tp, "ep": ep, "dp": dp}, efficiency, out)


def _only_with_measurements(given: dict[str, str | None]) -> None:
    for option, value in given.items():
        if value is not None:
            raise CostcError(f"{option} goes with measurements of your own; name their files")


def _of_kernels(path: Path) -> bool:
    """Whether a file is a table of kernels: a CSV with a column 'form'."""
    if path.suffix != ".csv":
        return False
    try:
        with path.open(encoding="utf-8-sig", errors="replace") as file:
            return "form" in [word.strip() for word in file.readline().split(",")]
    except OSError as error:
        raise CostcError(f"{path}: {error.strerror or error}") from None


def _tables(catalog: Catalog, device: Text, engine: Text, everything: bool, out: Path | None, processes: int) -> None:
    """Profiles from the kernel tables of the wheel."""
    from costc.calibrate import profiles as of
    from costc.calibrate.kernels import data
    from costc.calibrate.profile import text
    from costc.spec.profiles import ASSUMED, ENGINES

    if everything and (device or engine or out is None):
        raise CostcError("--all takes --out, and neither --device nor --engine")
    if not everything and (device is None or engine is None):
        raise CostcError("name --device and --engine, or --all; or files with measurements of your own")
    if processes < 1:
        raise CostcError(f"--processes must be at least 1, not {processes}")
    pairs = [(d, e) for d in of.DEVICES for e in ENGINES] if everything else [_pair(catalog, str(device), str(engine))]
    hardware = {name: catalog.hardware(name) for name in of.DEVICES}
    values = catalog.efficiency("uniform").values
    for profile in of.fitted(pairs, hardware, data(), values, processes):
        _give(profile.name, text(profile), out)
        fitted = sum(1 for one in profile.classes.values() if one.n)
        print(f"{profile.name}: {fitted} classes fitted, {len(profile.classes) - fitted} assumed", file=sys.stderr)
    if everything:
        _give(ASSUMED, text(of.assumed(values)), out)


def _engines(catalog: Catalog, excluded: dict[str, object], out: Path | None) -> None:
    """The shipped engines' settings with constants fitted to the measured serving runs of the wheel."""
    from costc.calibrate.engines import written
    from costc.calibrate.ledger import build
    from costc.spec.catalog import shipped
    from costc.spec.profiles import ENGINES

    for option, value in excluded.items():
        if value is not None:
            raise CostcError(f"--engines fits all engines to runs on all devices; it does not go with {option}")
    ledger, loops = build(catalog, ("family", "device"))
    for name in ENGINES:
        _give(name, written(shipped() / "engine" / f"{name}.yaml", name, ledger, loops), out)


def _pair(catalog: Catalog, device: str, engine: str) -> tuple[str, str]:
    from costc.calibrate.profiles import DEVICES
    from costc.spec.profiles import ENGINES

    found = catalog.hardware(device).name
    if found not in DEVICES:
        raise CostcError(f"no kernel tables of {found}; there are those of: {', '.join(DEVICES)}")
    if engine not in ENGINES:
        raise CostcError(not_among("engine", engine, ENGINES))
    return found, engine


def _kernels(
    catalog: Catalog, paths: Sequence[Path], device: Text, engine: Text, name: str, efficiency: str, out: Path | None
) -> None:
    """A profile from a user's kernels, each file on top of what the one before gave."""
    from costc.calibrate.own import calibrated
    from costc.calibrate.profile import text
    from costc.spec.profiles import efficiency_profile

    if device is None:
        raise CostcError("name the device on which the kernels were measured (--device)")
    hardware = catalog.hardware(device)
    settings = catalog.engine(engine) if engine else None
    profile = efficiency_profile(catalog, efficiency, hardware, settings)
    for path in paths:
        found = calibrated(path, hardware, profile, name, engine or "")
        profile = found.profile
        _flagged(found.flags)
        for fit in found.fits:
            error = fit.held_out or fit.in_sample
            which = "held out" if fit.held_out else "in sample"
            print(f"{fit.form} {fit.dtype}: {fit.n} rows, {error.mean:.1%} mean error {which}", file=sys.stderr)
            for note in fit.notes:
                print(f"note: {note}", file=sys.stderr)
    _give(name, text(profile), out)


def _serving(
    catalog: Catalog,
    paths: Sequence[Path],
    name: Text,
    given: dict[str, str],
    degrees: dict[str, int],
    efficiency: str,
    out: Path | None,
) -> None:
    """Engine settings from serving results."""
    from costc.calibrate.own_serving import calibrated
    from costc.calibrate.profile import engine_text

    found = calibrated(paths, catalog, name, given, degrees, efficiency)
    _flagged(found.flags)
    fit = found.fit
    for time, own, apart in (("TTFT", fit.ttft, fit.held_out_ttft), ("TPOT", fit.tpot, fit.held_out_tpot)):
        error, which = (apart, "held out") if apart else (own, "in sample")
        if error:
            print(f"{time}: {error.n} points, {error.mean:.1%} mean error {which}", file=sys.stderr)
    if fit.note:
        print(f"note: {fit.note}", file=sys.stderr)
    _give(found.engine.name, engine_text(found.engine), out)


def _flagged(flags: Iterable[Flag]) -> None:
    for flag in flags:
        print(f"not used: {flag}", file=sys.stderr)


def _give(name: str, text: str, out: Path | None) -> None:
    """Write NAME.yaml into the folder, or print it."""
    if out is None:
        print(text, end="")
        return
    path = out / f"{name}.yaml"
    path.write_text(text, encoding="utf-8")
    print(path)


def profile(
    name: Annotated[str, typer.Argument(help="efficiency profile: name or spec file")],
    constants: Annotated[bool, typer.Option("--constants", help="one row for each constant, with its deviation")] = False,
    as_json: Json = False,
    as_csv: Csv = False,
    specs: Beside = None,
) -> None:
    """Show an efficiency profile: its classes, what they rest on, and their held-out errors."""
    from costc import tables
    from costc.api import classes_of

    one_format(as_json, as_csv)
    tables.print_rows(classes_of(name, constants, specs), as_json, as_csv)
