"""What a serving engine adds to its operators: few constants for each engine, fitted to end-to-end measurements.

Priors are physical: operators run in an engine as they do alone, and an engine takes some time of its own. Neutral values leave
operators as they are and add nothing.
"""

from __future__ import annotations

from typing import Final

import sympy as sp

from costc import symbols as S
from costc.latency.form import Constant, Form


def _factor(name: str, meaning: str, prior: float, spread: float, low: float = 0.2, high: float = 5.0) -> Constant:
    return Constant(name, "1", meaning, prior, spread, low, high, 1.0)


def _second(name: str, meaning: str, prior: float, spread: float) -> Constant:
    return Constant(name, "s", meaning, prior, spread, 1e-9, 1.0, 0.0)


CONSTANTS: Final = (
    _factor("decode_slowdown", "time of kernels in a decode step over their time alone", 1.0, 0.05),
    _factor("launch_slowdown", "time to start kernels in a decode step, one behind the other, over their own", 1.0, 0.1),
    _factor("dependent_start", "the same where a kernel starts before the one before it ends", 0.7, 0.4, 0.05, 1.0),
    _factor("link_slowdown", "time of collectives in a decode step over their time alone", 1.0, 0.1),
    _factor("prefill_slowdown", "time of a prefill step over that of its operators alone", 1.15, 0.05),
    _second("step_overhead", "host time of a decode step that nothing hides", 5e-4, 0.7),
    _second("synchronous_overhead", "the same, more, where a step is prepared after the one before it", 5e-4, 0.7),
    _second("synchronous_request", "and for each running request", 2e-5, 0.7),
    _second("host_launch", "host time to launch a kernel of a prefill step, which runs eagerly", 6.4e-5, 0.3),
    _factor(
        "unfused_launches",
        "launches of a prefill step whose experts are kernels of their own, over those with one",
        1.7,
        0.2,
        1.0,
    ),
    _second("request_overhead", "on the way of a request to the scheduler and of its first token back", 2e-2, 0.5),
    _second("token_overhead", "to tokenize and hand over a token of a prompt, one prompt after another", 3e-6, 0.7),
    _factor("riding", "part of a decode step's weights and launches that a step with prompts carries along", 0.5, 0.5, 0.01, 1.0),
    _factor("together", "prompts that come together where all outputs are of one length", 3.0, 0.4, 1.0, 100.0),
    _factor("looking", "wait for the scheduler, in half of the interval at which it looks for requests", 1.0, 0.5),
    _factor("kept_output", "part of its output that a request has room for when it is admitted", 0.65, 0.3, 0.05, 1.0),
)

#: so that an engine's constants are read and written as those of operators are
FORM: Final = Form("serving", "Serving engine", (), CONSTANTS, sp.Integer(0))


def _symbol(constant: Constant) -> sp.Symbol:
    tex = rf"e_{{\mathrm{{{S._tex(constant.name)}}}}}"
    return S.define(f"serving_{constant.name}", tex, constant.unit, f"engine: {constant.meaning}", positive=False)


SYMBOLS: Final = {constant.name: _symbol(constant) for constant in CONSTANTS}

#: what an engine takes that prefills and decodes on workers of their own; the prior is what suits each family of measured rows
#: best (of 10, 15, 20, 25, 30 and 40 steps), whichever engine
POOL_CONSTANTS: Final = (
    Constant("handover_steps", "1", "decode steps from the arrival of a prompt's cache to its first token's delivery",
             20.0, 0.5, 0.1, 200.0, 0.0),
)  # fmt: skip
POOL_FORM: Final = Form("pools", "Serving engine with prefill apart from decode", (), POOL_CONSTANTS, sp.Integer(0))
POOL_SYMBOLS: Final = {constant.name: _symbol(constant) for constant in POOL_CONSTANTS}
