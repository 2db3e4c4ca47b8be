"""`tasks/messaging/task_publisher.py` makes the message that Celery and kombu would have made."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from typing import Any

import orjson
import pytest
from celery import Celery
from redis import Redis
from redis.client import PubSub

from settings import Settings, read_settings
from tasks.messaging.names import Queues, TaskNames
from tasks.messaging.task_publisher import SENT_AT, TaskPublisher
from tests.processes import environment
from tests.services import RunningServer

MESSAGE = {"v": 1, "asks": [{"reading": {"charger_id": "Ä-1", "temperature": 41.5}}]}
# Different in every message, or meant to be shorter than Celery's.
OWN = {"id", "root_id", "origin", "argsrepr", "expires", "correlation_id", "reply_to", "delivery_tag"}
OWN |= {"uuid", "hostname", "clock", "timestamp", "args", "body"}


@pytest.fixture
def settings(redis: RunningServer, monkeypatch: pytest.MonkeyPatch) -> Settings:
    for name, value in environment(redis.url.replace("/0", "/7")).items():
        monkeypatch.setenv(name, value)
    return read_settings(dotenv=None)


@pytest.fixture
def client(settings: Settings) -> Iterator[Redis]:
    with Redis.from_url(settings.redis_url) as client:
        yield client
        client.flushdb()


def celery_sends(settings: Settings, expires_s: float | None, time_limit_s: float | None) -> None:
    app = Celery("reference", set_as_current=False)
    app.conf.update(broker_url=settings.redis_url, task_serializer="json", task_send_sent_event=True)
    app.send_task(
        TaskNames.SCORE,
        args=(MESSAGE,),
        queue=Queues.SINGLE,
        expires=expires_s,
        time_limit=time_limit_s,  # type: ignore[arg-type]  # fractions are welcome
        ignore_result=True,
    )
    app.close()


def heard(events: PubSub) -> dict[str, Any]:
    for _ in range(50):
        message = events.get_message(timeout=0.1)
        if message and message["type"] == "pmessage":
            return {"channel": message["channel"], **orjson.loads(message["data"])}
    raise AssertionError("no event came")


def common(found: dict[str, Any]) -> dict[str, Any]:
    """What must be equal: the body decoded, everything that differs by nature left to its type."""
    body = orjson.loads(base64.b64decode(found["body"]))

    def plain(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: type(inner).__name__ if key in OWN else plain(inner) for key, inner in value.items()}
        return [plain(inner) for inner in value] if isinstance(value, list) else value

    return {**plain(found), "body": plain(body)}


def as_text(found: dict[str, Any], key: str) -> dict[str, Any]:
    """Ours are an empty object where Celery's are its text: Flower shows both alike."""
    assert found[key] == {}
    return {**found, key: "{}"}


@pytest.mark.parametrize(("expires_s", "time_limit_s"), [(3.0, 1.5), (None, None)])
def test_message_and_event_are_those_of_celery(
    settings: Settings, client: Redis, expires_s: float | None, time_limit_s: float | None
) -> None:
    events = client.pubsub()  # type: ignore[no-untyped-call]  # untyped there
    events.psubscribe("/7.celeryev/*")  # published events know no databases, but their names do
    celery_sends(settings, expires_s, time_limit_s)
    reference, reference_event = client.rpop(Queues.SINGLE), heard(events)
    TaskPublisher(settings).send(
        TaskNames.SCORE, MESSAGE, queue=Queues.SINGLE, expires_s=expires_s, time_limit_s=time_limit_s
    )
    ours, our_event = client.rpop(Queues.SINGLE), heard(events)
    assert isinstance(reference, bytes)
    assert isinstance(ours, bytes)
    message = orjson.loads(ours)
    message["headers"] = as_text(message["headers"], "kwargsrepr")
    assert isinstance(message["headers"].pop(SENT_AT), float)  # for the age of the oldest task
    assert common(message) == common(orjson.loads(reference))
    # Celery publishes what it sends one by one, and several events as its workers do: as a list.
    assert our_event["channel"] == reference_event["channel"].replace(b"task.sent", b"task.multi")
    (single,) = orjson.loads(base64.b64decode(our_event["body"]))
    our_event |= {
        "body": base64.b64encode(orjson.dumps(as_text(single, "kwargs"))),
        "channel": reference_event["channel"],
    }
    our_event["properties"]["delivery_info"]["routing_key"] = "task.sent"
    assert common(our_event) == common(reference_event)
    events.close()


def test_a_task_is_sent_unless_a_mark_is_found(settings: Settings, client: Redis) -> None:
    publisher = TaskPublisher(settings)
    client.set("held", "… the mark …")
    client.hset("of another type", "the mark", "the mark")

    def send(*keys: str) -> str:
        marks = [(key, "the mark") for key in keys]
        return publisher.send(TaskNames.SCORE, MESSAGE, queue=Queues.SINGLE, unless=marks)

    assert not send("not there", "held")
    assert client.llen(Queues.SINGLE) == 0
    task_id = send("not there", "of another type")
    envelope = client.rpop(Queues.SINGLE)
    assert isinstance(envelope, bytes)
    assert orjson.loads(envelope)["headers"]["id"] == task_id
    assert client.llen(Queues.SINGLE) == 0
