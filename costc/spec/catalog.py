"""Finding specs by name: the catalogue that ships with the package, and a user's files beside their study."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from costc.errors import CostcError, not_among
from costc.huggingface import files
from costc.huggingface.importer import import_config
from costc.ir.platform import Efficiency, Engine, Hardware, Quantization
from costc.spec import model as model_spec
from costc.spec import platform
from costc.spec.model import ModelEntry
from costc.spec.reader import Document, described, read


def _model(document: Document) -> tuple[ModelEntry, tuple[str, ...]]:
    entry = model_spec.model(document)
    return entry, entry.aliases


#: words that stand for a spec which depends on others of the call
WORDS = {"efficiency": ("fitted",)}
#: folder -> how to build what lies in it
KINDS: dict[str, Callable[[Document], tuple[Any, tuple[str, ...]]]] = {
    "models": _model,
    "hardware": platform.hardware,
    "quantization": platform.quantization,
    "efficiency": platform.efficiency,
    "engine": platform.engine,
}


def shipped() -> Path:
    """The folder of the catalogue: inside an installed package, or of the checkout."""
    package = Path(__file__).parent.parent
    return package / "specs" if (package / "specs").is_dir() else package.parent / "specs"


@dataclass
class Catalog:
    """Specs by kind and name, looked up in `beside` (a user's folder) first, then in what ships.

    `notes` collects what a user should hear, for instance that a name stands in both places.
    """

    beside: Path | None = None
    notes: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        if self.beside is not None and not self.beside.is_dir():
            raise CostcError(f"{self.beside}: not a folder with specs")

    def roots(self) -> list[Path]:
        roots = [self.beside] if self.beside and self.beside.resolve() != shipped().resolve() else []
        return [*roots, shipped()]

    def names(self, kind: str) -> list[str]:
        """File names without ending, of all roots."""
        return sorted({p.stem for root in self.roots() for p in (root / kind).glob("*.yaml")})

    def choices(self, kind: str) -> list[str]:
        """What a user may say for a kind: names, and words that stand for one of them."""
        return [*self.names(kind), *WORDS.get(kind, ())]

    def all(self, kind: str) -> Iterator[Any]:
        for name in self.names(kind):
            yield self.get(kind, name)

    def get(self, kind: str, name: str) -> Any:
        """The thing of that name or alias, or in the spec file of that path.

        Raises:
            CostcError: nothing of the name; the message gives what there is and the nearest.
        """
        if not isinstance(name, str):
            raise CostcError(f"{kind.removesuffix('s')} is {described(name)}; expected a name or the path of a spec file")
        if kind == "models" and name == "-":
            return KINDS[kind](Document(import_config(name), {}, {}, "stdin"))[0]
        if name.endswith((".yaml", ".yml", ".json")) or (kind == "models" and _folder(name)):
            near = (self.beside or Path()) / name
            return self._built(kind, near if _state(near) else Path(name))
        found = self._places(kind, name)
        if not found:
            raise CostcError(not_among(kind.removesuffix("s"), name, self.choices(kind)))
        if len(found) > 1:
            note = f"{kind} {name!r} is taken from {found[0]}; it also ships with costc"
            if note not in self.notes:
                self.notes.append(note)
        return self._built(kind, found[0])

    def kinds_of(self, name: str) -> list[str]:
        """The kinds, of models and hardware, in which something of the name or path stands."""
        if kind := catalog_kind(Path(name)):
            return [kind]
        return [k for k in ("models", "hardware") if self._places(k, name)]

    def _places(self, kind: str, name: str) -> list[Path]:
        """Where specs of that name or alias lie, the user's own first."""
        places = [root / kind / f"{name}.yaml" for root in self.roots()]
        return [place for place in places if _state(place)] or self._by_alias(kind, name)

    def _by_alias(self, kind: str, name: str) -> list[Path]:
        wanted = name.lower()
        for root in self.roots():
            for path in sorted((root / kind).glob("*.yaml")):
                if path.stem.lower() != wanted and b"aliases" not in path.read_bytes():
                    continue
                _, aliases = _load(kind, path, _state(path))
                if wanted in {path.stem.lower(), *(a.lower() for a in aliases)}:
                    return [path]
        return []

    def _built(self, kind: str, path: Path) -> Any:
        built, _ = _load(kind, path, _state(path))
        return built

    # ---- one method a kind, typed

    def model(self, name: str) -> ModelEntry:
        return self.get("models", name)  # type: ignore[no-any-return]

    def hardware(self, name: str) -> Hardware:
        return self.get("hardware", name)  # type: ignore[no-any-return]

    def quantization(self, name: str) -> Quantization:
        return self.get("quantization", name)  # type: ignore[no-any-return]

    def efficiency(self, name: str) -> Efficiency:
        return self.get("efficiency", name)  # type: ignore[no-any-return]

    def engine(self, name: str = "default") -> Engine:
        return self.get("engine", name)  # type: ignore[no-any-return]


def catalog_kind(path: Path) -> str | None:
    """What a file holds, from its ending and keys: 'models', 'hardware', or None for anything else."""
    if path.suffix == ".json" or _folder(str(path)):
        return "models"
    if path.suffix not in (".yaml", ".yml") or not _state(path):
        return None
    data = read(path).data
    keys = {"layers": "models", "memory_bandwidth": "hardware"}
    return next((kind for key, kind in keys.items() if isinstance(data, dict) and key in data), None)


def _folder(name: str) -> bool:
    """Whether it is a folder with a checkpoint's config.json."""
    return bool(_state(Path(name) / files.CONFIG))


def _state(path: Path) -> tuple[object, ...]:
    """What tells one state of a file from another, so that an edited spec is read anew; empty where there is none."""
    try:
        info = path.stat()
    except (OSError, ValueError):
        return ()
    return info.st_dev, info.st_ino, info.st_size, info.st_mtime_ns


@cache
def _load(kind: str, path: Path, state: tuple[object, ...]) -> tuple[Any, tuple[str, ...]]:
    imported = kind == "models" and (path.suffix == ".json" or path.is_dir())
    if not imported:
        return KINDS[kind](read(path))
    source = str(path / files.CONFIG if path.is_dir() else path)
    return KINDS[kind](Document(import_config(str(path)), {}, {}, source))
