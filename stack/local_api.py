"""The API of this machine, as the programs beside it reach it: for checks, and for the demo."""

from __future__ import annotations

import json
from collections.abc import Mapping
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from typing import Any, Final

from settings import Settings
from settings.tls_files import trusting
from stack.servers import LOOPBACK

ANSWER_TIMEOUT_S: Final = 4.0  # Flower waits 1 s for the workers' replies before it responds

# Status and decoded body; the body is empty if it is not a JSON object.
JsonResponse = tuple[int, dict[str, Any]]


class LocalApi:
    """The web server of these settings on this machine."""

    def __init__(self, settings: Settings) -> None:
        self._host = local_host(settings.host)
        self._port = settings.port
        # None without TLS. The certificate itself is the authority.
        self.tls: Final = trusting(settings.tls_certfile) if settings.tls_certfile else None
        # Any key will do: without one, the health has no reasons.
        self._headers = {"X-API-Key": settings.api_keys[0].key}

    @property
    def url(self) -> str:
        """Its address, without a path."""
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"{'https' if self.tls else 'http'}://{host}:{self._port}"

    def get(self, path: str) -> JsonResponse | None:
        """Return the answer to a GET of `path`, or None without one. Blocks for up to 4 s a step."""
        place = (self._host, self._port)
        connection = (
            HTTPSConnection(*place, timeout=ANSWER_TIMEOUT_S, context=self.tls)
            if self.tls
            else HTTPConnection(*place, timeout=ANSWER_TIMEOUT_S)
        )
        return get_json(connection, path, self._headers)

    def problem(self, path: str) -> str | None:
        """Return why a GET of `path` does not return 200, or None if it does. Blocks for up to 4 s a step."""
        answer = self.get(path)
        if answer is None:
            return "does not answer yet"
        status, body = answer
        if status == 200:
            return None
        missing = [
            f"{name} {check['status']} ({check['detail']})"
            for name, check in body.get("checks", {}).items()
            if check["status"] != "ok"
        ]
        return f"answers {status}{': ' if missing else ''}{', '.join(missing)}"


def local_host(host: str) -> str:
    """Return the address on this machine of a server bound to `host`."""
    return {"0.0.0.0": LOOPBACK, "::": "::1"}.get(host, host)  # noqa: S104 - compared, not bound


def get_json(connection: HTTPConnection, path: str, headers: Mapping[str, str]) -> JsonResponse | None:
    """Return the answer to a GET, or None without one. Closes the connection. Blocks within its time-outs."""
    try:
        connection.request("GET", path, headers=dict(headers))
        response = connection.getresponse()
        raw = response.read()
    except (OSError, HTTPException):
        return None
    finally:
        connection.close()
    try:
        body = json.loads(raw)
    except ValueError:
        body = {}
    return response.status, body if isinstance(body, dict) else {}
