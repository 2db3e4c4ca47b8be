"""The console's pages of jobs: send a file, follow the job, cancel it, download the results."""

from __future__ import annotations

import gzip
import io
import re
from collections.abc import Iterator
from typing import Any, Final

import httpx
import orjson
import pytest
from pyarrow import csv

from tests.batches import CSV, NDJSON, PARQUET, job_of, ndjson_of, parquet_of, post_file
from tests.console_fleet import HOSTILE
from tests.console_login import ConsoleClient, logged_in, token_of
from tests.http_jobs import assert_problem, finish
from tests.processes import READ_KEY, Web
from tests.readings import metrics
from tests.services import RunningServer

TENANT: Final = "console-jobs"
OF_TENANT: Final = {"X-Tenant-ID": TENANT}
GOOD: Final = b"charger_id,connector_status,temperature\r\nEVZ-1,CHARGING,41\r\nEVZ-2,AVAILABLE,20\r\n"
BAD: Final = (
    f"charger_id,connector_status,temperature,{HOSTILE.replace(chr(34), '')}\r\nEVZ-1,CHARGING,41,x\r\n"
    f'"{HOSTILE.replace(chr(34), chr(34) * 2)}",CHARGING,"{HOSTILE.replace(chr(34), chr(34) * 2)}",x\r\n'
).encode()


@pytest.fixture
def console(web: Web) -> Iterator[ConsoleClient]:
    with logged_in(web.url, tenant=TENANT) as client:
        yield client


@pytest.fixture
def idle(lonely: tuple[Web, RunningServer]) -> Iterator[tuple[Web, ConsoleClient]]:
    """A service without workers, and a visitor: jobs stand still there."""
    with logged_in(lonely[0].url) as client:
        yield lonely[0], client


def send(
    client: httpx.Client, body: bytes, content_type: str = CSV, query: str = "", **headers: str
) -> httpx.Response:
    """Send a file as the script of the page does."""
    given = {"Content-Type": content_type, "Accept": "application/json", "X-CSRF-Token": token_of(client)}
    return client.post(f"/jobs{query}", content=body, headers={**given, **headers})


def sent(web: Web, client: httpx.Client, *args: Any, **kwargs: Any) -> str:
    """The id of the ended job of a file that was sent."""
    answer = send(client, *args, **kwargs)
    assert answer.status_code == 202, answer.text
    job_id: str = answer.json()["job_id"]
    assert answer.json()["address"] == answer.headers["Location"] == f"/jobs/{job_id}"
    with httpx.Client(base_url=web.url, headers={**web.client.headers, **OF_TENANT}) as api:
        assert finish(api, job_id)["status"] == "SUCCEEDED"
    return job_id


def listed(client: httpx.Client, query: str = "") -> list[str]:
    """The ids of the jobs in the list, in its order."""
    answer = client.get(f"/jobs{query}")
    assert answer.status_code == 200, answer.text
    return re.findall(r'href="/jobs/([0-9a-f]{32})"', answer.text)


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (GOOD, CSV),
        (ndjson_of([metrics("EVZ-1"), metrics("EVZ-2")]), NDJSON),
        (parquet_of(csv.read_csv(io.BytesIO(GOOD))), PARQUET),
    ],
    ids=["csv", "ndjson", "parquet"],
)
def test_a_file_becomes_a_job_with_results(
    web: Web, console: ConsoleClient, body: bytes, content_type: str
) -> None:
    job_id = sent(web, console, body, content_type, "?kind=all")
    page = console.get(f"/jobs/{job_id}").text
    assert "Succeeded" in page
    assert "2 of 2 rows, 100 %" in page
    assert '<progress value="2" max="2"' in page
    assert "hx-get" not in page  # it is over
    assert "First errors" not in page
    rows = [orjson.loads(line) for line in console.get(f"/jobs/{job_id}/results.ndjson").content.splitlines()]
    assert [(row["row"], row["charger_id"]) for row in rows] == [(0, "EVZ-1"), (1, "EVZ-2")]
    assert {"failure", "maintenance", "anomaly"} <= rows[0].keys()


