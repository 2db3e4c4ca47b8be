"""A job's progress as server-sent events, over real HTTP."""

from __future__ import annotations

import signal

import httpx
import pytest

from tests.http_jobs import events, events_of, finish, submit
from tests.processes import Web, wait_until
from tests.readings import metrics
from tests.services import RunningServer

EITHER_SERVER = pytest.mark.parametrize("lonely", ["asgi", "gunicorn"], indirect=True)


def test_progress_is_told_until_the_job_is_done(client: httpx.Client) -> None:
    job = submit(client, [metrics() for _ in range(30_000)], "?kind=all&store=false")
    with client.stream("GET", events_of(job)) as answer:
        assert answer.headers["Content-Type"] == "text/event-stream"
        assert (answer.headers["Cache-Control"], answer.headers["X-Accel-Buffering"]) == ("no-store", "no")
        told = list(events(answer))
    assert [event.name for event in told] == ["progress"] * (len(told) - 1) + ["done"]
    done = [event.data["done"] for event in told]
    assert done == sorted(done)
    assert len(set(done)) > 2
    assert told[-1].data == client.get(f"/api/v1/jobs/{job['job_id']}").json() | {
        "eta_seconds": told[-1].data["eta_seconds"]
    }
    assert told[-1].data["status"] == "SUCCEEDED"
    again = client.get(events_of(job), headers={"Last-Event-ID": told[-2].its_id})
    assert again.text.count("event: done") == 1
    again = client.get(events_of(job), headers={"Last-Event-ID": told[-1].its_id})
    assert (again.status_code, again.headers.get("Content-Type")) == (204, None)


def test_an_ended_job_is_done_at_once(client: httpx.Client) -> None:
    job = finish(client, submit(client, [metrics()])["job_id"])
    answer = client.get(events_of(job))
    assert answer.text.startswith("retry: 1000\n\nevent: done\n")
    assert client.head(events_of(job)).content == b""


def test_events_of_no_job_are_404(client: httpx.Client) -> None:
    answer = client.get("/api/v1/jobs/none/events")
    assert (answer.status_code, answer.json()["code"]) == (404, "unknown_job")


@pytest.mark.owasp("API4", "event streams leave threads to others")
@EITHER_SERVER
def test_listeners_leave_threads_for_others_and_give_theirs_back(lonely: tuple[Web, RunningServer]) -> None:
    web, _ = lonely
    address = events_of(submit(web.client, [metrics()]))

    def listen() -> httpx.Response:
        return web.client.send(web.client.build_request("GET", address), stream=True)

    listeners = [listen() for _ in range(6)]  # three quarters of the threads
    assert [answer.status_code for answer in listeners] == [200] * 6
    refused = listen()
    refused.read()
    assert (refused.status_code, refused.json()["code"]) == (503, "queue_full")
    assert refused.headers["Retry-After"]
    # A batch is accepted all the same, and said to be: only the waiting for it is not. Under WSGI its body
    # would need such a thread too.
    rows = {"chargers": [metrics()]}
    batch = web.client.post("/api/v1/predictions/batch", json=rows, headers={"Prefer": "wait=5"})
    expected = 202 if web.server == "asgi" else 503
    assert (batch.status_code, "Preference-Applied" in batch.headers) == (expected, False)
    assert web.client.get("/health").status_code == 200
    for answer in listeners:
        answer.close()  # they say nothing, and nothing is sent to them: the service has to notice

    def accepted() -> bool:
        answer = listen()
        answer.close()
        return answer.status_code == 200

    wait_until(accepted, what="a free place", timeout_s=5.0, log=web.log)
    assert "Traceback" not in web.log()


@EITHER_SERVER
def test_a_service_that_ends_ends_its_event_streams_first(lonely: tuple[Web, RunningServer]) -> None:
    web, _ = lonely
    job = submit(web.client, [metrics()])
    with web.client.stream("GET", events_of(job)) as answer:
        told = events(answer)
        assert next(told).name == "progress"
        web.process.send_signal(signal.SIGTERM)
        assert list(told) == []  # in good order, but without `done`: a browser comes back
    web.client.close()
    assert web.process.wait(10) == 0


@EITHER_SERVER
def test_a_stream_whose_redis_goes_away_is_cut(lonely: tuple[Web, RunningServer]) -> None:
    web, redis = lonely
    job = submit(web.client, [metrics()])
    with web.client.stream("GET", events_of(job)) as answer:
        told = events(answer)
        assert next(told).name == "progress"
        redis.pause()
        with pytest.raises(httpx.RemoteProtocolError, match="incomplete"):
            next(told)
        redis.resume()
