"""What must hold at any web process of either release while both serve."""

from __future__ import annotations

import itertools
from datetime import datetime, timedelta
from typing import Any, Final

import orjson

from bench.fleet_file import fleet_table
from tests.batches import BATCH, NDJSON, PARQUET, ended, job_of, parquet_of, post_file, results_of
from tests.compat.faults import Book
from tests.compat.fleet import Web
from tests.compat.singles import READINGS, TENANTS, Histories, Reference, headers, predict
from tests.processes import wait_until
from tests.verdicts import unlike

ROWS: Final = 3_000
SMALL_ROWS: Final = 40
MODELS: Final = 3  # failure, anomaly, and the schedule that follows the first
SEED: Final = 7
TENANT: Final = "acme"
JOB_TIMEOUT_S: Final = 90.0
SETTLED_WITHIN_S: Final = 30.0
NEW_WHILE_READ: Final = 3
ROW_VOLATILE: Final = frozenset({"timestamp", "fingerprint", "cached"})

_keys = itertools.count()


class Jobs:
    """The same job over and over: each time every row once, as the old release alone has scored it."""

    def __init__(self, web: Web, book: Book) -> None:
        self._book = book
        self._as_stream = False
        self._body = parquet_of(fleet_table(ROWS, seed=SEED))
        job_id = self.submit(web)
        ended(web.client, job_id, timeout_s=JOB_TIMEOUT_S)
        self._rows = [_plain(row) for row in results_of(web.client, job_id)]

    def submit(self, *webs: Web) -> str:
        """A new job, sent to each of these web processes with the same Idempotency-Key; its id."""
        key = f"compat-{next(_keys)}"
        made = {
            job_of(post_file(web.client, self._body, PARQUET, "?kind=all", **{"Idempotency-Key": key}))
            for web in webs
        }
        assert len(made) == 1, f"the same Idempotency-Key gave {len(made)} jobs"
        return made.pop()

    def check(self, job_id: str, webs: list[Web]) -> None:
        """Wait for its end and read it whole at each web process, in turns page by page and as a stream."""
        for web in webs:
            state = ended(web.client, job_id, timeout_s=JOB_TIMEOUT_S)
            counts = (state["status"], state["total"], state["done"], state["failed"])
            assert counts == ("SUCCEEDED", ROWS, ROWS, 0), state
            assert "event: done" in web.client.get(f"/api/v1/jobs/{job_id}/events").text
            self._compare(self._read(web, job_id))
            listed = web.client.get("/api/v1/jobs?limit=100").json()["items"]
            assert [job["job_id"] for job in listed].count(job_id) == 1
        self._book.count("job rows", ROWS)

    def _read(self, web: Web, job_id: str) -> list[dict[str, Any]]:
        self._as_stream = not self._as_stream
        if not self._as_stream:
            return results_of(web.client, job_id)
        answer = web.client.get(f"/api/v1/jobs/{job_id}/results", headers={"Accept": NDJSON})
        assert answer.status_code == 200, answer.text
        return [orjson.loads(line) for line in answer.text.splitlines()]

    def _compare(self, rows: list[dict[str, Any]]) -> None:
        assert [row["row"] for row in rows] == list(range(ROWS)), "rows are missing, doubled or out of order"
        for number, (expected, row) in enumerate(zip(self._rows, rows, strict=True)):
            difference = unlike(expected, _plain(row), more_fields=True)
            assert difference is None, f"row {number}: {difference}"


def _plain(row: Any) -> Any:
    """Without what differs from run to run, at any depth."""
    if isinstance(row, dict):
        return {name: _plain(value) for name, value in row.items() if name not in ROW_VOLATILE}
    return row


def check_small_job(web: Web) -> None:
    """A JSON batch whose caller waits for the answer, and whose verdicts are stored."""
    chargers = [{"charger_id": f"B-{n}", **READINGS[n % len(READINGS)]} for n in range(SMALL_ROWS)]
    answer = web.client.post(
        f"{BATCH}?kind=failure", json={"chargers": chargers}, headers={"Prefer": "wait=30"}
    )
    assert answer.status_code == 200, answer.text
    found = [row["charger_id"] for row in answer.json()["predictions"]]
    assert found == [charger["charger_id"] for charger in chargers]


def check_cache_and_history(web: Web, other: Web, reference: Reference) -> None:
    """A verdict by way of one web process is known to the other; scored again, it is kept once."""
    for number in (0, 1, 2):
        charger_id = f"X-{next(_keys)}"
        first = predict(web, "failure", charger_id, READINGS[number], TENANT)
        cached = other.client.get(f"/api/v1/predictions/{charger_id}", headers=headers(TENANT))
        assert cached.status_code == 200, cached.text
        assert unlike(first | {"cached": True}, cached.json() | {"cached": True}) is None
        again = predict(web, "failure", charger_id, READINGS[number], TENANT)
        assert again["cached"] is True, "the same web process scored the same reading twice"
        gone = other.client.delete(f"/api/v1/predictions/{charger_id}", headers=headers(TENANT))
        assert gone.status_code == 204, gone.text
        scored = predict(other, "failure", charger_id, READINGS[number], TENANT)
        assert scored["cached"] is False
        for verdict in (first, again, scored):
            reference.compare("failure", number, verdict)
        for each in (web, other):
            assert len(_history(each, TENANT, charger_id)) <= 1, "a reading has two verdicts in its history"


