"""The wheel's `silicon_sample.csv` with its configurations made canonical, by rules that anyone can repeat.

A row is one export of one closed-loop serving measurement: mean time to first token and mean time per output token over a run.
Measured values stay as they are. What the rules settle is which rows are exports of the same measurement, how many devices each
degree of parallelism really had (the exports write some degrees as products), and whether tokens may have been drafted.

Columns that are added:

    src            file or database dump that the row comes from;  date: day of the measurement;  conc: requests in flight
    meas_id        number of the measurement; rows with one number are copies of it
    c_tp, c_adp    attention: tensor parallel and data parallel degree;  c_mtp, c_mep: experts: tensor and expert parallel degree
    c_bs           requests in flight per attention rank;  n_gpu: devices in all;  fix: the repair, empty where there was none
    is_moe, family the model's kind, and its fold (`split.FAMILIES`, and glm-5, which lies in no table)
    mtp_status     stp: certainly one token a step; unknown: may have been drafted
    table          main or disagg: the first row of each measurement that is judged; empty for all others
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from costc.calibrate.kernels import wheel
from costc.errors import CostcError, not_among

if TYPE_CHECKING:
    import pandas as pd

    Frame = pd.DataFrame
    Flags = pd.Series[bool]

FILE = "silicon_sample.csv"
#: models by a word of their path: the fold, and whether they have experts
MODELS = {
    "deepseek": ("deepseek-v3", True),
    "kimi-k2": ("kimi-k2", True),
    "llama-3.1": ("llama-3.1", False),
    "qwen3-32b": ("qwen3-dense", False),
    "qwen3-235b": ("qwen3-moe", True),
    "qwen3.5": ("qwen3.5", True),
    "gpt-oss": ("gpt-oss", True),
    "minimax-m2": ("minimax-m2", True),
    "glm-5": ("glm-5", True),
}
#: families whose checkpoints hold layers that draft, so that a benchmark may have used them
DRAFTING = ("deepseek-v3", "qwen3.5", "glm-5")
#: the benchmark's dump that holds runs without drafting alone (none of the pairs of runs that differ by drafting has its fast
#: one there); the dumps before it mix both without a flag
PLAIN_DUMP = "2026-04-27"
DUMPS = ("2026-03-25", "2026-04-06", PLAIN_DUMP)
WRITTEN = {"tp_size": "tp", "attention_dp_size": "adp", "moe_tp_size": "mtp", "moe_ep_size": "mep", "batch_size": "bs"}


@dataclass(frozen=True)
class Repair:
    """A way in which an export writes degrees, and what they were.

    Args:
        name: as it stands in `fix`.
        where: rows that are written so, of a frame with tp, adp, mtp, mep and more.
        degrees: (c_tp, c_adp, c_mtp, c_mep) from the degrees as written; None: as written.
    """

    name: str
    reason: str
    where: Callable[[Frame], Flags]
    degrees: Callable[[Frame], tuple[Any, Any, Any, Any]] | None = None


def _squared(frame: Frame) -> Flags:
    """Rows of a dump that write experts cut by both degrees alike: such plans were not in the benchmark."""
    return frame["src"].isin(DUMPS) & (frame["mtp"] == frame["mep"]) & (frame["mep"] > 1)


def _product_as_tp(frame: Frame) -> Flags:
    return _squared(frame) & (frame["tp"] == frame["mtp"] * frame["mep"]) & (frame["adp"] == 1)


def _product_as_adp(frame: Frame) -> Flags:
    return _squared(frame) & (frame["adp"] == frame["mtp"] * frame["mep"]) & (frame["tp"] == 1)


def _experts_as_adp(frame: Frame) -> Flags:
    """vLLM with experts over all devices: the degree of expert parallelism is written as attention data parallelism."""
    square = (frame["tp"] == frame["adp"]) & (frame["tp"] > 1) & (frame["mep"] == frame["tp"] * frame["adp"])
    return (frame["backend"] == "vllm") & (frame["mtp"] == 1) & square


def _second_config(frame: Frame) -> tuple[Flags, Flags]:
    """(points that stand under a second configuration too, those of them where both ran in one workflow).

    The dump numbers its configurations. Where two numbers have the same written degrees, they differ in what is not written,
    which is attention data parallelism: the later number has it. A point (lengths, concurrency) is listed for one of the two,
    so rows of it under the first number were written before the second existed. Where both ran in one workflow, each was
    meant, and which is which cannot be told.
    """
    alike = ["model_path", "system", "precision", "tp", "adp", "mtp", "mep"]
    point = [*alike, "isl", "osl", "conc"]
    rows = frame[_experts_as_adp(frame) & frame["config"].notna()]
    later = rows[rows["config"] > rows.groupby(alike)["config"].transform("min")]
    both = frame[point].apply(tuple, axis=1).isin(set(later[point].apply(tuple, axis=1))) & _experts_as_adp(frame)
    same = rows.groupby([*point, "workflow"])["config"].transform("nunique") > 1
    return both, same.reindex(frame.index, fill_value=False) & both


def _hidden_adp(frame: Frame) -> Flags:
    both, same = _second_config(frame)
    return both & ~same


def _undecidable(frame: Frame) -> Flags:
    return _second_config(frame)[1]


def _experts_over_tp(frame: Frame) -> Flags:
    return _experts_as_adp(frame) & ~_second_config(frame)[0]


def _other_width(frame: Frame) -> Flags:
    width = (frame["mtp"] * frame["mep"]) != (frame["tp"] * frame["adp"])
    return (frame["src"] == "nv-internal") & frame["is_moe"] & width


REPAIRS = (
    Repair(
        "tp=tp*ep",
        "tensor parallel degree written as the product with the expert parallel degree, which equals it",
        _product_as_tp,
        lambda f: (f["mep"], 1.0, 1.0, f["mep"]),
    ),
    Repair(
        "adp=tp*ep",
        "attention data parallel degree written as a product with the expert parallel degree, which equals it",
        _product_as_adp,
        lambda f: (1.0, f["mep"], 1.0, f["mep"]),
    ),
    Repair(
        "vllm ep->adp (TEP)",
        "expert parallel degree written as attention data parallel degree; attention is tensor parallel",
        _experts_over_tp,
        lambda f: (f["tp"], 1.0, 1.0, f["tp"]),
    ),
    Repair(
        "vllm ep->adp (dp-attn)",
        "the same, at points that a second configuration with equal degrees lists: attention is data parallel",
        _hidden_adp,
        lambda f: (1.0, f["adp"], 1.0, f["tp"]),
    ),
    Repair(
        "vllm ambiguous dp-attn",
        "the same, both configurations in one workflow: taken as tensor parallel",
        _undecidable,
        lambda f: (f["tp"], 1.0, 1.0, f["tp"]),
    ),
    Repair("moe width != tp*dp", "the experts' devices are not those of attention: left as written, in no table", _other_width),
)


def sample(path: Path | None = None) -> Frame:
    """The cleaned sample, one row for each row of the file in its order.

    Args:
        path: the file; by default the installed wheel's.

    Raises:
        CostcError: no file, or one without the columns of version 0.12.
    """
    import pandas as pd

    place = path or wheel() / FILE
    if not place.is_file():
        raise CostcError(f"{place}: no such file; the sample is {FILE} of aiconfigurator-core 0.12.0")
    frame = pd.read_csv(place)
    for name in ("silicon_data_source", "model_path", "isl", "osl", "silicon_ttft_ms", "silicon_tpot_ms", *WRITTEN):
        if name not in frame.columns:
            raise CostcError(f"{place}: {not_among('column', name, frame.columns)}")
    frame = _described(frame)
    frame["meas_id"] = _measurement(frame)
    frame = _repaired(frame)
    frame["mtp_status"] = _plain(frame).map({True: "stp", False: "unknown"})
    frame["table"] = _table(frame)
    return frame.drop(columns=["config", "workflow"])


def _described(frame: Frame) -> Frame:
    """What the source column and the model's name say."""
    import pandas as pd

    said = frame["silicon_data_source"]
    file = said.str.extract(r"source_file=([^;]*)")[0]
    # paths of a person's machine are one collection: analyses inside NVIDIA, with a protocol of their own
    named = file.str.removesuffix(".csv").mask(file.str.contains("/", na=False), "nv-internal")
    words = frame["model_path"].map(_model)
    return frame.assign(
        src=said.str.extract(r"^db-dump/([\d-]+)")[0].fillna(named),
        date=said.str.extract(r"measured=([^;T]*)")[0],
        conc=pd.to_numeric(said.str.extract(r"silicon_concurrency=([^;]*)")[0]),
        config=pd.to_numeric(said.str.extract(r"config_id=(\d+)")[0]),
        workflow=said.str.extract(r"workflow_run_id=(\d+)")[0],
        family=words.map(lambda word: MODELS[word][0]),
        is_moe=words.map(lambda word: MODELS[word][1]),
    )


