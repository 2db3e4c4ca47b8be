"""A browser without a screen: an HTTP client with a session of the console."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

import httpx

from tests.processes import KEY

_TOKEN = re.compile(r'name="csrf_token" value="([^"]+)"')


class ConsoleClient(httpx.Client):
    """A client with a session. `post_form` adds the CSRF token of its pages."""

    def post_form(self, path: str, **fields: str) -> httpx.Response:
        return self.post(path, data={"csrf_token": token_of(self), **fields})


def token_of(client: httpx.Client) -> str:
    """The CSRF token in the pages of a session."""
    found = _TOKEN.search(client.get("/").text)
    assert found
    return found[1]


@contextmanager
def logged_in(url: str, key: str = KEY, *, tenant: str | None = None) -> Iterator[ConsoleClient]:
    """A client that has logged in with a key, and shows a tenant. It does not follow redirects."""
    with ConsoleClient(base_url=url, timeout=30) as client:
        answer = client.post("/login", data={"key": key})
        assert answer.status_code == 303, answer.text
        if tenant is not None:
            assert client.post_form("/tenant", tenant=tenant).status_code == 303
        yield client
