"""The option `--update-golden`, unless a conftest above has it already."""

from __future__ import annotations

import contextlib

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    with contextlib.suppress(ValueError):  # defined already
        parser.addoption("--update-golden", action="store_true", help="write what is found as what is expected")


@pytest.fixture
def update_golden(request: pytest.FixtureRequest) -> bool:
    return bool(request.config.getoption("--update-golden", default=False))
