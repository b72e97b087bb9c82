"""What a serving engine adds to its operators: few constants for each engine, fitted to end-to-end measurements.

Priors are physical: operators run in an engine as they do alone, and an engine takes some time of its own. Neutral values leave
operators as they are and add nothing.
"""

from __future__ import annotations

from typing import Final

import sympy as sp

from costc import symbols as S
from costc.latency.form import Constant, Form


def _factor(name: str, meaning: str, prior: float, spread: float) -> Constant:
    return Constant(name, "1", meaning, prior, spread, 0.2, 5.0, 1.0)


def _second(name: str, meaning: str, prior: float, spread: float) -> Constant:
    return Constant(name, "s", meaning, prior, spread, 1e-7, 1.0, 0.0)


CONSTANTS: Final = (
    _factor("decode_slowdown", "time of kernels in a decode step over their time alone", 1.0, 0.05),
    _factor("launch_slowdown", "start-up time of kernels in a decode step, one behind the other, over their own", 1.0, 0.1),
    _factor("link_slowdown", "time of collectives in a decode step over their time alone", 1.0, 0.1),
    _factor("prefill_slowdown", "time of a prefill step over that of its operators alone", 1.15, 0.1),
    _second("step_overhead", "between two decode steps: scheduling, sampling, preparing inputs", 5e-4, 0.7),
    _second("layer_host_time", "host time to launch the kernels of a layer of a prefill step, which runs eagerly", 1e-3, 0.5),
    Constant("expert_host_time", "1", "the same of a layer with experts, in layers without", 2.0, 0.3, 1.0, 10.0, 1.0),
    _second("request_overhead", "on the way of a request to the scheduler and of its first token back", 3e-2, 0.5),
    Constant("riding", "1", "share of a decode step's weights and launches that a prefill step carries for nothing",
             0.5, 0.5, 0.01, 1.0, 1.0),
    _factor("start_queue", "first wave's mean wait, in prefills of half the prompts before", 1.0, 0.2),
    _factor("steady_queue", "wait for other prompts' prefills, over that of Poisson arrivals", 1.0, 0.5),
    _factor("scheduling", "steps until a request is scheduled, in half the interval at which the engine looks", 1.0, 0.5),
    Constant("kept_output", "1", "part of its output that a request has room for when admitted", 0.6, 0.3, 0.05, 1.0, 1.0),
)  # fmt: skip

#: so that an engine's constants are read and written as those of operators are
FORM: Final = Form("serving", "Serving engine", (), CONSTANTS, sp.Integer(0))


def _symbol(constant: Constant) -> sp.Symbol:
    tex = rf"e_{{\mathrm{{{S._tex(constant.name)}}}}}"
    return S.define(f"serving_{constant.name}", tex, constant.unit, f"engine: {constant.meaning}", positive=False)


SYMBOLS: Final = {constant.name: _symbol(constant) for constant in CONSTANTS}
