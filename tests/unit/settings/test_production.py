"""`ENVIRONMENT=production` refuses every unsafe setting, all of them at once."""

from __future__ import annotations

import pytest

from errors import SettingsInvalid
from settings.production import is_loopback
from tests.processes import environment, settings_of

KEY = "0123456789abcdef"
SAFE = {
    "ENVIRONMENT": "production",
    "ML_SERVICE_API_KEY": KEY,
    "FLOWER_BASIC_AUTH": "me:a password of its own",
    "REDIS_URL": "redis://127.0.0.1:6379/0",
    "KAFKA_BOOTSTRAP_SERVERS": "localhost:9092",
}
TLS = {"TLS_CERTFILE": "cert.pem", "TLS_KEYFILE": "key.pem"}


def refused(**changes: str) -> list[str]:
    """The names of the settings that are refused."""
    try:
        settings_of(environment(**SAFE | changes))
    except SettingsInvalid as error:
        return [line.partition(":")[0] for line in error.problems]
    return []


def test_safe_settings_are_taken() -> None:
    assert refused() == []


@pytest.mark.owasp("API8", "production refuses all unsafe settings at once")
def test_every_reason_is_named_at_once() -> None:
    assert refused(
        ML_SERVICE_API_KEY=f"short,{KEY}",
        FLOWER_BASIC_AUTH="",
        REDIS_URL="redis://redis:6379/0",
        REDIS_CACHE_URL="redis://cache:6379/0",
        KAFKA_BOOTSTRAP_SERVERS="localhost:9092,kafka:9092",
        HOST="10.0.0.5",
        SMTP_HOST="mail.example",
        SMTP_FROM="ml@example.com",
        SMTP_TO="a@example.com",
        SMTP_TLS="off",
    ) == [
        "ML_SERVICE_API_KEY",
        "FLOWER_BASIC_AUTH",
        "REDIS_URL",
        "REDIS_CACHE_URL",
        "KAFKA_SECURITY_PROTOCOL",
        "HOST",
        "SMTP_TLS",
    ]


@pytest.mark.owasp(
    "API2", "production refuses missing, short and example keys, and Flower without a password"
)
@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ML_SERVICE_API_KEY", ""),
        ("ML_SERVICE_API_KEY", "change-me"),
        ("ML_SERVICE_API_KEY", "0123456789abcde"),
        ("FLOWER_BASIC_AUTH", ""),
        ("FLOWER_BASIC_AUTH", "admin:change-me"),
        ("FLOWER_BASIC_AUTH", "me:a password of its own,admin:change-me"),
    ],
)
def test_keys_and_passwords(name: str, value: str) -> None:
    assert refused(**{name: value}) == [name]


def test_one_server_without_a_password_is_named_once() -> None:
    assert refused(REDIS_URL="redis://redis:6379/0") == ["REDIS_URL"]


@pytest.mark.parametrize(
    "safe",
    [
        {"REDIS_URL": "redis://:password@redis:6379/0"},
        {"REDIS_URL": "redis://localhost:6379/0"},
        {"REDIS_URL": "redis://[::1]:6379/0"},
        {
            "REDIS_URL": "rediss://redis:6379/0",
            "REDIS_SSL_CERTFILE": __file__,
            "REDIS_SSL_KEYFILE": __file__,
        },
        {
            "KAFKA_BOOTSTRAP_SERVERS": "kafka:9092",
            "KAFKA_SECURITY_PROTOCOL": "SASL_SSL",
            "KAFKA_SASL_USERNAME": "ml",
            "KAFKA_SASL_PASSWORD": "p",
        },
        {
            "KAFKA_BOOTSTRAP_SERVERS": "kafka:9092",
            "KAFKA_SECURITY_PROTOCOL": "SSL",
            "KAFKA_SSL_CERTFILE": __file__,
        },
        {"KAFKA_BOOTSTRAP_SERVERS": "[::1]:9092"},
        {"HOST": "10.0.0.5", "TRUSTED_PROXIES": "10.0.0.0/8"},
        {"HOST": "10.0.0.5", **TLS},
        {"HOST": "::1"},
    ],
)
def test_what_is_safe_on_a_network_is_taken(safe: dict[str, str]) -> None:
    assert refused(**safe) == []


@pytest.mark.parametrize("unsafe", ["rediss://redis:6379/0", "redis://user@redis:6379/0"])
def test_encryption_or_a_name_alone_is_no_login(unsafe: str) -> None:
    assert refused(REDIS_URL=unsafe) == ["REDIS_URL"]


def test_elsewhere_none_of_it_is_refused() -> None:
    assert refused(ENVIRONMENT="development", ML_SERVICE_API_KEY="change-me", HOST="10.0.0.5") == []


@pytest.mark.parametrize(
    ("host", "is_it"),
    [
        ("127.0.0.1", True),
        ("127.8.9.1", True),
        ("::1", True),
        ("[::1]", True),
        ("localhost", True),
        ("0.0.0.0", False),  # noqa: S104 - compared, not bound
        ("::", False),
        ("10.0.0.1", False),
        ("localhost.example", False),
        ("", False),
    ],
)
def test_loopback(host: str, is_it: bool) -> None:
    assert is_loopback(host) is is_it
