"""`docs/owasp.md` is what the markers of the tests say."""

from __future__ import annotations

import pytest

from settings import ROOT
from tests.owasp import RISKS, Shown, found, marked, page

SOURCE = """
@pytest.mark.owasp("API4", "half bodies are given up")
@pytest.mark.parametrize("x", [1])
def test_it(x): ...


class TestAll:
    pytestmark = [pytest.mark.owasp("API2", "a | b")]
"""


def test_the_page_in_the_repository_is_current() -> None:
    """To make it so: `make owasp`."""
    assert (ROOT / "docs" / "owasp.md").read_text() == page(found())


def test_markers_are_found_wherever_they_stand() -> None:
    assert list(marked(SOURCE, "tests/test_it.py")) == [
        Shown("API4", "half bodies are given up", "tests/test_it.py"),
        Shown("API2", "a | b", "tests/test_it.py"),
    ]


@pytest.mark.parametrize("arguments", ["", '"API4"', '"API11", "x"', '"API4", ""', 'RISK, "x"'])
def test_a_marker_that_the_page_cannot_show_is_an_error(arguments: str) -> None:
    with pytest.raises(ValueError, match=r"x\.py:1: must be a risk"):
        list(marked(f"@pytest.mark.owasp({arguments})\ndef test_it(): ...", "x.py"))


def test_a_risk_without_a_test_is_named_as_such() -> None:
    lines = page([Shown("API2", "a | b", "tests/test_it.py")]).splitlines()
    assert sum("no test yet" in line for line in lines) == len(RISKS) - 1
    assert "| **API2** Broken authentication | a \\| b | [test_it.py](../tests/test_it.py) |" in lines
