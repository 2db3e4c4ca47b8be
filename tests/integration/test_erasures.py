"""A charger or a tenant is erased from all stores by a job, and the receipt says what remains."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import httpx
import pytest
from redis import Redis

from tasks.jobs.job_erasure import JobErasure
from tasks.jobs.job_keys import JobKeys
from tasks.jobs.job_store import JobStore
from tasks.storage.alert_records import AlertChange, AlertRecords
from tasks.storage.api_keys import KeyStore
from tasks.storage.fleet import erasures_key
from tests.batches import CSV, NDJSON, PARQUET, ended, job_of, ndjson_of, post_file, results_of
from tests.golden.redis_dump import dump, keys_of
from tests.http_jobs import assert_problem, finish
from tests.processes import (
    KEY,
    READ_KEY,
    Web,
    environment,
    running_service,
    settings_for,
    wait_until,
)
from tests.readings import metrics, new_charger_id, request
from tests.services import start_redis

CHARGERS: Final = "/api/v1/chargers"
TENANTS: Final = "/api/v1/tenants"
OUTCOMES: Final = "/api/v1/outcomes"
NOW: Final = datetime.now(UTC)
# An erasure waits for requests under way as long as they may take.
SYNC_TIMEOUT: Final = "1"


class Service:
    """A web process with workers, on a Redis of its own; what it stores can be searched."""

    def __init__(self, web: Web, redis: Redis) -> None:
        self.web, self.redis = web, redis

    def client(self, tenant: str | None = None, key: str = KEY) -> httpx.Client:
        headers = {"X-API-Key": key} | ({} if tenant is None else {"X-Tenant-ID": tenant})
        return httpx.Client(base_url=self.web.url, headers=headers, timeout=30)

    def found(self, text: str) -> set[str]:
        """The keys whose name or value has the text. The audit log apart, as a receipt says."""
        stored = dump(self.redis, keys_of(self.redis))
        return {name for name, value in stored.items() if text in name or text in json.dumps(value)} - {
            "ml:audit"
        }


@pytest.fixture(scope="module")
def service() -> Iterator[Service]:
    with (
        start_redis() as server,
        running_service(environment(server.url, ML_SYNC_TIMEOUT=SYNC_TIMEOUT, ML_TENANT_JOBS="1000")) as web,
        Redis.from_url(server.url) as redis,
    ):
        yield Service(web, redis)


def open_alert(service: Service, tenant: str | None, charger: str) -> None:
    """A record of an alert, as the consumer writes it."""
    alert_id = hashlib.blake2b(f"{tenant}{charger}".encode(), digest_size=12).hexdigest()
    change = AlertChange(tenant, alert_id, 0, "failure", charger, NOW.isoformat(), "in:0:0", None)
    for command in AlertRecords(settings_for(), service.redis).to_store([change]):
        service.redis.execute_command(*command)  # type: ignore[no-untyped-call]  # untyped there


def fill(client: httpx.Client, charger: str, *others: str) -> str:
    """Everything that the service stores of a charger, and of others; the id of a job with all of them."""
    for each in (charger, *others):
        for kind in ("failure", "maintenance", "anomaly"):
            body = request(each, timestamp=(NOW - timedelta(hours=2)).isoformat())
            assert client.post(f"/api/v1/predictions/{kind}", json=body).status_code == 200
        assert client.put(f"{CHARGERS}/{each}", json={"name": each}).status_code == 200
        outcome = {"charger_id": each, "outcome": "failed", "occurred_at": NOW.isoformat()}
        assert client.post(OUTCOMES, json=outcome).status_code == 202
    rows: list[Any] = [metrics(each) for each in (*others, charger)]
    # A wrong row of the charger, and the charger's id in a wrong column of another one.
    rows += [metrics(charger, temperature="hot"), metrics("EVZ-X", power=charger), metrics(charger)]
    job_id = job_of(post_file(client, ndjson_of(rows), NDJSON, "?kind=all&store=true"))
    ended(client, job_id)
    return job_id


def erased(client: httpx.Client, path: str) -> dict[str, Any]:
    """The receipt of an erasure, once it has ended."""
    answer = client.delete(path)
    assert answer.status_code == 202, answer.text
    job = answer.json()
    assert answer.headers["Location"] == f"/api/v1/jobs/{job['job_id']}"
    assert (job["kind"], job["total"]) == ("erase", 1)
    assert finish(client, job["job_id"])["status"] == "SUCCEEDED"
    (receipt,) = results_of(client, job["job_id"])
    return receipt


@pytest.mark.parametrize("tenant", [None, "one-charger"])
def test_nothing_of_an_erased_charger_is_found_in_redis(service: Service, tenant: str | None) -> None:
    client, keeper = service.client(tenant), service.client("keeper")
    charger, other = f"ERASED-{tenant}", f"KEPT-{tenant}"
    job_id = fill(client, charger, other)
    assert keeper.post("/api/v1/predictions/failure", json=request(charger)).status_code == 200
    for each in (charger, other):
        open_alert(service, tenant, each)
    before = results_of(client, job_id)
    kept = {name for name in service.found(charger) if name.startswith("ml:tenant:keeper:")}
    assert len(kept) == 6
    prefix = f"ml:tenant:{tenant}:" if tenant else "ml:"
    service.redis.hset(f"{prefix}fleet:verdict:{charger}", "at", "1.0")  # as the release before stored them
    for former in (f"{prefix}fleet:history:{charger}", f"{prefix}fleet:risk"):
        service.redis.zadd(former, {charger: 0.5})
    erasures = int(service.redis.get(erasures_key(tenant)) or 0)

    receipt = erased(client, f"{CHARGERS}/{charger}")
    assert (receipt["subject"], receipt["charger_id"]) == ("charger", None)
    assert receipt["subject_sha256"] == hashlib.sha256(charger.encode()).hexdigest()
    assert receipt["erased"] == {
        "cache": 3,
        "fleet": 3,
        "history": 1,
        "outcomes": 1,
        "attributes": 1,
        "alerts": 1,
        "events": 0,
        "job_rows": 4,
    }
    assert service.found(charger) == kept
    assert int(service.redis.get(erasures_key(tenant)) or 0) > erasures  # an erasure has several rounds
    assert service.redis.ttl(erasures_key(tenant)) > 0

    after = results_of(client, job_id)
    assert after[0] == before[0]
    assert after[0]["charger_id"] == other
    for row in (1, 2, 3, 4):
        assert after[row]["row"] == row
        assert after[row]["charger_id"] is None
        assert after[row]["error"]["code"] == "erased"
    assert charger not in json.dumps([each for each in after if each["charger_id"] != other])
    state = client.get(f"/api/v1/jobs/{job_id}").json()
    assert (state["total"], state["done"], state["failed"], state["errors"]) == (5, 5, 2, [])
    assert [each["charger_id"] for each in client.get(CHARGERS).json()["items"]] == [other]
    assert len(client.get(OUTCOMES).json()["items"]) == 1
    (alert,) = client.get("/api/v1/alerts").json()["items"]
    assert alert["charger_id"] == other
    assert alert["alert_id"] in str(service.redis.zrange("ml:alerts:held:0", 0, -1))
    assert keeper.get(f"/api/v1/predictions/{charger}").status_code == 200


def test_erased_rows_are_rows_with_errors_in_every_form_of_results(service: Service) -> None:
    client = service.client("forms")
    charger = new_charger_id()
    job_id = fill(client, charger, new_charger_id())
    erased(client, f"{CHARGERS}/{charger}")
    for form in (CSV, NDJSON, PARQUET):
        answer = client.get(f"/api/v1/jobs/{job_id}/results", headers={"Accept": form})
        assert answer.status_code == 200
        assert charger.encode() not in answer.content
        assert form == PARQUET or answer.content.count(b"erased") == 8


def test_a_charger_that_is_read_again_is_new_and_kept(service: Service) -> None:
    client = service.client("again")
    charger = new_charger_id()
    fill(client, charger)
    erased(client, f"{CHARGERS}/{charger}")
    assert client.get(f"{CHARGERS}/{charger}/history").status_code == 404
    assert client.post("/api/v1/predictions/failure", json=request(charger)).status_code == 200
    assert client.get(f"{CHARGERS}/{charger}/history").json()["total"] == 1
    assert erased(client, f"{CHARGERS}/{charger}")["erased"]["fleet"] == 2


def test_an_unknown_charger_may_be_erased_and_twice(service: Service) -> None:
    client = service.client("unknown")
    for _ in range(2):
        receipt = erased(client, f"{CHARGERS}/never-seen")
        assert set(receipt["erased"].values()) == {0}


def test_nothing_of_an_erased_tenant_is_found_in_redis(service: Service) -> None:
    tenant, client = "ERASED-TENANT", service.client("ERASED-TENANT")
    job_id = fill(client, new_charger_id(), new_charger_id())
    for number in range(3):
        open_alert(service, tenant, f"A-{number}")
    once = {"Idempotency-Key": "of-erased-tenant"}
    job_of(post_file(client, ndjson_of([metrics()]), NDJSON, **once))
    keys = KeyStore(service.redis)
    own = keys.create("own", ("predict",), (tenant,))
    shared = keys.create("shared", ("predict",), (tenant, "another"))
    everybodys = keys.create("all", ("read",), None)
    assert service.found(tenant)

    receipt = erased(service.client(), f"{TENANTS}/{tenant}")
    assert receipt["subject"] == "tenant"
    assert receipt["subject_sha256"] == hashlib.sha256(tenant.encode()).hexdigest()
    counts = receipt["erased"]
    assert (counts["jobs"], counts["outcomes"], counts["keys_revoked"], counts["keys_narrowed"]) == (
        2,
        2,
        1,
        1,
    )
    assert counts["attributes"] == 2
    assert counts["alerts"] == 3
    assert min(counts["cache"], counts["fleet"], counts["history"], counts["other"]) >= 1
    assert service.found(tenant) == set()
    assert client.get(f"/api/v1/jobs/{job_id}").status_code == 404
    assert client.get(CHARGERS).json()["items"] == []
    assert not service.redis.exists(JobKeys(job_id).results)

    stored = {key.name: key.tenants for key in KeyStore(service.redis).all()}
    assert stored == {"shared": ("another",), "all": None}
    wait_until(lambda: service.client(key=own).get(CHARGERS).status_code == 401, what="the end of the key")
    assert service.client("another", shared).get(CHARGERS).status_code == 200
    assert service.client(tenant, shared).get(CHARGERS).status_code == 403
    assert service.client(tenant, everybodys).get(CHARGERS).status_code == 200


def test_a_tenant_that_erases_itself_reads_its_receipt(service: Service) -> None:
    tenant = "myself"
    key = KeyStore(service.redis).create("own admin", ("admin", "predict"), (tenant,))
    client = service.client(key=key)
    wait_until(lambda: client.get(CHARGERS).status_code == 200, what="the key")
    fill(client, new_charger_id())
    receipt = erased(client, f"{TENANTS}/{tenant}")
    assert any(each["data"].startswith("the key that asked") for each in receipt["remains"])
    (kept,) = [each for each in KeyStore(service.redis).all() if each.name == "own admin"]
    assert kept.expires_at is not None
    jobs = client.get("/api/v1/jobs?kind=erase").json()["items"]
    assert [job["status"] for job in jobs] == ["SUCCEEDED"]
    assert service.found(tenant) == {
        f"ml:tenant:{tenant}:jobs",
        JobKeys(jobs[0]["job_id"]).record,
        "ml:api_keys",
    }


def test_the_receipt_names_what_remains(service: Service) -> None:
    receipt = erased(service.client("remains"), f"{CHARGERS}/EVZ-1")
    assert receipt["state"] == {"alerts": "pending", "ocpp": "pending"}
    remains = " ".join(each["data"] for each in receipt["remains"])
    for word in ("charger.metrics", "ml.predictions", "ml.alert_state", "append-only", "backups", "audit"):
        assert word in remains, word
    assert all(each["until"] for each in receipt["remains"])
    entry = service.client().get("/api/v1/audit?limit=1").json()["items"][0]
    assert (entry["action"], entry["status"]) == (f"DELETE {CHARGERS}/EVZ-1", 202)
    assert entry["request_id"] == receipt["request_id"]


@pytest.mark.owasp("API5", "only keys with the role admin erase a charger or a tenant")
def test_only_administrators_erase(service: Service) -> None:
    predict = KeyStore(service.redis).create("predicts", ("predict",), None)
    wait_until(lambda: service.client(key=predict).get(CHARGERS).status_code == 200, what="the key")
    for key in (predict, READ_KEY):
        for path in (f"{CHARGERS}/EVZ-1", f"{TENANTS}/acme"):
            assert_problem(service.client(key=key).delete(path), 403, "forbidden")


@pytest.mark.owasp("API1", "a key of one tenant erases no other tenant, and none of its chargers")
def test_a_key_of_a_tenant_erases_no_other(service: Service) -> None:
    client = service.client("victim")
    charger = new_charger_id()
    fill(client, charger)
    key = KeyStore(service.redis).create("of a stranger", ("admin",), ("stranger",))
    stranger = service.client(key=key)
    wait_until(lambda: stranger.get(CHARGERS).status_code == 200, what="the key")
    assert_problem(stranger.delete(f"{TENANTS}/victim"), 403, "forbidden")
    assert_problem(service.client("victim", key).delete(f"{TENANTS}/victim"), 403, "forbidden")
    assert_problem(service.client("victim", key).delete(f"{CHARGERS}/{charger}"), 403, "forbidden")
    # Its own charger of the same id is another one.
    assert set(erased(stranger, f"{CHARGERS}/{charger}")["erased"].values()) == {0}
    assert client.get(f"/api/v1/predictions/{charger}").status_code == 200
    # A request that acts for one tenant does not erase another, whatever its key may do.
    assert_problem(service.client("other").delete(f"{TENANTS}/victim"), 403, "forbidden")
    assert client.get(f"{CHARGERS}/{charger}/history").json()["total"] >= 1


@pytest.mark.owasp("API1", "the job and the receipt of an erasure are read by their own tenant only")
def test_another_tenant_reads_no_receipt(service: Service) -> None:
    job = service.client("owner").delete(f"{CHARGERS}/EVZ-1").json()
    for client in (service.client("stranger"), service.client()):
        for path in ("", "/results", "/events"):
            assert_problem(client.get(f"/api/v1/jobs/{job['job_id']}{path}"), 404, "unknown_job")


@pytest.mark.parametrize("path", [f"{CHARGERS}/a b", f"{CHARGERS}/{'x' * 129}", f"{TENANTS}/a.b"])
def test_a_wrong_id_is_named(service: Service, path: str) -> None:
    problem = assert_problem(service.client().delete(path), 422, "invalid_parameter")
    assert problem["errors"][0]["pointer"].startswith("/path/")


def test_an_erasure_is_no_table_and_is_not_cancelled(service: Service) -> None:
    client = service.client("receipts")
    job = client.delete(f"{CHARGERS}/EVZ-1").json()
    path = f"/api/v1/jobs/{job['job_id']}"
    assert_problem(client.delete(path), 409, "conflict")
    assert finish(client, job["job_id"])["status"] == "SUCCEEDED"
    for form in (CSV, PARQUET):
        assert_problem(client.get(f"{path}/results", headers={"Accept": form}), 406, "not_acceptable")
    assert client.get(f"{path}/results?columns=row").json()["items"][0]["subject"] == "charger"
    lines = client.get(f"{path}/results", headers={"Accept": NDJSON}).text.splitlines()
    assert [json.loads(line)["subject"] for line in lines] == ["charger"]
    assert [each["job_id"] for each in client.get("/api/v1/jobs?kind=erase").json()["items"]] == [
        job["job_id"]
    ]
    assert client.get("/api/v1/jobs?kind=all").json()["items"] == []
    done = client.get(f"{path}/events").text
    assert '"status":"SUCCEEDED"' in done
    assert "waiting_for" not in client.get(path).json()


def test_jobs_that_were_accepted_before_are_waited_for(service: Service) -> None:
    client, charger = service.client("waits"), new_charger_id()
    job_id = fill(client, charger)
    record = JobKeys(job_id).record
    service.redis.hset(record, "status", "RUNNING")  # and nobody scores it
    job = client.delete(f"{CHARGERS}/{charger}").json()
    path = f"/api/v1/jobs/{job['job_id']}"
    wait_until(lambda: "1 jobs" in (client.get(path).json()["waiting_for"] or ""), what="the reason")
    late = metrics(charger)
    time.sleep(float(SYNC_TIMEOUT) + 3)
    assert client.get(path).json()["status"] == "RUNNING"
    # As its last chunk would: it stores a verdict, and its end.
    assert client.post("/api/v1/predictions/failure", json=late).status_code == 200
    service.redis.hset(record, "status", "SUCCEEDED")
    assert finish(client, job["job_id"])["status"] == "SUCCEEDED"
    assert service.found(charger) == set()


def test_a_charger_that_is_named_like_a_field_costs_no_other_row(service: Service) -> None:
    client = service.client("names")
    ids = ["failure", "1", "NONE", "EVZ-1", "EVZ-11", "xEVZ-1"]
    job_id = job_of(post_file(client, ndjson_of(map(metrics, ids)), NDJSON, "?kind=all"))
    ended(client, job_id)
    before = results_of(client, job_id)
    for charger in ("failure", "1", "EVZ-1"):
        assert erased(client, f"{CHARGERS}/{charger}")["erased"]["job_rows"] == 1
    after = results_of(client, job_id)
    for row in (0, 1, 3):
        assert after[row]["error"]["code"] == "erased"
    for row in (2, 4, 5):
        assert after[row] == before[row]


def test_rows_of_a_large_job_are_erased_in_several_steps(service: Service) -> None:
    client = service.client("large")
    ids = ["GONE" if number % 2 else f"EVZ-{number}" for number in range(1_000)]
    job_id = job_of(post_file(client, ndjson_of(map(metrics, ids)), NDJSON))
    ended(client, job_id)
    jobs = JobStore(settings_for(), service.redis)
    job = jobs.find(job_id)
    assert job is not None
    erasure = JobErasure(service.redis, jobs)
    steps = [erasure.erase_rows(job, "GONE", until=0.0)]
    while not steps[-1][1]:
        steps.append(erasure.erase_rows(job, "GONE", until=0.0))
    assert len(steps) == -(-1_000 // job.chunk_rows) + 1
    assert sum(rows for rows, _ in steps) == 500
    codes = [row.get("error", {}).get("code") for row in results_of(client, job_id)]
    assert codes == [None, "erased"] * 500
