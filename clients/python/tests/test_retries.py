"""Which answers are asked for again, when, and for how long."""

from __future__ import annotations

import json
import logging

import pytest
from driven import Connect, reading
from proxy import Proxy

from evzone_ml_client import RequestRejected, ServiceUnavailable
from evzone_ml_client.retries import Retry
from tests.processes import Web


def gateway(status: str, *headers: str, body: str = "Not now") -> bytes:
    """What a gateway in front of the service answers by itself."""
    head = "\r\n".join([f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", "Connection: close", *headers])
    return f"{head}\r\n\r\n{body}".encode()


@pytest.mark.parametrize(
    "passing",
    [
        gateway("408 Request Timeout"),
        gateway("429 Too Many Requests", "Retry-After: 0"),
        gateway("500 Internal Server Error"),
        gateway("502 Bad Gateway"),
        gateway("503 Service Unavailable", "Retry-After: 0"),
        gateway("504 Gateway Timeout"),
        gateway("200 OK", "Content-Type: text/html", body="<h1>Maintenance</h1>"),
        gateway("200 OK", "Content-Type: application/json", body='{"status": "ok"}'),
        gateway("200 OK", "Content-Type: application/json", "Content-Encoding: gzip", body="{}"),
        gateway("302 Found", "Location: /maintenance"),
        b"",
    ],
    ids=[
        "408",
        "429",
        "500",
        "502",
        "503",
        "504",
        "a page",
        "another document",
        "not packed",
        "302",
        "nothing",
    ],
)
def test_what_may_pass_is_tried_again(connect: Connect, proxy: Proxy, passing: bytes) -> None:
    ml = connect(proxy.url)
    proxy.answer(passing)
    ml.predict_failure(reading())
    assert proxy.connections == 2


def test_what_does_not_pass_is_given_up(
    connect: Connect, proxy: Proxy, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "evzone_ml_client")
    ml = connect(proxy.url, attempts=3)
    proxy.answer(*[gateway("502 Bad Gateway")] * 3)
    with pytest.raises(ServiceUnavailable, match="is not the service: 502 Not now"):
        ml.predict_failure(reading())
    assert proxy.connections == 3
    told = [record.getMessage().partition(" failed")[0] for record in caplog.records]
    assert told == ["predict_failure: attempt 1", "predict_failure: attempt 2"]


@pytest.mark.parametrize("status", ["400 Bad Request", "401 Unauthorized", "403 Forbidden", "404 Not Found"])
def test_what_is_refused_is_not_tried_again_and_says_nothing_against_the_service(
    connect: Connect, proxy: Proxy, status: str
) -> None:
    ml = connect(proxy.url)
    proxy.answer(*[gateway(status)] * 6)
    for _ in range(6):
        with pytest.raises(RequestRejected) as raised:
            ml.predict_failure(reading())
        assert raised.value.status == int(status[:3])
        assert raised.value.problem is None
        assert raised.value.errors == []
    assert (proxy.connections, ml.circuit) == (6, "closed")
    ml.predict_failure(reading())


def test_a_batch_that_is_still_being_accepted_is_asked_for_again(connect: Connect, proxy: Proxy) -> None:
    ml = connect(proxy.url)
    problem = {"code": "still_accepted", "detail": "Wait.", "request_id": "r-1"}
    head = ("Content-Type: application/problem+json", "Retry-After: 0")
    proxy.answer(gateway("409 Conflict", *head, body=json.dumps(problem)))
    assert ml.submit_batch([reading()])["total"] == 1
    assert proxy.connections == 2


@pytest.mark.parametrize(
    "refusal",
    [
        gateway("200 OK", "Content-Type: text/html", body="<h1>Maintenance</h1>"),
        gateway("406 Not Acceptable"),
        gateway("504 Gateway Timeout"),
        b"",
    ],
    ids=["a page", "406", "504", "nothing"],
)
def test_a_job_is_looked_at_where_its_events_cannot_be_had(
    connect: Connect, proxy: Proxy, refusal: bytes
) -> None:
    ml = connect(proxy.url, attempts=1)
    job = ml.submit_batch([reading()])
    (*_, ended) = ml.stream_job(job["job_id"])
    running = gateway("200 OK", "Content-Type: application/json", body=json.dumps(job))
    proxy.answer(running, refusal)
    assert [event.job for event in ml.stream_job(job["job_id"])] == [job, ended.job]


def test_a_job_that_cannot_be_looked_at_is_no_longer_followed(connect: Connect, proxy: Proxy) -> None:
    ml = connect(proxy.url, attempts=1)
    job = ml.submit_batch([reading()])
    proxy.answer(gateway("200 OK", "Content-Type: text/html", body="<h1>Maintenance</h1>"))
    with pytest.raises(ServiceUnavailable, match="is not the service: 200 <h1>Maintenance"):
        next(iter(ml.stream_job(job["job_id"])))


def test_a_404_of_something_else_is_not_an_empty_cache(connect: Connect, proxy: Proxy) -> None:
    ml = connect(proxy.url)
    proxy.answer(gateway("404 Not Found"))
    with pytest.raises(RequestRejected):
        ml.get_cached_prediction("EVZ-1")


def test_shed_load_does_not_open_the_circuit(connect: Connect, proxy: Proxy) -> None:
    ml = connect(proxy.url, attempts=1)
    proxy.answer(*[gateway("429 Too Many Requests", "Retry-After: 7")] * 6)
    for _ in range(6):
        with pytest.raises(ServiceUnavailable) as raised:
            ml.predict_failure(reading())
        assert (raised.value.reason, raised.value.retry_after_s) == ("overloaded", 7)
        assert raised.value.status == 429
    assert ml.circuit == "closed"


def test_a_limit_is_waited_for_and_does_not_open_the_circuit(connect: Connect, limited: Web) -> None:
    waits: list[float | None] = []
    tenant = f"t{id(waits)}"

    def note(retry: Retry) -> None:
        assert isinstance(retry.error, ServiceUnavailable)
        assert (retry.error.status, retry.error.reason) == (429, "overloaded")
        waits.append(retry.error.retry_after_s)

    ml = connect(limited.url, tenant=tenant, timeout_s=20.0, attempts=10, on_retry=note)
    for _ in range(3):
        ml.predict_failure(reading())
    assert waits
    assert all(wait_s is not None and wait_s >= 1 for wait_s in waits)
    hasty = connect(limited.url, tenant=tenant, attempts=1)
    refusals = []
    for _ in range(20):
        try:
            hasty.predict_failure(reading())
        except ServiceUnavailable as error:
            refusals.append((error.status, error.reason))
    assert set(refusals) == {(429, "overloaded")}
    assert len(refusals) > 5  # as many failures would open the circuit
    assert hasty.circuit == "closed"


def test_a_service_that_is_too_busy_says_so_and_does_not_open_the_circuit(
    connect: Connect, crowded: Web
) -> None:
    """Its own word for shed load: 503 `queue_full`. A minute of silence would be worse than a short burst."""
    ml = connect(crowded.url, attempts=1)
    for _ in range(6):
        with pytest.raises(ServiceUnavailable, match="queue_full") as raised:
            ml.predict_failure(reading())
        assert (raised.value.reason, raised.value.status) == ("overloaded", 503)
        assert raised.value.retry_after_s == 1
    assert ml.circuit == "closed"


def test_a_service_without_room_is_overloaded_and_does_not_open_the_circuit(
    connect: Connect, proxy: Proxy
) -> None:
    ml = connect(proxy.url, attempts=1)
    document = {"title": "No room", "status": 507, "detail": "Full.", "code": "insufficient_storage"}
    body = json.dumps({"type": "about:blank", "request_id": "r", **document})
    headers = ("Content-Type: application/problem+json", "Retry-After: 30")
    proxy.answer(*[gateway("507 Insufficient Storage", *headers, body=body)] * 6)
    for _ in range(6):
        with pytest.raises(ServiceUnavailable, match="insufficient_storage") as raised:
            ml.predict_failure(reading())
        assert (raised.value.reason, raised.value.retry_after_s) == ("overloaded", 30)
    assert ml.circuit == "closed"


def test_a_wait_that_would_outlast_the_time_out_is_not_begun(connect: Connect, proxy: Proxy) -> None:
    ml = connect(proxy.url, timeout_s=60)  # the test would be killed while it waited
    proxy.answer(gateway("503 Service Unavailable", "Retry-After: 120"))
    with pytest.raises(ServiceUnavailable) as raised:
        ml.predict_failure(reading())
    assert (raised.value.reason, raised.value.retry_after_s) == ("server_error", 120)
    assert proxy.connections == 1


def test_a_wait_that_is_asked_for_is_kept(connect: Connect, proxy: Proxy) -> None:
    ml = connect(proxy.url)
    proxy.answer(gateway("503 Service Unavailable", "Retry-After: 1"), gateway("503 Service Unavailable"))
    ml.predict_failure(reading())
    first, second, third = proxy.connected_at
    assert second - first >= 1
    assert third > second


def test_the_services_own_504_says_when_to_come_back(connect: Connect, unserved: Web) -> None:
    ml = connect(unserved.url, attempts=1)
    with pytest.raises(ServiceUnavailable) as raised:
        ml.predict_failure(reading())
    error = raised.value
    assert (error.reason, error.status, error.retry_after_s) == ("server_error", 504, 1)
    assert "prediction_timeout" in str(error)
