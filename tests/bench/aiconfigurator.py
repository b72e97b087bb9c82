"""AIConfigurator's own predictions for measured rows, with costc's beside them: `python -m tests.bench.aiconfigurator`.

The rows are those of costc's ledger (`costc validate`), and costc's predictions are made anew, leaving each row's family out.
AIConfigurator's estimates are those of the estimator core in the wheel
`aiconfigurator-core`, called as its command line calls it: the row's quantization modes, its batch per attention rank, a context
budget of one prompt a step, the data version that the tool takes by default where it has none for the row's. The wheel is wanted
for this program alone; without it the program says so and ends.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.metadata
import importlib.util
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date
from functools import cached_property
from pathlib import Path
from typing import Any, cast

import pandas as pd

SDK = "aiconfigurator_core.sdk"
#: names of the rows that the wheel has under another: the same architecture, and the row's own quantization modes go with it
LIKE = {
    "meta-llama/Llama-3.1-70B": "meta-llama/Meta-Llama-3.1-70B",
    "meta-llama/Llama-3.1-8B-Instruct": "meta-llama/Meta-Llama-3.1-8B",
    "nvidia/Llama-3.1-8B-Instruct-FP8": "meta-llama/Meta-Llama-3.1-8B",
    "nvidia/Qwen3-32B-NVFP4": "Qwen/Qwen3-32B",
    "nvidia/DeepSeek-R1-NVFP4": "deepseek-ai/DeepSeek-R1",
}
#: what the tool multiplies in disaggregated serving: prefill and decode latencies, and the queue before prefill
PREFILL, DECODE, QUEUE = 1.1, 1.08, 1.8

Row = Mapping[str, Any]
Estimate = tuple[float, float]


class Unpredicted(Exception):
    """Why the tool gives no figure for a row."""


def number(value: Any) -> int | None:
    """A degree in a table; blank and 0 stand for one that is not set."""
    return None if pd.isna(value) or not int(value) else int(value)


@dataclass(frozen=True)
class Worker:
    """One engine: what it serves, on what, how it is cut."""

    model: str
    system: str
    backend: str
    gemm: str | None
    moe: str | None
    tp: int
    pp: int
    dp: int
    moe_tp: int | None
    moe_ep: int | None

    @classmethod
    def of(cls, row: Row, tp: str, pp: str | None, dp: str, moe_tp: str, moe_ep: str) -> Worker:
        """The worker that a row describes in the columns named."""
        gemm, moe = (str(row[k]) if isinstance(row[k], str) else None for k in ("gemm_quant_mode", "moe_quant_mode"))
        attention, stages, ranks = (number(row[k]) or 1 if k else 1 for k in (tp, pp, dp))
        model, system, backend = str(row["model_path"]), str(row["system"]), str(row["backend"])
        experts = number(row[moe_tp]), number(row[moe_ep])
        return cls(LIKE.get(model, model), system, backend, gemm, moe, attention, stages, ranks, *experts)


def worker(row: Row) -> Worker:
    """The worker of an aggregated row, in the degrees that cleaning repaired."""
    return Worker.of(row, "c_tp", None, "c_adp", "c_mtp", "c_mep")


def pool(row: Row, phase: str) -> Worker:
    """A worker of the prefill or of the decode pool."""
    names = ("tp_size", "pp_size", "attention_dp_size", "moe_tp_size", "moe_ep_size")
    return Worker.of(row, *(f"{phase}_{name}" for name in names))


class Tool:
    """The estimator core; what is loaded once is kept."""

    def __init__(self) -> None:
        self._databases: dict[tuple[str, str], Any] = {}
        self._engines: dict[tuple[Worker, str], tuple[Any, Any]] = {}

    @staticmethod
    def _module(name: str) -> Any:
        return importlib.import_module(f"{SDK}.{name}")

    @cached_property
    def known(self) -> frozenset[str]:
        """Models whose config lies in the wheel: others would be fetched from the network."""
        return frozenset(self._module("common").DefaultHFModels)

    def database(self, system: str, backend: str) -> Any:
        """Kernel tables of the version that the tool takes by default."""
        key = (system, backend)
        if key not in self._databases:
            data = self._module("perf_database")
            version = data.get_latest_database_version(system=system, backend=backend)
            found = data.get_database_view(system, backend, version, database_mode="SILICON") if version else None
            self._databases[key] = found
        if self._databases[key] is None:
            raise Unpredicted(f"no data for {backend} on {system}")
        return self._databases[key]

    def engine(self, worker: Worker, role: str) -> tuple[Any, Any]:
        """Model and backend of a worker. A backend keeps results under keys without the model: so each worker has its own."""
        if (worker, role) not in self._engines:
            if worker.model not in self.known:
                raise Unpredicted(f"no config of {worker.model} in the wheel")
            models, database = self._module("models"), self.database(worker.system, worker.backend)
            cut = (worker.tp, worker.pp, worker.dp, worker.moe_tp, worker.moe_ep)
            settings = self._module("config_builders").build_model_config(
                *cut, gemm_quant_mode=worker.gemm, moe_quant_mode=worker.moe
            )
            prefills = role != "decode"
            models.resolve_context_fmha_by_data(settings, worker.model, database, worker.backend, is_context_role=prefills)
            models.resolve_nvfp4_for_system(settings, worker.system, worker.model)
            if role != "both" and (worker.moe_ep or 1) > database.system_spec["node"]["num_gpus_per_node"]:
                self._across_nodes(settings, worker, database, "context" if prefills else "generation")
            model = models.get_model(worker.model, settings, worker.backend)
            self._engines[worker, role] = (model, self._module("backends.factory").get_backend(worker.backend))
        return self._engines[worker, role]

    def _across_nodes(self, settings: Any, worker: Worker, database: Any, phase: str) -> None:
        """Choose the all-to-all of a pool whose experts span nodes. The tool's command line takes the first whose tables have the
        model's shape, and gives no figure where none has.
        """
        helpers, comm = self._module("models.helpers"), self._module("operations.moe_comm")
        info = helpers._get_model_info(worker.model)
        helpers._apply_model_quant_defaults(settings, info["raw_config"], info["architecture"], worker.backend)
        shape = self._module("models.blocks.moe").MoEBlockShape.from_model_info(info)
        quant, ep, width = settings.moe_quant_mode, settings.moe_ep_size, database.system_spec["node"]["num_gpus_per_node"]
        expert = (shape.hidden_size, shape.moe_inter_size, shape.topk, shape.num_experts, quant)
        computed = set(database.moe_expert_compute_coverage(*expert, phase))
        if worker.backend != "sglang":
            computed |= set(database.legacy_moe_compute_coverage(*expert))
        moved = database.moe_a2a_coverage(shape.hidden_size, shape.topk, shape.num_experts, quant, phase)
        for name, spec in comm.MOE_A2A_BACKENDS.items():
            serves = worker.backend in spec.frameworks and phase in spec.inference_phases
            # DeepEP's figures of one full node stand for more nodes
            scales = {(ep, comm.nodes_for(ep, width)), *([(width, 1)] if "deepep_ht" in name or "deepep_ll" in name else [])}
            fits = spec.feasible(topk=shape.topk, num_experts=shape.num_experts, moe_tp_size=settings.moe_tp_size, moe_ep_size=ep)
            if serves and fits and ep in computed and scales & moved.get(name, set()) and (name[0] == "d" or worker.dp > 1):
                settings.num_gpus_per_node, settings.system, settings.moe_comm_backend = width, database.system, {phase: name}
                return
        raise Unpredicted(f"no data of an all-to-all across nodes ({phase})")

    def load(self, row: Row, batch: Any) -> Any:
        """Batch per attention rank, and the row's lengths."""
        if pd.isna(batch):
            raise Unpredicted("no batch in the row")
        shape = {"batch_size": int(batch), "isl": int(row["isl"]), "osl": int(row["osl"])}
        return self._module("config").RuntimeConfig(**shape)

    def aggregated(self, row: Row) -> Estimate:
        """Mean times in continuous batching."""
        asked = worker(row)
        model, backend = self.engine(asked, "both")
        database = self.database(asked.system, asked.backend)
        found = backend.run_agg(model, database, self.load(row, row["c_bs"]), ctx_tokens=int(row["isl"]))
        if found.check_oom():
            raise Unpredicted("out of memory")
        times = found.get_result_dict()
        return float(times["ttft"]), float(times["tpot"])

    def phase(self, row: Row, phase: str) -> Any:
        """One step of the prefill pool, or a generation of the decode pool."""
        asked, prefills = pool(row, phase), phase == "prefill"
        model, backend = self.engine(asked, phase)
        load, mode = self.load(row, row[f"{phase}_batch_size"]), "static_ctx" if prefills else "static_gen"
        database = self.database(asked.system, asked.backend)
        found = backend.run_static(model, database, load, mode, latency_correction_scale=PREFILL if prefills else DECODE)
        if found.check_oom() or found.check_kv_cache_oom():
            raise Unpredicted(f"out of memory ({phase})")
        return found.get_result_dict()

    def disaggregated(self, row: Row) -> Estimate:
        """Mean times with prefill and decode on pools of their own."""
        return QUEUE * float(self.phase(row, "prefill")["ttft"]), float(self.phase(row, "decode")["tpot"])


