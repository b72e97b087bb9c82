"""Lists of module names in a quantization_config, and which weights they cover.

Each method has its own way of reading an entry:
  NAMES     compressed-tensors: the exact name, or 're:' and a regular expression that matches from the start
            (vLLM, compressed_tensors/utils.py; the same in the library's own matching).
  PREFIXES  transformers' `modules_to_not_convert`: a regular expression that matches from the start up to a dot or the end, or
            a text that the name ends with (transformers, quantizers/quantizers_utils.py, should_convert_module).
  GLOBS     modelopt: a pattern with wildcards over the whole name, or one or more whole components of it; AutoAWQ and
            bitsandbytes take components too (they ask for a part of the name, which a component is).
Names are compared without what stands before the layers ('model.', 'language_model.model.', ...), which families and
exporters choose differently.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from fnmatch import translate

from costc.huggingface.config import Config, shown
from costc.huggingface.quantization.names import EMBEDDING_NAMES, HEAD_NAMES, JOIN_NAMES, every

NAMES, PREFIXES, GLOBS = "names", "prefixes", "globs"
BEFORE = r"(?:(?:model|language_model|text_model|backbone|transformer|decoder)\.)*"
#: layer, the experts of it and the number of one, and the rest
LAYERED = re.compile(rf"{BEFORE}(?:layers|h)\.(\d+)(?:\.([\w.]*?experts)\.(\d+)(?=[.*]|$))?(.*)", re.S)
#: names of a model's own forms, before which regular expressions are tried
FRONTS = ("model.", "", "model.language_model.", "language_model.model.", "language_model.", "backbone.")
#: entries that speak of what has no matrix in a block, or is no part of the text model
PASSED = re.compile(
    r"vision|visual|image|audio|speech|video|multi_?modal|mm_|projector|patch|merger|mtp|norm|bias|conv|A_log|dt_|embed|rotary|sinks"
    r"|e_score|compressor|\bhc_|eh_proj|shared_head"
)
#: layers past the model's own that an entry may name: those that draft tokens, whether or not the config has them
DRAFTS = 8
#: of wildcards in a regular expression: more take long to match
REPEATS = 4
#: entries that differ in more than the number of a layer or expert: published lists have some 20
UNLIKE = 1000
NONE: frozenset[str] = frozenset()


class Patterns:
    """Entries of one list.

    Args:
        c, field: where the list is, for errors.
    """

    def __init__(self, c: Config, field: str, entries: Iterable[str], style: str) -> None:
        self.c, self.field, self.style = c, field, style
        self.layers: dict[int, set[str]] = {}
        #: '<digits>*...': what follows the layer's first digits
        self.digits: set[str] = set()
        self.general: set[str] = set()
        #: numbers of the experts that are named one by one, by layer and by what is named
        self.experts: dict[tuple[int, str], set[int]] = {}
        self.used: set[str] = set()
        self._known: dict[tuple[str, tuple[str, ...], bool], bool] = {}
        self._found: dict[tuple[frozenset[str], tuple[str, ...], bool], bool] = {}
        self._compiled: dict[str, re.Pattern[str]] = {}
        for entry in entries:
            self._add(entry)
        self._alike = {layer: frozenset(rests) for layer, rests in self.layers.items()}
        unlike = self.general | self.digits | {rest for rests in self.layers.values() for rest in rests}
        if len(unlike) > UNLIKE:
            raise c.error(field, f"has {len(unlike)} entries that are unlike beside their layers; at most {UNLIKE} are read")

    def _add(self, entry: str) -> None:
        found = None if entry.startswith("re:") else LAYERED.fullmatch(entry)
        if not found or (self.style is PREFIXES and not plain(found[4])):
            self.general.add(entry if entry.startswith("re:") else re.sub(f"^{BEFORE}", "", entry))
            return
        number, place, expert, rest = found.groups()
        if expert:
            self.experts.setdefault((int(number), place + rest), set()).add(int(expert))
            rest = f".{place}.0{rest}"
        if rest[:1] not in (".", ""):
            self.digits.add(number + rest)
        else:
            self.layers.setdefault(int(number), set()).add(rest[1:])

    # ---- matching

    def hits(self, layer: int | None, names: tuple[str, ...], exact: bool = False) -> bool:
        """Whether the list covers a weight by one of its names: inside a layer, or of the whole model.

        Args:
            exact: only an entry that is the name itself counts.
        """
        if layer is not None:
            rests = self._alike.get(layer, NONE)
            if rests and self._any(rests, names, exact):
                return True
            if self.digits and not exact:
                numbered = tuple(f"{layer}.{n}" for n in names)
                if any(self._hit(d, numbered, exact, True) for d in self.digits if d[0] == str(layer)[0]):
                    return True
        if not self.general:
            return False
        whole = names if layer is None else tuple(f"layers.{layer}.{n}" for n in names)
        # a pattern without a digit says the same of every layer
        first = names if layer is None else tuple(f"layers.0.{n}" for n in names)
        return any(self._hit(g, whole if any(map(str.isdigit, g)) else first, exact, False) for g in self.general)

    def _any(self, rests: frozenset[str], names: tuple[str, ...], exact: bool) -> bool:
        """Whether one of the entries of a layer covers a weight: most layers have the same ones."""
        key = (rests, names, exact)
        if key not in self._found:
            self._found[key] = any(self._hit(rest, names, exact, True) for rest in rests)
        return self._found[key]

    def _hit(self, entry: str, names: tuple[str, ...], exact: bool, inside: bool) -> bool:
        key = (entry, names, exact)
        if key not in self._known:
            self._known[key] = entry in names if exact else any(self._matches(entry, n, inside) for n in names)
        if self._known[key]:
            self.used.add(entry)
        return self._known[key]

    def _matches(self, entry: str, name: str, inside: bool) -> bool:
        if entry == name or (inside and not entry):
            return entry == name or self.style is not NAMES
        if entry.startswith("re:"):
            return any(self._regex(entry[3:]).match(front + name) for front in FRONTS)
        if self.style is NAMES:
            return False
        if name.startswith(entry + "."):
            return True
        if self.style is GLOBS:
            if any(sign in entry for sign in "*?["):
                return bool(self._glob(entry).match(name))
            return not inside and f".{entry}." in f".{name}."
        return not inside and (name.endswith(entry) or bool(self._regex(rf"(?:{entry})(?:(?<=\.)|(?=\.|$))").match(name)))

    def _glob(self, entry: str) -> re.Pattern[str]:
        if entry not in self._compiled:
            self._compiled[entry] = re.compile(translate(entry))
        return self._compiled[entry]

    def _regex(self, text: str) -> re.Pattern[str]:
        if text not in self._compiled:
            if re.search(r"\)[*+{]", text) or len(re.findall(r"[*+{]", text)) > REPEATS:
                raise self.c.error(self.field, f"holds {shown(text)}, a regular expression with more repeats than are read")
            try:
                self._compiled[text] = re.compile(text)
            except re.error as error:
                raise self.c.error(self.field, f"holds {shown(text)}, which is no regular expression: {error}") from None
        return self._compiled[text]

    def speaks_of_drafts(self, layers: int) -> bool:
        """Whether an entry names a layer past the model's own, or speaks of 'mtp'."""
        return any(n >= layers for n in self.layers) or any("mtp" in g for g in self.general)

    # ---- what is not understood

    def check(self, layers: int, experts: dict[int, int]) -> None:
        """Raise ConfigError for an entry that covers no weight that is known, or some experts of a layer and not others.

        Args:
            experts: how many experts each layer has.
        """
        for layer, _ in (*((n, "") for n in self.layers), *self.experts):
            if layer >= layers + DRAFTS:
                raise self.c.error(self.field, f"names layer {layer}; the model has {layers}")
        for (layer, name), numbers in self.experts.items():
            if layer in experts and len(numbers) != experts[layer]:
                named = f"{len(numbers)} of {experts[layer]} experts of layer {layer} ({name})"
                raise self.c.error(self.field, f"names {named}; a layer's are stored alike")
        for entry in sorted(self.general):
            if re.search(r"experts\W*[(\[]*\d", entry):
                raise self.c.error(self.field, f"holds {shown(entry)}, which tells experts apart; a layer's are stored alike")
        inner = {rest for rests in self.layers.values() for rest in rests}
        for entry in sorted((inner | self.digits | self.general) - self.used):
            if not self._known_name(entry, entry in inner):
                raise self.c.error(self.field, f"holds {shown(entry)}, which covers no weight that is known")

    def _known_name(self, entry: str, inside: bool) -> bool:
        if PASSED.search(entry) or entry in self.digits:
            return True
        names = every()
        if not inside:
            top = (*HEAD_NAMES, *EMBEDDING_NAMES, *JOIN_NAMES)
            names = (*(f"{n}{name}" for n in ("layers.0.", "mtp.layers.0.") for name in names), *top)
        return any(self._matches(entry, name, inside) for name in names)


def plain(text: str) -> bool:
    """Whether a text is a name, not a pattern."""
    return not any(sign in text for sign in "*?[]()|\\^$+{}")
