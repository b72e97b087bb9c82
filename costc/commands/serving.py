"""`costc serving`: a model under a load."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from costc.commands.options import Beside, Csv, Degree, Json, ModelName, degrees, one_format
from costc.commands.options import numbers as whole_numbers
from costc.errors import CostcError

#: options that are settings of the run or the engine, under the names that the programs have for them
SETTINGS = (
    "isl", "osl", "waves", "length_spread", "prefix_hit_rate", "scheduler_interval", "max_num_seqs", "max_num_batched_tokens",
    "memory_utilization", "draft_tokens", "acceptance", "quantization", "efficiency", "engine", "kv_cache_dtype",
)  # fmt: skip
POOL = ("prefill", "decode", "prefill_workers", "decode_workers", "prefill_hardware", "prefill_tokens")


def serving(
    model: ModelName,
    hardware: Annotated[str, typer.Option(help="device name, alias or spec file")],
    concurrency: Annotated[str | None, typer.Option(help="requests in flight; several separated by commas")] = None,
    rate: Annotated[str | None, typer.Option(help="or requests per second; several separated by commas")] = None,
    isl: Annotated[int, typer.Option(help="input tokens of a request")] = 2048,
    osl: Annotated[int, typer.Option(help="output tokens of a request")] = 512,
    tp: Annotated[int, typer.Option(help="tensor-parallel degree")] = 1,
    pp: Annotated[int, typer.Option(help="pipeline stages")] = 1,
    ep: Annotated[int, typer.Option(help="expert-parallel degree")] = 1,
    dp: Annotated[int, typer.Option(help="attention data-parallel degree")] = 1,
    degree: Degree = None,
    quantization: Annotated[str | None, typer.Option(help="scheme; default: as the model is published")] = None,
    kv_cache_dtype: Annotated[str | None, typer.Option(help="format of the KV cache; default: the scheme's")] = None,
    efficiency: Annotated[str, typer.Option(help="fitted, ideal, a number up to 1, or a profile")] = "fitted",
    engine: Annotated[str, typer.Option(help="settings of the serving engine")] = "default",
    waves: Annotated[float | None, typer.Option(help="prompts in a row of each request in flight; default: 10")] = None,
    length_spread: Annotated[float | None, typer.Option(help="range of the output lengths over the longest")] = None,
    prefix_hit_rate: Annotated[float | None, typer.Option(help="share of the prompts' tokens found in the cache")] = None,
    draft_tokens: Annotated[int | None, typer.Option(help="tokens drafted in a decode step")] = None,
    acceptance: Annotated[float | None, typer.Option(help="chance that a draft is accepted")] = None,
    scheduler_interval: Annotated[float | None, typer.Option(help="steps between two looks for new requests")] = None,
    max_num_seqs: Annotated[int | None, typer.Option(help="requests of a rank that run at once")] = None,
    max_num_batched_tokens: Annotated[int | None, typer.Option(help="tokens of a prefill step")] = None,
    memory_utilization: Annotated[float | None, typer.Option(help="part of the memory that the engine may use")] = None,
    prefill: Annotated[str | None, typer.Option(help="plan of prefill workers, such as tp=4,dp=2; makes pools")] = None,
    decode: Annotated[str | None, typer.Option(help="plan of decode workers; makes pools")] = None,
    prefill_workers: Annotated[int | None, typer.Option(help="prefill workers; makes pools")] = None,
    decode_workers: Annotated[int | None, typer.Option(help="decode workers; makes pools")] = None,
    prefill_hardware: Annotated[str | None, typer.Option(help="device of the prefill workers; makes pools")] = None,
    prefill_tokens: Annotated[int | None, typer.Option(help="tokens of a step of the prefill workers; makes pools")] = None,
    as_json: Json = False,
    as_csv: Csv = False,
    specs: Beside = None,
) -> None:
    """Serve requests, so many in flight or so many a second: mean times, throughput, what is busy.

    One replica prefills and decodes together, unless workers of their own are asked for (pools).
    """
    given = dict(locals())
    from costc import tables
    from costc.api import load, plan_of
    from costc.loads.serve import serve

    one_format(as_json, as_csv)
    pool: dict[str, Any] = {name: given[name] for name in POOL if given[name] is not None}
    pool |= {name: plan_of(pool[name]) for name in ("prefill", "decode") if name in pool}
    plan = {"tp": tp, "pp": pp, "ep": ep, "dp": dp}
    plan |= {name: whole_numbers(name, text)[0] for name, text in degrees(degree).items()}
    found = serve(
        load(model, specs),
        hardware,
        numbers("concurrency", concurrency, int),
        numbers("rate", rate, float),
        plan,
        pool or None,
        **{name: given[name] for name in SETTINGS},
    )
    tables.print_serving(found, as_json, as_csv)


def numbers(name: str, text: str | None, kind: type[int] | type[float]) -> list[Any] | None:
    """Numbers separated by commas."""
    if text is None:
        return None
    words = [word.strip() for word in text.split(",")]
    try:
        return [kind(word) for word in words]
    except ValueError:
        said = "whole numbers" if kind is int else "numbers"
        raise CostcError(f"--{name} takes {said} separated by commas, not {text!r}") from None
