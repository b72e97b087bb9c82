"""The candidates of a study: plans and batches for every model, device and scheme."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import product

import numpy as np

from costc.blocks.build import build
from costc.closed import PROTOCOL
from costc.emit.evaluator import Evaluator
from costc.ir.model import Model
from costc.place.mesh import STRATEGIES
from costc.spec.study import Scenario, Study
from costc.spec.values import constants, measured, rates, settings, storage

#: the load of a study of continuous batching: long after the start, of outputs of any length
STEADY = PROTOCOL | {"waves": 1e9, "length_spread": 1.0}


#: values by device and scheme of inputs by name; a number where all are equal
Pairs = dict[str, np.ndarray | float]


@dataclass(frozen=True)
class Grid:
    """Columns of one model's candidates: indices of device and scheme, plan and batch; evaluated outputs; where the scheme
    is the one in which the model is published; and where the matrix products of a device and scheme were measured."""

    model: Model
    hardware: np.ndarray
    scheme: np.ndarray
    columns: dict[str, np.ndarray]
    outputs: dict[str, np.ndarray]
    native: np.ndarray
    measured: np.ndarray

    def __len__(self) -> int:
        return len(self.hardware)


def plans(study: Study, model: Model) -> list[dict[str, int]]:
    """Degrees by strategy, within the device limit; what the model has no use for stays 1."""
    axes = {a.name for section in build(model, "decode") for t in section.tensors for a in t.axes}
    tried = {name: degrees if STRATEGIES[name].needs in (None, *axes) else (1,) for name, degrees in study.plans.degrees.items()}
    found: dict[tuple[int, ...], dict[str, int]] = {}
    for point in product(*tried.values()):
        given = dict(zip(tried, point, strict=True))
        degrees = {n: math.prod(int(given[o]) for o in STRATEGIES[n].over) if d == "all" else int(d) for n, d in given.items()}
        if math.prod(d for n, d in degrees.items() if STRATEGIES[n].place is not None) <= study.plans.max_devices:
            found[tuple(degrees.values())] = degrees
    return [found[key] for key in sorted(found)]


def evaluate(study: Study, model: Model, evaluator: Evaluator, scenario: Scenario, pairs: Pairs) -> Grid:
    """Evaluate all candidates of a model for a scenario, vectorised over everything."""
    degrees = plans(study, model)
    shape = (len(study.hardware), len(study.quantization), len(degrees), len(study.batches))
    h, q, p, b = (i.reshape(-1) for i in np.indices(shape))
    columns = {name: np.array([d[name] for d in degrees], dtype=np.float64)[p] for name in STRATEGIES}
    columns["batch"] = np.array(study.batches, dtype=np.float64)[b]
    values = {
        **settings(study.engine),
        **{name: values if isinstance(values, float) else values[h, q] for name, values in pairs.items()},
        **columns,
        "microbatches": columns["pp"],
        "isl": scenario.isl.value,
        "osl": scenario.osl.value,
        **STEADY,
    }
    native = np.array([s.name == model.quantization for s in study.quantization])[q]
    known = np.array(
        [[measured(model, s, d, p) for s in study.quantization] for d, p in zip(study.hardware, study.profiles, strict=True)]
    )
    return Grid(model, h, q, columns, evaluator(values), native, known[h, q])


def by_pair(study: Study, model: Model, evaluator: Evaluator) -> Pairs:
    """Inputs that depend on device and scheme, shape (devices, schemes); a number where all are equal."""
    table = [
        [{**storage(model, s), **rates(model, s, d), **constants(model, s, d, profile)} for s in study.quantization]
        for d, profile in zip(study.hardware, study.profiles, strict=True)
    ]
    found: Pairs = {}
    for name in [n for n in table[0][0] if n in evaluator.inputs]:
        grid = np.array([[cell[name] for cell in row] for row in table])
        found[name] = float(grid[0, 0]) if np.all(grid == grid[0, 0]) else grid
    return found
