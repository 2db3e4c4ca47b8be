"""The pages of the system: everybody sees processes and queues, administrators keys, webhooks, audit log."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest
from redis import Redis

from settings import ROOT, Limits
from tasks.messaging.names import Queues
from tasks.messaging.task_publisher import SENT_AT, TaskPublisher
from tasks.monitoring.heartbeats import WORKERS_KEY
from tasks.monitoring.service_health import CONSUMERS_KEY
from tasks.notify.cloud_events import alert_opened
from tasks.notify.outbox import RETRY_AFTER_S, Outbox
from tasks.notify.webhook_store import WebhookStore
from tasks.storage.api_keys import KEYS_KEY, KeyStore
from tests.console_fleet import HOSTILE
from tests.console_login import ConsoleClient, logged_in
from tests.processes import READ_KEY, Web, environment, settings_for, wait_until
from tests.services import RunningServer, start_redis
from web.console.host_figures import COUNTS
from web.console.system_page import QUEUES

KEYS, AUDIT, WEBHOOKS = "/system/keys", "/system/audit", "/system/webhooks"
ADMIN_PAGES = (KEYS, AUDIT, WEBHOOKS, f"{WEBHOOKS}/abc")
ESCAPED = "&lt;img src=x onerror=alert(1)&gt;"
HOOK = "https://hooks.example/ml"
# A program that counts dead letters, as a consumer does, and ends.
COUNTS_DEAD_LETTERS = """
import metrics
metrics.STREAM_DEAD_LETTERS.labels(code="scoring_failed").inc(3)
"""


@pytest.fixture(scope="module")
def server() -> Iterator[RunningServer]:
    with start_redis() as server:
        yield server


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("system")


@pytest.fixture(scope="module")
def service(server: RunningServer, folder: Path) -> Iterator[Web]:
    env = environment(
        server.url,
        AUDIT_LOG=str(folder / "audit.jsonl"),
        PROMETHEUS_MULTIPROC_DIR=str(folder / "metrics"),
        ML_TENANT_JOBS="7",
    )
    subprocess.run([sys.executable, "-c", COUNTS_DEAD_LETTERS], cwd=ROOT, env=env, check=True, timeout=60)
    with Web(env) as web:
        yield web


@pytest.fixture
def redis(server: RunningServer) -> Iterator[Redis]:
    with Redis.from_url(server.url) as connection:
        yield connection
        for pattern in ("ml:api_keys", "ml:webhook*", WORKERS_KEY, CONSUMERS_KEY, Queues.BATCH, "ml:audit"):
            for key in connection.scan_iter(pattern):
                connection.delete(key)


@pytest.fixture
def admin(service: Web, redis: Redis) -> Iterator[ConsoleClient]:
    with logged_in(service.url) as client:
        yield client


@pytest.fixture
def reader(service: Web, redis: Redis) -> Iterator[ConsoleClient]:
    with logged_in(service.url, READ_KEY) as client:
        yield client


def page(client: httpx.Client, path: str = "/system") -> str:
    answer = client.get(path)
    assert answer.status_code == 200, answer.text
    return answer.text


def beat(redis: Redis, **changes: Any) -> None:
    """Write the heartbeat of a worker, as one of another host does."""
    model = {"name": "failure", "version": "v7", "type": "", "trained_at": None, "trained_on": None}
    refused = {"version": "v8", "problem": f"failure v8: {HOSTILE} differs"}
    record = {
        "name": "single@host-7",
        "pid": 77,
        "queues": [Queues.SINGLE],
        "models": [model | {"metrics": None, "shadow": None, "refused": refused, "loaded_at": None}],
        "problem": None,
        "generation": 0,
        "seen_at": redis.time()[0],
        "clock_offset_s": 0.0,
    }
    redis.hset(WORKERS_KEY, "single@host-7:77", orjson.dumps(record | changes))


def parked_event(redis: Redis, url: str, *, tenant: str | None = None, alert_id: str = "alert-1") -> str:
    """Park an event of a webhook, as after its last attempt; the event's id."""
    outbox = Outbox(redis, TaskPublisher(settings_for(url)))
    for command in outbox.to_store([alert_opened(alert_id, "EVZ-1", {}, tenant=tenant, at=1.0)]):
        redis.execute_command(*command)  # type: ignore[no-untyped-call]  # not typed there
    taken = outbox.take()
    assert taken is not None
    (event,) = taken.events
    last = event._replace(tries=len(RETRY_AFTER_S))
    outbox.settle(taken, last, delivered=False, error=f"answered {HOSTILE}", unwanted=False)
    outbox.release(taken)
    return event.event_id


