"""Address and key of the service, from options, the environment and `.env`."""

from __future__ import annotations

import os
import ssl
from collections.abc import Collection
from typing import Final
from urllib.parse import urlsplit

from dotenv import dotenv_values

from evzone_ml_client import InvalidSettings, Settings
from evzone_ml_client.command.outcome import Refused
from evzone_ml_client.settings import context_of

DOTENV: Final = ".env"
ANY_ROLE: Final = ("", "predict", "read", "admin")
MAY_PREDICT: Final = ("", "predict")


def read_settings(url: str | None, tenant: str | None, patience_s: float, roles: Collection[str]) -> Settings:
    """Read the settings of the client. The environment wins over `.env` of the current folder.

    `url` is that of the option; `roles` are those of keys that may be used. Blocks for the disk. Raises
    `Refused` without an address or key that can be used, and `InvalidSettings`.
    """
    environ = {**dotenv_values(DOTENV), **os.environ}
    key = _key(environ.get("ML_SERVICE_API_KEY") or "", roles)
    if key is None:
        may = " that may ask for predictions" if "read" not in roles else ""
        raise Refused(f"ML_SERVICE_API_KEY (environment or .env) has no key{may}.")
    if url is not None and not is_http_url(url):
        raise Refused(f"--url: must look like http://host:port, not {url}")
    context = None
    if url is None:
        url = environ.get("ML_SERVICE_URL") or ""
        if not url:
            certfile = environ.get("TLS_CERTFILE")
            context = _trusting(certfile) if certfile else None
            url = f"{'https' if certfile else 'http'}://localhost:{environ.get('PORT') or 8000}"
        if not is_http_url(url):
            raise InvalidSettings([f"ML_SERVICE_URL: must look like http://host:port, not {url}"])
    return Settings(
        url=url.rstrip("/"),
        api_key=key,
        tenant=tenant or None,
        timeout_s=60.0,
        patience_s=max(0.0, patience_s),
        ca_file=environ.get("ML_SERVICE_CA_FILE") or None,
        ssl_context=context,
    )


def _trusting(certfile: str) -> ssl.SSLContext:
    """The context for the service of this folder, on this machine: it has this certificate and no other.

    The name is not compared, because it need not be localhost. Raises `InvalidSettings`.
    """
    try:
        context = context_of(certfile)
    except OSError as error:
        raise InvalidSettings([f"TLS_CERTFILE: {certfile}: {error.strerror or error}"]) from None
    context.check_hostname = False
    return context


def is_http_url(url: str) -> bool:
    """Whether an HTTP client can try it: a scheme, a host, and no port that is none."""
    try:
        parts = urlsplit(url)
        return (
            parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0 and " " not in url
        )
    except ValueError:
        return False


def _key(text: str, roles: Collection[str]) -> str | None:
    """The first key with one of `roles` in `KEY[:ROLE],…`, the form in which the service reads its keys."""
    for part in text.split(","):
        key, _, role = part.strip().partition(":")
        if key and role in roles:
            return key
    return None
