"""costc: a compiler for the cost of LLM inference.

    import costc
    model = costc.load("deepseek-r1")
    model.formula("decode.flop")
    model.evaluate(hardware="h200", quantization="fp8-block", tp=8, batch=[1, 8, 64], isl=2048, osl=512)

Nothing is imported until it is used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from costc.api import CostModel, compile_study, load
    from costc.errors import CostcError

__version__ = "0.1.0"
__all__ = ["CostModel", "CostcError", "compile_study", "load"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'costc' has no attribute {name!r}")
    return getattr(importlib.import_module("costc.errors" if name == "CostcError" else "costc.api"), name)