def test_an_empty_system_says_how_to_start_its_parts(reader: ConsoleClient) -> None:
    wait_until(lambda: "No worker runs." in page(reader), what="a look without workers")
    html = page(reader)
    assert "no worker reads the queue ml.single" in html
    assert "No Kafka consumer runs." in html
    assert "The service is degraded." in html
    for meaning in QUEUES.values():
        assert meaning in html
    for _, meaning in COUNTS.values():
        assert meaning.lower() in html.lower()
    assert 'href="/docs"' in html
    assert 'href="/metrics"' in html
    assert 'href="http://localhost:5555"' in html


def test_workers_and_consumers_are_shown_with_host_clock_and_models(
    redis: Redis, reader: ConsoleClient
) -> None:
    consumer = {
        "name": "consumer@host-9",
        "role": "consumer",
        "pid": 99,
        "state": "paused",
        "reason": HOSTILE,
        "lag": 1234,
        "partitions": 3,
        "seen_at": redis.time()[0] + 3_600,
    }
    redis.hset(CONSUMERS_KEY, "host-9:99", orjson.dumps(consumer))
    beat(redis, clock_offset_s=-4.25, seen_at=redis.time()[0] + 3_600)
    wait_until(lambda: "host-7" in page(reader), what="a look with the worker")
    html = page(reader)
    for shown in ("failure v7", "4.2 s behind", "consumer@host-9", "paused", "1,234"):
        assert shown in html, shown
    assert ESCAPED in html
    assert "<img" not in html
    models = page(reader, "/models")
    assert "Version v8 is active, but workers refused it" in models
    assert "Version v7 serves in its place" in models
    assert ESCAPED in models


def test_a_queue_says_how_long_its_oldest_task_has_waited(redis: Redis, reader: ConsoleClient) -> None:
    redis.lpush(Queues.BATCH, orjson.dumps({"headers": {SENT_AT: time.time() - 7_300}}))
    wait_until(lambda: "has waited 2 hours" in page(reader), what="the age of the oldest task")


def test_counts_of_all_programs_of_the_host_are_shown(reader: ConsoleClient, admin: ConsoleClient) -> None:
    assert "scoring failed 3" in page(reader)
    assert "replay-dlq" not in page(reader)
    html = page(admin)
    assert "python -m consumers replay-dlq --replay --code scoring_failed" in html
    assert "charger.metrics.dlq" in html
    assert "open jobs of each tenant" in html


@pytest.mark.owasp("API5", "keys, webhooks and audit log of the console need the role admin")
@pytest.mark.parametrize("path", ADMIN_PAGES)
def test_a_reader_is_refused_by_the_pages_of_administrators(reader: ConsoleClient, path: str) -> None:
    answer = reader.get(path)
    assert answer.status_code == 403
    assert "Your key lacks the role admin." in answer.text


@pytest.mark.owasp("API3", "a reader sees no name of a key, no address of a webhook and no audit log")
def test_a_reader_sees_no_keys_no_webhooks_and_no_audit_log(
    redis: Redis, reader: ConsoleClient, admin: ConsoleClient
) -> None:
    KeyStore(redis).create("Dispatch North", ("read",), None)
    WebhookStore(redis).create(HOOK, ["job.ended"], None)
    admin.post_form(f"{KEYS}/none/revoke")
    assert "Dispatch North" in page(admin, KEYS)
    assert HOOK in page(admin, WEBHOOKS)
    assert "/system/keys/none/revoke" in page(admin, AUDIT)
    html = page(reader) + page(reader, "/models") + page(reader, "/")
    for hidden in ("Dispatch North", HOOK, "/system/keys", "ML_TENANT_JOBS"):
        assert hidden not in html, hidden


