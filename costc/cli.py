"""The command line. Imports what a command needs only when it runs, so that `--help` is quick."""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from costc.commands import calibrate
from costc.commands.options import Beside, Csv, Degree, Json, ModelName, degrees, numbers, one_format, words
from costc.commands.schema import schema
from costc.commands.serving import serving
from costc.commands.validate import validate
from costc.errors import CostcError

app = typer.Typer(
    name="costc",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    help="A compiler for the cost of LLM inference: specs in; formulas, evaluators and reports out.",
)


class Kind(StrEnum):
    """What `list` lists."""

    models = "models"
    hardware = "hardware"
    quantization = "quantization"
    efficiency = "efficiency"


class PhaseName(StrEnum):
    """A phase that `show` shows."""

    prefill = "prefill"
    decode = "decode"


def _version(asked: bool) -> None:
    if asked:
        from costc import __version__

        print(__version__)
        raise typer.Exit


@app.callback()
def _main(
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="print the version")] = False,
) -> None:
    pass


@app.command("compile")
def compile_(
    study: Annotated[Path, typer.Argument(help="study spec, e.g. specs/deepseek_r1.yaml; or a model spec or config.json")],
    out: Annotated[Path, typer.Option(help="folder in which generated/ and reports/ lie")] = Path(),
    check: Annotated[bool, typer.Option("--check", help="write nothing; exit 1 when generated/ or reports/ are stale")] = False,
) -> None:
    """Compile a study: formulas and evaluators into generated/, the report into reports/."""
    from costc.api import compile_study

    with _progress() as say:
        outcome = compile_study(study, out, check=check, say=say)
    for line in outcome.lines:
        print(line)
    raise typer.Exit(outcome.code)


@app.command("eval")
def eval_(
    model: ModelName,
    hardware: Annotated[str, typer.Option(help="device name, alias or spec file")],
    quantization: Annotated[str | None, typer.Option(help="scheme; default: as the model is published")] = None,
    batch: Annotated[int, typer.Option(help="sequences served together by the replica")] = 1,
    isl: Annotated[int, typer.Option(help="input tokens of a request")] = 2048,
    osl: Annotated[int, typer.Option(help="output tokens of a request")] = 512,
    tp: Annotated[int, typer.Option(help="tensor-parallel degree")] = 1,
    pp: Annotated[int, typer.Option(help="pipeline stages")] = 1,
    ep: Annotated[int, typer.Option(help="expert-parallel degree")] = 1,
    dp: Annotated[int, typer.Option(help="attention data-parallel degree")] = 1,
    degree: Degree = None,
    microbatches: Annotated[int | None, typer.Option(help="pipeline micro-batches; default: pp")] = None,
    max_num_batched_tokens: Annotated[int | None, typer.Option(help="tokens of a prefill step; default: the engine's")] = None,
    efficiency: Annotated[str, typer.Option(help="ideal, a number up to 1, fitted, or a profile")] = "uniform",
    engine: Annotated[str, typer.Option(help="settings of the serving engine, which decide the fitted profile too")] = "default",
    kv_cache_dtype: Annotated[str | None, typer.Option(help="format of the KV cache; default: the scheme's")] = None,
    debug: Annotated[bool, typer.Option("--debug", help="print the table of operators too")] = False,
    as_json: Json = False,
    as_csv: Csv = False,
    specs: Beside = None,
) -> None:
    """Evaluate one point: latency, throughput, memory, cost."""
    from costc import results, tables
    from costc.api import load

    one_format(as_json, as_csv)
    compiled = load(model, specs)
    given: dict[str, Any] = {
        "batch": batch,
        "isl": isl,
        "osl": osl,
        "tp": tp,
        "pp": pp,
        "ep": ep,
        "dp": dp,
        "efficiency": efficiency,
        "engine": engine,
        "kv_cache_dtype": kv_cache_dtype,
    }
    given |= {
        k: v for k, v in {"microbatches": microbatches, "max_num_batched_tokens": max_num_batched_tokens}.items() if v is not None
    }
    given |= {name: numbers(name, text)[0] for name, text in degrees(degree).items()}
    found = results.result(compiled, hardware, quantization, **given)
    frames = {}
    if debug:
        operators = results.operators(compiled, hardware, quantization, **dict(given))
        frames = {"operators": operators, "summary": results.summary(operators)}
    tables.print_result(found, frames, as_json, as_csv)


