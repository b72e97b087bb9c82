"""Says why the other files of this folder are not collected, where they are not."""

from __future__ import annotations

import pytest

from tests.oracle.conftest import MISSING, REASON


@pytest.mark.skipif(bool(MISSING), reason=REASON)
def test_the_extra_is_installed() -> None:
    import transformers

    assert transformers.__version__.startswith("5.")
