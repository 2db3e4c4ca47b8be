"""Putting tasks on their queues and their events before Flower, without kombu.

Tasks are sent by name, so that these processes hold no model and import none. Celery makes the message and
the event "task-sent" that Flower reads; they are sent from here, because kombu builds a Redis client for each
of them (docs/adr/0003). The event goes out after the task: that Redis refuses an event is no reason to refuse
a task.
"""

from __future__ import annotations

import base64
import itertools
import logging
import os
import time
import uuid
from collections import deque
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import orjson
from celery import Celery
from celery.utils.nodenames import anon_nodename
from redis import Redis, RedisError

from errors import BrokerUnavailable
from settings import Settings
from tasks.storage.redis_connection import Command, PinnedConnection, connect

log = logging.getLogger(__name__)

# Makes messages and never connects, so that it needs none of the settings in celeryconfig.py.
_AMQP: Final[Any] = Celery(set_as_current=False).amqp  # incompletely typed there

# Two times this (connecting, then sending) ends well within the caller's 2 s.
SEND_TIMEOUT_S: Final = 0.7
MAX_PENDING_EVENTS: Final = 1000
# Not the text "{}", as Celery has it: Flower parses that as Python at each of a task's four events.
NO_KWARGS: Final[dict[str, Any]] = {}

# A task for the queue, which is the first key, unless one of the others holds the mark that belongs to it.
_PUSH_UNLESS = """
local held = redis.call('MGET', unpack(KEYS, 2))
for i = 1, #KEYS - 1 do
  if held[i] and string.find(held[i], ARGV[i + 1], 1, true) then return 0 end
end
return redis.call('LPUSH', KEYS[1], ARGV[1])
"""

# A key, and what its value holds where a task is perhaps not needed.
CacheGuard = tuple[str, str]


