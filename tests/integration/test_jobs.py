"""Batch jobs over real HTTP, real Redis and a real worker."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote

import httpx
import orjson
import pytest
from redis import Redis

from tasks.jobs.job_keys import JobKeys
from tasks.jobs.job_store import Draft, JobStore
from tasks.storage.reading_history import readings_key
from tests.http_jobs import all_results, finish, submit
from tests.processes import settings_for, wait_until
from tests.readings import metrics, new_charger_id, request
from tests.services import RunningServer

BATCH = "/api/v1/predictions/batch"
PATIENCE_S = 30.0


def draft_of(store: Redis, redis: RunningServer, rows: int) -> Draft:
    """A job of chunks of two rows, not yet sealed; no task is sent for it."""
    jobs = JobStore(settings_for(redis.url), store)
    draft = jobs.draft(
        kind="failure", tenant=None, store=False, encoding="ndjson", chunk_rows=2, now=time.time()
    )
    for first in range(0, rows, 2):
        some = min(2, rows - first)
        draft.add(some, b"\n".join(orjson.dumps(metrics()) for _ in range(some)))
    return draft


def test_a_job_gives_each_reading_its_result_in_input_order(client: httpx.Client) -> None:
    rows = [metrics(temperature=20 + n / 20) for n in range(1234)]
    job = submit(client, rows)
    assert job["status"] in ("PENDING", "RUNNING")
    assert job["total"] == 1234
    ended = finish(client, job["job_id"])
    assert (ended["status"], ended["done"], ended["failed"], ended["progress"]) == ("SUCCEEDED", 1234, 0, 1.0)
    assert ended["created_at"] <= ended["started_at"] <= ended["finished_at"]
    results = all_results(client, job["job_id"])
    assert [result["charger_id"] for result in results] == [row["charger_id"] for row in rows]
    assert [result["row"] for result in results] == list(range(1234))


def test_a_job_says_when_its_results_are_deleted(client: httpx.Client, redis: RunningServer) -> None:
    store: Redis = Redis.from_url(redis.url)
    job = submit(client, [metrics()])
    for document in (job, finish(client, job["job_id"])):
        expires_at = datetime.fromisoformat(document["expires_at"]).timestamp()
        keys = JobKeys(job["job_id"])
        for name in (keys.record, keys.results):
            left_s = store.ttl(name)
            if store.exists(name):
                assert abs(time.time() + left_s - expires_at) < PATIENCE_S
    store.expire(keys.record, 1000)
    (listed,) = (each for each in client.get("/api/v1/jobs").json()["items"] if each["job_id"] == keys.job_id)
    assert datetime.fromisoformat(listed["expires_at"]).timestamp() < time.time() + 1000 + PATIENCE_S


def test_a_batch_and_a_single_request_answer_the_same(client: httpx.Client) -> None:
    body = request(timestamp="2026-01-05T10:00:00Z", temperature=63.0)
    job = submit(client, [body["metrics"]], "?store=false")
    finish(client, job["job_id"])
    (row,) = all_results(client, job["job_id"])
    alone = client.post("/api/v1/predictions/failure", json=body).json()
    assert alone["cached"] is False  # store=false wrote nothing
    for field in ("failure_probability", "horizons", "top_contributing_factors", "fingerprint"):
        assert row[field] == alone[field]


def test_a_bad_row_is_reported_and_does_not_sink_its_neighbours(client: httpx.Client) -> None:
    job = submit(client, [metrics("GOOD-1"), {"charger_id": "BAD-1", "power": -1}, 7, metrics("GOOD-2")])
    ended = finish(client, job["job_id"])
    assert (ended["status"], ended["done"], ended["failed"]) == ("SUCCEEDED", 4, 2)
    first, bad, worse, last = all_results(client, job["job_id"])
    assert ("failure_probability" in first, "failure_probability" in last) == (True, True)
    assert (bad["row"], bad["charger_id"], bad["error"]["code"]) == (1, "BAD-1", "invalid_reading")
    assert {error["pointer"] for error in bad["error"]["errors"]} == {"/connector_status", "/power"}
    assert (worse["row"], worse["charger_id"]) == (2, None)


@pytest.mark.parametrize("kind", ["failure", "all"])
def test_what_a_reading_is_answered_does_not_depend_on_its_place(client: httpx.Client, kind: str) -> None:
    at = "2026-10-01T00:00:00Z"
    rows = [metrics(f"PLACE-{n}", temperature=20 + n / 20, timestamp=at) for n in range(700)]
    answers = []
    for some in (rows, rows[100:] + rows[:100]):
        job = submit(client, some, f"?kind={kind}&store=false")
        finish(client, job["job_id"])
        answers.append({row.pop("charger_id"): row for row in all_results(client, job["job_id"])})
        for row in answers[-1].values():
            del row["row"]
            for verdict in row.values() if kind == "all" else [row]:
                del verdict["timestamp"]
    assert answers[0] == answers[1]


@pytest.mark.parametrize("kind", ["failure", "maintenance", "anomaly"])
def test_each_kind_can_be_asked(client: httpx.Client, kind: str) -> None:
    expected = {"failure": "horizons", "maintenance": "cost_benefit", "anomaly": "anomaly_score"}
    job = submit(client, [metrics()], f"?kind={kind}")
    finish(client, job["job_id"])
    assert expected[kind] in all_results(client, job["job_id"])[0]


def test_all_kinds_can_be_asked_at_once(client: httpx.Client) -> None:
    job = submit(client, [metrics("ALL-1")], "?kind=all")
    finish(client, job["job_id"])
    (row,) = all_results(client, job["job_id"])
    assert row["charger_id"] == "ALL-1"
    assert {"failure", "maintenance", "anomaly"} <= set(row)


def test_who_prefers_to_wait_gets_the_results_at_once(client: httpx.Client) -> None:
    rows = [metrics() for _ in range(3)]
    answer = client.post(BATCH, json={"chargers": rows}, headers={"Prefer": "wait=5"})
    assert answer.status_code == 200, answer.text
    assert answer.headers["Preference-Applied"] == "wait=5"
    body = answer.json()
    assert set(body) == {"job_id", "predictions", "total", "timestamp"}
    assert [p["charger_id"] for p in body["predictions"]] == [row["charger_id"] for row in rows]


def test_who_waits_for_more_than_a_chunk_gets_the_results_as_a_stream(client: httpx.Client) -> None:
    rows = [metrics() for _ in range(9000)]
    answer = client.post(
        f"{BATCH}?store=false", json={"chargers": rows}, headers={"Prefer": "wait=30"}, timeout=60
    )
    assert answer.status_code == 200, answer.text
    assert "Content-Length" not in answer.headers  # it is never whole in the web process
    body = answer.json()
    assert set(body) == {"job_id", "predictions", "total", "timestamp"}
    assert (body["total"], body["timestamp"][-1]) == (9000, "Z")
    assert [p["charger_id"] for p in body["predictions"]] == [row["charger_id"] for row in rows]


@pytest.mark.parametrize("cancelled", [False, True])
def test_who_waits_is_told_of_the_end(client: httpx.Client, redis: RunningServer, cancelled: bool) -> None:
    with Redis.from_url(redis.url) as store:
        jobs = JobStore(settings_for(redis.url), store)
        draft = draft_of(store, redis, 3)
        with jobs.end_of(draft.job_id) as wait:
            draft.commit()
            if cancelled:
                client.delete(f"/api/v1/jobs/{draft.job_id}")
            told = [wait(PATIENCE_S) for _ in range(2)]  # the first may be the answer to the subscription
        assert any(told)
        assert jobs.get(draft.job_id, None).ended


def test_a_batch_fills_the_cache_unless_told_not_to(client: httpx.Client) -> None:
    stored, passing = metrics(), metrics()
    finish(client, submit(client, [stored])["job_id"])
    finish(client, submit(client, [passing], "?store=false")["job_id"])
    assert client.get(f"/api/v1/predictions/{stored['charger_id']}").status_code == 200
    assert client.get(f"/api/v1/predictions/{passing['charger_id']}").status_code == 404


def test_a_batch_with_history_is_known_to_later_predictions(
    client: httpx.Client, redis: RunningServer
) -> None:
    now = datetime.now(UTC)
    charger, other = new_charger_id(), new_charger_id()
    past = [
        metrics(charger, timestamp=(now - timedelta(hours=12 * back)).isoformat(), total_sessions=900 - back)
        for back in (3, 20, 1)  # in any order
    ]
    finish(client, submit(client, past, "?store=false&history=true")["job_id"])
    finish(client, submit(client, [one | {"charger_id": other} for one in past], "?store=false")["job_id"])
    with Redis.from_url(redis.url) as store:
        assert store.hlen(readings_key(None, charger)) == len(past)
        assert store.exists(readings_key(None, other)) == 0
    assert client.get(f"/api/v1/chargers/{charger}/history").status_code == 404  # of verdicts

    def days_known(charger_id: str) -> set[str]:
        reading = metrics(charger_id, timestamp=now.isoformat(), total_sessions=901)
        verdict = client.post("/api/v1/predictions/failure?store=false", json=reading).json()
        return {factor["feature"] for factor in verdict["top_contributing_factors"]}

    assert days_known(charger) != days_known(other)


@pytest.mark.owasp("API6", "a batch that is sent again with its Idempotency-Key is no second job")
def test_a_repeated_request_with_the_same_key_is_the_same_job(client: httpx.Client) -> None:
    rows = [metrics()]
    first = submit(client, rows, **{"Idempotency-Key": "once"})
    again = submit(client, rows, **{"Idempotency-Key": "once"})
    assert again["job_id"] == first["job_id"]
    other = client.post(BATCH, json={"chargers": [metrics()]}, headers={"Idempotency-Key": "once"})
    assert (other.status_code, other.json()["code"]) == (409, "conflict")


@pytest.mark.owasp("API1", "a tenant lists its own jobs only")
def test_jobs_are_listed_newest_first_for_their_tenant(client: httpx.Client) -> None:
    tenant = {"X-Tenant-ID": "lister"}
    ids = [submit(client, [metrics()], **tenant)["job_id"] for _ in range(3)]
    page = client.get("/api/v1/jobs?limit=2", headers=tenant).json()
    rest = client.get(f"/api/v1/jobs?limit=2&cursor={page['next']}", headers=tenant).json()
    assert [job["job_id"] for job in page["items"] + rest["items"]] == ids[::-1]
    assert rest["next"] is None
    assert client.get("/api/v1/jobs?status=CANCELLED", headers=tenant).json()["items"] == []
    assert client.get(f"/api/v1/jobs/{ids[0]}").status_code == 404  # another tenant's is not there


def test_the_list_can_be_narrowed(client: httpx.Client) -> None:
    tenant = {"X-Tenant-ID": "narrower"}
    old, middle, new = (
        submit(client, [metrics()], f"?kind={kind}", **tenant) for kind in ("failure", "anomaly", "failure")
    )

    def listed(query: str) -> list[str]:
        answer = client.get("/api/v1/jobs", params=query, headers=tenant)
        assert answer.status_code == 200, answer.text
        return [job["job_id"] for job in answer.json()["items"]]

    assert listed("kind=failure") == [new["job_id"], old["job_id"]]
    assert listed("kind=failure&limit=1&cursor=1") == [old["job_id"]]
    assert listed("kind=all") == []
    assert listed(f"created_after={middle['created_at']}") == [new["job_id"], middle["job_id"]]
    assert listed("created_after=2999-01-01") == []
    wrong = client.get("/api/v1/jobs?created_after=yesterday")
    assert (wrong.status_code, wrong.json()["errors"][0]["pointer"]) == (422, "/query/created_after")


def test_a_job_can_be_cancelled_and_keeps_what_is_done(client: httpx.Client) -> None:
    job = submit(client, [metrics() for _ in range(20_000)], "?kind=all&store=false")
    wait_until(lambda: client.get(f"/api/v1/jobs/{job['job_id']}").json()["done"] > 0, what="a first chunk")
    cancelled = client.delete(f"/api/v1/jobs/{job['job_id']}").json()
    assert cancelled["status"] == "CANCELLED"
    assert 0 < cancelled["done"] < 20_000
    results = all_results(client, job["job_id"], page=1000)
    assert len(results) == cancelled["done"]
    after = submit(client, [metrics()])
    assert finish(client, after["job_id"])["status"] == "SUCCEEDED"


@pytest.mark.parametrize("body", [{}, {"chargers": []}, {"chargers": {}}, [], {"chargers": "x"}])
def test_a_batch_without_readings_is_422(client: httpx.Client, body: Any) -> None:
    assert client.post(BATCH, json=body).status_code == 422


def test_an_unknown_kind_is_422(client: httpx.Client) -> None:
    answer = client.post(f"{BATCH}?kind=luck", json={"chargers": [metrics()]})
    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, "/query/kind")


def test_a_job_whose_tasks_are_lost_is_taken_up_again(client: httpx.Client, redis: RunningServer) -> None:
    with Redis.from_url(redis.url) as store:
        draft = draft_of(store, redis, 3)
        draft.commit()  # recorded, but no task was ever sent
    ended = finish(client, draft.job_id)
    assert (ended["status"], ended["done"], ended["failed"]) == ("SUCCEEDED", 3, 0)


def test_what_no_calendar_has_fails_its_row_alone(client: httpx.Client) -> None:
    rows = [metrics(), metrics(timestamp="0001-01-01T00:00:00Z"), metrics(last_maintenance="2999-01-01")]
    ended = finish(client, submit(client, rows)["job_id"])
    assert (ended["status"], ended["done"], ended["failed"]) == ("SUCCEEDED", 3, 2)


def test_a_job_whose_input_is_gone_ends_and_says_so(client: httpx.Client, redis: RunningServer) -> None:
    with Redis.from_url(redis.url) as store:
        draft = draft_of(store, redis, 3)
        draft.commit()
        store.hdel(JobKeys(draft.job_id).input, "1")
    ended = finish(client, draft.job_id)
    assert (ended["status"], ended["done"], ended["failed"]) == ("SUCCEEDED", 3, 1)
    assert [(each["row"], each["code"]) for each in ended["errors"]] == [(2, "scoring_failed")]


@pytest.mark.owasp("API1", "a malformed job id names no job")
@pytest.mark.parametrize("suffix", [":attempts", ":errors", ":held", ":input", ":results", ":sent", "\n"])
@pytest.mark.parametrize("path", ["", "/results", "/events"])
def test_what_is_no_job_id_names_no_job(client: httpx.Client, suffix: str, path: str) -> None:
    job_id = submit(client, [metrics()])["job_id"]
    for name in (job_id + suffix, job_id.upper(), job_id[:-1]):
        answer = client.get(f"/api/v1/jobs/{quote(name)}{path}")
        assert (answer.status_code, answer.json()["code"]) == (404, "unknown_job")
    assert client.delete(f"/api/v1/jobs/{quote(job_id + suffix)}").status_code == 404
