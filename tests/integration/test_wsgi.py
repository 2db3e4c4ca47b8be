"""`wsgi.py` behind two WSGI servers answers as `asgi.py` does; each server has its own way to break off."""

from __future__ import annotations

import gzip
import io
import json
import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import httpx
import orjson
import pyarrow as pa
import pytest
from pyarrow import parquet

from settings import ROOT
from tests.batches import (
    CSV,
    NDJSON,
    PARQUET,
    ended,
    in_pieces,
    job_of,
    ndjson_of,
    parquet_of,
    post_file,
    results_of,
)
from tests.http_jobs import assert_half_is_refused, assert_problem, events, events_of
from tests.processes import BIN, READ_KEY, Web, environment, free_port, wait_until
from tests.readings import metrics, request
from tests.services import RunningServer

JSON: Final = "application/json"
SERVERS: Final = ("gunicorn", "granian-wsgi")
MOST_BYTES: Final = 2_000_000
# Headers that servers add by themselves, and one that holds a hash of the path by which a file was found.
THEIR_OWN: Final = {"connection", "content-length", "date", "etag", "server", "transfer-encoding"}
LAST_YEAR: Final = "2025-01-01T00:00:00Z"


def test_gunicorn_drops_header_names_with_underscores(redis: RunningServer) -> None:
    """WSGI cannot tell X_Tenant_ID from X-Tenant-ID."""
    with Web(environment(redis.url), server="gunicorn") as web:
        answer = web.client.get("/api/v1/jobs", headers={"X_Tenant_ID": "not a tenant"})
        assert answer.status_code == 200, answer.text


@pytest.fixture(scope="module", params=SERVERS)
def served(web: Web, redis: RunningServer, request: pytest.FixtureRequest) -> Iterator[Web]:
    """Another web process before the Redis and the workers of `web`."""
    env = environment(redis.url, ML_MAX_BATCH_BYTES=str(MOST_BYTES))
    with Web(env, server=request.param) as served:
        yield served


def files(ids: list[str]) -> dict[str, bytes]:
    rows = [{"charger_id": charger_id, "connector_status": "CHARGING"} for charger_id in ids]
    return {
        JSON: orjson.dumps({"chargers": rows}),
        NDJSON: ndjson_of(rows),
        CSV: b"charger_id,connector_status\n" + b"".join(f"{each},CHARGING\n".encode() for each in ids),
        PARQUET: parquet_of(pa.table({"charger_id": ids, "connector_status": ["CHARGING"] * len(ids)})),
    }


def shown(answer: httpx.Response) -> tuple[int, dict[str, str], bytes]:
    """What is the service's own of an answer."""
    headers = {name: value for name, value in answer.headers.items() if name not in THEIR_OWN}
    if "allow" in headers:
        headers["allow"] = ", ".join(sorted(headers["allow"].split(", ")))
    return answer.status_code, headers, answer.content


READING: Final = orjson.dumps(request("ALIKE", timestamp=LAST_YEAR))
SINGLE: Final = "/api/v1/predictions"
IN_JSON: Final = {"Content-Type": JSON}


