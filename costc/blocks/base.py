"""What every block kind shares: the spec fragment's base class and the builder of its section."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import ClassVar, Literal

import sympy as sp
from pydantic import BaseModel, ConfigDict

from costc import symbols as S
from costc.ir.model import Norm
from costc.ir.reach import Reach
from costc.ir.types import ONE, Axis, Kind, Op, Read, Role, Section, Tensor

BATCH = Axis("batch", S.batch)
SEQ = Axis("seq", S.seq)

Axes = tuple[Axis, ...]
#: where a block's norm stands: before it, after it, both; 'shared' reads what the block before it normed (parallel
#: residual branches); 'none'
NormPlace = Literal["pre", "post", "both", "shared", "none"]


class Block(BaseModel):
    """A named block of a model spec. A kind subclasses it with its fields and its `build`."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    #: operator group under which reports sum the block's time
    group: ClassVar[str] = "attention"

    kind: str
    norm: NormPlace = "pre"

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

    def __init__(self, name: str, group: str, dimensions: Dimensions, style: Norm | None = None) -> None:
        self.name, self.group, self.dimensions, self.style = name, group, dimensions, style or Norm()
        self.tensors: dict[str, Tensor] = {}
        self.ops: list[Op] = []
        self.inputs: list[str] = []
        self.outputs: list[str] = []
        self.module = "attention"
        #: whether weights declared from here on are another layer's, which counts them
        self.shared = False

    # ---- declaring

    def dim(self, name: str, value: int, meaning: str) -> sp.Symbol:
        """The symbol of a dimension of this block."""
        return self.dimensions.bind(name, value, meaning, self.name)

    def input(self, name: str, axes: Axes, element_byte: sp.Expr | None = None) -> str:
        self.inputs.append(name)
        return self._tensor(Tensor(name, axes, Role.ACTIVATION, element_byte=element_byte))

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
        shared = shared or self.shared
        return self._tensor(
            Tensor(name, stack + out + in_, Role.WEIGHT, module or self.module, matrix, trained=trained, shared=shared)
        )

    def cache(self, name: str, axes: Axes, *, shared: bool = False, element_byte: sp.Expr | None = None) -> str:
        """A cache that grows with the tokens (by its axis with a reach); `shared`: another layer's, which keeps it."""
        return self._tensor(Tensor(name, axes, Role.CACHE, shared=shared, element_byte=element_byte))

    def state(self, name: str, axes: Axes, law: Reach, element_byte: sp.Expr | None = None) -> str:
        """A state of fixed size for each sequence, read and written by every step; `law` is a Recurrent reach."""
        return self._tensor(Tensor(name, (BATCH, Axis("states", law.context, law), *axes), Role.STATE, element_byte=element_byte))

    def _tensor(self, tensor: Tensor) -> str:
        if tensor.element_byte is not None and tensor.element_byte.is_number:
            # a plain number has no unit
            tensor = replace(tensor, element_byte=tensor.element_byte * S.byte)
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
        on_chip: bool = False,
        across: Axes = (),
    ) -> str:
        """Any operator; `writes` are the axes of a new activation named like the operator, or an access to a tensor.

        What has a value for each query-key pair never leaves the chip; `on_chip` says so of other activations.
        """
        if isinstance(writes, Read):
            written = writes
        else:
            held = on_chip or any(a.reach is not None and a.size == a.reach.pairs for a in writes)
            written = Read(self._tensor(Tensor(name, writes, Role.ACTIVATION, element_byte=element_byte, on_chip=held)))
        accesses = tuple(r if isinstance(r, Read) else Read(r) for r in reads)
        at = (domain, accesses, (written,), module or self.module, sp.Integer(work), fanout, linear)
        self.ops.append(Op(name, kind, *at, across=tuple(a.name for a in across)))
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
        on_chip: bool = False,
    ) -> str:
        """An elementwise operator of `work` FLOP a point."""
        over = domain if domain is not None else writes
        if isinstance(over, Read):
            raise TypeError("a map that writes a declared tensor says its domain")
        return self.op(name, Kind.MAP, reads, writes, over, work=work, linear=linear, on_chip=on_chip)

    def norm(self, name: str, x: str, *over: Axis, style: Norm | None = None, across: Axes = ()) -> str:
        """A norm whose learned vectors lie over the axes `over`; by default an RMS norm with a scale.

        `across`: axes of its sums that may be cut (those of heads); ranks then exchange their sums.

        RMS norm: square, sum, scale, multiply: 4 FLOP an element; layer norm also sums and subtracts the mean: 6.
        """
        style = style or Norm()
        axes = self.tensors[x].axes
        learned = [f"{name}_{part}" for part in ("weight", "bias") if getattr(style, part)]
        vectors = tuple(self.weight(each, over, module="norm") for each in learned)
        return self.op(name, Kind.REDUCE, (x, *vectors), axes, axes, work=4 if style.kind == "rms" else 6, across=across)

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
