"""Settings by the names that the backend has; wrong ones are told in words, the key to nobody."""

from __future__ import annotations

import logging
import traceback

import pytest
from driven import Connect, reading
from proxy import Proxy

from evzone_ml_client import InvalidSettings, MLClient, MLClientError, Settings
from tests.processes import Web

KEY = "a-key-that-nobody-sees"


def test_the_environment_is_read_by_the_backends_names(web: Web, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ML_SERVICE_URL", "http://ml.example.com:8000")
    monkeypatch.setenv("ML_SERVICE_API_KEY", KEY)
    monkeypatch.setenv("ML_SERVICE_ENABLED", "false")
    monkeypatch.setenv("ML_SERVICE_TIMEOUT", "2500")
    with MLClient.from_env() as ml:
        expected = Settings(url="http://ml.example.com:8000", api_key=KEY, enabled=False, timeout_s=2.5)
        assert ml.settings == expected
    with MLClient.from_env(url=web.url, enabled=True) as ml:
        assert ml.settings.timeout_s == 2.5
        assert ml.health_check() == {"status": "healthy"}  # a key that the service does not know


def test_what_the_environment_does_not_say_has_a_default() -> None:
    settings = Settings.from_env({"ML_SERVICE_API_KEY": KEY, "ML_SERVICE_URL": " "})
    assert settings == Settings(url="http://localhost:8000", api_key=KEY)
    assert (settings.enabled, settings.timeout_s) == (True, 5.0)
    assert (settings.breaker_failures, settings.breaker_open_s) == (5, 60.0)


@pytest.mark.parametrize(
    ("environ", "problem"),
    [
        ({"ML_SERVICE_URL": "ml.example.com"}, "url (ML_SERVICE_URL): must be like http://"),
        ({"ML_SERVICE_URL": "http://user:word@ml"}, "url (ML_SERVICE_URL): must have no user"),
        ({"ML_SERVICE_URL": "http://ml:80000"}, "url (ML_SERVICE_URL): Port out of range"),
        ({"ML_SERVICE_API_KEY": ""}, "api_key (ML_SERVICE_API_KEY): is missing"),
        ({"ML_SERVICE_API_KEY": "two,keys"}, "api_key (ML_SERVICE_API_KEY): must be one key"),
        (
            {"ML_SERVICE_API_KEY": "key:predict"},
            "api_key (ML_SERVICE_API_KEY): must be one key, without a role",
        ),
        ({"ML_SERVICE_ENABLED": "maybe"}, "ML_SERVICE_ENABLED: must be true or false, not 'maybe'"),
        ({"ML_SERVICE_TIMEOUT": "5s"}, "ML_SERVICE_TIMEOUT: must be a number of milliseconds, not '5s'"),
        ({"ML_SERVICE_TIMEOUT": "0"}, "timeout_s (ML_SERVICE_TIMEOUT, in ms): must be more than 0"),
        ({"ML_SERVICE_TIMEOUT": "nan"}, "timeout_s (ML_SERVICE_TIMEOUT, in ms): must be more than 0"),
    ],
)
def test_what_is_wrong_is_told(environ: dict[str, str], problem: str) -> None:
    with pytest.raises(InvalidSettings) as raised:
        Settings.from_env({"ML_SERVICE_API_KEY": KEY, **environ})
    assert str(raised.value).startswith(problem)


def test_all_that_is_wrong_is_told_at_once() -> None:
    with pytest.raises(InvalidSettings) as raised:
        Settings(url="ftp://ml", api_key=KEY, tenant="a b", attempts=0, breaker_open_s=-1, stale_entries=-1)
    assert len(raised.value.problems) == 5
    assert KEY not in str(raised.value)


def test_the_key_is_told_to_the_service_alone(
    connect: Connect, proxy: Proxy, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    ml = connect(proxy.url, api_key=KEY, timeout_s=2)
    seen = [repr(ml), repr(ml.settings), str(vars(ml))]
    for outage in (proxy.recover, proxy.refuse, proxy.hang):
        outage()
        with pytest.raises(MLClientError) as raised:
            ml.predict_failure(reading())
        seen += ["".join(traceback.format_exception(raised.value)), repr(raised.value)]
    assert "401" in seen[3]  # the service has seen a key that is not its own
    assert "httpcore" in {record.name.split(".")[0] for record in caplog.records}
    seen += [caplog.text, *capsys.readouterr()]
    assert not [text for text in seen if KEY in text]
