"""`docs/settings.md` is what `python -m settings.page` prints, and names every setting."""

from __future__ import annotations

import re

from settings import ROOT
from settings.meanings import DEFAULTS_IN_WORDS, SECTIONS
from settings.page import page, settings


def named_in_example() -> set[str]:
    return set(re.findall(r"^#?([A-Z_]+)=", (ROOT / ".env.example").read_text(), re.MULTILINE))


def test_the_page_in_the_repository_is_current() -> None:
    """To make it so: `.venv/bin/python -m settings.page > docs/settings.md`."""
    assert (ROOT / "docs" / "settings.md").read_text() == page()


def test_the_page_explains_every_setting_once_and_no_other() -> None:
    explained = [name for meanings in SECTIONS.values() for name in meanings]
    assert sorted(explained) == sorted(settings())
    assert set(explained) == named_in_example()
    assert set(DEFAULTS_IN_WORDS) <= set(explained)


def test_the_page_shows_defaults_and_limits_as_they_are_read() -> None:
    found = settings()
    assert (found["PORT"].default, found["PORT"].limits) == ("8000", "1 to 65535")
    assert found["ML_SYNC_TIMEOUT"].limits == "more than 0"
    assert found["LOG_FORMAT"].limits == "`auto`, `json`, `text`"
    assert found["ACCESS_LOG"].default == "false"
    assert found["WEB_THREADS"].limits == "at least 4"