def _model(path: str) -> str:
    """The word of MODELS that stands in a model's path."""
    for word in MODELS:
        if word in path.lower():
            return word
    raise CostcError(f"{FILE}: {not_among('model', path, MODELS)}")


def _measurement(frame: Frame) -> pd.Series[int]:
    """Copies of one measurement have equal times; some exports keep two decimals of a millisecond, so that many are compared.

    DeepSeek-V3 rows of the last dump are the R1 runs of the earlier ones, so the model's name is no part of it.
    """
    keys = [frame["silicon_ttft_ms"].round(2), frame["silicon_tpot_ms"].round(2)]
    return frame.groupby(keys, sort=False).ngroup()


def _repaired(frame: Frame) -> Frame:
    """Canonical degrees of aggregated rows; an absent degree, or 0, is 1, and a dense model has no expert degrees."""
    import numpy as np

    for name, short in WRITTEN.items():
        frame[short] = frame[name] if short == "bs" else frame[name].where(frame[name] > 0, 1.0)
    together = frame["mode"] == "agg"
    for short in ("tp", "adp", "mtp", "mep"):
        frame[f"c_{short}"] = frame[short].where(together)
    frame.loc[together & ~frame["is_moe"], ["c_mtp", "c_mep"]] = 1.0
    frame["c_bs"], frame["fix"] = frame["bs"].where(together), np.nan
    frame["fix"] = frame["fix"].astype(object)
    for repair in REPAIRS:
        rows = together & frame["is_moe"] & repair.where(frame)
        frame.loc[rows, "fix"] = repair.name
        if repair.degrees:
            for name, value in zip(("c_tp", "c_adp", "c_mtp", "c_mep"), repair.degrees(frame[rows]), strict=True):
                frame.loc[rows, name] = value
            frame.loc[rows, "c_bs"] = frame["conc"] / frame["c_adp"]
    frame["n_gpu"] = (frame["c_tp"] * frame["c_adp"]).where(together, _devices(frame))
    return frame.drop(columns=list(WRITTEN.values()))


