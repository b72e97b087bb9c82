"""Each invariant of graphs and programs, broken once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
import sympy as sp

from costc.count.rows import CostRow, CostTable, check
from costc.ir.types import Axis, Graph, Kind, Op, Read, Role, Section, Tensor
from costc.ir.verify import IRError, verify
from costc.program import Output, Program, ProgramError, Step
from costc.program import verify as verify_program
from costc.symbols import VARS, activation_byte, batch, memory_bandwidth
from costc.units import UnitError

ROW, COLUMN = Axis("row", sp.Integer(4)), Axis("column", sp.Integer(8))


def _section() -> Section:
    """x [row] times weight [column row] into y [column], which a map copies."""
    tensors = (
        Tensor("x", (ROW,), Role.ACTIVATION),
        Tensor("weight", (COLUMN, ROW), Role.WEIGHT, matrix=(("column",), ("row",))),
        Tensor("y", (COLUMN,), Role.ACTIVATION),
        Tensor("z", (COLUMN,), Role.ACTIVATION),
    )
    ops = (
        Op("multiply", Kind.CONTRACT, (COLUMN, ROW), (Read("x"), Read("weight")), (Read("y"),)),
        Op("copy", Kind.MAP, (COLUMN,), (Read("y"),), (Read("z"),)),
    )
    return Section("ffn.toy", "ffn", tensors, ops, ("x",), kernels=(("multiply",), ("copy",)))


def _with_tensor(index: int, **changes: object) -> Section:
    section = _section()
    tensors = list(section.tensors)
    tensors[index] = replace(tensors[index], **changes)  # type: ignore[arg-type]
    return section.evolve(tensors=tuple(tensors))


def _with_op(index: int, **changes: object) -> Section:
    section = _section()
    ops = list(section.ops)
    ops[index] = replace(ops[index], **changes)  # type: ignore[arg-type]
    return section.evolve(ops=tuple(ops))


def _graph(*sections: Section) -> Graph:
    return Graph("toy", "decode", sections)


def test_a_sound_graph_passes_unchanged() -> None:
    graph = _graph(_section())
    assert verify(graph) is graph


LONG = Axis("column", sp.Integer(9))
BROKEN: list[tuple[str, Callable[[], Section]]] = [
    ("tensor names are distinct", lambda: _with_tensor(3, name="y")),
    ("axis names are distinct", lambda: _with_tensor(0, axes=(ROW, ROW))),
    ("matrix axes are its own", lambda: _with_tensor(1, matrix=(("column",), ("depth",)))),
    ("tensor nothing is declared", lambda: _with_op(0, reads=(Read("nothing"),))),
    ("tensor nothing is declared", lambda: _with_op(0, writes=(Read("nothing"),))),
    ("tensor x is written before it is read", lambda: _section().evolve(inputs=())),
    ("tensor z is written before it is read", lambda: _with_op(0, reads=(Read("z"),))),
    ("an operator writes something", lambda: _with_op(1, writes=())),
    ("axis column has one size", lambda: _with_op(0, domain=(COLUMN, LONG, ROW))),
    ("axis column of z has its size", lambda: _with_tensor(3, axes=(LONG,))),
    ("each operator is in one kernel", lambda: _section().evolve(kernels=(("multiply",),))),
    ("each operator is in one kernel", lambda: _section().evolve(kernels=(("multiply", "copy"), ("copy",)))),
]


@pytest.mark.parametrize(("invariant", "broken"), BROKEN, ids=[i for i, _ in BROKEN])
def test_a_broken_invariant_is_named_with_its_place(invariant: str, broken: Callable[[], Section]) -> None:
    with pytest.raises(IRError, match=rf"ffn\.toy.*: {invariant}"):
        verify(_graph(broken()))


def test_sections_have_distinct_names() -> None:
    with pytest.raises(IRError, match="toy: section names are distinct"):
        verify(_graph(_section(), _section()))


@pytest.mark.parametrize("kind", [Kind.COLLECTIVE, Kind.ROUTE])
def test_routes_and_collectives_may_change_the_size_of_an_axis(kind: Kind) -> None:
    section = _with_tensor(3, axes=(LONG,))
    changed = section.evolve(ops=(section.ops[0], replace(section.ops[1], kind=kind)))
    verify(_graph(changed))


def _program(*steps: Step, outputs: tuple[Output, ...] = ()) -> Program:
    return Program("toy", (batch, activation_byte, memory_bandwidth), steps, outputs)


MOVED = Step("moved", batch * activation_byte, "B")
TIME = Step("time", MOVED.symbol / memory_bandwidth, "s")


def test_a_sound_program_passes_unchanged() -> None:
    program = _program(MOVED, TIME, outputs=(Output("ttft", "time", "s", "time"),))
    assert verify_program(program) is program


@pytest.mark.parametrize(
    ("program", "message"),
    [
        (_program(TIME, MOVED), r"step time uses \['moved'\] before definition"),
        (_program(replace(MOVED, expr=VARS["isl"].symbol * activation_byte)), r"step moved uses \['isl'\] before definition"),
        (_program(replace(MOVED, expr=MOVED.symbol + activation_byte)), r"step moved uses \['moved'\] before definition"),
        (_program(replace(MOVED, unit="s")), "step moved is declared s but has"),
        (_program(MOVED, replace(TIME, unit="1/s")), "step time is declared 1/s but has"),
        (_program(MOVED, outputs=(Output("ttft", "time", "s", "time"),)), r"outputs without a step: \['ttft'\]"),
    ],
)
def test_a_broken_program_is_refused(program: Program, message: str) -> None:
    with pytest.raises(ProgramError, match=message):
        verify_program(program)


def test_a_step_that_adds_unlike_units_is_refused() -> None:
    with pytest.raises(UnitError):
        verify_program(_program(MOVED, TIME, Step("sum", MOVED.symbol + TIME.symbol, "s")))


def test_expand_replaces_every_step() -> None:
    assert _program(MOVED, TIME).expand(TIME.symbol + 1) == batch * activation_byte / memory_bandwidth + 1


@pytest.mark.parametrize(
    ("resource", "amount", "sound"),
    [
        ("weight_byte", batch * activation_byte, True),
        ("weight_byte", batch, False),
        ("flop", 2 * batch, True),
        ("flop", activation_byte, False),
        ("scale_up_hops", activation_byte, False),
        ("activation_byte", activation_byte / memory_bandwidth, False),
    ],
)
def test_a_row_s_amount_has_its_resource_s_dimension(resource: str, amount: sp.Expr, sound: bool) -> None:
    one = sp.Integer(1)
    table = CostTable((CostRow("ffn.toy", "ffn", "multiply", "decode", resource, "ffn", amount, one, one),))
    if sound:
        assert check(table) is table
    else:
        with pytest.raises(UnitError, match=rf"ffn\.toy\.multiply: {resource} has dimension"):
            check(table)
