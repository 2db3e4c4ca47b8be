"""What administrators do is written down: by whom, when, from where; never with a key."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from settings import ROOT
from tests.console_login import logged_in
from tests.http_jobs import assert_problem
from tests.processes import KEY, READ_KEY, Web, environment
from tests.services import RunningServer, start_redis
from web.console.failed_log_ins import MOST_AT_ONCE

AUDIT = "/api/v1/audit"
RELOAD = "/api/v1/models/reload"


@dataclass
class Audited:
    web: Web
    file: Path
    redis: RunningServer

    @property
    def environment(self) -> dict[str, str]:
        return environment(self.redis.url, AUDIT_LOG=str(self.file))

    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.file.read_text().splitlines()]


@pytest.fixture
def audited(tmp_path: Path) -> Iterator[Audited]:
    file = tmp_path / "folder" / "audit.jsonl"
    with start_redis() as redis, Web(environment(redis.url, AUDIT_LOG=str(file))) as web:
        yield Audited(web, file, redis)


@pytest.mark.owasp("API5", "each action of an administrator is in the audit log, refused ones too")
def test_a_request_of_an_administrator_is_written_to_file_and_redis(audited: Audited) -> None:
    client = audited.web.client
    client.get("/api/v1/models")
    assert not audited.file.exists()
    headers = {"X-Request-ID": "mine", "X-Tenant-ID": "acme"}
    assert client.post(RELOAD, headers=headers).status_code in (200, 202)
    client.post("/api/v1/models/failure/activate", json={"version": "none"})
    lines = audited.lines()
    assert [(line["action"], line["status"]) for line in lines] == [
        (f"POST {RELOAD}", lines[0]["status"]),
        ("POST /api/v1/models/failure/activate", 404),
    ]
    first = lines[0]
    assert (first["key_id"], first["key_name"]) == ("settings", "ML_SERVICE_API_KEY")
    assert (first["origin"], first["tenant"], first["request_id"]) == ("127.0.0.1", "acme", "mine")
    assert audited.file.stat().st_mode & 0o777 == 0o600
    assert KEY not in audited.file.read_text()
    page = client.get(f"{AUDIT}?limit=1").json()
    assert (page["items"], page["next"], page["total"]) == ([lines[1]], "1", 2)


@pytest.mark.owasp(
    "API2", "log-ins to the console are in the audit log, failed ones in bounded number, never a key"
)
def test_log_ins_are_written_and_a_flood_of_failures_is_bounded(audited: Audited) -> None:
    with logged_in(audited.web.url, READ_KEY) as client:
        assert client.post_form("/logout").status_code == 303
    login, logout = audited.lines()
    assert (login["action"], login["status"], logout["action"]) == ("POST /login", 303, "POST /logout")
    for line in (login, logout):
        assert (line["key_id"], line["key_name"]) == ("settings", "ML_SERVICE_API_KEY")
        assert (line["origin"], line["tenant"]) == ("127.0.0.1", None)
    with httpx.Client(base_url=audited.web.url, timeout=30) as stranger:
        assert stranger.post("/login", data={"link": "used-before"}).status_code == 401
        for number in range(MOST_AT_ONCE + 5):
            assert stranger.post("/login", data={"key": f"guess-{number}"}).status_code == 401
    failed = audited.lines()[2:]
    assert len(failed) == MOST_AT_ONCE
    assert {(each["action"], each["key_id"], each["key_name"], each["status"]) for each in failed} == {
        ("POST /login", "", "", 401)
    }
    written = audited.file.read_text()
    assert "guess-" not in written
    assert "used-before" not in written
    assert READ_KEY not in written
    with logged_in(audited.web.url, KEY) as client:
        text = client.get("/system/audit").text
    assert "no valid key" in text
    assert "POST /logout" in text


@pytest.mark.owasp("API5", "reading the audit log needs the role admin")
def test_only_administrators_read_it(audited: Audited) -> None:
    answer = audited.web.client.get(AUDIT, headers={"X-API-Key": READ_KEY})
    assert_problem(answer, 403, "forbidden")


@pytest.mark.owasp("API2", "changes of keys are in the audit log")
def test_a_change_of_keys_is_written_with_user_and_host(audited: Audited) -> None:
    command = [sys.executable, "-m", "web.keys", "create", "--name", "backend", "--role", "admin"]
    done = subprocess.run(
        command, cwd=ROOT, env=audited.environment, capture_output=True, text=True, timeout=60, check=True
    )
    (line,) = audited.lines()
    assert (line["action"], line["key_id"], line["status"]) == ("keys create backend", "", None)
    assert " at " in line["origin"]
    assert done.stdout.strip() not in audited.file.read_text()


def test_a_file_that_cannot_be_written_costs_no_action(audited: Audited) -> None:
    audited.file.parent.write_text("in the way")
    assert audited.web.client.post(RELOAD).status_code in (200, 202)
    assert audited.web.client.get(AUDIT).json()["total"] == 1
    assert "is not in" in audited.web.log()