def test_keys_are_listed_without_their_secrets(redis: Redis, admin: ConsoleClient) -> None:
    store = KeyStore(redis)
    secret = store.create(HOSTILE, ("read",), ("north",), expires_at=time.time() - 1, limits=Limits(jobs=5))
    html = page(admin, KEYS)
    for shown in (ESCAPED, "north", "ended", "jobs 5", secret.split("_")[1]):
        assert shown in html, shown
    assert "<img" not in html
    assert secret not in html
    assert store.all()[0].digest not in html


def test_an_administrator_revokes_a_key(service: Web, redis: Redis, admin: ConsoleClient) -> None:
    key = KeyStore(redis).create("North", ("read",), None)
    key_id = key.split("_")[1]
    assert 'data-ask="Revoke key North' in page(admin, KEYS)
    answer = admin.post_form(f"{KEYS}/{key_id}/revoke")
    assert (answer.status_code, answer.headers["Location"]) == (303, f"{KEYS}?done=revoked")
    assert KeyStore(redis).all() == []
    (newest, *_) = service.client.get("/api/v1/audit").json()["items"]
    assert (newest["action"], newest["key_name"]) == (f"POST {KEYS}/{key_id}/revoke", "ML_SERVICE_API_KEY")
    assert admin.post_form(f"{KEYS}/{key_id}/revoke").status_code == 404


def test_a_key_revokes_itself_only_with_a_confirmation(service: Web, redis: Redis) -> None:
    key = KeyStore(redis).create("Me", ("admin",), None)
    path = f"{KEYS}/{key.split('_')[1]}/revoke"

    def logs_in() -> bool:
        return httpx.post(f"{service.url}/login", data={"key": key}).status_code == 303

    wait_until(logs_in, what="the key to count")
    with logged_in(service.url, key) as client:
        answer = client.post_form(path)
        assert answer.status_code == 422
        assert "This is your own key." in answer.text
        assert redis.hlen(KEYS_KEY) == 1
        assert client.post_form(path, confirmed="yes").status_code == 303
        assert redis.hlen(KEYS_KEY) == 0
        wait_until(lambda: client.get(KEYS).status_code == 303, what="the end of the session")


@pytest.mark.owasp("API5", "a key without the role admin revokes no key and replays no event")
def test_a_reader_changes_nothing(redis: Redis, server: RunningServer, reader: ConsoleClient) -> None:
    key_id = KeyStore(redis).create("North", ("read",), None).split("_")[1]
    webhook, _ = WebhookStore(redis).create(HOOK, ["alert.opened"], None)
    parked_event(redis, server.url)
    assert reader.post_form(f"{KEYS}/{key_id}/revoke").status_code == 403
    assert reader.post_form(f"{WEBHOOKS}/{webhook.webhook_id}/replay").status_code == 403
    assert redis.hlen(KEYS_KEY) == 1
    assert WebhookStore(redis).statuses([webhook])[0].parked_now == 1


def test_a_form_without_its_token_is_refused(redis: Redis, admin: ConsoleClient) -> None:
    key_id = KeyStore(redis).create("North", ("read",), None).split("_")[1]
    assert admin.post(f"{KEYS}/{key_id}/revoke").status_code == 403
    assert redis.hlen(KEYS_KEY) == 1