@pytest.mark.parametrize(
    ("method", "path", "content", "headers"),
    [
        ("POST", f"{SINGLE}/failure", READING, IN_JSON),
        ("POST", f"{SINGLE}/maintenance", READING, IN_JSON),
        ("POST", f"{SINGLE}/anomaly", READING, IN_JSON),
        ("POST", f"{SINGLE}/failure", in_pieces, IN_JSON),
        ("POST", f"{SINGLE}/failure", b"{", IN_JSON),
        ("POST", f"{SINGLE}/failure", b"", IN_JSON),
        ("POST", f"{SINGLE}/failure", orjson.dumps(request("A", power=-1)), IN_JSON),
        ("POST", f"{SINGLE}/failure", READING, {"Content-Type": "text/plain"}),
        ("POST", f"{SINGLE}/failure", READING, IN_JSON | {"Content-Encoding": "gzip"}),
        ("POST", f"{SINGLE}/failure", READING, IN_JSON | {"X-API-Key": READ_KEY}),
        ("POST", f"{SINGLE}/failure", READING, IN_JSON | {"X-API-Key": "nobody's"}),
        ("POST", f"{SINGLE}/failure", READING, IN_JSON | {"X-Tenant-ID": "a b"}),
        ("POST", f"{SINGLE}/failure", b" " * 1_000_001, IN_JSON),
        ("POST", f"{SINGLE}/batch?kind=none", READING, IN_JSON),
        ("POST", f"{SINGLE}/batch", b"x", {"Content-Type": "text/plain"}),
        ("GET", f"{SINGLE}/ALIKE", None, {}),
        ("HEAD", f"{SINGLE}/ALIKE", None, {}),
        ("GET", f"{SINGLE}/nobody", None, {}),
        ("DELETE", f"{SINGLE}/nobody", None, {}),
        ("GET", f"{SINGLE}/failure", None, {}),
        ("OPTIONS", f"{SINGLE}/failure", None, {}),
        ("GET", "/api/v1/chargers?limit=0", None, {}),
        ("GET", "/api/v1/jobs/" + 32 * "0", None, {}),
        ("PATCH", "/api/v1/jobs", None, {}),
        ("GET", "/%ff%00%0d%0a/é", None, {}),
        ("GET", "/api/v1//jobs", None, {}),
        ("GET", "/api/v1/models/failure", None, {}),
        ("GET", "/docs", None, {}),
        ("GET", "/docs/", None, {}),
        ("GET", "/docs/swagger-ui-bundle.js", None, {}),
        ("GET", "/openapi.json", None, {}),
    ],
)
def test_each_answer_is_that_of_the_event_loop(
    web: Web,
    served: Web,
    method: str,
    path: str,
    content: bytes | Callable[[bytes], Iterator[bytes]] | None,
    headers: dict[str, str],
) -> None:
    def asked(client: httpx.Client) -> tuple[int, dict[str, str], bytes]:
        body = content(READING) if callable(content) else content
        named = headers | {"X-Request-ID": "mine", "Host": "here"}
        # Some servers close a connection after a body that they refused unread. The next request must not
        # be sent on it.
        with httpx.Client(base_url=client.base_url, headers=client.headers, timeout=10) as fresh:
            return shown(fresh.request(method, path, content=body, headers=named))

    if path == f"{SINGLE}/ALIKE" or (content in (READING, in_pieces) and len(headers) == 1):
        asked(web.client)  # from now on it is cached
    ours = asked(web.client)
    theirs = asked(served.client)
    assert theirs == ours
    assert theirs[1]["x-request-id"] == "mine"


def test_health_and_metrics_are_answered(served: Web) -> None:
    for path in ("/health", "/health/ready"):
        answer = served.client.get(path)
        assert (answer.status_code, answer.headers["Content-Type"]) == (200, JSON)
        assert answer.json()["checks"]["redis"]["status"] == "ok"
    page = served.client.get("/metrics")
    assert page.headers["Content-Type"].startswith("text/plain")
    assert "ml_http_requests_total" in page.text


@pytest.mark.parametrize("content_type", [JSON, NDJSON, CSV, PARQUET])
@pytest.mark.parametrize("packed", [False, True], ids=["plain", "gzip"])
def test_every_format_is_taken(served: Web, content_type: str, packed: bool) -> None:
    ids = [f"WSGI-{number}" for number in range(50)]
    body = files(ids)[content_type]
    headers = {"Content-Encoding": "gzip"} if packed else {}
    if packed:
        body = gzip.compress(body)
    job_id = job_of(post_file(served.client, body, content_type, **headers))
    assert ended(served.client, job_id)["status"] == "SUCCEEDED"
    results = results_of(served.client, job_id)
    assert [row["charger_id"] for row in results if "failure_probability" in row] == ids
    chunked = post_file(served.client, in_pieces(body), content_type, **headers)
    if served.server == "granian-wsgi" and content_type in (NDJSON, CSV):
        assert_problem(chunked, 411, "length_required")
    else:
        job_of(chunked)


def test_too_many_bytes_are_413_with_and_without_a_length(served: Web) -> None:
    body = b" " * (MOST_BYTES + 1)
    # After a refusal the server closes the connection and may not say so: the next request needs another.
    for sent in (body, in_pieces(body)):
        assert_problem(post_file(served.client, sent, JSON, Connection="close"), 413, "too_large")


