"""What the command says about a service that it cannot reach."""

from __future__ import annotations

import pytest

from evzone_ml_client import ServiceUnavailable
from evzone_ml_client.command.failures import outage

GONE = ServiceUnavailable("unreachable", "Connection refused")
URL = "http://ml.example.com:8000"


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    return monkeypatch


@pytest.mark.parametrize("name", ["HTTP_PROXY", "http_proxy", "ALL_PROXY"])
def test_a_proxy_of_the_environment_is_named_without_its_password(
    environment: pytest.MonkeyPatch, name: str
) -> None:
    environment.setenv(name, "http://me:secret@proxy.example.com:3128")
    assert outage(GONE, URL) == (
        "http://ml.example.com:8000 cannot be reached through the proxy proxy.example.com:3128; "
        "to go around it, set NO_PROXY=ml.example.com (Connection refused)"
    )


def test_a_proxy_that_is_not_used_is_not_named(environment: pytest.MonkeyPatch) -> None:
    plain = "http://ml.example.com:8000 cannot be reached (Connection refused)"
    assert outage(GONE, URL) == plain
    environment.setenv("HTTPS_PROXY", "http://proxy.example.com:3128")
    assert outage(GONE, URL) == plain
    environment.setenv("HTTP_PROXY", "http://proxy.example.com:3128")
    environment.setenv("NO_PROXY", "example.com")
    assert outage(GONE, URL) == plain
