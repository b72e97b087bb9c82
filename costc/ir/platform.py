"""What a model runs on and how: hardware, quantization, efficiency profile and engine settings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from costc.facts import Fact, Source


@dataclass(frozen=True)
class Hardware:
    """A device. `peak`: dense FLOP/s by matrix-unit format; links per direction and device.

    `scale_up_peer`: to one peer, where links lead to single peers (a mesh or torus); None behind a switch.
    """

    name: str
    title: str
    vendor: str
    memory: Fact
    memory_bandwidth: Fact
    peak: Mapping[str, Fact]
    scale_up: Fact
    scale_up_peer: Fact | None
    scale_up_link: str
    domain: Fact
    scale_out: Fact | None
    scale_out_link: str
    tdp: Fact | None
    price: Fact | None
    origin: str = ""

    def facts(self) -> dict[str, Fact]:
        """All facts by name."""
        found = {
            "memory": self.memory,
            "memory_bandwidth": self.memory_bandwidth,
            "scale_up": self.scale_up,
            "scale_up_peer": self.scale_up_peer,
            "domain": self.domain,
            "scale_out": self.scale_out,
            "tdp": self.tdp,
            "price": self.price,
        }
        return {k: v for k, v in (found | {f"peak.{d}": f for d, f in self.peak.items()}).items() if v is not None}


@dataclass(frozen=True)
class Format:
    """How weights of a module are stored: a dtype, and scales on blocks of (output rows, input columns), None: all of them."""

    dtype: str
    block: tuple[int | None, int | None] = (None, None)
    scale_byte: float = 0.0
    tensor_byte: float = 0.0


@dataclass(frozen=True)
class Quantization:
    """A scheme. `weights` for the modules it converts, `others` for the rest; `compute` is what converted modules multiply in.

    `modules`: format and compute dtype of modules that are stored in another way.
    """

    name: str
    title: str
    weights: Format
    converts: tuple[str, ...]
    others: str
    activations: str
    dispatch: str
    kv_cache: str
    compute: str
    attention_compute: str
    source: Source
    note: str = ""
    origin: str = ""
    modules: Mapping[str, tuple[Format, str]] = field(default_factory=dict)


@dataclass(frozen=True)
class FittedConstant:
    """A constant of an operator class, with its standard deviation in the same unit.

    `kind`: 'fitted' where measurements said something about it, 'assumed' where the default of the class stands.
    """

    value: float
    std: float
    unit: str
    kind: str


@dataclass(frozen=True)
class HeldOut:
    """Absolute relative errors over rows that were not fitted."""

    n: int
    mean: float
    median: float


@dataclass(frozen=True)
class FittedClass:
    """The constants of one operator class in one format (`any`: formats without an entry), and what they rest on.

    Args:
        n: rows fitted; 0 where all constants are defaults of the class.
        hull: lowest and highest of each demand among the rows fitted.
        digest: of the measurements.
    """

    form: str
    dtype: str
    constants: Mapping[str, FittedConstant]
    source: Source
    n: int = 0
    held_out: HeldOut | None = None
    hull: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    digest: str = ""

    def outside(self, demands: Mapping[str, float]) -> tuple[str, ...]:
        """The demands that lie outside of what was fitted."""
        return tuple(k for k, (low, high) in self.hull.items() if k in demands and not low <= demands[k] <= high)


ANY = "any"


@dataclass(frozen=True)
class Efficiency:
    """Achieved fractions and latencies, and, in a profile that was fitted, constants of operator classes.

    `classes`: by name of the form and format. `device`, `engine`: what it was fitted for; empty where it holds for all.
    `rules`: why rows of its tables were left out, and `removed`: how many each rule took out, by form and format.
    """

    name: str
    title: str
    values: Mapping[str, Fact]
    origin: str = ""
    classes: Mapping[tuple[str, str], FittedClass] = field(default_factory=dict)
    device: str = ""
    engine: str = ""
    rules: Mapping[str, str] = field(default_factory=dict)
    removed: Mapping[tuple[str, str], Mapping[str, int]] = field(default_factory=dict)

    def fitted(self, form: str, dtype: str) -> FittedClass | None:
        """The constants of a class in a format ('computed:stored'), or of the format computed in, or of any, or None."""
        computed = dtype.partition(":")[0]
        found = (self.classes.get((form, name)) for name in (dtype, computed, ANY))
        return next((c for c in found if c), None)


@dataclass(frozen=True)
class Accuracy:
    """Absolute relative errors of mean TTFT and mean TPOT on a device, predicted by constants that had not seen the model."""

    ttft: HeldOut
    tpot: HeldOut


#: devices of which nothing was measured end to end
OTHER = "other"


@dataclass(frozen=True)
class Engine:
    """Settings of the serving engine that memory and batching depend on, and what it adds to its operators, and where prefill
    and decode are apart (`pools`), where that was fitted to measurements.

    `accuracy`: how far its times were off on each device (`OTHER`: devices left out of the fit).
    """

    name: str
    title: str
    values: Mapping[str, Fact]
    origin: str = ""
    fitted: FittedClass | None = None
    pools: FittedClass | None = None
    accuracy: Mapping[str, Accuracy] = field(default_factory=dict)

    def off(self, device: str) -> tuple[Accuracy, bool] | None:
        """How far times on a device are off, and whether they were measured there; None where nothing was fitted."""
        own, other = self.accuracy.get(device), self.accuracy.get(OTHER)
        return (own, True) if own else (other, False) if other else None
