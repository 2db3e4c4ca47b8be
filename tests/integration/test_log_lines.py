"""The log of a real web process, by each of its ways in: which request a line is about."""

from __future__ import annotations

import json
import re
from typing import Any, Final

import pytest

from tests.processes import KEY, Web, environment, wait_until
from tests.readings import request
from tests.services import RunningServer

FAILURE: Final = "/api/v1/predictions/failure"
HEADERS: Final = {"X-API-Key": KEY, "X-Tenant-ID": "acme"}


def lines_about(web: Web, request_id: str) -> list[dict[str, Any]]:
    """The log's objects that name the request. Lines that are none belong to the server itself."""
    found = [json.loads(line) for line in web.log().splitlines() if line.startswith("{")]
    return [line for line in found if line.get("request_id") == request_id]


@pytest.mark.owasp("API8", "logs hold no key, and text of callers cannot begin a line")
@pytest.mark.parametrize("server", ["asgi", "gunicorn"])
def test_each_answer_is_one_line_with_request_and_tenant(redis: RunningServer, server: str) -> None:
    env = environment(redis.url.replace("/0", "/9"), ACCESS_LOG="true", ML_SYNC_TIMEOUT="0.5")
    with Web(env, server=server) as web:
        late = web.client.post(FAILURE, json=request(), headers={**HEADERS, "X-Request-ID": "late"})
        assert late.status_code == 504  # there is no worker
        web.client.get("/api/v1/jobs?limit=5", headers={**HEADERS, "X-Request-ID": "jobs"})
        web.client.get("/none%0A{", headers={"X-Request-ID": "odd"})
        wait_until(lambda: bool(lines_about(web, "odd")), what="the last line", log=web.log)
        seen = {
            name: [
                (line["logger"], line["method"], line["path"], line["status"], line.get("tenant"))
                for line in lines_about(web, name)
            ]
            for name in ("late", "jobs", "odd")
        }
        assert seen == {
            "late": [("access", "POST", FAILURE, 504, "acme")],
            "jobs": [("access", "GET", "/api/v1/jobs", 200, "acme")],
            "odd": [("access", "GET", "/none\n{", 404, None)],
        }
        assert lines_about(web, "late")[0]["duration_ms"] >= 500
        assert KEY not in web.log()


@pytest.mark.parametrize("server", ["asgi", "gunicorn"])
def test_an_event_names_the_request_in_which_it_happened(server: str) -> None:
    env = environment("redis://127.0.0.1:1/0")
    with Web(env, server=server) as web:
        for name, tenant in (("first", "acme"), ("second", None)):
            headers = {"X-Request-ID": name} | ({} if tenant is None else {"X-Tenant-ID": tenant})
            refused = web.client.get("/api/v1/jobs", headers=headers)
            assert refused.status_code == 503
            (line,) = lines_about(web, name)
            assert (line["level"], line.get("tenant")) == ("warning", tenant)
            assert line["event"].startswith("Redis unavailable: ")


def test_text_is_written_where_it_is_wanted() -> None:
    with Web(environment("redis://127.0.0.1:1/0", LOG_FORMAT="text")) as web:
        web.client.get("/api/v1/jobs", headers={"X-Request-ID": "mine"})
        (line,) = [line for line in web.log().splitlines() if "request_id=mine" in line]
        assert re.match(
            r"\S+Z \[warning  \] Redis unavailable: .* \[web\.http\.errors\] request_id=mine$", line
        )
