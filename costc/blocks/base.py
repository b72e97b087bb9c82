"""What every block kind shares: the spec fragment's base class and the builder of its section."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

import sympy as sp
from pydantic import BaseModel, ConfigDict

from costc import symbols as S
from costc.ir.types import ONE, Axis, Kind, Op, Read, Role, Section, Tensor

BATCH = Axis("batch", S.batch)
SEQ = Axis("seq", S.seq)

Axes = tuple[Axis, ...]


class Block(BaseModel):
    """A named block of a model spec. A kind subclasses it with its fields and its `build`."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    #: operator group under which reports sum the block's time
    group: ClassVar[str] = "attention"

    kind: str

    def build(self, b: Builder, x: str, phase: str) -> str:
        """Add the block's operators for one step, reading activation `x`; the name of what it writes."""
        raise TypeError(f"block kind {self.kind!r} does not say how it is built")


@dataclass
class Dimensions:
    """The dimension symbols of one model and their values; equal names with unequal values are qualified."""

    values: dict[sp.Symbol, int] = field(default_factory=dict)

    def bind(self, name: str, value: int, meaning: str, owner: str) -> sp.Symbol:
        symbol = sp.Symbol(name, integer=True, positive=True)
        if self.values.get(symbol, value) != value:
            name, meaning = f"{owner.replace('.', '_')}_{name}", f"{meaning} ({owner})"
        symbol = S.dimension_var(name, meaning)
        self.values[symbol] = value
        return symbol


class Builder:
    """Collects the tensors and operators of one section; the only mutable thing of the front end."""

    def __init__(self, name: str, group: str, dimensions: Dimensions) -> None:
        self.name, self.group, self.dimensions = name, group, dimensions
        self.tensors: dict[str, Tensor] = {}
        self.ops: list[Op] = []
        self.inputs: list[str] = []
        self.outputs: list[str] = []
        self.module = "attention"

    # ---- declaring

    def dim(self, name: str, value: int, meaning: str) -> sp.Symbol:
        """The symbol of a dimension of this block."""
        return self.dimensions.bind(name, value, meaning, self.name)

    def input(self, name: str, axes: Axes) -> str:
        self.inputs.append(name)
        return self._tensor(Tensor(name, axes, Role.ACTIVATION))

    def weight(
        self,
        name: str,
        out: Axes,
        in_: Axes = (),
        stack: Axes = (),
        module: str | None = None,
        *,
        trained: bool = True,
        shared: bool = False,
    ) -> str:
        """A weight: a matrix of `out` x `in_` (or, without `in_`, a vector), one for each element of `stack`."""
        matrix = (tuple(a.name for a in out), tuple(a.name for a in in_)) if in_ else None
        return self._tensor(
            Tensor(name, stack + out + in_, Role.WEIGHT, module or self.module, matrix, trained=trained, shared=shared)
        )

    def cache(self, name: str, axes: Axes) -> str:
        return self._tensor(Tensor(name, axes, Role.CACHE))

    def _tensor(self, tensor: Tensor) -> str:
        if tensor.name in self.tensors:
            raise ValueError(f"{self.name}: tensor {tensor.name!r} is declared twice")
        self.tensors[tensor.name] = tensor
        return tensor.name

    # ---- operators; each returns the name of the tensor it writes

    def op(
        self,
        name: str,
        kind: Kind,
        reads: tuple[str | Read, ...],
        writes: Axes | Read,
        domain: Axes,
        *,
        module: str | None = None,
        work: int = 1,
        fanout: sp.Expr = ONE,
        linear: bool = False,
        element_byte: sp.Expr | None = None,
    ) -> str:
        """Any operator; `writes` are the axes of a new activation named like the operator, or an access to a tensor."""
        if isinstance(writes, Read):
            written = writes
        else:
            written = Read(self._tensor(Tensor(name, writes, Role.ACTIVATION, element_byte=element_byte)))
        accesses = tuple(r if isinstance(r, Read) else Read(r) for r in reads)
        self.ops.append(Op(name, kind, domain, accesses, (written,), module or self.module, sp.Integer(work), fanout, linear))
        return written.tensor

    def contract(self, name: str, reads: tuple[str | Read, ...], writes: Axes, over: Axes, **kw: object) -> str:
        """A matrix product: 2 FLOP for each point of `writes` x `over`, where `over` are the summed axes."""
        return self.op(name, Kind.CONTRACT, reads, writes, (*writes, *over), **kw)  # type: ignore[arg-type]

    def project(self, name: str, x: str, out: Axes, in_: Axes, bias: bool = False, **kw: object) -> str:
        """`x` [batch seq in_] times a weight [out in_], with an optional bias vector."""
        reads: tuple[str | Read, ...] = (x, self.weight(f"{name}_weight", out, in_))
        if bias:
            reads += (self.weight(f"{name}_bias", out),)
        return self.contract(name, reads, (BATCH, SEQ, *out), in_, **kw)

    def map(
        self,
        name: str,
        reads: tuple[str | Read, ...],
        writes: Axes | Read,
        work: int = 1,
        domain: Axes | None = None,
        linear: bool = False,
    ) -> str:
        """An elementwise operator of `work` FLOP a point."""
        over = domain if domain is not None else writes
        if isinstance(over, Read):
            raise TypeError("a map that writes a declared tensor says its domain")
        return self.op(name, Kind.MAP, reads, writes, over, work=work, linear=linear)

    def norm(self, name: str, x: str, over: Axis) -> str:
        """RMS norm over the last axis: square, sum, scale, multiply: 4 FLOP an element."""
        axes = self.tensors[x].axes
        weight = self.weight(f"{name}_weight", (over,), module="norm")
        return self.op(name, Kind.REDUCE, (x, weight), axes, axes, work=4)

    def section(self, layers: sp.Expr, stage_layers: sp.Expr) -> Section:
        return Section(
            self.name,
            self.group,
            tuple(self.tensors.values()),
            tuple(self.ops),
            tuple(self.inputs),
            tuple(self.outputs),
            layers,
            stage_layers,
        )
