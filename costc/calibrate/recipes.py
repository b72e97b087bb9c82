"""How the disaggregated rows were run: what their recipes say and the sample does not.

recipes.csv has a line for each recipe that rows of the public benchmark name (SemiAnalysisAI/InferenceX,
.github/configs/nvidia-master.yaml of the row's date, which points into NVIDIA/srt-slurm): how the row is listed, and what was
set. Seats are `max_batch_size` (TensorRT-LLM), `max_num_seqs` (vLLM) and `max_running_requests` over the ranks (SGLang); tokens
of a prefill step `max_num_tokens`, `max_num_batched_tokens` and `chunked_prefill_size` over the ranks. Where the recipe has other
attention ranks than the sample lists, the recipe's hold. Experts: the kernels behind DeepEP's all-to-all in its normal
(`dispatched`) and low-latency (`masked`) mode. Nothing here looks at measured times; that the requests that ran by Little's law
are the seats where there are fewer than requests was only found afterwards.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    import pandas as pd

    Frame = pd.DataFrame

#: how a row is listed, with the sample's columns that say it; the concurrency is one of several of a recipe
LISTED: Final = ("family", "system", "backend", "precision", "isl", "osl")
PHASES: Final = ("prefill", "decode")
#: what a recipe says of a phase
TOLD: Final = ("dp", "tokens", "prompts", "seats", "experts")
_Key = tuple[str, ...]


@cache
def _recipes() -> dict[_Key, dict[str, str]]:
    """Lines of the table, by what a row lists."""
    with (Path(__file__).parent / "recipes.csv").open(encoding="utf-8", newline="") as file:
        lines = list(csv.DictReader(file))
    sizes = ("prefill_workers", "prefill_devices", "decode_workers", "decode_devices", "listed_prefill_dp", "listed_decode_dp")
    return {(*tuple(line[k] for k in (*LISTED, *sizes)), conc): line for line in lines for conc in line["conc"].split()}


def recipe(row: Mapping[str, Any]) -> dict[str, str]:
    """The recipe of a row of the sample; empty where none was found."""
    sizes = []
    for phase in PHASES:
        tp, dp, workers = (_count(row[f"{phase}_{name}"]) for name in ("tp_size", "attention_dp_size", "num_workers"))
        sizes.append((workers, tp * dp, dp))
    (workers, devices, dp), (workers_, devices_, dp_) = sizes
    listed = [str(row[k]) for k in LISTED[:4]] + [str(_count(row[k])) for k in ("isl", "osl", "conc")]
    numbers = [str(n) for n in (workers, devices, workers_, devices_, dp, dp_)]
    return _recipes().get((*listed[:6], *numbers, listed[6]), {})


def _count(value: Any) -> int:
    """A whole number of at least 1; 1 where there is none."""
    return max(1, int(value)) if value == value and value is not None else 1


def told(table: Frame) -> dict[str, Frame]:
    """What the recipes say of each phase of the rows: TOLD, not a number (or '') where they do not."""
    import pandas as pd

    found = [recipe({str(k): v for k, v in row.items()}) for row in table.to_dict("records")]
    frames = {}
    for phase in PHASES:
        columns = {name: [line.get(f"{phase}_{name}", "") for line in found] for name in TOLD}
        frame = pd.DataFrame(columns, index=table.index)
        frames[phase] = frame.assign(**{name: pd.to_numeric(frame[name], errors="coerce") for name in TOLD if name != "experts"})
    return frames