def test_a_packed_file_becomes_a_job(web: Web, console: ConsoleClient) -> None:
    job_id = sent(web, console, gzip.compress(GOOD), **{"Content-Encoding": "gzip"})
    assert "2 of 2 rows, 100 %" in console.get(f"/jobs/{job_id}").text


def test_downloads_are_those_of_the_api(web: Web, console: ConsoleClient) -> None:
    job_id = sent(web, console, BAD)
    for extension, media_type in (("csv", CSV), ("ndjson", NDJSON), ("parquet", PARQUET)):
        here = console.get(f"/jobs/{job_id}/results.{extension}")
        there = web.client.get(f"/api/v1/jobs/{job_id}/results", headers={"Accept": media_type, **OF_TENANT})
        assert here.content == there.content, extension
        for name in ("Content-Type", "Content-Disposition"):
            assert here.headers[name] == there.headers[name]
    some = console.get(f"/jobs/{job_id}/results.csv?cursor=1&limit=1&columns=row,charger_id")
    assert some.content.splitlines()[0] == b'"row","charger_id"'
    assert len(some.content.splitlines()) == 2
    assert console.get(f"/jobs/{job_id}/results.xlsx").status_code == 404
    assert console.get(f"/jobs/{job_id}/results.csv?columns=nothing").status_code == 422


@pytest.mark.owasp("API3", "no text of a CSV from the console is a formula")
def test_a_table_for_people_has_no_formulas(web: Web, console: ConsoleClient) -> None:
    job_id = sent(web, console, b"charger_id,connector_status\n=1+2,AVAILABLE\n")
    assert b'"\'=1+2"' in console.get(f"/jobs/{job_id}/results.csv?columns=charger_id").content
    assert b'"charger_id":"=1+2"' in console.get(f"/jobs/{job_id}/results.ndjson").content


@pytest.mark.owasp("API3", "cells and column names of a hostile file come out of the console as text")
def test_the_first_errors_are_shown_by_row_and_field(web: Web, console: ConsoleClient) -> None:
    page = console.get(f"/jobs/{sent(web, console, BAD)}").text
    shown = re.findall(r'<td class="number">(\d+)</td><td><code>(\w+)</code></td><td>(.+)</td>', page)
    assert [(row, field) for row, field, _ in shown] == [("1", "charger_id"), ("1", "temperature")]
    assert "&lt;img src=x" in page  # the ignored column
    assert "<img" not in page
    assert "row 0 is line 2 of the file" in page


def test_the_options_of_a_file_are_those_of_the_api(web: Web, console: ConsoleClient) -> None:
    job_id = sent(web, console, GOOD, CSV, "?kind=maintenance&store=true&history=false")
    facts = re.findall(r"<dt>([^<]+)</dt><dd>([^<]+)</dd>", console.get(f"/jobs/{job_id}").text)
    assert ("Kind", "maintenance") in facts
    assert ("Verdicts in the fleet", "yes") in facts
    assert ("Readings in the history", "no") in facts
    assert_problem(send(console, GOOD, CSV, "?kind=none"), 422, "invalid_parameter")


def test_the_list_is_filtered_and_has_pages(web: Web, console: ConsoleClient) -> None:
    first = sent(web, console, GOOD)
    second = sent(web, console, GOOD, CSV, "?kind=anomaly")
    assert listed(console)[:2] == [second, first]
    assert listed(console, "?kind=anomaly&status=")[0] == second
    assert first not in listed(console, "?kind=anomaly")
    assert listed(console, "?status=CANCELLED") == []
    assert first in listed(console, "?created_after=2026-01-02T03:04")
    assert listed(console, "?created_after=2099-01-02T03:04:00Z") == []
    assert (
        'name="created_after" value="2099-01-02T03:04"'
        in console.get("/jobs?created_after=2099-01-02T03:04:00Z").text
    )
    page = console.get("/jobs?limit=1").text
    found = re.search(r'href="/jobs(\?[^"]+)" rel="next"', page)
    assert found
    assert listed(console, found[1].replace("&amp;", "&")) == [first]
    assert 'hx-trigger="every 15s"' in page


