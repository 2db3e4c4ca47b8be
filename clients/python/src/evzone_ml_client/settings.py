"""Settings of a client, checked on creation."""

from __future__ import annotations

import math
import os
import re
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Self
from urllib.parse import urlsplit

from evzone_ml_client.errors import InvalidSettings

# The service's key list uses commas between keys and colons before roles; a key contains neither.
API_KEY: Final = re.compile(r"[!-+\--9;-~]+")
TENANT: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")
TRUE: Final = frozenset({"1", "true", "yes", "on"})
FALSE: Final = frozenset({"0", "false", "no", "off"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Settings of one client. Raises `InvalidSettings` with one line for each wrong value.

    `timeout_s` limits a whole call, retries included. `upload_timeout_s` replaces it for a call that uploads
    a file or downloads results. `attempts` includes the first attempt.

    `retry_ratio` and `retry_reserve` are the budget of retries of all calls together. Each call adds
    `retry_ratio`, and each retry takes 1. At most `retry_reserve` are saved, as many as at the start. Without
    one left, a call fails after its first attempt. A reserve of 0 allows no retry.

    `patience_s` is for background work: a call is repeated until it has failed for that long. The number of
    attempts is then unlimited, without a budget, and the time-outs apply to each attempt.

    The circuit opens after `breaker_failures` failed calls in a row. After `breaker_open_s` it allows one
    trial call. The last failure predictions of `stale_entries` chargers are kept for `stale_ttl_s`; 0
    entries: none.

    `ca_file` names a PEM file of authorities, in place of the usual ones, for an https service behind a
    private one. `ssl_context` replaces it, for example to send a client certificate.
    """

    url: str = "http://localhost:8000"
    api_key: str = field(default="", repr=False)
    enabled: bool = True
    tenant: str | None = None
    timeout_s: float = 5.0
    upload_timeout_s: float = 300.0
    attempts: int = 4
    retry_ratio: float = 0.1
    retry_reserve: int = 10
    patience_s: float | None = None
    breaker_failures: int = 5
    breaker_open_s: float = 60.0
    stale_entries: int = 10_000
    stale_ttl_s: float = 3600.0
    ca_file: str | None = None
    ssl_context: ssl.SSLContext | None = None

    def __post_init__(self) -> None:
        problems = [
            *_address_problems(self.url),
            *self._identity_problems(),
            *self._number_problems(),
            *_authority_problems(self.ca_file),
        ]
        if problems:
            raise InvalidSettings(problems)

    @classmethod
    def from_env(cls, environ: Mapping[str, str] | None = None, **others: Any) -> Self:
        """Read `ML_SERVICE_URL`, `ML_SERVICE_API_KEY`, `ML_SERVICE_ENABLED`, `ML_SERVICE_TIMEOUT` (ms), and
        `ML_SERVICE_CA_FILE`.

        An empty variable counts as unset. `others` are settings by field name and take precedence. Raises
        `InvalidSettings`.
        """
        environ = os.environ if environ is None else environ
        read: dict[str, Any] = {}
        problems = []
        for variable, (name, parse) in _VARIABLES.items():
            text = environ.get(variable, "").strip()
            if not text or name in others:
                continue
            try:
                read[name] = parse(text)
            except ValueError as error:
                problems.append(f"{variable}: {error}")
        if problems:
            raise InvalidSettings(problems)
        return cls(**{**read, **others})

    def _identity_problems(self) -> list[str]:
        problems = []
        if self.enabled and not self.api_key:
            problems.append("api_key (ML_SERVICE_API_KEY): is missing")
        elif self.api_key and not API_KEY.fullmatch(self.api_key):
            problems.append("api_key (ML_SERVICE_API_KEY): must be one key, without a role, of visible ASCII")
        if self.tenant is not None and not TENANT.fullmatch(self.tenant):
            problems.append("tenant: must be 1 to 64 characters of A-Z a-z 0-9 _ -")
        return problems

    def _number_problems(self) -> list[str]:
        seconds = {
            "timeout_s (ML_SERVICE_TIMEOUT, in ms)": self.timeout_s,
            "upload_timeout_s": self.upload_timeout_s,
            "breaker_open_s": self.breaker_open_s,
            "stale_ttl_s": self.stale_ttl_s,
        }
        problems = [
            f"{name}: must be more than 0 seconds, not {value:g}"
            for name, value in seconds.items()
            if not (value > 0 and math.isfinite(value))
        ]
        if self.patience_s is not None and not self.patience_s >= 0:
            problems.append(f"patience_s: must be at least 0 seconds, not {self.patience_s:g}")
        if not (self.retry_ratio >= 0 and math.isfinite(self.retry_ratio)):
            problems.append(f"retry_ratio: must be at least 0, not {self.retry_ratio:g}")
        for name, value, least in (
            ("attempts", self.attempts, 1),
            ("retry_reserve", self.retry_reserve, 0),
            ("breaker_failures", self.breaker_failures, 1),
            ("stale_entries", self.stale_entries, 0),
        ):
            if value < least:
                problems.append(f"{name}: must be at least {least}, not {value}")
        return problems


def _address_problems(url: str) -> list[str]:
    try:
        parts = urlsplit(url)
        _ = parts.port  # raises for an invalid port
    except ValueError as error:
        return [f"url (ML_SERVICE_URL): {error}"]
    if parts.scheme not in ("http", "https") or not parts.hostname:
        return ["url (ML_SERVICE_URL): must be like http://ml.example.com:8000"]
    if parts.username is not None or parts.query or parts.fragment:
        return ["url (ML_SERVICE_URL): must have no user, query or fragment"]
    return []


def context_of(ca_file: str) -> ssl.SSLContext:
    """Return a context that trusts the certificates of a PEM file: authorities, or the service's own.

    Raises `OSError` for a file that cannot be read, and `ssl.SSLError` for one without certificates.
    """
    context = ssl.create_default_context(cafile=ca_file)
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    return context


def _authority_problems(ca_file: str | None) -> list[str]:
    if ca_file is not None:
        try:
            context_of(ca_file)
        except OSError as error:  # an SSLError too
            return [f"ca_file (ML_SERVICE_CA_FILE): {ca_file}: {error.strerror or error}"]
    return []


def _switch(text: str) -> bool:
    if text.lower() in TRUE | FALSE:
        return text.lower() in TRUE
    raise ValueError(f"must be true or false, not {text!r}")


def _milliseconds(text: str) -> float:
    try:
        return float(text) / 1000
    except ValueError:
        raise ValueError(f"must be a number of milliseconds, not {text!r}") from None


_VARIABLES: Final[Mapping[str, tuple[str, Any]]] = {
    "ML_SERVICE_URL": ("url", str),
    "ML_SERVICE_API_KEY": ("api_key", str),
    "ML_SERVICE_ENABLED": ("enabled", _switch),
    "ML_SERVICE_TIMEOUT": ("timeout_s", _milliseconds),
    "ML_SERVICE_CA_FILE": ("ca_file", str),
}