def check_histories(webs: list[Web], histories: Histories) -> None:
    """A history has answered readings only, each once, newest first.

    It has not all of them: the compact store keeps some, and neither release reads the other's keys.
    """
    found = {(web, key): _history(web, *key) for web in webs for key in histories.all()}
    after = histories.all()
    for (_, key), times in found.items():
        assert len(set(times)) == len(times), f"{key}: doubled"
        # One more may have been stored whose caller has not noted it yet.
        assert len(set(times) - set(after[key])) <= 1, f"{key}: stored and never answered"
        assert times == sorted(times, reverse=True)


def _history(web: Web, tenant: str | None, charger_id: str) -> list[str]:
    path = f"/api/v1/chargers/{charger_id}/history?limit=500"
    answer = web.client.get(path, headers=headers(tenant))
    if answer.status_code == 404:  # all its readings were stored by workers of the other release
        return []
    assert answer.status_code == 200, answer.text
    return [item["reading_timestamp"] for item in answer.json()["items"]]


def check_fleet(webs: list[Web]) -> None:
    """The fleet by risk can be read: verdicts stored by either release."""
    for web in webs:
        for tenant in TENANTS:
            answer = web.client.get("/api/v1/chargers?sort=risk&limit=200", headers=headers(tenant))
            assert answer.status_code == 200, answer.text
            # Verdicts change while they are read, so the order may be that of a moment before. Chargers that
            # come meanwhile are counted and not read.
            page = answer.json()
            assert 0 <= min(200, page["total"]) - len(page["items"]) <= NEW_WHILE_READ, (
                f"{page['total']} chargers, {len(page['items'])} read"
            )
            assert all(0 <= item["failure_probability"] <= 1 for item in page["items"])


class Outcomes:
    """Outcomes reported at one web process count at all, once.

    They happened right after the first reading of their charger, so that no later verdict is before them. The
    verdict itself may be stored by workers of the other release, under keys that this one does not read.
    """

    def __init__(self) -> None:
        self._reported = 0

    def check(self, webs: list[Web], histories: Histories) -> None:
        known = [
            (charger, times[0]) for (tenant, charger), times in histories.all().items() if tenant == TENANT
        ]
        for web in webs:
            self._report(web, *known[self._reported % len(known)])
        for web in webs:
            quality = web.client.get("/api/v1/outcomes/quality", headers=headers(TENANT))
            assert quality.status_code == 200, quality.text
            assert quality.json()["outcomes"]["failed"] == self._reported, quality.text

    def _report(self, web: Web, charger_id: str, first_reading: str) -> None:
        occurred_at = datetime.fromisoformat(first_reading) + timedelta(seconds=1 + self._reported)
        body = {"charger_id": charger_id, "outcome": "failed", "occurred_at": occurred_at.isoformat()}
        for _ in range(2):  # the same again counts once
            answer = web.client.post("/api/v1/outcomes", json=body, headers=headers(TENANT))
            assert answer.status_code == 202, answer.text
        self._reported += 1


def check_models(web: Web, names: set[str]) -> None:
    """The workers of these `names` hold the same versions, obey this web process, and verify for it."""
    wait_until(
        lambda: _held_by_all(web, names),
        what=f"the same models in {sorted(names)}",
        timeout_s=SETTLED_WITHIN_S,
        log=lambda: web.client.get("/api/v1/models").text,
    )
    wait_until(
        lambda: web.client.post("/api/v1/models/reload").status_code == 200,
        what="every worker's reload",
        timeout_s=SETTLED_WITHIN_S,
    )
    for name in ("failure", "anomaly"):
        card = web.client.get(f"/api/v1/models/{name}")
        assert card.status_code == 200, card.text
        verified = web.client.post(f"/api/v1/models/{name}/versions/{card.json()['active']}/verify")
        assert verified.status_code == 200, verified.text


def _held_by_all(web: Web, names: set[str]) -> bool:
    answer = web.client.get("/api/v1/models")
    assert answer.status_code == 200, answer.text
    models = answer.json()["models"]
    return len(models) == MODELS and all(
        model["status"] == "active" and {held.partition("@")[0] for held in model["workers"]} == names
        for model in models
    )


def check_operations(web: Web) -> None:
    """Everything is said to be well, and the metrics of both releases can be read together."""
    wait_until(
        lambda: web.client.get("/health").json()["status"] == "healthy",
        what=f"/health of the {web.release} web",
        timeout_s=SETTLED_WITHIN_S,
        log=lambda: web.client.get("/health").text,
    )
    metrics = web.client.get("/metrics")
    assert metrics.status_code == 200, metrics.text
    # An older web process does not see the folders of later programs.
    assert ("ml_predictions_total" if web.release == "new" else "ml_http_requests_total") in metrics.text
