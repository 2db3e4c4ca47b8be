"""TLS to Redis, as parameters of its URL. redis-py, Celery and Flower read the same ones."""

from __future__ import annotations

from urllib.parse import quote, urlencode, urlsplit

from settings.fields import Settings


def with_tls(url: str, settings: Settings) -> str:
    """Return a `rediss://` URL with its certificates. The server's is always verified, and so is its name.

    Without an explicit parameter kombu would verify nothing. Another URL is returned as it is.
    """
    if urlsplit(url).scheme != "rediss":
        return url
    parameters = {
        "ssl_cert_reqs": "required",
        "ssl_ca_certs": settings.redis_ssl_cafile,  # without one: the system's authorities
        "ssl_certfile": settings.redis_ssl_certfile,
        "ssl_keyfile": settings.redis_ssl_keyfile,
    }
    return f"{url}?{urlencode({name: value for name, value in parameters.items() if value}, quote_via=quote)}"