def test_parked_events_are_shown_and_sent_again(
    redis: Redis, server: RunningServer, admin: ConsoleClient
) -> None:
    webhook, secret = WebhookStore(redis).create(f"{HOOK}?<b>", ["alert.opened"], None)
    event_id = parked_event(redis, server.url)
    other = parked_event(redis, server.url, alert_id="alert-2")
    path = f"{WEBHOOKS}/{webhook.webhook_id}"
    html = page(admin, path)
    for shown in (event_id, other, "parked", ESCAPED, f"{HOOK}?&lt;b&gt;"):
        assert shown in html, shown
    assert "<b>" not in html
    assert secret not in html
    answer = admin.post_form(f"{path}/replay", event_id=event_id)
    assert (answer.status_code, answer.headers["Location"]) == (303, f"{path}?done=replayed")
    assert WebhookStore(redis).statuses([webhook])[0].parked_now == 1
    assert admin.post_form(f"{path}/replay").status_code == 303
    assert WebhookStore(redis).statuses([webhook])[0].parked_now == 0
    assert f"POST {path}/replay" in page(admin, AUDIT)


@pytest.mark.owasp("API1", "a webhook of another tenant is neither shown nor replayed in the console")
def test_a_tenant_shows_its_own_webhooks(service: Web, redis: Redis) -> None:
    store = WebhookStore(redis)
    ours, _ = store.create(f"{HOOK}/north", ["job.ended"], "north")
    theirs, _ = store.create(f"{HOOK}/south", ["job.ended"], "south")
    with logged_in(service.url, tenant="north") as client:
        html = page(client, WEBHOOKS)
        assert ours.url in html
        assert theirs.url not in html
        assert client.get(f"{WEBHOOKS}/{theirs.webhook_id}").status_code == 404
        assert client.post_form(f"{WEBHOOKS}/{theirs.webhook_id}/replay").status_code == 404


@pytest.mark.owasp("API1", "a key of one tenant sees no hosts, and no keys of others, in the console")
def test_a_key_of_one_tenant_sees_no_hosts_and_no_keys(service: Web, redis: Redis) -> None:
    store = KeyStore(redis)
    other = store.create("Other", ("read",), ("other",)).split("_")[1]
    key = store.create("Depot", ("admin",), ("depot",))

    def logs_in() -> bool:
        return httpx.post(f"{service.url}/login", data={"key": key}).status_code == 303

    wait_until(logs_in, what="the key to count")
    beat(redis)
    with logged_in(service.url, key) as client:
        html = page(client)
        assert "Health" in html
        assert "A key for all tenants shows them." in html
        assert "host-7" not in html
        assert f'href="{KEYS}"' not in html
        for answer in (client.get(KEYS), client.post_form(f"{KEYS}/{other}/revoke")):
            assert answer.status_code == 403
            assert "Other" not in answer.text
    assert redis.hexists(KEYS_KEY, other)


def test_the_audit_log_has_pages(redis: Redis, admin: ConsoleClient) -> None:
    for number in range(3):
        admin.post_form(f"{KEYS}/none-{number}/revoke")
    html = page(admin, f"{AUDIT}?limit=2")
    assert "1 to 2 of 4" in html  # the log-in too
    assert "none-2" in html
    assert "none-0" not in html
    assert f'href="{AUDIT}?cursor=2&amp;limit=2"' in html
    html = page(admin, f"{AUDIT}?limit=2&cursor=2")
    assert "none-0" in html
    assert f'href="{AUDIT}?cursor=0&amp;limit=2"' in html
    assert "There is nothing on this page." in page(admin, f"{AUDIT}?cursor=90")


@pytest.mark.parametrize("path", [AUDIT, WEBHOOKS])
def test_a_wrong_query_is_a_readable_problem(admin: ConsoleClient, path: str) -> None:
    answer = admin.get(f"{path}?limit=<b>")
    assert answer.status_code == 422
    assert "<code>limit</code>: " in answer.text
    assert "<b>" not in answer.text


def test_without_redis_the_pages_say_so(service: Web, server: RunningServer, admin: ConsoleClient) -> None:
    server.pause()
    try:
        for path in ("/system", "/models"):
            answer = admin.get(path)
            assert answer.status_code == 503
            assert "Redis cannot be reached." in answer.text
    finally:
        server.resume()
    wait_until(lambda: admin.get("/system").status_code == 200, what="Redis again")
