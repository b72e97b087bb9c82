"""Random valid configs of every architecture: parameters, towers and windows agree with transformers' classes, exactly."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings

from tests.oracle import ours
from tests.oracle.models import Config
from tests.oracle.random_configs import configs
from tests.oracle.reference import parameters, reduced_names, windows

#: every config is built and compared: none is drawn that transformers cannot build, or that costc refuses
EXAMPLES = 20
thorough = settings(
    max_examples=EXAMPLES, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck)
)


@pytest.mark.parametrize("name", reduced_names())
def test_random_configs_of_an_architecture_agree(name: str) -> None:
    compared = 0

    @thorough
    @given(configs(name))
    def agree(config: Config) -> None:
        nonlocal compared
        theirs, model = parameters(config), ours.imported(config)
        vision = theirs.pop("vision")
        assert ours.parameters(model) == {group: count for group, count in theirs.items() if count and group != "mtp"}
        assert not model.towers or sum(model.towers.values()) == vision
        assert ours.windows(model) == windows(config)
        compared += 1

    agree()
    assert compared >= EXAMPLES / 2
