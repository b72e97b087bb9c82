"""A spec as YAML text, laid out as a person would."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import yaml

from costc.spec.reader import plain

#: mappings and lists up to this many characters stand on one line
LINE = 130


class _Dumper(yaml.SafeDumper):
    def ignore_aliases(self, data: Any) -> bool:
        return True

    def words(self, text: str) -> yaml.ScalarNode:
        """Text, in quotes where it would be read as something else (YAML 1.2 reads 09 as a number)."""
        style = "'" if plain(text) is not text else None
        return self.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _Dumper.words)


def write(spec: Mapping[str, Any], deep: int = 2) -> str:
    """The text of a spec: one key a line, its blocks in flow style from `deep` levels on."""
    return "".join(f"{_key(key)}:{_value(value, 1, deep)}\n" for key, value in spec.items())


def _flow(value: Any) -> str:
    text = yaml.dump(value, Dumper=_Dumper, default_flow_style=True, sort_keys=False, width=10**9, allow_unicode=True)
    return text.strip().removesuffix("\n...").strip()


def _key(key: str) -> str:
    return _flow(key)


def _value(value: Any, depth: int, deep: int) -> str:
    indent = "  " * depth
    flow = _flow(value)
    nested = isinstance(value, Mapping) and any(isinstance(v, (Mapping, list)) for v in value.values())
    if not value or not isinstance(value, (Mapping, list)) or (not nested and len(flow) + len(indent) < LINE) or depth > deep:
        return f" {flow}"
    if isinstance(value, Mapping):
        return "".join(f"\n{indent}{_key(k)}:{_value(v, depth + 1, deep)}" for k, v in value.items())
    return "".join(f"\n{indent}- {_flow(item)}" for item in value)
