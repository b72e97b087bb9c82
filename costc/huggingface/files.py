"""Reading JSON that a user hands over: bounded in size and depth, strict, and never run."""

from __future__ import annotations

import json
import stat
import sys
from pathlib import Path
from typing import Any

from costc.huggingface.config import ConfigError

#: the largest published config.json, with its lists of unquantized modules, has some 100 kB
MAX_BYTES = 8_000_000
CONFIG, BESIDE = "config.json", "hf_quant_config.json"


def read(path: str) -> tuple[dict[str, Any], dict[str, Any] | None, str]:
    """(config, hf_quant_config beside it or None, what to call it in errors) of a file, a folder, or '-' for stdin.

    Raises:
        ConfigError: it cannot be read, is too large, or is not a JSON object.
    """
    if path == "-":
        return parse(sys.stdin.buffer.read(MAX_BYTES + 1), "stdin"), None, "stdin"
    place = Path(path)
    try:
        folder = place.is_dir()
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path!r}: {getattr(error, 'strerror', None) or error}") from None
    if folder:
        place = place / CONFIG
    # lists of exported files keep both side by side as <model>_config.json and <model>_hf_quant_config.json
    beside = place.with_name(place.name.removesuffix(CONFIG) + BESIDE) if place.name.endswith(CONFIG) else None
    quantized = parse(_bytes(beside), str(beside)) if beside and beside != place and beside.is_file() else None
    return parse(_bytes(place), str(place)), quantized, str(place)


def _bytes(path: Path) -> bytes:
    try:
        info = path.stat()
        if not stat.S_ISREG(info.st_mode):
            raise ConfigError(f"{path}: a special file; expected a config.json")
        if info.st_size > MAX_BYTES:
            raise ConfigError(f"{path}: {info.st_size} bytes; a config.json has at most {MAX_BYTES}")
        return path.read_bytes()
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path}: {getattr(error, 'strerror', None) or error}") from None


def parse(raw: bytes, source: str) -> dict[str, Any]:
    """The JSON object in `raw`.

    Raises:
        ConfigError: with line and column where the text is not JSON.
    """
    if len(raw) > MAX_BYTES:
        raise ConfigError(f"{source}: more than {MAX_BYTES} bytes; a config.json has fewer")
    try:
        data = json.loads(raw.decode("utf-8-sig"), object_pairs_hook=_distinct)
    except UnicodeDecodeError as error:
        raise ConfigError(f"{source}: byte {error.start} is not UTF-8; a config.json is UTF-8 text") from None
    except json.JSONDecodeError as error:
        raise ConfigError(f"{source}:{error.lineno}:{error.colno}: not valid JSON: {error.msg}") from None
    except RecursionError:
        raise ConfigError(f"{source}: nested too deep for a config.json") from None
    except ConfigError as error:
        raise ConfigError(f"{source}: {error}") from None
    except ValueError:  # Python's own limit
        raise ConfigError(f"{source}: a number of thousands of digits") from None
    if not isinstance(data, dict):
        raise ConfigError(f"{source}: holds {type(data).__name__}; a config.json is an object of fields")
    return data


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ConfigError(f"field {twice!r} stands twice")
    return found
