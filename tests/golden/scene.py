"""Requests by name, each recorded with its answer."""

from __future__ import annotations

from typing import Any

import httpx

from tests.golden.answers import answered, head


class Scenes:
    """Sends requests and keeps the answers by name. The name is the request's `X-Request-ID`."""

    def __init__(self, client: httpx.Client) -> None:
        self.client = client
        self.recorded: dict[str, Any] = {}

    def ask(
        self, name: str, method: str, path: str, *, key: str | None = "", **options: Any
    ) -> httpx.Response:
        """Send one request; `key` None sends no API key, "" the client's own. Returns the whole answer."""
        response = self._send(name, method, path, key, options)
        self.keep(name, f"{method} {path}", answered(response))
        return response

    def settled(self, name: str, method: str, path: str, **options: Any) -> httpx.Response:
        """The same, repeated while the answer is that workers have not followed yet (202)."""
        for _ in range(5):
            response = self._send(name, method, path, "", options)
            if response.status_code != 202:
                break
        self.keep(name, f"{method} {path}", answered(response))
        return response

    def head_only(self, name: str, method: str, path: str) -> None:
        """Status and headers, without the body."""
        response = self._send(name, method, path, "", {})
        self.keep(name, f"{method} {path}", head(response))

    def keep(self, name: str, request: str, answer: dict[str, Any]) -> None:
        if name in self.recorded:
            raise ValueError(f"two scenes are called {name}")
        self.recorded[name] = {"request": request, **answer}

    def _send(
        self, name: str, method: str, path: str, key: str | None, options: dict[str, Any]
    ) -> httpx.Response:
        headers = {"X-Request-ID": f"golden-{name}", **options.pop("headers", {})}
        if key:
            headers["X-API-Key"] = key
        request = self.client.build_request(method, path, headers=headers, **options)
        if key is None:
            del request.headers["X-API-Key"]
        return self.client.send(request)