def _devices(frame: Frame) -> pd.Series[float]:
    """Devices of both pools of a disaggregated row."""
    pools = [
        frame[f"{pool}_num_workers"] * frame[f"{pool}_tp_size"] * frame[f"{pool}_attention_dp_size"] * frame[f"{pool}_pp_size"]
        for pool in ("prefill", "decode")
    ]
    return pools[0] + pools[1]


def _plain(frame: Frame) -> Flags:
    """Certainly no drafted tokens: a copy lies in the dump without them, the model cannot draft, or the row is from an analysis.

    An analysis (of NVIDIA, of the gap to a model without drafting) speaks for its own rows and not for their copies.
    """
    copied = (frame["src"] == PLAIN_DUMP).groupby(frame["meas_id"]).transform("any")
    return copied | ~frame["family"].isin(DRAFTING) | ~frame["src"].isin(DUMPS)


def _table(frame: Frame) -> pd.Series[str]:
    """The first row of each measurement with a complete configuration that is certainly plain, by kind of serving."""
    width = frame["c_mtp"] * frame["c_mep"] == frame["c_tp"] * frame["c_adp"]
    plain = frame["mtp_status"] == "stp"
    whole = (frame["c_bs"] > 0) & (frame["conc"] > 0) & (width | ~frame["is_moe"])
    tables = frame["mode"].mask(frame["mode"] == "agg", "main")
    complete = (whole & (frame["mode"] == "agg")) | frame["n_gpu"].where(frame["mode"] == "disagg").notna()
    good = plain & complete
    first = ~frame[good].duplicated(["meas_id", "mode"])
    return tables.where(first.reindex(frame.index, fill_value=False)).astype(object)
