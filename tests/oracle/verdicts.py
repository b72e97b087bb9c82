"""How costc's counts stand beside the references': exact, explained by a formula, refused by name, or without an oracle."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache
from typing import Any

from costc.errors import CostcError
from costc.huggingface.importer import spec_of
from costc.ir.model import Model
from tests.oracle import ours
from tests.oracle.configs import installed
from tests.oracle.explained import CACHES, FLOPS
from tests.oracle.reference import CACHED, STEPS, NoOracle, cache_byte, cases, flops, parameters, reduced
from tests.oracle.test_disk import CHECKPOINTS, none, read

#: groups of the reference that are no part of the text model
BESIDE = ("vision", "mtp")


@dataclass(frozen=True)
class Verdict:
    """`kind`: 'exact', 'explained', 'refused', 'no oracle' or 'differs'; `note` says why."""

    kind: str
    note: str = ""


@cache
def of_parameters(name: str) -> Verdict:
    """Parameters of a case, by group, and of its towers."""
    case = next(c for c in cases() if c.name == name)
    try:
        model = ours.imported(case.config)
    except CostcError as error:
        return Verdict("refused", str(error))
    try:
        theirs = parameters(case.config)
    except NoOracle as reason:
        return Verdict("no oracle", str(reason))
    mine, text = ours.parameters(model), {k: v for k, v in theirs.items() if v and k not in BESIDE}
    if mine != text:
        return Verdict("differs", f"costc {mine}, transformers {text}")
    if model.towers and theirs.get("vision") and sum(model.towers.values()) != theirs["vision"]:
        return Verdict("differs", f"towers: costc {dict(model.towers)}, transformers {theirs['vision']}")
    return Verdict("exact")


def _as_reference(model: Model) -> Model:
    """Latent attention expanded in both phases, as transformers computes it."""
    forms = {"prefill_form": "expanded", "decode_form": "expanded"}
    blocks = {
        name: block.model_copy(update=forms) if hasattr(block, "decode_form") else block for name, block in model.blocks.items()
    }
    return replace(model, blocks=blocks)


@cache
def of_flops(name: str) -> Verdict:
    """Matrix FLOPs of a reduced config in prefill and decode."""
    try:
        model = _as_reference(ours.imported(reduced(name)))
    except CostcError as error:
        return Verdict("refused", str(error))
    explanations = FLOPS.get(name, ())
    wrong = []
    for batch, past, seq in STEPS:
        theirs = flops_at(name, batch, past, seq)
        if theirs is None:
            continue
        mine = ours.flops(model, "prefill" if past == 0 else "decode", batch, seq, past)
        for explanation in explanations:
            mine = explanation.applied(mine, model, batch, seq, past)
        if sum(mine.values()) != theirs:
            wrong.append(f"batch {batch}, past {past}, seq {seq}: costc {sum(mine.values())}, transformers {theirs}")
    if wrong:
        return Verdict("differs", "; ".join(wrong))
    if all(flops_at(name, *step) is None for step in STEPS):
        return Verdict("no oracle", "transformers has no causal language model of it")
    return Verdict("explained", "; ".join(e.name for e in explanations)) if explanations else Verdict("exact")


@cache
def flops_at(name: str, batch: int, past: int, seq: int) -> int | None:
    """Matrix FLOPs that the reference computes; None where it cannot take the step."""
    try:
        counted = flops(reduced(name), batch, past, seq)
    except NoOracle:
        return None
    except Exception:
        if (name, past > 0, seq > 1) in CANNOT:
            return None
        raise
    return sum(v for k, v in counted.items() if k.endswith("|matmul"))


#: steps that a class of transformers cannot take: MiniMax's mask for several tokens after a cache
CANNOT = {("minimax", True, True)}


@cache
def of_cache(name: str) -> Verdict:
    """Bytes of cache and states of a reduced config."""
    try:
        model = ours.imported(reduced(name))
    except CostcError as error:
        return Verdict("refused", str(error))
    explanations = CACHES.get(name, ())
    wrong = []
    for batch, tokens in CACHED:
        try:
            theirs = cache_byte(reduced(name), batch, tokens)["total"]
        except NoOracle as reason:
            return Verdict("no oracle", str(reason))
        mine = batch * ours.kept(model, tokens) + sum(e.difference(model, batch, tokens) for e in explanations)
        if mine != theirs:
            wrong.append(f"batch {batch}, {tokens} tokens: costc {mine}, transformers {theirs}")
    if wrong:
        return Verdict("differs", "; ".join(wrong))
    return Verdict("explained", "; ".join(e.name for e in explanations)) if explanations else Verdict("exact")


@cache
def quantized() -> dict[str, tuple[dict[str, Any], dict[str, Any] | None]]:
    """The config, and what lies beside it, of the installed files that say a quantization."""
    found = {}
    for case in installed():
        beside = read(f"{case.name}_hf_quant_config")
        places = (case.config, case.config.get("text_config") or {})
        if beside or any("quantization_config" in place for place in places):
            found[case.name] = (case.config, beside)
    return found


@cache
def of_quantization(name: str) -> Verdict:
    """How a checkpoint's quantization is read, and whether its stored bytes are those published."""
    config, beside = quantized()[name]
    try:
        found = spec_of(config, name, beside=beside)
    except CostcError as error:
        return Verdict("refused", str(error))
    scheme = found["quantization"]
    published = [c for c in CHECKPOINTS if c.config == name and not c.quantization and not c.beside]
    if published:
        return Verdict("exact" if published[0].difference is none else "explained", published[0].source)
    return Verdict("read", scheme.get("note", "") if isinstance(scheme, dict) else "")