@pytest.mark.parametrize(
    "query", ["?status=x", "?cursor=-1", "?created_after=yesterday", f"?kind={'x' * 99}"]
)
def test_a_wrong_query_is_a_readable_page(console: ConsoleClient, query: str) -> None:
    answer = console.get(f"/jobs{query}")
    assert answer.status_code == 422
    assert answer.headers["Content-Type"] == "text/html; charset=utf-8"


@pytest.mark.parametrize(
    ("body", "content_type", "status", "code"),
    [
        (b"", CSV, 422, "invalid_reading"),
        (b"name;status\r\n", CSV, 422, "invalid_reading"),
        (b"charger_id,connector_status\r\n", CSV, 422, "invalid_reading"),
        (b"PK\x03\x04", CSV, 400, "malformed_body"),
        (b"PAR1", PARQUET, 400, "malformed_body"),
        (GOOD, "image/png", 415, "unsupported_media_type"),
    ],
)
def test_a_file_that_cannot_be_read_is_refused_as_by_the_api(
    web: Web, console: ConsoleClient, body: bytes, content_type: str, status: int, code: str
) -> None:
    before = listed(console)
    problem = assert_problem(send(console, body, content_type), status, code)
    there = post_file(web.client, body, content_type)
    assert (there.status_code, there.json()["detail"]) == (status, problem["detail"])
    assert listed(console) == before


def test_a_job_is_followed_and_cancelled(idle: tuple[Web, ConsoleClient]) -> None:
    web, console = idle
    answer = send(console, GOOD)
    path = answer.json()["address"]
    page = console.get(path).text
    assert "Pending" in page
    assert 'hx-trigger="every 2s"' in page
    assert f'hx-get="{path}"' in page
    assert "No row has been scored yet." in page
    assert 'hx-trigger="every 2s"' in console.get("/jobs").text
    unchanged = console.get(path, headers={"If-None-Match": console.get(path).headers["ETag"]})
    assert unchanged.status_code == 304
    cancelled = console.post_form(f"{path}/cancel")
    assert cancelled.headers["Location"] == f"{path}?done=cancelled"
    page = console.get(f"{path}?done=cancelled").text
    assert "The job is cancelled." in page
    assert "Cancelled</strong>" in page
    assert f'action="{path}/cancel"' not in page
    assert web.client.get(f"/api/v1{path}").json()["status"] == "CANCELLED"


def test_an_erasure_is_followed_but_not_cancelled(web: Web, console: ConsoleClient) -> None:
    job_id = web.client.delete("/api/v1/chargers/EVZ-77", headers=OF_TENANT).json()["job_id"]
    page = console.get(f"/jobs/{job_id}").text
    assert "erase" in page
    assert f'action="/jobs/{job_id}/cancel"' not in page
    assert console.post_form(f"/jobs/{job_id}/cancel").status_code == 409
    with httpx.Client(base_url=web.url, headers={**web.client.headers, **OF_TENANT}) as api:
        assert finish(api, job_id)["status"] == "SUCCEEDED"
    page = console.get(f"/jobs/{job_id}").text
    assert "The receipt of the erasure." in page
    assert re.findall(r"results\.(\w+)", page) == ["ndjson"]
    assert b'"subject":"charger"' in console.get(f"/jobs/{job_id}/results.ndjson").content
    assert console.get(f"/jobs/{job_id}/results.csv").status_code == 406


@pytest.mark.owasp("API5", "a key that only reads sends no file and cancels no job in the console")
def test_a_key_that_reads_changes_nothing(idle: tuple[Web, ConsoleClient]) -> None:
    web, console = idle
    path = send(console, GOOD).json()["address"]
    with logged_in(web.url, READ_KEY) as client:
        page = client.get("/jobs").text
        assert 'id="upload"' not in page
        assert "Your key lacks the role" in page
        assert "so it cannot cancel the job" in client.get(path).text
        assert_problem(send(client, GOOD), 403, "forbidden")
        assert client.post_form(f"{path}/cancel").status_code == 403
        assert len(listed(client)) == 1
    assert web.client.get(f"/api/v1{path}").json()["status"] == "PENDING"


