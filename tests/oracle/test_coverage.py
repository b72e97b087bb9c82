"""The coverage page says what the verdicts are."""

from __future__ import annotations

from tests.oracle.coverage import PAGE, page


def test_the_page_is_up_to_date() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "run python3 tasks.py coverage"