def reason(error: BaseException) -> str:
    """The first sentence of an error, under the name of its class."""
    words = str(error) if isinstance(error, Unpredicted) else f"{type(error).__name__}: {error}"
    return words.split("\n")[0].split(". ")[0][:160]


def predict(table: pd.DataFrame) -> pd.DataFrame:
    """`aic_ttft_ms` and `aic_tpot_ms` of each row of a cleaned table; where there is none, NaN and the reason."""
    logging.disable(logging.CRITICAL)  # the tool logs a traceback for each row that it has no data for
    tool, found = Tool(), []
    for _, line in table.iterrows():
        row = cast(Row, line)
        estimate: Callable[[Row], Estimate] = tool.disaggregated if row["mode"] == "disagg" else tool.aggregated
        try:
            found.append((*estimate(row), ""))
        except Exception as error:  # whatever the tool raises is its answer to this row
            found.append((float("nan"), float("nan"), reason(error)))
    columns = ["aic_ttft_ms", "aic_tpot_ms", "reason"]
    return table[["id", "meas_id"]].join(pd.DataFrame(found, columns=columns, index=table.index))


def errors(table: pd.DataFrame, prefix: str) -> dict[str, float]:
    """Mean and median absolute error of a tool in percent, of TPOT and TTFT, over the rows that it predicts."""
    found = {}
    for metric in ("tpot", "ttft"):
        off = (table[f"{prefix}_{metric}_ms"] / table[f"silicon_{metric}_ms"] - 1).abs() * 100
        found |= {f"{prefix}_{metric}_mean": off.mean(), f"{prefix}_{metric}_median": off.median()}
    return found