@pytest.mark.owasp("API8", "a file or a cancellation without the session's token is refused")
def test_a_change_without_its_token_is_refused(idle: tuple[Web, ConsoleClient]) -> None:
    path = send(console := idle[1], GOOD).json()["address"]
    for token in ("", "x"):
        assert_problem(send(console, GOOD, **{"X-CSRF-Token": token}), 403, "forbidden")
        assert console.post(f"{path}/cancel", data={"csrf_token": token}).status_code == 403
    assert_problem(send(console, GOOD, **{"Sec-Fetch-Site": "cross-site"}), 403, "forbidden")
    assert len(listed(console)) == 1
    assert "Pending" in console.get(path).text


@pytest.mark.owasp("API1", "the console shows, cancels and downloads no job of another tenant")
def test_another_tenants_job_is_not_found(idle: tuple[Web, ConsoleClient]) -> None:
    web, _ = idle
    job_id = job_of(post_file(web.client, GOOD, CSV, **OF_TENANT))
    with logged_in(web.url, tenant="other") as client:
        assert listed(client) == []
        answers = [
            client.get(f"/jobs/{job_id}"),
            client.get(f"/jobs/{job_id}/results.csv"),
            client.post_form(f"/jobs/{job_id}/cancel"),
        ]
        assert [answer.status_code for answer in answers] == [404, 404, 404]
        assert "There is no job yet." in client.get("/jobs").text


@pytest.mark.parametrize("job_id", ["0" * 32, "x", HOSTILE.replace("/", "")])
def test_an_unknown_job_is_a_readable_page(console: ConsoleClient, job_id: str) -> None:
    answer = console.get(f"/jobs/{job_id}")
    assert answer.status_code == 404
    assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
    assert "No job" in answer.text
    assert HOSTILE not in answer.text


@pytest.mark.owasp("API2", "a file from a session that has ended is refused before it is read")
def test_a_script_is_told_that_the_session_has_ended(idle: tuple[Web, ConsoleClient]) -> None:
    web, console = idle
    token = token_of(console)
    console.post_form("/logout")
    with httpx.Client(base_url=web.url) as stranger:
        headers = {"Content-Type": CSV, "Accept": "application/json", "X-CSRF-Token": token}
        problem = assert_problem(stranger.post("/jobs", content=GOOD, headers=headers), 401, "unauthorized")
        assert "Your session has ended." in problem["detail"]
        plain = stranger.post("/jobs", content=GOOD, headers={"Content-Type": CSV})
        assert plain.headers["Location"].startswith("/login")


@pytest.mark.owasp("API4", "a form of the console is small, whatever a file may have")
def test_a_file_in_a_form_is_refused(idle: tuple[Web, ConsoleClient]) -> None:
    _, console = idle
    large = {"file": ("readings.csv", GOOD * 2_000, CSV)}
    answer = console.post("/jobs", data={"csrf_token": token_of(console)}, files=large)
    assert answer.status_code == 413
    larger_than_forms = GOOD[:41] + GOOD[41:] * 2_000
    assert send(console, larger_than_forms).status_code == 202


def test_without_redis_the_pages_say_so(lonely: tuple[Web, RunningServer]) -> None:
    web, redis = lonely
    with logged_in(web.url) as client:
        path = send(client, GOOD).json()["address"]
        token = token_of(client)
        redis.stop()
        for address in ("/jobs", path):
            answer = client.get(address)
            assert answer.status_code == 503
            assert "Redis cannot be reached." in answer.text
        headers = {"Content-Type": CSV, "Accept": "application/json", "X-CSRF-Token": token}
        assert_problem(client.post("/jobs", content=GOOD, headers=headers), 503, "broker_unavailable")
