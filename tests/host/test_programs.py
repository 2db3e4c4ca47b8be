"""A program that is not installed skips a test at the desk and fails it in CI."""

from __future__ import annotations

import pytest

from tests.host.programs import require

MISSING = "no-such-program"


def test_a_missing_program_skips_the_test_and_its_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CI", raising=False)
    with pytest.raises(pytest.skip.Exception, match=f"needs {MISSING}: apt-get install a-package"):
        require(MISSING, "a-package")


def test_a_missing_program_is_a_failure_in_ci(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception, match="a-package"):
        require(MISSING, "a-package")


def test_a_program_that_is_there_is_found() -> None:
    assert require("sh", "dash").endswith("/sh")
