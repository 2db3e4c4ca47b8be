"""Events whose cause is found by looking: activated models, drift, ended jobs; each once."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from operator import itemgetter
from pathlib import Path
from typing import Any, cast

import pytest
from redis import Redis

from models import registry
from readings.reading import Reading, rfc3339
from settings import ROOT, Settings
from tasks.jobs.job_store import JobStore
from tasks.messaging.names import Queues
from tasks.messaging.task_publisher import TaskPublisher
from tasks.notify.cloud_events import TYPES, alert_opened
from tasks.notify.outbox import Outbox
from tasks.notify.webhook_store import WebhookStore, part_key
from tasks.storage.fleet import ACTIONS_KEY, FleetStore
from tasks.storage.redis_connection import PinnedConnection
from tasks.worker.announcements import DRIFT_KEY, MODELS_KEY, Announcements
from tests.batches import NDJSON, ended, job_of, ndjson_of, post_file
from tests.processes import Web, environment, settings_of, start_worker, wait_until
from tests.readings import metrics
from tests.services import RunningServer
from tests.versions import copied_versions, copy_version
from tests.webhook_sink import webhook_sink

# Within the retention.
NOON = datetime.now(UTC).replace(hour=12, minute=0, second=0, microsecond=0) - timedelta(days=1)


class Announcer:
    """Announcements by hand, and what they have put into the outbox of one webhook."""

    def __init__(self, settings: Settings, redis: Redis) -> None:
        self.redis = redis
        self.outbox = Outbox(redis, TaskPublisher(settings))
        self.announcements = Announcements(settings, redis, self.outbox, JobStore(settings, redis))
        self.reports: dict[str, str] = {}
        self.announcements._drift.report = self._report  # type: ignore[method-assign]  # of chosen traffic

    def _report(self, name: str, window: str = "24h") -> dict[str, Any]:
        status = self.reports.get(name, "too_few_readings")
        return {"name": name, "version": "v1", "window": window, "status": status, "readings": 500}

    def announced(self) -> list[dict[str, Any]]:
        """The data of new events, which are delivered by this."""
        found = []
        while (taken := self.outbox.take()) is not None:
            for event in taken.events:
                found.append(json.loads(event.body))
                self.outbox.settle(taken, event, delivered=True, error="", unwanted=False)
            self.outbox.release(taken)
        return found


@pytest.fixture
def env(tmp_path: Path, lone_redis: RunningServer) -> dict[str, str]:
    folder = copied_versions(tmp_path)
    for name in ("second", "third"):
        copy_version(folder / "failure", name)
    return environment(lone_redis.url, MODEL_DIR=str(folder))


@pytest.fixture
def announcer(env: dict[str, str]) -> Iterator[Announcer]:
    settings = settings_of(env)
    with Redis.from_url(settings.redis_url) as redis:
        WebhookStore(redis).create("https://hooks.example/", TYPES, None)
        yield Announcer(settings, redis)


def activate(env: dict[str, str], version: str) -> None:
    command = [sys.executable, "-m", "models", "activate", "failure", version]
    subprocess.run(command, cwd=ROOT, env=env, check=True, capture_output=True, timeout=60)


def test_each_activation_is_announced_once(announcer: Announcer, env: dict[str, str]) -> None:
    first = registry.active_version(Path(env["MODEL_DIR"]), "failure")
    announcer.announcements.models()
    announcer.announcements.models()
    assert announcer.announced() == []  # nothing was activated
    seen: list[tuple[str, str]] = []
    ids: set[str] = set()
    for version in ("second", first, "second"):
        activate(env, version)
        for _ in range(2):
            announcer.announcements.models()
        (event,) = announcer.announced()
        assert (event["type"], event["subject"]) == ("model.activated", "failure")
        seen.append((event["data"]["previous_version"], event["data"]["version"]))
        ids.add(event["id"])
    assert seen == [(first, "second"), ("second", first), (first, "second")]
    assert len(ids) == 3


def test_two_workers_that_look_at_once_announce_under_one_id(
    announcer: Announcer, env: dict[str, str]
) -> None:
    announcer.announcements.models()
    before = announcer.redis.hgetall(MODELS_KEY)
    activate(env, "second")
    announcer.announcements.models()
    announcer.redis.hset(MODELS_KEY, mapping=cast(Any, before))  # as the other worker has read it
    announcer.announcements.models()
    assert len(announcer.announced()) == 1


def test_drift_is_announced_when_its_level_changes(announcer: Announcer) -> None:
    seen = []
    for status in (
        "too_few_readings",
        "stable",
        "drifted",
        "drifted",
        "too_few_readings",
        "drifted",
        "look",
        "stable",
    ):
        announcer.reports["failure"] = status
        announcer.announcements.drift()
        seen += [(each["data"]["previous_status"], each["data"]["status"]) for each in announcer.announced()]
    assert seen == [(None, "drifted"), ("drifted", "look"), ("look", "stable")]


def test_drift_costs_nothing_without_a_webhook_for_it(announcer: Announcer) -> None:
    store = WebhookStore(announcer.redis)
    store.remove(store.all()[0].webhook_id)
    store.create("https://hooks.example/", ["job.ended"], None)
    announcer.outbox.refresh()
    announcer.reports["failure"] = "drifted"
    announcer.announcements.drift()
    assert not announcer.redis.exists(DRIFT_KEY)


def test_the_end_of_a_job_outlives_the_process_that_recorded_it(lone_redis: RunningServer) -> None:
    env = environment(lone_redis.url, WEBHOOK_ALLOW_PRIVATE="true")
    app = "tests.integration.announcing_app"
    with webhook_sink() as sink, start_worker(Queues.BATCH, env, app=app) as worker, Web(env) as web:
        wait_until(lambda: "ready" in worker.log(), what="the worker", log=worker.log)
        body = {"url": sink.url, "types": ["job.ended"]}
        secret = web.client.post("/api/v1/webhooks", json=body).json()["secret"]
        job_ids = [job_of(post_file(web.client, ndjson_of([metrics()]), NDJSON)) for _ in range(3)]
        for job_id in job_ids:
            assert ended(web.client, job_id)["status"] == "SUCCEEDED"
        wait_until(lambda: len({*sink.ids}) == 3, what="the events", timeout_s=60, log=worker.log)
        assert "SIGKILL" in worker.log()
        assert {each.verified(secret)["subject"] for each in sink.received} == {*job_ids}


def test_an_event_that_cannot_be_read_costs_no_other(announcer: Announcer) -> None:
    (webhook,) = WebhookStore(announcer.redis).all()
    made = [alert_opened(str(number), "EVZ-1", {}, tenant=None, at=1.0) for number in range(3)]
    for command in announcer.outbox.to_store(made):
        announcer.redis.execute_command(*command)  # type: ignore[no-untyped-call]  # untyped there
    for event, damaged in ((made[0], "{"), (made[1], "[]")):
        announcer.redis.hset(part_key(webhook.webhook_id, "events"), event.event_id, damaged)
    assert [each["id"] for each in announcer.announced()] == [made[2].event_id]
    assert announcer.redis.hlen(part_key(webhook.webhook_id, "events")) == 0


def test_each_change_of_an_action_is_announced_once(announcer: Announcer, env: dict[str, str]) -> None:
    fleet = FleetStore(settings_of(env), announcer.redis)

    def store(charger: str, action: str, minute: int, tenant: str | None = None) -> None:
        at = NOON + timedelta(minutes=minute)
        verdict = {
            "charger_id": charger,
            "reading_timestamp": rfc3339(at),
            "failure_probability": 0.3,
            "horizons": {"1d": 0.1, "7d": 0.2, "30d": 0.3},
            "recommended_action": action,
            "in_failure": False,
            "confidence": 0.9,
            "model_version": "1",
            "cost_of_waiting": 12.5,
            "top_contributing_factors": [{"text": f"Heat {minute}"}],
        }
        reading = Reading(charger, "AVAILABLE", at)
        commands = fleet.to_store([(tenant, verdict, json.dumps(verdict).encode(), reading)])
        PinnedConnection(announcer.redis).execute(*commands)

    reasons: list[str | None] = []

    def announced() -> list[tuple[str, str | None, str]]:
        announcer.announcements.changed_actions()
        # Events of one moment come in any order (docs/webhooks.md).
        data = sorted((event["data"] for event in announcer.announced()), key=itemgetter("charger_id"))
        assert all(each["cost_of_waiting"] == 12.5 for each in data)
        nonlocal reasons
        reasons = [each["top_factor"] for each in data]
        return [(each["charger_id"], each["previous_action"], each["recommended_action"]) for each in data]

    store('C"1', "NONE", 0)
    assert announced() == []  # nothing is due, as before
    store('C"1', "WITHIN_7_DAYS", 1)
    store('C"1', "WITHIN_7_DAYS", 1)  # a task that ran twice
    store('C"1', "WITHIN_7_DAYS", 2)
    store("C2", "IMMEDIATE", 1, tenant="t")
    assert announced() == [('C"1', "NONE", "WITHIN_7_DAYS"), ("C2", None, "IMMEDIATE")]
    assert reasons == [None, "Heat 1"]
    store('C"1', "IMMEDIATE", 1)  # a reading that arrives after a newer one
    assert announced() == []
    store('C"1', "NONE", 3)
    assert announced() == [('C"1', "WITHIN_7_DAYS", "NONE")]
    for charger in ("C3", "C4"):
        store(charger, "IMMEDIATE", 1)
    store("C4", "IMMEDIATE", 1, tenant="t")
    fleet.forget_actions(None, "C3")  # erased
    fleet.forget_actions("t")
    assert announced() == [("C4", None, "IMMEDIATE")]
    store("C4", "NONE", 2)
    store("C4", "IMMEDIATE", 3)
    store("C4", "IMMEDIATE", 4)  # a newer verdict, for perhaps another reason
    announced()
    assert reasons == [None, None]


def test_actions_are_noted_only_while_there_is_a_webhook(announcer: Announcer, env: dict[str, str]) -> None:
    store = WebhookStore(announcer.redis)
    for webhook in store.all():
        store.remove(webhook.webhook_id)
    fleet = FleetStore(settings_of(env), announcer.redis)
    verdict: dict[str, Any] = {
        "charger_id": "C",
        "reading_timestamp": rfc3339(NOON),
        "failure_probability": 0.9,
        "horizons": {"1d": 0.9, "7d": 0.9, "30d": 0.9},
        "recommended_action": "IMMEDIATE",
        "in_failure": True,
        "confidence": 0.9,
        "model_version": "1",
    }
    commands = fleet.to_store([(None, verdict, b"{}", Reading("C", "FAULTY", NOON))])
    PinnedConnection(announcer.redis).execute(*commands)
    assert announcer.redis.exists(ACTIONS_KEY) == 0
