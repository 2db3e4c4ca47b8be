"""Address and key of the command, from the environment and `.env`."""

from __future__ import annotations

from pathlib import Path

import pytest

from evzone_ml_client import InvalidSettings
from evzone_ml_client.command.connection import ANY_ROLE, MAY_PREDICT, read_settings
from evzone_ml_client.command.outcome import Refused


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> pytest.MonkeyPatch:
    """An environment with keys, in an empty folder."""
    monkeypatch.chdir(tmp_path)
    for name in ("ML_SERVICE_URL", "PORT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("ML_SERVICE_API_KEY", "one:read, two:predict,three")
    return monkeypatch


def address_and_key(roles: tuple[str, ...] = MAY_PREDICT) -> tuple[str, str]:
    found = read_settings(None, None, 10.0, roles)
    return found.url, found.api_key


def test_the_first_key_that_may_is_taken(environment: pytest.MonkeyPatch) -> None:
    assert address_and_key() == ("http://localhost:8000", "two")
    assert address_and_key(ANY_ROLE) == ("http://localhost:8000", "one")
    environment.setenv("ML_SERVICE_API_KEY", "one:read")
    with pytest.raises(Refused, match="ML_SERVICE_API_KEY"):
        address_and_key()


def test_the_environment_wins_over_the_file(environment: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("PORT=8101\nML_SERVICE_API_KEY=in-file\n")
    assert address_and_key() == ("http://localhost:8101", "two")
    environment.delenv("ML_SERVICE_API_KEY")
    assert address_and_key()[1] == "in-file"
    environment.setenv("ML_SERVICE_URL", "https://ml.example.com/")
    assert address_and_key()[0] == "https://ml.example.com"


def test_an_address_that_is_none_is_named(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("ML_SERVICE_URL", "ml.example.com")
    with pytest.raises(InvalidSettings, match="ML_SERVICE_URL: must look like"):
        address_and_key()
    with pytest.raises(Refused, match="--url: must look like"):
        read_settings("ftp://ml", None, 10.0, MAY_PREDICT)
