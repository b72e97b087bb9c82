"""Placing a graph on the mesh: cut the axes, and insert the collectives that the cuts imply.

The rules, none of which knows a block kind:
  a contracted axis is cut            -> the result is partial; before a reader that is not linear, all-reduce it
  a reduction runs over a cut axis    -> all-gather its operand first; one that writes the axis all-reduces its sums
  a route moves tokens to other ranks -> all-to-all over the ranks that the token axes are cut over
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import sympy as sp

from costc import symbols as S
from costc.ir.types import ONE, Axis, Constraint, Cut, Graph, Kind, Link, Op, Read, Role, Section, Tensor
from costc.ir.verify import verify
from costc.place.collectives import activation_byte, all_gather, all_reduce, all_to_all, needed_copies, send
from costc.place.mesh import Mesh

Names = frozenset[str]
#: bytes of an element of exchanged sums
FP32 = 4 * S.byte


def apply(graph: Graph, mesh: Mesh) -> Graph:
    """The graph as one device of each pipeline stage runs it, collectives included."""
    sections = tuple(_Placer(section, mesh).run() for section in graph)
    hidden = next(t for name in ("streams", "y") for s in sections for t in s.tensors if t.name == name)
    placed = graph.evolve(
        sections=(*sections, _pipeline(hidden, mesh)), constraints=graph.constraints + _constraints(graph, mesh)
    )
    return verify(placed)


def _constraints(graph: Graph, mesh: Mesh) -> tuple[Constraint, ...]:
    """Conditions on the degrees, from the axes of every section; each said once."""
    layers = sp.Symbol("num_hidden_layers", integer=True, positive=True)
    found: list[Constraint] = []
    overlays = [s for s in mesh.strategies if s.over]
    for section in graph:
        sizes = {**_sizes(section), "layer": layers}
        for strategy in mesh.strategies:
            if strategy not in overlays:
                found += strategy.constraints(sizes)
    everywhere = {name: size for section in graph for name, size in _sizes(section).items()}
    for strategy in overlays:
        found += strategy.constraints(everywhere)
    return tuple(dict.fromkeys(found))


def _sizes(section: Section) -> dict[str, sp.Expr]:
    axes = [a for t in section.tensors for a in t.axes] + [a for o in section.ops for a in o.domain]
    return {a.name: a.size for a in axes}


def _pipeline(hidden: Tensor, mesh: Mesh) -> Section:
    """Activations passed from stage to stage, once per step: each device to its peer."""
    link = send(activation_byte(hidden.size * hidden.share), mesh.group("pp"))
    x = replace(hidden, name="x")
    out = replace(hidden, name="y")
    op = Op("send", Kind.COLLECTIVE, (), (Read("x"),), (Read("y"),), link=link)
    return Section("pipeline", "communication", (x, out), (op,), ("x",), stage_layers=sp.Integer(0))


@dataclass
class _Placer:
    """Places one section: walks its operators in order and records, per tensor, cuts and pending partial sums."""

    section: Section
    mesh: Mesh
    tensors: dict[str, Tensor] = field(default_factory=dict)
    partial: dict[str, Names] = field(default_factory=dict)
    renamed: dict[str, str] = field(default_factory=dict)
    ops: list[Op] = field(default_factory=list)

    def run(self) -> Section:
        sizes = _sizes(self.section)
        self.divisors: dict[str, list[Cut]] = {}
        for strategy in self.mesh.strategies:
            for axis, divisor in strategy.cuts(sizes).items():
                self.divisors.setdefault(axis, []).append(Cut(axis, strategy.name, divisor))
        for tensor in self.section.tensors:
            self.tensors[tensor.name] = replace(tensor, cuts=self._cuts(tensor.axes))
        for op in self.section.ops:
            self._place(op)
        for name in [n for n, parts in self.partial.items() if parts]:
            self._reduce(name)
        return self.section.evolve(tensors=tuple(self.tensors.values()), ops=tuple(self.ops))

    def _cuts(self, axes: tuple[Axis, ...]) -> tuple[Cut, ...]:
        return tuple(cut for axis in axes for cut in self.divisors.get(axis.name, ()))

    def _place(self, op: Op) -> None:
        reads = tuple(replace(r, tensor=self.renamed.get(r.tensor, r.tensor)) for r in op.reads)
        op = replace(op, reads=reads, cuts=self._cuts(op.domain))
        if op.kind is Kind.LOOKUP:
            op = replace(op, reads=tuple(self._looked_up(r, op) for r in op.reads))
        pending = [self.partial.get(r.tensor, frozenset()) for r in reads]
        passes = op.kind is Kind.ROUTE or (op.linear and len(set(pending)) == 1)
        if not passes:
            for read in reads:
                self._reduce(read.tensor)
            if op.kind is Kind.REDUCE:
                op = self._gather(op)
            pending = []
        op = replace(op, reads=tuple(replace(r, tensor=self.renamed.get(r.tensor, r.tensor)) for r in op.reads))
        op = self._exchange_sums(op)
        self.ops.append(op)
        partial = frozenset().union(*pending, self._contracted(op))
        written = op.writes[0].tensor
        for read in op.reads if passes else ():
            self.partial[read.tensor] = frozenset()
        if op.kind is Kind.ROUTE:
            partial = self._exchange(op, written, partial)
        self.partial[self.renamed.get(written, written)] = partial

    def _looked_up(self, read: Read, op: Op) -> Read:
        """A rank looks up its own tokens alone."""
        own = [c.divisor for c in op.cuts if read.fraction != ONE and not self.tensors[read.tensor].has(c.axis)]
        return replace(read, fraction=read.fraction / sp.Mul(*own))

    def _contracted(self, op: Op) -> Names:
        """Strategies that cut an axis which the operator sums over."""
        if op.kind not in (Kind.CONTRACT, Kind.LOOKUP, Kind.ROUTE):
            return frozenset()
        kept = set(self.tensors[op.writes[0].tensor].axis_names())
        token_axes = {a.name for a in (op.domain if op.kind is Kind.ROUTE else ()) if a.name == "slot"}
        return frozenset(c.strategy for c in op.cuts if c.axis not in kept | token_axes)

    def _reduce(self, name: str) -> None:
        """All-reduce a partial sum where it stands, once per strategy whose cut made it partial."""
        tensor = self.tensors[name]
        for strategy in sorted(self.mesh.base(self.partial.get(name, frozenset()))):
            byte = activation_byte(tensor.size * tensor.share)
            link = all_reduce(byte, self.mesh.group(strategy))
            self._collective(f"{name}_all_reduce_{strategy}", tensor, replace(tensor, name=f"{name}_sum_{strategy}"), link)
        self.partial[name] = frozenset()

    def _gather(self, op: Op) -> Op:
        """All-gather the operands of a reduction over a cut axis; it then runs whole."""
        kept = set(self.tensors[op.writes[0].tensor].axis_names())
        reduced = [c for c in op.cuts if c.axis not in kept]
        for read in op.reads:
            tensor = self.tensors[self.renamed.get(read.tensor, read.tensor)]
            for cut in [c for c in tensor.cuts if c in reduced]:
                whole = replace(
                    tensor, name=f"{read.tensor}_whole_{cut.strategy}", cuts=tuple(c for c in tensor.cuts if c != cut)
                )
                byte = whole.size * whole.share * (tensor.element_byte or S.activation_byte)
                link = all_gather(byte, self.mesh.group(cut.strategy))
                self._collective(f"{read.tensor}_all_gather_{cut.strategy}", tensor, whole, link)
                tensor = whole
        return replace(op, cuts=tuple(c for c in op.cuts if c not in reduced))

    def _exchange_sums(self, op: Op) -> Op:
        """All-reduce the sums (fp32) of a reduction over cut axes that it also writes, over the ranks that share one."""
        rest = tuple(a for a in op.domain if a.name not in op.across)
        cuts = [c for c in op.cuts if c.axis in op.across]
        for strategy in dict.fromkeys(c.strategy for c in cuts):
            sums = Tensor(f"{op.name}_sums_{strategy}", rest, Role.ACTIVATION, element_byte=FP32, cuts=self._cuts(rest))
            self.tensors[sums.name] = sums
            size = sp.Mul(*(c.divisor for c in cuts if c.strategy == strategy))
            link = all_reduce(sums.size * sums.share * FP32, replace(self.mesh.group(strategy), size=size))
            name = f"{op.name}_all_reduce_{strategy}"
            self.ops.append(Op(name, Kind.COLLECTIVE, (), (op.reads[0],), (Read(sums.name),), link=link))
            op = replace(op, reads=(*op.reads, Read(sums.name)))
        return op

    def _exchange(self, op: Op, written: str, partial: Names) -> Names:
        """All-to-all for a route, over the ranks among which its tokens are divided; what stays partial."""
        ends = [self.tensors[op.reads[0].tensor], self.tensors[written]]
        experts = frozenset(c.strategy for t in ends for c in t.cuts if self.mesh[c.strategy].over)
        tokens = next(t for t in ends if not any(c.strategy in experts for c in t.cuts))
        moved = self.mesh.base(experts) & {c.strategy for c in tokens.cuts}
        element = S.dispatch_byte if tokens is ends[0] else S.activation_byte
        copies = sp.Mul(*(needed_copies(self.mesh[e].degree, op.fanout) for e in sorted(experts)))
        for strategy in sorted(moved):
            link = all_to_all(tokens.size * tokens.share * element, self.mesh.group(strategy), copies)
            out = replace(ends[1], name=f"{written}_exchanged_{strategy}")
            self._collective(f"{op.name}_all_to_all_{strategy}", ends[1], out, link)
        return self.mesh.base(partial) - moved if tokens is ends[1] else frozenset()

    def _collective(self, name: str, source: Tensor, result: Tensor, link: tuple[Link, ...]) -> None:
        self.tensors[result.name] = result
        read = self.renamed.get(source.name, source.name)
        self.ops.append(Op(name, Kind.COLLECTIVE, (), (Read(read),), (Read(result.name),), link=link))
        for old in {source.name, read} | {k for k, v in self.renamed.items() if v == read}:
            self.renamed[old] = result.name
        self.partial[result.name] = frozenset()