@pytest.mark.parametrize("framing", ["length", "chunked"])
@pytest.mark.parametrize("content_type", [JSON, NDJSON, PARQUET])
def test_half_a_file_is_no_file(served: Web, content_type: str, framing: str) -> None:
    tenant = f"half-{served.server}-{framing}-{content_type.rpartition('/')[2][:4].strip('.')}"
    body = files([f"HALF-{number}" for number in range(2000)])[content_type]
    assert_half_is_refused(served, tenant, body, content_type, framing)


def test_progress_and_results_are_those_of_the_event_loop(web: Web, served: Web) -> None:
    rows = [metrics() for _ in range(1500)]
    job = served.client.post("/api/v1/predictions/batch?store=false", json={"chargers": rows}).json()
    with served.client.stream("GET", events_of(job)) as answer:
        assert answer.headers["Content-Type"] == "text/event-stream"
        told = list(events(answer))
    assert told[-1].name == "done"
    assert told[-1].data["status"] == "SUCCEEDED"
    address = f"/api/v1/jobs/{job['job_id']}/results"
    pages = results_of(served.client, job["job_id"])
    for accept in (NDJSON, CSV, PARQUET):
        for method in ("GET", "HEAD"):
            ours = web.client.request(method, address, headers={"Accept": accept, "X-Request-ID": "mine"})
            theirs = served.client.request(
                method, address, headers={"Accept": accept, "X-Request-ID": "mine"}
            )
            assert shown(theirs) == shown(ours)
        answer = served.client.get(address, headers={"Accept": accept})
        if accept == NDJSON:
            assert [json.loads(line) for line in answer.text.splitlines()] == pages
        elif accept == PARQUET:
            assert parquet.read_table(io.BytesIO(answer.content)).num_rows == len(rows)


def test_who_waits_for_a_batch_gets_its_results(served: Web) -> None:
    chargers = {"chargers": [metrics() for _ in range(5000)]}  # more than are sent as one
    answer = served.client.post(
        "/api/v1/predictions/batch?store=false", json=chargers, headers={"Prefer": "wait=30"}, timeout=60
    )
    assert answer.status_code == 200, answer.text
    assert [row["charger_id"] for row in answer.json()["predictions"]] == [
        row["charger_id"] for row in chargers["chargers"]
    ]


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        ("--threads 32 --preload", "--preload"),
        ("--threads 3", "WEB_THREADS: must be at least 4"),
        ("", "WEB_THREADS: must be at least 4"),
    ],
)
def test_gunicorn_does_not_start_as_it_could_not_serve(redis: RunningServer, flags: str, said: str) -> None:
    command = f"{BIN}/gunicorn {flags} wsgi:app --bind 127.0.0.1:{free_port()}"
    started = subprocess.run(
        command.split(),
        cwd=ROOT,
        env=environment(redis.url),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert started.returncode == 2
    assert f"Wrong setting: {said}" in started.stderr
    assert "Traceback" not in started.stderr


def test_the_threads_of_gunicorn_are_those_of_which_some_never_wait(redis: RunningServer) -> None:
    """However many the setting names: of four threads three may wait."""
    url = redis.url.replace("/0", "/9")  # no worker there: each job stands still
    with Web(environment(url, WEB_THREADS="4"), server="gunicorn") as web:
        job = web.client.post("/api/v1/predictions/batch", json={"chargers": [metrics()]}).json()
        with (
            web.client.stream("GET", events_of(job)),
            web.client.stream("GET", events_of(job)),
            web.client.stream("GET", events_of(job)),
        ):
            assert_problem(web.client.get(events_of(job)), 503, "queue_full")
            assert web.client.get("/health").status_code == 200


def test_the_gauges_of_a_gunicorn_worker_that_died_are_forgotten(
    redis: RunningServer, tmp_path: Path
) -> None:
    def workers() -> set[int]:
        return {int(path.stem.rpartition("_")[2]) for path in tmp_path.glob("*/gauge_livesum_*.db")}

    with Web(environment(redis.url, PROMETHEUS_MULTIPROC_DIR=str(tmp_path)), server="gunicorn") as web:
        (first,) = workers()
        os.kill(first, signal.SIGKILL)
        wait_until(lambda: workers() - {first}, what="another worker", log=web.log)
        wait_until(web.answers, what="an answer of it", log=web.log)
        assert "ml_gate_waiting 0.0" in web.client.get("/metrics").text
        assert first not in workers()
