"""Jobs and problem documents as a caller meets them, for tests: submit, wait, read, compare."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import httpx

from tests.batches import BATCH, job_of, post_file
from tests.processes import KEY, Web, wait_until


def submit(client: httpx.Client, rows: list[Any], query: str = "", **headers: str) -> dict[str, Any]:
    answer = client.post(f"{BATCH}{query}", json={"chargers": rows}, headers=headers)
    assert answer.status_code == 202, answer.text
    job: dict[str, Any] = answer.json()
    assert answer.headers["Location"] == f"/api/v1/jobs/{job['job_id']}"
    return job


def finish(client: httpx.Client, job_id: str) -> dict[str, Any]:
    document: dict[str, Any] = {}

    def ended() -> bool:
        document.update(client.get(f"/api/v1/jobs/{job_id}").json())
        return document["status"] in ("SUCCEEDED", "FAILED", "CANCELLED")

    wait_until(ended, what=f"the end of job {job_id}")
    return document


def all_results(client: httpx.Client, job_id: str, page: int = 400) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = []
    cursor: str | None = "0"
    while cursor is not None:
        answer = client.get(f"/api/v1/jobs/{job_id}/results?limit={page}&cursor={cursor}").json()
        items += answer["items"]
        cursor = answer["next"]
    return items


def assert_problem(answer: httpx.Response, status: int, code: str) -> dict[str, Any]:
    assert answer.status_code == status, answer.text
    assert answer.headers["Content-Type"] == "application/problem+json"
    body: dict[str, Any] = answer.json()
    assert set(body) >= {"type", "title", "status", "detail", "code", "request_id"}
    assert (body["status"], body["code"]) == (status, code)
    assert body["request_id"] == answer.headers["X-Request-ID"]
    assert "Traceback" not in answer.text
    return body


def assert_half_is_refused(web: Web, tenant: str, body: bytes, content_type: str, framing: str) -> None:
    """Send half of `body` and go: no job comes of it, and the whole can be sent with the same key."""
    key = {"Idempotency-Key": tenant}
    head = [
        "POST /api/v1/predictions/batch HTTP/1.1",
        "Host: here",
        f"X-API-Key: {KEY}",
        f"X-Tenant-ID: {tenant}",
        f"Content-Type: {content_type}",
        *(f"{name}: {value}" for name, value in key.items()),
    ]
    half = body[: body.find(b"\n", len(body) // 2)]
    if framing == "length":
        head.append(f"Content-Length: {len(body)}")
    else:
        head.append("Transfer-Encoding: chunked")
        half = b"%x\r\n%b\r\n" % (len(half), half)
    with socket.create_connection(("127.0.0.1", web.port)) as connection:
        connection.sendall("\r\n".join([*head, "", ""]).encode() + half)
        with suppress(OSError):  # it may have been refused by then, and the connection closed
            connection.shutdown(socket.SHUT_WR)
            while connection.recv(4096):
                pass
    whole = job_of(post_file(web.client, body, content_type, **key, **{"X-Tenant-ID": tenant}))
    jobs = web.client.get("/api/v1/jobs", headers={"X-Tenant-ID": tenant}).json()["items"]
    assert [(job["job_id"], job["total"]) for job in jobs] == [(whole, 2000)]


def events(answer: httpx.Response) -> Iterator[Event]:
    fields: dict[str, str] = {}
    for line in answer.iter_lines():
        name, _, value = line.partition(": ")
        if line:
            fields[name] = value
        elif "event" in fields:
            yield Event(fields["event"], fields["id"], json.loads(fields["data"]))
            fields = {}


def events_of(job: dict[str, Any]) -> str:
    return f"/api/v1/jobs/{job['job_id']}/events"


@dataclass(frozen=True, slots=True)
class Event:
    name: str
    its_id: str
    data: dict[str, Any]
