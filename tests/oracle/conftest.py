"""The oracles need the optional extra; without it their tests are skipped, and say so."""

from __future__ import annotations

import importlib.util

import pytest

NEEDED = ("torch", "transformers", "aiconfigurator_core")
MISSING = [name for name in NEEDED if importlib.util.find_spec(name) is None]
REASON = f"needs the optional extra 'oracle' ({', '.join(MISSING)}): python3 tasks.py oracle"

OWN = ("test_verdicts.py", "test_random_configs.py", "test_defaults.py", "test_published_totals.py", "test_coverage.py")
collect_ignore = list(OWN) if MISSING else []


@pytest.fixture(autouse=True, scope="session")
def _one_thread() -> None:
    if MISSING:
        return
    import torch

    torch.set_num_threads(1)
