"""NVIDIA's modelopt: one format for all linear layers, or one for each that is named (mixed precision).

The config.json and a hf_quant_config.json beside it say the same in different words; either may be alone. A stored matrix has a
fp32 scale of its own and, where its input is quantized too, one for that (vLLM, modelopt.py).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from costc.errors import not_among
from costc.huggingface.config import MISSING, Config, shown
from costc.huggingface.quantization.lists import GLOBS, Patterns
from costc.huggingface.quantization.schemes import ASIDE, Around, eight_bit_cache
from costc.huggingface.quantization.stored import LINEAR, Scheme, Stored

MIXED = "MIXED_PRECISION"
EXCLUDED = ("exclude_modules", "ignore")
CACHE = ("kv_cache_quant_algo", "kv_cache_scheme")
#: beside the fields that matter; a group's formats are those of its algorithm
GROUPS = ("config_groups", "group_size", "moe_quant_algo", "linear_quant_algo")


def modelopt(c: Config | None, around: Around, beside: Config | None = None) -> Scheme:
    """As the config says, or the file beside it, or both alike."""
    files = [f for f in (c, beside) if f is not None]
    algo = str(_agreed(files, ("quant_algo",)))
    scheme = Scheme(algo.lower().replace("_", "-"))
    if algo == MIXED:
        mixed(files, around, scheme)
        for entries, f, name in _lists(files):
            scheme.skipped.append(Patterns(f, name, entries, GLOBS))
    else:
        _uniform(files, around, scheme, algo)
    scheme.kv_cache = cache(files)
    for f in files:
        f.unused(*ASIDE, *GROUPS, "quant_algo", *EXCLUDED, *CACHE)
    return scheme


def over(c: Config, around: Around, beside: Config | None, scheme: Scheme) -> None:
    """Layers that were converted from another scheme's: what is excluded stays in that one's format."""
    files = [f for f in (c, beside) if f is not None]
    if _agreed(files, ("quant_algo",)) != MIXED:
        raise c.refuse("quant_algo", f"{MIXED}, beside a quant_method of its own")
    mixed(files, around, scheme)
    scheme.name = f"{scheme.name}-mixed-precision"
    _lists(files)
    scheme.notes.append("What quantized_layers does not name stays as the checkpoint was before.")
    scheme.kv_cache = cache(files)
    for f in files:
        f.unused(*ASIDE, *GROUPS, *CACHE)


def _uniform(files: list[Config], around: Around, scheme: Scheme, algo: str) -> None:
    """One format for every linear layer that is not excluded."""
    made = _stored(files[0], "quant_algo", algo, _agreed(files, ("group_size",), None), around)
    lists = _lists(files)
    scheme.skipped = [Patterns(f, name, entries, GLOBS) for entries, f, name in lists]
    # modelopt lists every linear layer that it leaves as it is; a head that it does not list is converted
    scheme.default = dict.fromkeys((*LINEAR, "head") if lists else LINEAR, made)
    if not lists:
        scheme.notes.append("No list of excluded modules: all of attention, mixers, FFNs and experts is taken as converted.")
    for f in files:
        groups = f.section("config_groups", None)
        for name in groups.data if groups else ():
            _check_group(groups.section(name), made)


def _check_group(group: Config, made: Stored) -> None:
    """A group says no other bits than its algorithm."""
    bits = {"fp8": 8, "nvfp4": 4}[made.dtype]
    for part in ("weights", "input_activations"):
        given = group.section(part, None)
        if given and given.count("num_bits", bits) != bits:
            raise given.error("num_bits", f"is {given.data['num_bits']}, where quant_algo says {bits}")
        if given:
            given.unused("dynamic", "type", "group_size")
    group.unused("targets")


def mixed(files: list[Config], around: Around, scheme: Scheme) -> None:
    """Layers by name, each with its own format."""
    found: dict[tuple[Any, ...], Stored] = {}
    names: dict[Stored, list[str]] = {}
    layers = _agreed(files, ("quantized_layers",))
    f = next(f for f in files if "quantized_layers" in f)
    if not isinstance(layers, Mapping):
        raise f.refuse("quantized_layers", "a mapping")
    for name, given in layers.items():
        if not isinstance(given, Mapping):
            raise f.error(f"quantized_layers.{name}", f"is {shown(given)}; expected a mapping")
        key = tuple(given.items())
        if key not in found:
            found[key] = _layer(Config(given, f.source, f"{f.where}quantized_layers.{name}."), around)
        names.setdefault(found[key], []).append(name)
    scheme.named += [(Patterns(f, "quantized_layers", listed, GLOBS), made) for made, listed in names.items()]
    if any("config_groups" in f for f in files):
        scheme.notes.append("config_groups is not read, as quantized_layers names each layer.")


def _layer(c: Config, around: Around) -> Stored:
    algo = c.word("quant_algo")
    made = _stored(c, "quant_algo", algo, c.size("group_size", None), around)
    c.finish()
    return made


def _stored(c: Config, field: str, algo: str, group: Any, around: Around) -> Stored:
    """The format that an algorithm stores."""
    known = {
        "FP8": Stored("fp8", "fp8", tensor_byte=8),
        "FP8_PER_CHANNEL_PER_TOKEN": Stored("fp8", "fp8", (1, None), 4),
        "FP8_PB_WO": Stored("fp8", around.others, (128, 128), 4),
        "MXFP8": Stored("fp8", "fp8", (1, 32), 1),
        "NVFP4": Stored("nvfp4", "nvfp4", (1, 16), 1, 8),
        "W4A16_NVFP4": Stored("nvfp4", around.others, (1, 16), 1, 4),
    }
    if algo not in known:
        raise c.error(field, not_among("algorithm", algo, (*known, MIXED)))
    made = known[algo]
    if made.block[0] == 1 and made.block[1] and group not in (None, made.block[1]):
        raise c.error("group_size", f"is {shown(group)}; {algo} has {made.block[1]}")
    return made


def cache(files: list[Config]) -> str | None:
    """The cache's format: a file that says nothing does not contradict one that does."""
    return next((found for f in files if (found := eight_bit_cache(f, *CACHE))), None)


def _lists(files: list[Config]) -> list[tuple[list[str], Config, str]]:
    """The list of excluded modules, where there is one: (entries, where it is)."""
    found = [(f.items(EXCLUDED, str), f, f.raw(EXCLUDED)[0]) for f in files if any(name in f for name in EXCLUDED)]
    if len(found) > 1 and set(found[0][0]) != set(found[1][0]):
        raise found[0][1].error(found[0][2], f"and {found[1][1].source}: {found[1][2]} list different modules")
    return found[:1]


def _agreed(files: list[Config], names: tuple[str, ...], default: Any = MISSING) -> Any:
    """A field's value, which must be the same in all files that have it."""
    given = [(f, f.raw(names)[1]) for f in files if any(name in f for name in names)]
    if not given:
        return files[0].raw(names, default)[1]
    if any(value != given[0][1] for _, value in given[1:]):
        raise given[0][0].error(names[0], f"is {shown(given[0][1])}; {given[1][0].source} says {shown(given[1][1])}")
    return given[0][1]
