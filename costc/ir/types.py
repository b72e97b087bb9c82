"""Axis, Tensor, Read, Op, Section, Graph: the frozen types that every pass takes and gives."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import Enum

import sympy as sp

from costc.ir.reach import Reach

ONE = sp.Integer(1)


class Role(Enum):
    """What a tensor is for; memory accounting reads the role, never a block's kind."""

    WEIGHT = "weight"
    ACTIVATION = "activation"
    CACHE = "cache"
    STATE = "state"


class Kind(Enum):
    """The closed set of operators."""

    CONTRACT = "contract"
    MAP = "map"
    REDUCE = "reduce"
    SCAN = "scan"
    LOOKUP = "lookup"
    ROUTE = "route"
    COLLECTIVE = "collective"


@dataclass(frozen=True)
class Axis:
    """A named extent. One name has one size within an operator; a name is a commitment to a meaning.

    `reach` is the law of positions, for axes over attended pairs or cached tokens.
    """

    name: str
    size: sp.Expr
    reach: Reach | None = None

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True)
class Cut:
    """An axis that a strategy cuts: each device holds size / divisor of it."""

    axis: str
    strategy: str
    divisor: sp.Expr


@dataclass(frozen=True)
class Tensor:
    """A named array.

    Args:
        module: precision module, which decides the bytes of a weight element.
        matrix: for a weight, names of its output and of its input axes; the rest are stacked
            matrices. Quantization scales lie on blocks of the matrix. None: a vector.
        element_byte: bytes of an element where the role does not decide them.
        trained: False for buffers that published parameter counts leave out.
        shared: True for another name of a weight or cache that is counted elsewhere (a tied embedding).
        on_chip: True for what no implementation moves to memory (a value for each query-key pair).
        cuts: how the tensor lies on the mesh; set by placement.
    """

    name: str
    axes: tuple[Axis, ...]
    role: Role
    module: str = "attention"
    matrix: tuple[tuple[str, ...], tuple[str, ...]] | None = None
    element_byte: sp.Expr | None = None
    trained: bool = True
    shared: bool = False
    on_chip: bool = False
    cuts: tuple[Cut, ...] = ()

    @property
    def share(self) -> sp.Expr:
        """The part of the tensor that one device holds."""
        return ONE / sp.Mul(*(c.divisor for c in self.cuts))

    @property
    def size(self) -> sp.Expr:
        return sp.Mul(*(a.size for a in self.axes))

    def axis_names(self) -> tuple[str, ...]:
        return tuple(a.name for a in self.axes)

    def has(self, name: str) -> bool:
        return any(a.name == name for a in self.axes)


@dataclass(frozen=True)
class Read:
    """An operator's access to a tensor; `fraction` of it is moved (1: all). Accesses to unlike `part`s do not overlap."""

    tensor: str
    fraction: sp.Expr = ONE
    part: str = ""


@dataclass(frozen=True)
class Op:
    """One operator.

    Args:
        domain: axes of its iteration space. A contraction does 2 FLOP per point.
        work: elementwise FLOP per point of the domain, for the other kinds.
        module: whose compute format and rate it runs at.
        fanout: for a route, experts that a token is sent to.
        linear: a map that may run on partial sums, if all it reads are partial alike.
        across: axes that a reduction sums over and yet writes (a norm's); where they are cut, the sums are all-reduced.
        link: for a collective, bytes and hops per link class ('scale_up', 'scale_out').
        cuts: how the iteration space lies on the mesh; set by placement.
    """

    name: str
    kind: Kind
    domain: tuple[Axis, ...]
    reads: tuple[Read, ...]
    writes: tuple[Read, ...]
    module: str = "attention"
    work: sp.Expr = ONE
    fanout: sp.Expr = ONE
    linear: bool = False
    link: tuple[Link, ...] = ()
    cuts: tuple[Cut, ...] = ()
    across: tuple[str, ...] = ()

    @property
    def points(self) -> sp.Expr:
        """Points of the iteration space that one device computes."""
        return sp.Mul(*(a.size for a in self.domain)) / sp.Mul(*(c.divisor for c in self.cuts))


@dataclass(frozen=True)
class Link:
    """What one device sends over a class of link: bytes, hops that follow one another, and to how many peers at a time.

    In a full mesh a device has a link of its own to each peer; a small group cannot use them all. `collective` is what the
    `ranks` devices of the group on this class of link do, with an operand of `message` bytes.
    """

    name: str
    byte: sp.Expr
    hops: sp.Expr
    peers: sp.Expr = ONE
    collective: str = "send"
    ranks: sp.Expr = ONE
    message: sp.Expr = ONE


@dataclass(frozen=True)
class Section:
    """A block as it stands in the model: its operators in order, and in how many layers it stands.

    Args:
        name: '<part>.<block>', e.g. 'attention.mla'.
        group: operator group under which reports sum its time.
        layers: how many times the block runs in one pass over the model.
        stage_layers: how many of these are on the pipeline stage with the most weights (the last one, where layers are alike).
        cache_layers: how many are on the stage with the most cache; None: on the same.
        outputs: activations that sections further down read, beside the last one written.
        kernels: names of operators that run as one kernel, in order; set by fusion.
    """

    name: str
    group: str
    tensors: tuple[Tensor, ...]
    ops: tuple[Op, ...]
    inputs: tuple[str, ...] = ()
    outputs: tuple[str, ...] = ()
    layers: sp.Expr = ONE
    stage_layers: sp.Expr = ONE
    kernels: tuple[tuple[str, ...], ...] = ()
    cache_layers: sp.Expr | None = None

    def tensor(self, name: str) -> Tensor:
        return next(t for t in self.tensors if t.name == name)

    def op(self, name: str) -> Op:
        return next(o for o in self.ops if o.name == name)

    def of_role(self, role: Role) -> tuple[Tensor, ...]:
        return tuple(t for t in self.tensors if t.role is role)

    def evolve(self, **changes: object) -> Section:
        return replace(self, **changes)  # type: ignore[arg-type]


@dataclass(frozen=True)
class Graph:
    """One step of the model in one phase ('prefill' or 'decode'); `bindings` are the values of its dimension symbols."""

    model: str
    phase: str
    sections: tuple[Section, ...]
    bindings: tuple[tuple[sp.Symbol, int], ...] = ()
    constraints: tuple[Constraint, ...] = ()

    def __iter__(self) -> Iterator[Section]:
        return iter(self.sections)

    def evolve(self, **changes: object) -> Graph:
        return replace(self, **changes)  # type: ignore[arg-type]


@dataclass(frozen=True)
class Constraint:
    """A condition on degrees: `expr` must be zero (a remainder); `message` may name {symbols}."""

    expr: sp.Expr
    message: str
