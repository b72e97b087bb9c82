"""Running an emitted numpy module in this process: the same code that lies in generated/."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from costc.emit import Artifact
from costc.emit.targets.numpy import emit, load
from costc.program import Program


class Evaluator:
    """A program as vectorised numpy. `inputs` and `outputs` map names to (unit, meaning)."""

    def __init__(self, program: Program) -> None:
        module = load(emit(Artifact(program, program.name, "")))
        self.name = program.name
        self.inputs: dict[str, tuple[str, str]] = module["INPUTS"]  # type: ignore[assignment]
        self.outputs: dict[str, tuple[str, str]] = module["OUTPUTS"]  # type: ignore[assignment]
        self._evaluate: Callable[..., dict[str, Any]] = module["evaluate"]  # type: ignore[assignment]

    def __call__(self, values: Mapping[str, Any]) -> dict[str, np.ndarray]:
        """Evaluate; values that the program does not take are left aside.

        Returns:
            float64 arrays of the broadcast shape, by output name; NaN at invalid points.
        """
        return self._evaluate(**{name: values[name] for name in self.inputs if name in values})
