"""The candidates of a study: plans and batches for every model, device and scheme."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np

from costc.emit.evaluator import Evaluator
from costc.ir.model import Model
from costc.spec.study import Scenario, Study
from costc.spec.values import rates, settings, storage

PLAN = ("tp", "pp", "dp", "ep")


@dataclass(frozen=True)
class Grid:
    """Columns of one model's candidates: indices of device and scheme, plan and batch; evaluated outputs; and where the scheme
    is the one in which the model is published."""

    model: Model
    hardware: np.ndarray
    scheme: np.ndarray
    columns: dict[str, np.ndarray]
    outputs: dict[str, np.ndarray]
    native: np.ndarray

    def __len__(self) -> int:
        return len(self.hardware)


def plans(study: Study, model: Model) -> list[tuple[int, int, int, int]]:
    """(tp, pp, dp, ep) within the device limit.

    Without experts, dp and ep stay 1: replicas of a dense model are counted, not placed.
    """
    experts = any(getattr(block, "group", "") == "experts" for block in model.ffn.values())
    p = study.plans
    found = set()
    for tp, pp, dp, ep in product(p.tp, p.pp, p.dp if experts else [1], p.ep if experts else [1]):
        degree = tp * dp if ep == "all" else int(ep)
        if tp * pp * dp <= p.max_devices:
            found.add((tp, pp, dp, degree))
    return sorted(found)


def evaluate(study: Study, model: Model, evaluator: Evaluator, scenario: Scenario) -> Grid:
    """Evaluate all candidates of a model for a scenario, vectorised over everything."""
    degrees = np.array(plans(study, model), dtype=np.float64)
    shape = (len(study.hardware), len(study.quantization), len(degrees), len(study.batches))
    h, q, p, b = (i.reshape(-1) for i in np.indices(shape))
    columns = {name: degrees[p, i] for i, name in enumerate(PLAN)} | {"batch": np.array(study.batches, dtype=np.float64)[b]}
    values = {
        **settings(study.efficiency, study.engine),
        **_by_pair(study, model, h, q),
        **columns,
        "microbatches": columns["pp"],
        "isl": scenario.isl.value,
        "osl": scenario.osl.value,
    }
    native = np.array([s.name == model.quantization for s in study.quantization])[q]
    return Grid(model, h, q, columns, evaluator(values), native)


def _by_pair(study: Study, model: Model, h: np.ndarray, q: np.ndarray) -> dict[str, np.ndarray | float]:
    """Values that depend on device and scheme, spread over the candidates; a number where all are equal."""
    table = [[{**storage(model, s), **rates(model, s, d)} for s in study.quantization] for d in study.hardware]
    found: dict[str, np.ndarray | float] = {}
    for name in table[0][0]:
        grid = np.array([[cell[name] for cell in row] for row in table])
        found[name] = float(grid[0, 0]) if np.all(grid == grid[0, 0]) else grid[h, q]
    return found
