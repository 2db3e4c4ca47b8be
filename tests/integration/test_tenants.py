"""A tenant reaches no object of another, though it knows its id."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta

import httpx
import pytest

from tests.http_jobs import assert_problem, submit
from tests.processes import Web
from tests.readings import metrics, request

FAILURE = "/api/v1/predictions/failure"
NORTH, SOUTH = {"X-Tenant-ID": "north-objects"}, {"X-Tenant-ID": "south-objects"}


@pytest.fixture
def others(web: Web) -> Iterator[list[httpx.Client]]:
    """Clients of another tenant, and of none."""
    with ExitStack() as opened:
        key = dict(web.client.headers)
        yield [
            opened.enter_context(httpx.Client(base_url=web.url, headers=key | tenant, timeout=30))
            for tenant in (SOUTH, {})
        ]


@pytest.mark.owasp("API1", "a job of another tenant is 404: its state, results and events, and to cancel it")
@pytest.mark.parametrize(
    ("method", "path"), [("GET", ""), ("GET", "/results"), ("GET", "/events"), ("DELETE", "")]
)
def test_a_job_of_another_tenant_is_not_there(
    client: httpx.Client, others: list[httpx.Client], method: str, path: str
) -> None:
    job_id = submit(client, [metrics()], **NORTH)["job_id"]
    for other in others:
        assert_problem(other.request(method, f"/api/v1/jobs/{job_id}{path}"), 404, "unknown_job")
    job = client.get(f"/api/v1/jobs/{job_id}", headers=NORTH).json()
    assert job["status"] != "CANCELLED"


@pytest.mark.owasp("API1", "an Idempotency-Key of another tenant names another job")
def test_an_idempotency_key_of_another_tenant_is_another(
    client: httpx.Client, others: list[httpx.Client]
) -> None:
    key = {"Idempotency-Key": "the-same"}
    rows = [metrics()]
    job_id = submit(client, rows, **NORTH, **key)["job_id"]
    assert submit(client, rows, **NORTH, **key)["job_id"] == job_id
    assert submit(others[0], rows, **key)["job_id"] != job_id


@pytest.mark.owasp("API1", "verdicts, histories and outcomes of another tenant are not there")
def test_verdicts_histories_and_outcomes_of_another_tenant_are_not_there(
    client: httpx.Client, others: list[httpx.Client]
) -> None:
    now = datetime.now(UTC)
    body = request(timestamp=(now - timedelta(hours=12)).isoformat())
    charger = body["charger_id"]
    assert client.post(FAILURE, json=body, headers=NORTH).status_code == 200
    verdict, history = f"/api/v1/predictions/{charger}", f"/api/v1/chargers/{charger}/history"
    outcome = {"charger_id": charger, "outcome": "failed", "occurred_at": now.isoformat()}
    for other in others:
        for path in (verdict, history):
            assert_problem(other.get(path), 404, "unknown_charger")
        other.delete(verdict)
        assert_problem(other.post("/api/v1/outcomes", json=outcome), 404, "unknown_charger")
    for path in (verdict, history):
        assert client.get(path, headers=NORTH).status_code == 200
    quality = client.get("/api/v1/outcomes/quality", headers=NORTH).json()
    assert set(quality["outcomes"].values()) == {0}
    assert client.post("/api/v1/outcomes", json=outcome, headers=NORTH).json()["verdict_known"] is True
