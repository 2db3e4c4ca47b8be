"""Publish tasks to their queues, and task events for Flower, without kombu.

Tasks are sent by name, so that the sending processes import no models. Celery makes the message and the
"task-sent" event that Flower reads. They are sent with redis-py, because kombu builds a Redis client for each
of them (docs/adr/0003). The event is published after the task: a failure to publish it does not fail the
task.
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
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, Final

import orjson
from celery import Celery
from celery.utils.nodenames import anon_nodename
from redis import Redis, RedisError

from errors import BrokerUnavailable
from settings import Settings
from tasks.storage import redis_clock
from tasks.storage.redis_connection import Command, PinnedConnection, connect

log = logging.getLogger(__name__)

# Makes messages only and never connects, so it needs none of the settings in celeryconfig.py.
_AMQP: Final[Any] = Celery(set_as_current=False).amqp  # incompletely typed there

# Connecting and sending take this long each at most, well within the caller's 2 s.
SEND_TIMEOUT_S: Final = 0.7
# A header of each task: the time of sending, epoch seconds of Redis' clock.
SENT_AT: Final = "sent_at"
MAX_PENDING_EVENTS: Final = 1000
# Celery sends the text "{}", which Flower parses as Python at each of a task's four events.
NO_KWARGS: Final[dict[str, Any]] = {}

# Push a task to the queue (the first key), unless the value of another key contains the text of its guard.
_PUSH_UNLESS = """
local held = redis.call('MGET', unpack(KEYS, 2))
for i = 1, #KEYS - 1 do
  if held[i] and string.find(held[i], ARGV[i + 1], 1, true) then return 0 end
end
return redis.call('LPUSH', KEYS[1], ARGV[1])
"""

# A cache key, and a text. If the key's value contains the text, the verdict is probably cached.
CacheGuard = tuple[str, str]


class TaskPublisher:
    """A producer of Celery tasks that fails fast. Thread-safe.

    Events for Flower are batched for `flush_every_s` seconds. They are then published after the next task, or
    by `flush_events`.
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
        """Enqueue a task and return its id. Blocks 2 s at most.

        `expires_s`: workers discard the task after this time. `time_limit_s`: a process that runs longer is
        killed; by default the task's own limit applies. If Redis finds one of the guards of `unless`, nothing
        is enqueued and the id is empty. Raises `BrokerUnavailable`; the broker may have accepted the task all
        the same.
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
        """Enqueue one task per message, in one round trip. Blocks and raises like `send`."""
        if not messages:
            return
        made = [self._task(task, message, queue, None, None) for message in messages]
        self._push(("LPUSH", queue, *(envelope for _, envelope, _ in made)))
        self._pending_events.extend(event for _, _, event in made)
        self.flush_events()

    def message(self, task: str, message: dict[str, Any], *, queue: str) -> bytes:
        """The encoded message of a task, for a command that pushes it to its queue. Sends nothing."""
        return self._task(task, message, queue, None, None)[1]

    def _push(self, command: Command) -> int:
        """The queue's length after the push, or 0 if a guard was found."""
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
        """A new task's id, its encoded message, and its "task-sent" event."""
        task_id = str(uuid.uuid4())
        expires = None
        if expires_s is not None:
            expires = datetime.fromtimestamp(redis_clock.now() + expires_s, UTC).isoformat()
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
        # Flower shows this as the task's arguments. Readings must not be visible there.
        made.headers["argsrepr"] = made.sent_event["args"] = f"(<{len(body)} characters>,)"
        made.headers[SENT_AT] = redis_clock.now()
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
        """Publish pending events if `flush_every_s` has passed. Blocks 2 s at most. Raises nothing."""
        now = time.monotonic()
        if not self._pending_events or now - self._flushed_at < self._flush_every_s:
            return
        self._flushed_at = now
        events = []
        with suppress(IndexError):  # none is left; another thread may take some of them
            while True:
                events.append(self._pending_events.popleft())
        if not events:
            return
        try:
            self._connection.execute(publish_command(self._redis, self._name, events))
        except RedisError as error:
            log.debug("events could not be published: %s", error)
        except Exception:
            # The task is on its queue already, so its sender must not see an error.
            log.exception("events could not be published")


PERSISTENT: Final = 2
TRANSIENT: Final = 1
EVENT_EXCHANGE: Final = "celeryev"
EVENT_KEY: Final = "task.multi"  # Celery's name for several events in one message


def encoded(body: object) -> str:
    """Encode a message body for `envelope_of`: JSON, then base64."""
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
    """The message as kombu's Redis transport encodes it, for a queue's list or a channel."""
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
    """The Redis command that publishes task events for Flower, on the channel of this database."""
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