@app.command()
def sweep(
    model: ModelName,
    hardware: Annotated[str, typer.Option(help="devices, separated by commas")],
    quantization: Annotated[str | None, typer.Option(help="schemes")] = None,
    batch: Annotated[str, typer.Option(help="batches")] = "1,2,4,8,16,32,64,128",
    isl: Annotated[str, typer.Option(help="input lengths")] = "2048",
    osl: Annotated[str, typer.Option(help="output lengths")] = "512",
    tp: Annotated[str, typer.Option(help="tensor-parallel degrees")] = "1",
    pp: Annotated[str, typer.Option(help="pipeline stages")] = "1",
    ep: Annotated[str, typer.Option(help="expert-parallel degrees")] = "1",
    dp: Annotated[str, typer.Option(help="attention data-parallel degrees")] = "1",
    efficiency: Annotated[str, typer.Option(help="ideal, numbers up to 1, fitted, or profiles")] = "uniform",
    degree: Degree = None,
    sort: Annotated[str | None, typer.Option(help="column to sort by")] = None,
    all_: Annotated[bool, typer.Option("--all", help="show points that do not fit, too (JSON and CSV hold them always)")] = False,
    as_json: Json = False,
    as_csv: Csv = False,
    specs: Beside = None,
) -> None:
    """Evaluate the product of all values given; values are separated by commas."""
    from costc import tables
    from costc.api import load

    one_format(as_json, as_csv)
    compiled = load(model, specs)
    columns: dict[str, Any] = {"hardware": words(hardware), "efficiency": words(efficiency)}
    columns["quantization"] = [compiled.model.quantization] if quantization is None else words(quantization)
    for name, text in {"batch": batch, "isl": isl, "osl": osl, "tp": tp, "pp": pp, "ep": ep, "dp": dp}.items():
        columns[name] = numbers(name, text)
    columns |= {name: numbers(name, text) for name, text in degrees(degree).items()}
    frame, invalid = compiled.sweep(**columns)
    tables.print_sweep(frame, invalid, sort, all_, as_json, as_csv)


@app.command()
def formulas(
    model: ModelName,
    name: Annotated[str | None, typer.Argument(help="formula, e.g. decode.flop; without it, all names")] = None,
    general: Annotated[bool, typer.Option("--general", help="keep the model's dimensions as symbols")] = False,
    latex: Annotated[bool, typer.Option("--latex", help="print LaTeX")] = False,
    as_json: Json = False,
    as_csv: Csv = False,
    specs: Beside = None,
) -> None:
    """Print a closed form and its symbols, or the names of all formulas."""
    from costc import tables
    from costc.api import load

    one_format(as_json, as_csv)
    tables.print_formula(load(model, specs), name, general, latex, as_json, as_csv)


@app.command()
def show(
    model: ModelName,
    phase: Annotated[PhaseName, typer.Option(help="prefill or decode")] = PhaseName.decode,
    specs: Beside = None,
) -> None:
    """Show the operators of a phase, as placed and fused."""
    from costc.api import load

    print(load(model, specs).show(phase.value))


@app.command("import")
def import_(
    path: Annotated[str, typer.Argument(help="config.json, a folder with one, or - for stdin")],
    as_: Annotated[str | None, typer.Option("--as", help="read it like this model_type, whatever it says")] = None,
    name: Annotated[str | None, typer.Option(help="the model's name; default: from the file")] = None,
    quant_config: Annotated[str | None, typer.Option(help="hf_quant_config.json; default: the one beside the config")] = None,
) -> None:
    """Turn a Hugging Face config.json into a model spec, on stdout."""
    from costc.huggingface.importer import import_config
    from costc.spec.writer import write

    print(write(import_config(path, as_, name, quant_config)), end="")


@app.command()
def diff(
    a: Annotated[str, typer.Argument(help="a model, a device, or a plan such as tp=8,ep=8")],
    b: Annotated[str, typer.Argument(help="another of the same sort")],
    model: Annotated[str | None, typer.Option(help="for plans: the model")] = None,
    hardware: Annotated[str | None, typer.Option(help="for plans: the device, whose domain decides links")] = None,
    as_json: Json = False,
    specs: Beside = None,
) -> None:
    """Show two models, two devices or two plans side by side: fields, counts, and the terms of the formulas that differ."""
    from costc import tables
    from costc.api import compare

    tables.print_diff(compare(a, b, model, hardware, specs), as_json)


@app.command("list")
def list_(kind: Annotated[Kind, typer.Argument()], as_json: Json = False, as_csv: Csv = False, specs: Beside = None) -> None:
    """List models, hardware, quantization schemes or efficiency profiles."""
    from costc import tables
    from costc.api import listing

    one_format(as_json, as_csv)
    tables.print_rows(listing(kind.value, specs), as_json, as_csv)


for command in (schema, serving, calibrate.calibrate, calibrate.profile, validate):
    app.command()(command)


@contextmanager
def _progress() -> Iterator[Callable[[str], None]]:
    """A line on stderr that says what is being done, where somebody looks."""
    if not sys.stderr.isatty():
        yield lambda text: None
        return
    from rich.console import Console

    with Console(stderr=True).status("reading specs") as status:
        yield status.update


def main() -> int:
    """Run the command line; a user's mistake prints one line and exits with 2."""
    gc.set_threshold(100_000)  # expressions are many small objects that live to the end: looking for cycles takes a tenth
    try:
        app()
    except CostcError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except OSError as error:
        if isinstance(error, BrokenPipeError):
            sys.stderr.close()
            return 0
        print(f"error: {error.filename}: {error.strerror}" if error.filename else f"error: {error}", file=sys.stderr)
        return 2
    return 0
