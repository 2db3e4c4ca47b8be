"""Settings that `ENVIRONMENT=production` refuses, because they leave a door open."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import ip_address
from typing import Final
from urllib.parse import urlsplit

from settings.fields import Settings

EXAMPLE_KEYS: Final = frozenset({"change-me", "changeme", "secret", "test", "dev-key", "example"})
MIN_KEY_CHARS: Final = 16


def production_problems(settings: Settings) -> list[str]:
    """Return one line for each unsafe setting. The settings must be valid otherwise."""
    return [
        *_keys(settings),
        *_flower(settings),
        *_redis(settings),
        *_kafka(settings),
        *_api(settings),
        *_smtp(settings),
    ]


def is_loopback(host: str) -> bool:
    """Whether this machine alone can reach an address. A name counts only if it is `localhost`."""
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"


def _keys(settings: Settings) -> Iterator[str]:
    keys = [entry.key for entry in settings.api_keys]
    if not keys:
        yield "ML_SERVICE_API_KEY: must be set in production"
    if any(key.lower() in EXAMPLE_KEYS or len(key) < MIN_KEY_CHARS for key in keys):
        yield (
            f"ML_SERVICE_API_KEY: is an example or shorter than {MIN_KEY_CHARS} characters; production "
            "refuses that"
        )


def _flower(settings: Settings) -> Iterator[str]:
    if not settings.flower_basic_auth:
        yield "FLOWER_BASIC_AUTH: must be set in production, as user:password; Flower shows every task"
    elif any(
        login.rpartition(":")[2].lower() in EXAMPLE_KEYS for login in settings.flower_basic_auth.split(",")
    ):
        yield "FLOWER_BASIC_AUTH: is an example; production refuses that"


def _redis(settings: Settings) -> Iterator[str]:
    for name, url in (("REDIS_URL", settings.redis_url), ("REDIS_CACHE_URL", settings.redis_cache_url)):
        parts = urlsplit(url)
        if name == "REDIS_CACHE_URL" and url == settings.redis_url:
            continue
        if parts.password or is_loopback(parts.hostname or ""):
            continue
        if parts.scheme == "rediss" and settings.redis_ssl_certfile:
            continue  # the server knows its clients by their certificates
        yield f"{name}: has no password, and {parts.hostname} is not this machine; production refuses that"


def _kafka(settings: Settings) -> Iterator[str]:
    protocol = settings.kafka_security_protocol
    if protocol.startswith("SASL") or (protocol == "SSL" and settings.kafka_ssl_certfile):
        return
    for server in settings.kafka_servers:
        if not is_loopback(server.rpartition(":")[0]):
            yield (
                f"KAFKA_SECURITY_PROTOCOL: {protocol} has no login, and {server} is not this machine; "
                "production wants SASL_SSL, SASL_PLAINTEXT, or SSL with KAFKA_SSL_CERTFILE"
            )
            return


def _api(settings: Settings) -> Iterator[str]:
    if not (is_loopback(settings.host) or settings.tls_certfile or settings.trusted_proxies):
        yield (
            f"HOST: {settings.host} is not loopback, and keys would cross the network in clear; production "
            "wants TLS_CERTFILE, or TRUSTED_PROXIES where a proxy adds TLS"
        )


def _smtp(settings: Settings) -> Iterator[str]:
    smtp = settings.smtp
    if smtp.wanted and smtp.tls == "off" and not is_loopback(smtp.host):
        yield (
            f"SMTP_TLS: is off, and {smtp.host} is not this machine: e-mails and a password would cross the "
            "network in clear; production wants starttls or tls"
        )
