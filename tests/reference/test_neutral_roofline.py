"""Under the profile `ideal` every form is the datasheet's roofline: max(FLOP / peak, bytes / bandwidth) for what works on the
device, bytes / bandwidth for what it sends. Written anew here, over the loops of `brute`."""

from __future__ import annotations

import random
from dataclasses import dataclass, replace
from functools import cache

import pytest
import sympy as sp

from costc.count.rows import CostTable
from tests.property.compiled import PLANS, degrees, model
from tests.reference import brute
from tests.reference.brute import Amount, Env, amount


@dataclass(frozen=True)
class Roofline:
    """FLOP by module, and bytes that move; `rows`, `cut`: bytes of each token beside them, whole or cut by tensor parallelism."""

    flop: dict[str, Amount]
    byte: Amount
    rows: float = 0.0
    cut: float = 0.0

    def __call__(self, env: Env) -> float:
        computing = sum(f(env) / env[f"peak_{m}"] for m, f in self.flop.items())
        moved = self.byte(env) + env["batch"] * env["seq"] * (self.rows + self.cut / env["tp"])
        return max(computing, moved / env["memory_bandwidth"])

    def launch(self, env: Env) -> float:
        return 0.0


@dataclass(frozen=True)
class Sent:
    """Bytes on each class of link, and to how many peers at once."""

    sent: dict[str, Amount]
    peers: Amount

    def __call__(self, env: Env) -> float:
        inside = min(env["scale_up_bandwidth"], self.peers(env) * env["scale_up_peer_bandwidth"])
        return self.sent["scale_up"](env) / inside + self.sent["scale_out"](env) / env["scale_out_bandwidth"]

    def launch(self, env: Env) -> float:
        return 0.0


#: (experts of a token, hidden size, intermediate size of an expert), from the models' configs
EXPERTS = {"mixtral-8x7b": (2, 4096, 14336), "gpt-oss-120b": (4, 2880, 2880), "deepseek-r1": (8, 7168, 2048)}


@cache
def rooflines(name: str, phase: str) -> tuple[brute.Piece, ...]:
    """The units of `brute`, each with its roofline in place of its form."""
    compiled = model(name)
    table = compiled.lowered[phase].table
    known = {**compiled.bindings, **{s: e.xreplace(compiled.bindings) for s, e in table.definitions}}

    def total(part: CostTable) -> Amount:
        return amount(sp.Add(*(r.amount for r in part)).xreplace(known).xreplace(known))

    shapes = {(s.section, s.name): s for s in compiled.lowered[phase].shapes}
    found = []
    for piece in brute.pieces(name, phase):
        own = table.where(section=piece.section, kernel=shapes[piece.section, piece.name].kernels)
        if piece.communicates:
            peers = sp.Mul(*{r.peers for r in own if r.resource == "scale_up_byte"})
            part: brute.Part = Sent({k: total(own.where(resource=f"{k}_byte")) for k in ("scale_up", "scale_out")}, amount(peers))
        else:
            flop = {m: total(t) for m, t in own.where(resource="flop").group_by("module").items()}
            part = Roofline(flop, total(own.where(resource=brute.MEMORY)))
            if piece.name == "routed_experts":
                # one unit: weights of the experts that a token chose, and into and out of both products two bytes an element
                experts, hidden, inner = EXPERTS[name]
                weights = total(own.where(resource="weight_byte"))
                part = Roofline(flop, weights, rows=2 * 2 * experts * hidden, cut=2 * 2 * experts * inner)
        found.append(replace(piece, parts=(part,)))
    return tuple(found)


def ideal(name: str, rng: random.Random) -> dict[str, float]:
    """The profile without losses, on a device whose rates are anywhere."""
    values = model(name).values(rng.choice(("h100-sxm", "b200", "mi300x", "a100-80gb")), "bf16", efficiency="ideal")
    values["scale_out_bandwidth"] = 5e10
    return {
        k: v * 10 ** rng.uniform(-2, 2) if k.startswith("peak_") or k.endswith("_bandwidth") else v for k, v in values.items()
    }


@pytest.mark.parametrize("name", ["llama-3.1-8b", *sorted(EXPERTS)])
def test_with_neutral_constants_all_is_the_roofline(name: str) -> None:
    rng = random.Random(name)
    # how the routed experts' rows lie under expert parallelism is another's test
    plans = [p for p in PLANS[name] if name not in EXPERTS or (p[2], p[3]) == (1, 1)]
    assert len(plans) >= 2
    for _ in range(30):
        work = {
            "batch": rng.randint(1, 60), "isl": rng.randint(1, 300), "osl": rng.randint(2, 100),
            "microbatches": rng.randint(1, 3), "max_num_batched_tokens": rng.choice((50, 512, 8192)),
        }  # fmt: skip
        point = {**ideal(name, rng), **degrees(rng.choice(plans)), **work}
        found = model(name).evaluator(point)
        assert found["ttft"] == pytest.approx(brute.ttft(name, point, rooflines), rel=1e-9), point
        assert found["tpot"] == pytest.approx(brute.tpot(name, point, rooflines), rel=1e-9), point
