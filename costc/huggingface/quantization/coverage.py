"""Which weights of a drafted model a scheme converts, said as coarsely as is exact.

Exceptions are keyed as blocks.refine reads them: '<module>', '<module>.<weight>', '<section>/<module>' and
'<section>/<module>.<weight>', from the least particular to the most. Layers that store the same block in unlike ways get
blocks of their own.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from costc.huggingface.draft import PARTS, Draft
from costc.huggingface.quantization import names
from costc.huggingface.quantization.names import Weight
from costc.huggingface.quantization.stored import Scheme, Spot, Stored

#: of these, the first that is converted gives the scheme's own format
FIRST = ("experts", "ffn", "attention", "mixer", "shared_experts", "head", "router", "embedding")
#: of these modules, the weight whose format is the module's
MAIN = {module: (section, weight.name) for section, module, weight, _, field in reversed(names.ENDS) if not field}
MTP = "mtp"
#: (section, weight) -> format, None: not converted
Formats = dict[tuple[str, str], Stored | None]
Blocks = list[tuple[str, str]]
#: layers with what stands before the names inside them
At = tuple[tuple[int | None, str], ...]


class Coverage:
    """The formats of all matrices, by module; draws blocks of the draft apart where layers differ."""

    def __init__(self, scheme: Scheme, draft: Draft) -> None:
        self.scheme, self.draft = scheme, draft
        self.formats: dict[str, Formats] = {}
        #: how many layers each section stands in
        self.layers: Counter[str] = Counter()
        self._weights: dict[tuple[str, str, bool], tuple[tuple[str, Weight, tuple[str, ...]], ...]] = {}
        self._split()
        self._ends()
        self._drafts()
        experts = {i: e for i, layer in enumerate(draft.layers) for e in self._experts(layer)}
        for patterns in scheme.lists():
            patterns.check(len(draft.layers), experts)

    # ---- the layers

    def _split(self) -> None:
        """Decide each layer's weights; a block whose layers differ becomes several."""
        found: dict[tuple[str, str], dict[tuple[Any, ...], list[int]]] = {}
        for i, layer in enumerate(self.draft.layers):
            for part, name in _blocks(layer):
                of = tuple((module, w.name, made) for module, w, made in self._block(layer, part, name, ((i, ""),)))
                found.setdefault((part, name), {}).setdefault(of, []).append(i)
        for (part, name), ways in found.items():
            for at, (of, layers) in enumerate(sorted(ways.items(), key=lambda item: -len(item[1]))):
                own = self.draft.split(part, name, layers) if at else name
                self.layers[f"{part}.{own}"] = len(layers)
                for module, weight, made in of:
                    self.formats.setdefault(module, {})[f"{part}.{own}", weight] = made

    def _block(
        self, layer: Any, part: str, name: str, at: At, like: int | None = None
    ) -> Iterator[tuple[str, Weight, Stored | None]]:
        """(module, weight, format) of a block's matrices.

        Args:
            at: the layer, or what stands before the names inside it.
            like: a layer; what lists leave out of that is left out here.
        """
        alone = sum(p != "auxiliary" for p, _ in _blocks(layer)) == 1
        key = (part, name, alone)
        if key not in self._weights:
            self._weights[key] = tuple(names.weights(part, self.draft.blocks[part][name], alone))
        for module, weight, inside in self._weights[key]:
            spots = [(i, tuple(f"{front}{n}" for n in inside) if front else inside) for i, front in at]
            yield module, weight, self.scheme.of(module, weight, spots, [(like, inside)] if like is not None else ())

    def _experts(self, layer: Any) -> Iterator[int]:
        for part, name in _blocks(layer):
            block = self.draft.blocks[part][name]
            if "n_routed_experts" in block:
                yield int(block["n_routed_experts"])

    # ---- around the layers

    def _ends(self) -> None:
        """Head and embedding. A tied head is the embedding, which is converted only where a list names it."""
        tied = self.draft.fields.get("tie_word_embeddings", False)
        for section, module, weight, given, field in names.ENDS:
            if field and not self.draft.stem.get(field):
                continue
            self.layers[section] = 1
            asked = replace(weight, plain=False) if weight is names.HEAD and tied else weight
            self.formats.setdefault(module, {})[section, weight.name] = self.scheme.of(module, asked, [(None, given)])

    def _drafts(self) -> None:
        """The layers that draft tokens, which lists call by the number after the last layer, or by a name of their own."""
        mtp = self.draft.mtp
        if not mtp:
            return
        found = [self._draft(mtp, j) for j in range(mtp["count"])]
        # layers that draft are alike in a spec; where a list tells them apart, the first counts
        if any(other != found[0] for other in found[1:]):
            self.scheme.notes.append("The layers that draft tokens are stored in unlike ways; the first one's is taken for all.")
        for (module, weight), made in found[0].items():
            self.formats.setdefault(module, {})[MTP, weight] = made

    def _draft(self, mtp: Mapping[str, Any], j: int) -> dict[tuple[str, str], Stored | None]:
        """(module, weight) -> format, of the j-th layer that drafts."""
        number = len(self.draft.layers) + j
        fronts = (f"mtp.layers.{j}.", f"mtp.{j}.", f"mtp_layers.{j}.", "mtp.")
        layer = tuple((p, (n,) if isinstance(n, str) else tuple(n)) for p in PARTS if (n := mtp["layer"].get(p)))
        at = ((number, ""), *((None, front) for front in fronts))
        # a list that says nothing of draft layers leaves out of them what it leaves out of the last layer
        silent = not any(p.speaks_of_drafts(len(self.draft.layers)) for p in self.scheme.skipped)
        like = len(self.draft.layers) - 1 if silent else None
        found = {(m, w.name): made for part, name in _blocks(layer) for m, w, made in self._block(layer, part, name, at, like)}

        def own(module: str, weight: Weight, given: tuple[str, ...], like: tuple[str, ...] = ()) -> None:
            # what a list says of the model's own holds for a copy of it
            spots: list[Spot] = [(number, given), (None, like)]
            spots += [(None, tuple(f"{front}{n}" for n in given)) for front in fronts]
            found[module, weight.name] = self.scheme.of(module, weight, spots)

        own("ffn", names.JOIN, names.JOIN_NAMES)
        if mtp.get("own_head"):
            own("head", names.HEAD, ("shared_head.head", *names.HEAD_NAMES), names.HEAD_NAMES)
        if mtp.get("own_embedding"):
            own("embedding", names.EMBEDDING, names.EMBEDDING_NAMES, names.EMBEDDING_NAMES)
        return found

    # ---- as keys

    def keys(self) -> dict[str, Stored | None]:
        """Formats by key: each module's own, and the exceptions to it."""
        found: dict[str, Stored | None] = {}
        for module, formats in self.formats.items():
            found |= self._module(module, formats)
        return found

    def _module(self, module: str, formats: Formats) -> dict[str, Stored | None]:
        """One module's keys, each only where less particular ones do not say the same."""
        main = {at: made for at, made in formats.items() if at[0] != MTP}
        base = formats[MAIN[module]] if module in MAIN else self._most(main or formats)
        keys: dict[str, Stored | None] = {module: base}
        for weight in dict.fromkeys(w for _, w in formats):
            ways = {made for (_, w), made in (main or formats).items() if w == weight} or {formats[MTP, weight]}
            if len(ways) == 1 and (made := ways.pop()) != base:
                keys[f"{module}.{weight}"] = made
        for section in dict.fromkeys(s for s, _ in formats):
            rest = {at: made for at, made in formats.items() if at[0] == section and f"{module}.{at[1]}" not in keys}
            if rest and (made := self._most(rest)) != base:
                keys[f"{section}/{module}"] = made
        for (section, weight), made in formats.items():
            said = (f"{module}.{weight}", f"{section}/{module}", module)
            if keys[next(k for k in said if k in keys)] != made:
                keys[f"{section}/{module}.{weight}"] = made
        return keys

    def _most(self, formats: Formats) -> Stored | None:
        """The format of most weights, counted by layers; of a tie, one that is converted."""
        count: Counter[Stored | None] = Counter()
        for (section, _), made in formats.items():
            count[made] += self.layers[section] or 1
        return max(count, key=lambda made: (count[made], made is not None))


def _blocks(layer: Any) -> Blocks:
    return [(part, name) for part, own in layer for name in own]
