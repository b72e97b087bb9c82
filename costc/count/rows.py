"""CostRow and CostTable: counts keyed by what caused them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import sympy as sp

from costc import units
from costc.ir.types import ONE
from costc.symbols import VARS

#: resource -> unit. FLOP counts are products of extents, so only byte rows can be checked by dimension
RESOURCES = {
    "flop": "1",
    "vector_flop": "1",
    "weight_byte": "B",
    "kv_byte": "B",
    "activation_byte": "B",
    "scale_up_byte": "B",
    "scale_out_byte": "B",
    "scale_up_hops": "1",
    "scale_out_hops": "1",
    "launches": "1",
}
MEMORY = ("weight_byte", "kv_byte", "activation_byte")
LINKS = ("scale_up_byte", "scale_out_byte")


@dataclass(frozen=True)
class CostRow:
    """An amount of a resource that one pass of a kernel uses on one device, and in how many layers.

    `peers`: for bytes on a link, how many peers the device sends to at once.
    """

    section: str
    group: str
    kernel: str
    phase: str
    resource: str
    module: str
    amount: sp.Expr
    layers: sp.Expr
    stage_layers: sp.Expr
    peers: sp.Expr = ONE


@dataclass(frozen=True)
class CostTable:
    """Rows that can be filtered, grouped and summed. `definitions`: bytes of each stored weight, for the symbols in the rows."""

    rows: tuple[CostRow, ...]
    definitions: tuple[tuple[sp.Symbol, sp.Expr], ...] = ()

    def __iter__(self) -> Iterator[CostRow]:
        return iter(self.rows)

    def where(self, **fields: str | tuple[str, ...]) -> CostTable:
        """Rows whose fields equal (or are among) what is given."""

        def kept(row: CostRow) -> bool:
            return all(getattr(row, k) in v if isinstance(v, tuple) else getattr(row, k) == v for k, v in fields.items())

        return replace(self, rows=tuple(row for row in self.rows if kept(row)))

    def group_by(self, field: str) -> dict[str, CostTable]:
        """Tables keyed by a field's values, in order of first appearance."""
        keys = dict.fromkeys(getattr(row, field) for row in self.rows)
        return {key: self.where(**{field: key}) for key in keys}

    def total(self, times: str = "layers") -> sp.Expr:
        """Sum of amounts over all layers (`layers`), over those of the last stage (`stage_layers`), or of one layer ('once')."""
        factor: Callable[[CostRow], sp.Expr] = (lambda r: sp.Integer(1)) if times == "once" else (lambda r: getattr(r, times))
        return sp.Add(*(row.amount * factor(row) for row in self.rows))


def check(table: CostTable) -> CostTable:
    """Return the table, or raise units.UnitError for a row whose dimension is not its resource's."""
    unit_of = {var.symbol: var.unit for var in VARS.values()} | {symbol: "B" for symbol, _ in table.definitions}
    for row in table:
        found = units.dimension_of(row.amount, unit_of)
        if found is not None and found != units.dimension(RESOURCES[row.resource]):
            raise units.UnitError(f"{row.section}.{row.kernel}: {row.resource} has dimension {found}")
    return table