class TaskPublisher:
    """A producer of Celery tasks that gives up quickly. Safe to share between threads.

    Flower's events wait for each other for `flush_every_s` seconds: they leave after the next task then, or
    at `flush_events`.
    """

    def __init__(self, settings: Settings, *, flush_every_s: float = 0.0) -> None:
        self._redis = connect(settings.redis_url, timeout_s=SEND_TIMEOUT_S)
        self._connection = PinnedConnection(self._redis)
        self._name = anon_nodename()
        self._clock = itertools.count(1)
        self._pending_events: deque[dict[str, Any]] = deque(maxlen=MAX_PENDING_EVENTS)
        self._flush_every_s = flush_every_s
        self._flushed_at = 0.0

    def send(
        self,
        task: str,
        message: dict[str, Any],
        *,
        queue: str,
        expires_s: float | None = None,
        time_limit_s: float | None = None,
        unless: Sequence[CacheGuard] = (),
    ) -> str:
        """Enqueue and return the task id. Blocks 2 s at most.

        With `expires_s`, a worker that gets to the task later than that discards it; with `time_limit_s` a
        process that takes longer for it is killed (without, the task's own limit holds). Where Redis finds
        one of the marks of `unless` nothing is enqueued, and the id is empty. Raises `BrokerUnavailable`;
        whether the broker has taken the task is then not known.
        """
        task_id, envelope, event = self._task(task, message, queue, expires_s, time_limit_s)
        push: Command
        if unless:
            keys, guards = zip(*unless, strict=True)
            push = ("EVAL", _PUSH_UNLESS, 1 + len(keys), queue, *keys, envelope, *guards)
        else:
            push = ("LPUSH", queue, envelope)
        if not self._push(push):
            return ""
        self._pending_events.append(event)
        self.flush_events()
        return task_id

    def send_all(self, task: str, messages: Sequence[dict[str, Any]], *, queue: str) -> None:
        """Enqueue one task for each message, in one round trip. Raises like `send`."""
        if not messages:
            return
        made = [self._task(task, message, queue, None, None) for message in messages]
        self._push(("LPUSH", queue, *(envelope for _, envelope, _ in made)))
        self._pending_events.extend(event for _, _, event in made)
        self.flush_events()

    def _push(self, command: Command) -> int:
        """How many tasks the queue has then, or 0."""
        try:
            (length,) = self._connection.execute(command)
        except RedisError as error:
            raise BrokerUnavailable("The task queue cannot be reached.") from error
        return int(length)

    def _task(
        self,
        task: str,
        message: dict[str, Any],
        queue: str,
        expires_s: float | None,
        time_limit_s: float | None,
    ) -> tuple[str, bytes, dict[str, Any]]:
        """A new task's id, its message, and the event that tells of it."""
        task_id = str(uuid.uuid4())
        expires = None
        if expires_s is not None:
            expires = (datetime.now(UTC) + timedelta(seconds=expires_s)).isoformat()
        made = _AMQP.as_task_v2(
            task_id,
            task,
            (message,),
            expires=expires,
            time_limit=time_limit_s,
            ignore_result=True,
            origin=self._name,
            argsrepr="",
            kwargsrepr=NO_KWARGS,
            create_sent_event=True,
        )
        body = encoded(made.body)
        # What Flower shows as the task's arguments: readings are not for everybody's eyes.
        made.headers["argsrepr"] = made.sent_event["args"] = f"(<{len(body)} characters>,)"
        if expires_s is not None:
            made.properties["expiration"] = str(int(expires_s * 1000))
        envelope = envelope_of(body, made.headers, made.properties, tag=task_id, key=queue)
        event = {
            "hostname": self._name,
            "utcoffset": 0,
            "pid": os.getpid(),
            "clock": next(self._clock),
            **made.sent_event,
            "queue": queue,
            "exchange": "",
            "routing_key": queue,
            "timestamp": time.time(),
            "type": "task-sent",
        }
        return task_id, envelope, event

    def flush_events(self) -> None:
        """Publish what Flower has not heard yet, if it is time. Raises nothing: it is only for people."""
        now = time.monotonic()
        if not self._pending_events or now - self._flushed_at < self._flush_every_s:
            return
        self._flushed_at = now
        events = []
        while self._pending_events:
            events.append(self._pending_events.popleft())
        try:
            self._connection.execute(publish_command(self._redis, self._name, events))
        except RedisError as error:
            log.debug("events could not be published: %s", error)
        except Exception:
            # The task is on its queue: its sender must not take it for refused.
            log.exception("events could not be published")


PERSISTENT: Final = 2
TRANSIENT: Final = 1
EVENT_EXCHANGE: Final = "celeryev"
EVENT_KEY: Final = "task.multi"  # Celery's name for several events in one message


def encoded(body: object) -> str:
    """A body of `envelope_of`."""
    return base64.b64encode(orjson.dumps(body)).decode()


def envelope_of(
    body: str,
    headers: dict[str, Any],
    properties: dict[str, Any],
    *,
    tag: str,
    key: str,
    exchange: str = "",
    mode: int = PERSISTENT,
) -> bytes:
    """The element of a queue's list, or what is published."""
    return orjson.dumps(
        {
            "body": body,
            "content-encoding": "utf-8",
            "content-type": "application/json",
            "headers": headers,
            "properties": {
                **properties,
                "delivery_mode": mode,
                "delivery_info": {"exchange": exchange, "routing_key": key},
                "priority": 0,
                "body_encoding": "base64",
                "delivery_tag": tag,
            },
        }
    )


def publish_command(redis: Redis, hostname: str, events: Sequence[dict[str, Any]]) -> Command:
    """The command that publishes events of tasks for Flower, on the channel of this database."""
    database = redis.connection_pool.connection_kwargs.get("db", 0)
    envelope = envelope_of(
        encoded(events),
        {"hostname": hostname},
        {},
        tag=str(uuid.uuid4()),
        key=EVENT_KEY,
        exchange=EVENT_EXCHANGE,
        mode=TRANSIENT,
    )
    return ("PUBLISH", f"/{database}.{EVENT_EXCHANGE}/{EVENT_KEY}", envelope)