def side_by_side(table: pd.DataFrame, kind: str) -> pd.DataFrame:
    """Errors of AIConfigurator and of costc on the rows that AIConfigurator predicts, and (`all_`) of costc on all, by group."""
    rows = []
    ours = {"costc_ttft_ms": "all_ttft_ms", "costc_tpot_ms": "all_tpot_ms"}
    groups = [("all", "all", table)]
    groups += [(by, str(name), group) for by in ("system", "backend", "family") for name, group in table.groupby(by)]
    for by, name, group in groups:
        both = group[group["aic_tpot_ms"].notna()]
        line = {"table": kind, "by": by, "group": name, "n": len(group), "predicted": len(both)}
        rows.append(line | errors(both, "aic") | errors(both, "costc") | errors(group.rename(columns=ours), "all"))
    return pd.DataFrame(rows)


def ours() -> pd.DataFrame:
    """costc's predictions of the ledger's rows, in milliseconds, by the row's id."""
    from costc.loads.ledger import disaggregated
    from costc.report.validation import anew

    rows = anew(("family",), disaggregated, lambda text: None)
    return rows.set_index("id")[["ttft_family", "tpot_family"]].set_axis(["costc_ttft_ms", "costc_tpot_ms"], axis=1)


def kept(beside: pd.DataFrame) -> str:
    """AIConfigurator's predictions as the accuracy page reads them, under a line that says what they are."""
    version = importlib.metadata.version("aiconfigurator-core")
    head = f"# AIConfigurator {version} with the rows' own quantization modes, run on {date.today().isoformat()}\n"
    rows = beside.loc[beside["aic_tpot_ms"].notna(), ["id", "aic_ttft_ms", "aic_tpot_ms"]]
    return head + rows.to_csv(index=False, float_format="%.5g", lineterminator="\n")


def main() -> int:
    """Run both tables; print both tools' errors, and write them and the predictions where asked to."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--out", type=Path, help="where to keep AIConfigurator's predictions: reports/accuracy_aiconfigurator.csv"
    )
    given = parser.parse_args()
    if importlib.util.find_spec("aiconfigurator_core") is None:
        print("aiconfigurator-core is not installed here: nothing to compare with (pip install aiconfigurator-core==0.12.0)")
        return 0
    from costc.calibrate.silicon import sample

    cleaned, found_by_us, whole = sample(), ours(), []
    for kind in ("main", "disagg"):
        rows = cleaned[cleaned["table"] == kind]
        found = predict(rows)
        beside = rows.join(found[["aic_ttft_ms", "aic_tpot_ms"]]).join(found_by_us, on="id")
        whole.append(beside)
        print(f"\n{kind}: absolute error in percent; costc on the rows that AIConfigurator predicts, and (all) on all rows")
        print(side_by_side(beside, kind).drop(columns="table").to_string(index=False, float_format="{:.1f}".format))
        why = found["reason"].str.replace(r"[\d(].*", "", regex=True)
        print("not predicted by AIConfigurator:\n" + why[why != ""].value_counts().head(12).to_string())
    if given.out:
        given.out.write_text(kept(pd.concat(whole)), encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
