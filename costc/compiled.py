"""CostModel: a compiled model, with formulas and a fast evaluator.

`lower` and `CostModel.program` are the compiler, read aloud.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from functools import cached_property
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np
import sympy as sp

from costc import symbols as S
from costc.blocks.build import build, draft
from costc.closed import ClosedLoop
from costc.columns import numbers, spread, values_of
from costc.count.footprint import cache_byte, parameters
from costc.count.rules import count
from costc.dtypes import dtype
from costc.emit.evaluator import Evaluator
from costc.emit.formulas import Formula, of_phase
from costc.errors import CostcError, DegreeError, not_among
from costc.fuse import fuse
from costc.ir.platform import Efficiency, Engine, Hardware, Quantization
from costc.ir.types import Graph, Role
from costc.place.apply import apply
from costc.place.constraints import violation, whole_number
from costc.place.mesh import STRATEGIES, mesh
from costc.program import Program
from costc.serving.compose import Lowered, compose, reaches_of
from costc.serving.metrics import BOUNDS
from costc.simplify import Report, simplify
from costc.spec import values as bind
from costc.spec.catalog import Catalog
from costc.spec.model import ModelEntry
from costc.spec.profiles import efficiency_profile

if TYPE_CHECKING:
    import pandas as pd

PHASES = ("prefill", "decode")
WORKLOAD = ("batch", "isl", "osl", "microbatches", "max_num_batched_tokens")
PLATFORM = ("efficiency", "engine", "kv_cache_dtype")
#: the point that the guide evaluates, where a call says nothing
DEFAULTS: dict[str, Any] = {"batch": 1, "isl": 2048, "osl": 512}


def lower(unsharded: Graph) -> Lowered:
    """One phase, from the operators of its blocks to counts: place, fuse, count."""
    placed = apply(unsharded, mesh())
    fused = fuse(placed)
    return Lowered(fused, count(fused), count(fuse(unsharded)))


class CostModel:
    """A compiled model: formulas and a fast evaluator."""

    def __init__(self, entry: ModelEntry, catalog: Catalog | None = None) -> None:
        self.entry, self.model = entry, entry.model
        self.catalog = catalog or Catalog()

    # ---- the compiler's stages, made when they are asked for

    @cached_property
    def _prefill(self) -> Graph:
        return build(self.model, "prefill")

    @cached_property
    def _decode(self) -> Graph:
        return build(self.model, "decode")

    @cached_property
    def lowered(self) -> dict[str, Lowered]:
        return {"prefill": lower(self._prefill), "decode": lower(self._decode)}

    @cached_property
    def program(self) -> Program:
        return compose(self.model.name, self.lowered["prefill"], self.lowered["decode"], mesh())

    @cached_property
    def _simplified(self) -> tuple[Program, Report]:
        return simplify(self.program)

    @property
    def fast_program(self) -> Program:
        """The program after simplification, which is what is emitted."""
        return self._simplified[0]

    @property
    def simplification(self) -> Report:
        return self._simplified[1]

    @cached_property
    def evaluator(self) -> Evaluator:
        return Evaluator(self.fast_program)

    @cached_property
    def closed_loop(self) -> ClosedLoop:
        """The model under continuous batching."""
        drafting = draft(self.model, "decode")
        return ClosedLoop(self.model.name, self.lowered, lower(drafting) if drafting else None)

    # ---- facts

    @cached_property
    def bindings(self) -> dict[sp.Symbol, sp.Integer]:
        return {s: sp.Integer(v) for s, v in self._prefill.bindings}

    @cached_property
    def parameters(self) -> int:
        """Parameters, tied embeddings once; without buffers, adapters, draft layers and towers."""
        return int(parameters(self._prefill).xreplace(self.bindings)) - self.adapter_parameters

    @cached_property
    def adapter_parameters(self) -> int:
        """Parameters of the LoRA adapters in memory."""
        return int(parameters(self._prefill, module="adapter").xreplace(self.bindings))

    @cached_property
    def buffers(self) -> int:
        """Elements of buffers that published parameter counts leave out (router correction biases)."""
        return int(parameters(self._prefill, trained=False).xreplace(self.bindings))

    @cached_property
    def mtp_parameters(self) -> int:
        """Parameters of the layers that draft tokens, without what they share with the model; not part of `parameters`."""
        graph = draft(self.model, "decode")
        return int(parameters(graph).xreplace({s: sp.Integer(v) for s, v in graph.bindings})) if graph else 0

    def kv_byte_per_token(self, kv_cache: str = "bf16") -> float:
        """Bytes of cache that a token takes, all layers, unsharded, before any window is full; without states."""
        return self._kept((Role.CACHE,), kv_cache)

    def state_byte(self, dtype_of_activations: str = "bf16") -> float:
        """Bytes of recurrent and convolution states of a sequence, all layers, unsharded, however long it is."""
        return self._kept((Role.STATE,), dtype_of_activations)

    def _kept(self, roles: tuple[Role, ...], element: str) -> float:
        one = cache_byte(self._decode, sp.Integer(1), "layers", roles)
        byte = dtype(element).byte
        unit = {S.kv_block: sp.Integer(1), S.kv_byte: byte, S.activation_byte: byte, S.byte: 1}
        return float(one.xreplace(unit).xreplace(self.bindings))

    # ---- formulas

    @cached_property
    def _formulas(self) -> dict[str, Formula]:
        reaches = reaches_of(self.lowered["prefill"].graph)
        found = of_phase(self.lowered["prefill"].table, reaches, "prefill")
        found |= of_phase(self.lowered["decode"].table, reaches, "decode")
        found |= of_phase(self.lowered["decode"].table, reaches, "generation")
        drafting = draft(self.model, "decode")
        return found | (of_phase(count(fuse(drafting)), reaches_of(drafting), "decode", "draft") if drafting else {})

    @property
    def formula_list(self) -> list[Formula]:
        """The formulas of the counts."""
        return list(self._formulas.values())

    def formulas(self) -> dict[str, tuple[str, str]]:
        """Names of all formulas, with unit and meaning."""
        found = {n: (f.unit, f.meaning) for n, f in self._formulas.items()}
        return found | {o.name: (o.unit, o.meaning) for o in self.program.outputs}

    def formula(self, name: str, bound: bool = True) -> sp.Expr:
        """The closed form of a quantity, e.g. 'decode.flop', 'prefill.attention.mla.link_byte', 'ttft', 'memory_kv'.

        Args:
            bound: with the model's dimensions put in; False for the general form of its block kinds (counts only).
        Raises:
            CostcError: no formula of that name.
        """
        if name in self._formulas:
            expr = self._formulas[name].expr
            return expr.xreplace(self.bindings) if bound else expr
        steps = {o.name: o.step for o in self.program.outputs}
        step = steps.get(name) or steps.get(name.replace(".", "_"))
        if step is None:
            raise CostcError(not_among("formula", name, self.formulas()))
        return self.program.expand(self.program.step(step).expr)

    # ---- evaluation

    def values(
        self,
        hardware: str | Hardware,
        quantization: str | Quantization | None = None,
        efficiency: str | float | Efficiency = "uniform",
        engine: str | Engine = "default",
        kv_cache_dtype: str | None = None,
    ) -> dict[str, float]:
        """Values of all inputs but workload and plan."""
        device = hardware if isinstance(hardware, Hardware) else self.catalog.hardware(hardware)
        scheme = self.scheme(quantization, kv_cache_dtype)
        settings = engine if isinstance(engine, Engine) else self.catalog.engine(engine)
        profile = efficiency_profile(self.catalog, efficiency, device, settings)
        return {
            **bind.settings(settings),
            **bind.constants(self.model, scheme, device, profile),
            **bind.storage(self.model, scheme),
            **bind.rates(self.model, scheme, device),
        }

    def scheme(self, quantization: str | Quantization | None, kv_cache_dtype: str | None = None) -> Quantization:
        """The quantization of that name (default: as published), with the cache's format changed where asked."""
        named = self.model.quantization if quantization is None else quantization
        if self.model.scheme and named == self.model.scheme.name:
            named = self.model.scheme
        scheme = named if isinstance(named, Quantization) else self.catalog.quantization(named)
        return replace(scheme, kv_cache=dtype(kv_cache_dtype).name) if kv_cache_dtype else scheme

    def check(self, point: Mapping[str, Any], inputs: Mapping[str, float]) -> None:
        """Raise DegreeError for a single point whose sizes or degrees the model, or the device (`inputs`), cannot take."""
        degrees = {name: whole_number(name, value) for name, value in point.items()}
        for constraint in self.lowered["prefill"].graph.constraints:
            if message := violation(constraint, self.bindings, degrees):
                raise DegreeError(f"{self.model.name}: {message}")
        devices = math.prod(degrees[s.name] for s in mesh().placed())
        if devices > inputs["domain"] and not inputs["scale_out_links"]:
            raise DegreeError(
                f"{devices} devices are more than the domain of {inputs['domain']:g}, and there is no scale-out link"
            )

    def point(self, hardware: str | Hardware, quantization: str | Quantization | None = None, **given: Any) -> dict[str, Any]:
        """Evaluate one point; SI units, None where a fact is missing.

        Raises:
            DegreeError: an invalid size or degree.
        """
        platform = {k: given.pop(k) for k in PLATFORM if k in given}
        inputs = self.values(hardware, quantization, **platform)
        plan = self._plan(given, inputs)
        self.check(plan, inputs)
        found = self.evaluator({**inputs, **plan})
        return {name: None if math.isnan(float(v)) else float(v) for name, v in found.items()}

    def _plan(self, given: Mapping[str, Any], inputs: Mapping[str, float]) -> dict[str, Any]:
        allowed = {*WORKLOAD, *STRATEGIES}
        for name in given:
            if name not in allowed:
                raise CostcError(not_among("argument", name, {*allowed, "hardware", "quantization", *PLATFORM}))
        plan = {**DEFAULTS, **dict.fromkeys(STRATEGIES, 1), **given}
        plan.setdefault("microbatches", plan["pp"])
        plan.setdefault("max_num_batched_tokens", inputs["max_num_batched_tokens"])
        return plan

    def evaluate(self, hardware: Any, quantization: Any = None, efficiency: Any = "uniform", **given: Any) -> pd.DataFrame:
        """Evaluate points given by columns: every argument is one value or a sequence, all sequences of one length.

        Returns:
            A DataFrame with the arguments and all outputs in SI units; NaN throughout at an invalid degree.
        """
        import pandas as pd

        extra: dict[str, Any] = {k: given.pop(k) for k in ("engine", "kv_cache_dtype") if k in given}
        schemes = self.model.quantization if quantization is None else quantization
        named = {"hardware": hardware, "quantization": schemes, "efficiency": efficiency}
        engine = self.values(*(values_of(k, v)[0] for k, v in named.items()), **extra)
        columns = spread({**named, **self._plan(given, engine)})
        table = self._rates([columns.pop(k) for k in named], extra)
        shown = {**{k: [getattr(x, "name", x) for x in v] for k, v in spread({**named, **columns}).items()}}
        return pd.DataFrame({**shown, **self.evaluator({**table, **{k: numbers(k, v) for k, v in columns.items()}})})

    def _rates(self, named: list[list[Any]], extra: dict[str, Any]) -> dict[str, Any]:
        """Values of hardware, quantization and efficiency for every point; a number where all are equal."""
        known: dict[tuple[int, ...], dict[str, float]] = {}
        rows = []
        for point in zip(*named, strict=True):
            key = tuple(map(id, point))
            if key not in known:
                known[key] = self.values(*point, **extra)
            rows.append(known[key])
        if all(r is rows[0] for r in rows):
            return dict(rows[0])
        return {k: np.array([r[k] for r in rows]) for k in rows[0]}

    def sweep(self, **given: Any) -> tuple[pd.DataFrame, int]:
        """Evaluate the product of all sequences given; also how many points were invalid and left out."""
        points = zip(*product(*(values_of(k, v) for k, v in given.items())), strict=True)
        frame = self.evaluate(**{name: list(p) for name, p in zip(given, points, strict=True)})
        good = frame["devices"].notna()
        return frame[good].reset_index(drop=True), int((~good).sum())

    def show(self, phase: str) -> str:
        """The placed, fused graph as text."""
        from costc.ir.show import show

        if phase not in PHASES:
            raise CostcError(not_among("phase", phase, PHASES))
        return show(self.lowered[phase].graph)


def bound_name(index: float) -> str:
    """The word for a `bound_*` output."""
    return BOUNDS[int(index)]
