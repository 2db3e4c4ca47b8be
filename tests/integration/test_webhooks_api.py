"""The API and the command of webhooks: roles, tenants, wrong input, secrets, audit log, erasure."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from redis import Redis

from settings import ROOT
from tasks.messaging.task_publisher import TaskPublisher
from tasks.notify.cloud_events import alert_opened
from tasks.notify.outbox import Outbox
from tasks.notify.webhook_store import MAX_WEBHOOKS, SECRETS_KEY, WEBHOOKS_KEY
from tests.batches import ended
from tests.golden.redis_dump import dump, keys_of
from tests.http_jobs import assert_problem
from tests.processes import KEY, READ_KEY, Web, environment, running_service, settings_for
from tests.services import RunningServer, start_redis

WEBHOOKS = "/api/v1/webhooks"
URL = "https://hooks.example/ml"
BODY = {"url": URL, "types": ["job.ended", "alert.opened"]}


@pytest.fixture(scope="module")
def server() -> Iterator[RunningServer]:
    with start_redis() as server:
        yield server


@pytest.fixture(scope="module")
def audit_log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("audit") / "audit.jsonl"


@pytest.fixture(scope="module")
def service(server: RunningServer, audit_log: Path) -> Iterator[Web]:
    with running_service(environment(server.url, AUDIT_LOG=str(audit_log))) as web:
        yield web


@pytest.fixture
def api(service: Web, server: RunningServer) -> httpx.Client:
    """The API, without webhooks."""
    with Redis.from_url(server.url) as redis:
        redis.delete(WEBHOOKS_KEY, SECRETS_KEY)
    return service.client


def of(tenant: str) -> dict[str, str]:
    return {"X-Tenant-ID": tenant}


def added(api: httpx.Client, *, tenant: str | None = None, **body: Any) -> dict[str, Any]:
    answer = api.post(WEBHOOKS, json={**BODY, **body}, headers=of(tenant) if tenant else {})
    assert answer.status_code == 201, answer.text
    found: dict[str, Any] = answer.json()
    return found


def listed(api: httpx.Client, *, tenant: str | None = None) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = api.get(WEBHOOKS, headers=of(tenant) if tenant else {}).json()["items"]
    return found


def test_a_webhook_is_added_listed_and_removed(api: httpx.Client) -> None:
    answer = api.post(WEBHOOKS, json=BODY)
    made = answer.json()
    assert answer.headers["Location"] == f"{WEBHOOKS}/{made['id']}"
    assert answer.headers["Cache-Control"] == "no-store"
    secret = made.pop("secret")
    assert secret.startswith("whsec_")
    assert (made["url"], made["types"], made["tenant_id"], made["state"]) == (
        URL,
        BODY["types"],
        None,
        "active",
    )
    assert listed(api) == [made]
    assert api.get(answer.headers["Location"]).json() == made
    assert api.get(f"{WEBHOOKS}/{made['id']}/failures").json() == {"items": [], "next": None, "total": 0}
    assert api.delete(f"{WEBHOOKS}/{made['id']}").status_code == 204
    assert listed(api) == []
    for method, path in (("GET", ""), ("DELETE", ""), ("GET", "/failures"), ("POST", "/replay")):
        answer = api.request(method, f"{WEBHOOKS}/{made['id']}{path}")
        assert_problem(answer, 404, "unknown_webhook")


@pytest.mark.owasp("API2", "a webhook's secret is shown once; lists, logs and the audit log do not have it")
def test_a_secret_is_shown_once(
    api: httpx.Client, service: Web, server: RunningServer, audit_log: Path
) -> None:
    made = added(api)
    secret = made["secret"].removeprefix("whsec_")
    for path in ("", f"/{made['id']}", f"/{made['id']}/failures"):
        assert secret not in api.get(WEBHOOKS + path).text
    assert secret not in service.log() + audit_log.read_text()
    with Redis.from_url(server.url) as redis:
        stored = dump(redis, keys_of(redis))
    assert [key for key, value in stored.items() if secret in json.dumps(value)] == [SECRETS_KEY]


@pytest.mark.owasp("API5", "webhooks need the role admin")
@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", ""),
        ("POST", ""),
        ("GET", "/x"),
        ("DELETE", "/x"),
        ("GET", "/x/failures"),
        ("POST", "/x/replay"),
    ],
)
def test_other_roles_are_refused(api: httpx.Client, method: str, path: str) -> None:
    answer = api.request(method, WEBHOOKS + path, json=BODY, headers={"X-API-Key": READ_KEY})
    assert_problem(answer, 403, "forbidden")
    assert_problem(api.request(method, WEBHOOKS + path, headers={"X-API-Key": ""}), 401, "unauthorized")


@pytest.mark.owasp("API1", "a request of a tenant sees no webhook of another, nor one for all tenants")
def test_a_tenant_sees_its_own_webhooks_alone(api: httpx.Client) -> None:
    everything, acme, volt = added(api), added(api, tenant="acme"), added(api, tenant="volt")
    assert (everything["tenant_id"], acme["tenant_id"]) == (None, "acme")
    assert [each["id"] for each in listed(api)] == [everything["id"], acme["id"], volt["id"]]
    assert [each["id"] for each in listed(api, tenant="acme")] == [acme["id"]]
    for other in (everything, volt):
        for method, path in (("GET", ""), ("DELETE", ""), ("GET", "/failures"), ("POST", "/replay")):
            answer = api.request(method, f"{WEBHOOKS}/{other['id']}{path}", headers=of("acme"))
            assert_problem(answer, 404, "unknown_webhook")
    assert len(listed(api)) == 3


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({}, "/url"),
        ({"url": URL}, "/types"),
        ({**BODY, "url": 7}, "/url"),
        ({**BODY, "url": None}, "/url"),
        ({**BODY, "url": ""}, "/url"),
        ({**BODY, "url": "example.com"}, "/url"),
        ({**BODY, "url": "https://me:secret@example.com"}, "/url"),
        ({**BODY, "url": "https://127.0.0.1/"}, "/url"),
        ({**BODY, "url": "https://[::ffff:169.254.169.254]/"}, "/url"),
        ({**BODY, "types": []}, "/types"),
        ({**BODY, "types": "job.ended"}, "/types"),
        ({**BODY, "types": ["job.ended", "job.begun"]}, "/types/1"),
    ],
)
def test_what_is_wrong_is_named(api: httpx.Client, body: dict[str, Any], pointer: str) -> None:
    answer = api.post(WEBHOOKS, json=body)
    problem = assert_problem(answer, 422, "invalid_parameter")
    assert pointer in [each["pointer"] for each in problem["errors"]]
    assert listed(api) == []


def test_a_repeated_type_counts_once(api: httpx.Client) -> None:
    assert added(api, types=["job.ended", "job.ended"])["types"] == ["job.ended"]


@pytest.mark.owasp("API4", "the number of webhooks is bounded")
def test_the_number_of_webhooks_is_bounded(api: httpx.Client, server: RunningServer) -> None:
    with Redis.from_url(server.url) as redis:
        redis.hset(WEBHOOKS_KEY, mapping={f"{number}": "{}" for number in range(MAX_WEBHOOKS)})
        assert_problem(api.post(WEBHOOKS, json=BODY), 409, "conflict")
        assert listed(api) == []  # records that cannot be read are left out
        redis.hdel(WEBHOOKS_KEY, "0")
    assert added(api)


@pytest.mark.owasp("API5", "each change of a webhook is in the audit log")
def test_each_change_is_in_the_audit_log(api: httpx.Client, audit_log: Path) -> None:
    path = f"{WEBHOOKS}/{added(api, tenant='acme')['id']}"
    api.post(f"{path}/replay")
    api.delete(path)
    lines = [json.loads(line) for line in audit_log.read_text().splitlines()][-3:]
    assert [(line["action"], line["status"]) for line in lines] == [
        (f"POST {WEBHOOKS}", 201),
        (f"POST {path}/replay", 202),
        (f"DELETE {path}", 204),
    ]
    assert lines[0]["tenant"] == "acme"


def command(server: RunningServer, audit_log: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "web.webhooks", *arguments],
        cwd=ROOT,
        env=environment(server.url, AUDIT_LOG=str(audit_log)),
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_the_command_does_the_same(api: httpx.Client, server: RunningServer, audit_log: Path) -> None:
    ran = command(server, audit_log, "add", URL, "--type", "job.ended", "--tenant", "acme")
    secret = ran.stdout.strip()
    (made,) = listed(api, tenant="acme")
    assert (ran.returncode, secret[:6], made["types"]) == (0, "whsec_", ["job.ended"])
    table = command(server, audit_log, "list").stdout
    assert made["id"] in table
    assert secret not in table
    assert command(server, audit_log, "failed", made["id"]).returncode == 0
    assert "0 parked events" in command(server, audit_log, "replay", made["id"]).stderr
    assert command(server, audit_log, "remove", made["id"]).returncode == 0
    unknown = command(server, audit_log, "remove", made["id"])
    assert (unknown.returncode, "no webhook" in unknown.stderr) == (1, True)
    refused = command(server, audit_log, "add", "https://localhost/", "--type", "job.ended")
    assert (refused.returncode, refused.stderr) == (2, "web.webhooks: The host is not public.\n")
    lines = [json.loads(line)["action"] for line in audit_log.read_text().splitlines()][-3:]
    assert lines == [f"webhooks {done} {made['id']}" for done in ("add", "replay", "remove")]
    assert listed(api) == []


@pytest.mark.owasp("API3", "an erasure removes events of the charger or tenant, and the tenant's webhooks")
def test_an_erasure_removes_events_and_the_webhooks_of_a_tenant(
    api: httpx.Client, server: RunningServer
) -> None:
    types = ["alert.opened"]
    everything, acme = added(api, types=types), added(api, tenant="acme", types=types)
    with Redis.from_url(server.url) as redis:
        outbox = Outbox(redis, TaskPublisher(settings_for(server.url)))
        for tenant, charger_id in (("acme", "EVZ-A"), ("acme", "EVZ-B"), ("volt", "EVZ-A"), (None, "EVZ-A")):
            made = alert_opened(f"alert-{charger_id}", charger_id, {}, tenant=tenant, at=1.0)
            for each in outbox.to_store([made]):
                redis.execute_command(*each)
        waiting = {each["id"]: each["outbox"] for each in listed(api)}
        assert waiting == {everything["id"]: 4, acme["id"]: 2}
        job = api.delete("/api/v1/chargers/EVZ-A", headers=of("acme")).json()
        headers = {"X-API-Key": KEY, **of("acme")}
        with httpx.Client(base_url=api.base_url, headers=headers, timeout=10) as of_acme:
            assert ended(of_acme, job["job_id"])["status"] == "SUCCEEDED"
        assert {each["id"]: each["outbox"] for each in listed(api)} == {everything["id"]: 3, acme["id"]: 1}
        job = api.delete("/api/v1/tenants/acme").json()
        assert ended(api, job["job_id"])["status"] == "SUCCEEDED"
        rest = listed(api)
        assert [(each["id"], each["outbox"]) for each in rest] == [(everything["id"], 2)]
        receipt = api.get(f"/api/v1/jobs/{job['job_id']}/results").json()["items"][0]["erased"]
        assert (receipt["events"], receipt["webhooks"]) == (1, 1)
        stored = dump(redis, [key for key in keys_of(redis) if b"webhook" in key])
        assert "EVZ-B" not in json.dumps(stored)
        assert acme["id"] not in json.dumps(stored)
