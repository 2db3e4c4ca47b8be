"""Refuse messages that are no task of ours, before Celery sees them.

Celery and kombu expect that every message in a queue is one of their own. Text that is not JSON, or a header
of another type, ends the worker's main process, or keeps it from its next task. A refused message is counted,
logged in one line and dropped: it would be refused again.
"""

from __future__ import annotations

import logging
import mmap
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import partial
from queue import Empty
from typing import Any, Final, cast

import kombu.transport
import kombu.transport.redis
from celery.worker.consumer import Consumer
from redis import ResponseError

import metrics
from process import collect_garbage_of_outage
from tasks.messaging.messages import NewerSchema
from tasks.storage.redis_connection import PlainConnection, TlsConnection

log = logging.getLogger(__name__)

RECONNECT_PAUSE_S: Final = 2
JSON: Final = "application/json"
# Tasks of Celery itself, which it registers in each worker. None of them is ever sent here.
BUILT_IN: Final = "celery."
# What a task may ask Celery to do after it. Ours ask for nothing.
_FOLLOWING: Final = ("callbacks", "errbacks", "chain", "chord")
# Headers of Celery by their types, and those that none of our senders sets.
_NUMBERS: Final = ("retries", "replaced_task_nesting")
_TEXTS: Final = ("expires", "shadow", "root_id", "parent_id", "argsrepr", "origin")
_UNUSED: Final = ("eta", "group", "chord", "stamps", "stamped_headers", "compression")
# Errors that Redis replies with. To a client that waits for a task, for example, when it becomes a replica.
REFUSALS: Final = (ResponseError,)
_REDIS: Final[Any] = kombu.transport.redis  # untyped

# One byte that the parent process shares with the children that it forks: whether it takes tasks.
_taking = mmap.mmap(-1, 1)


def takes_tasks() -> bool:
    """Whether the parent process of this worker takes tasks from its queues now. For parent and children."""
    return _taking[0] != 0


class MalformedMessage(Exception):
    """Raised for an element of a queue that is no message of kombu's."""


class Message(_REDIS.Channel.Message):  # type: ignore[misc]  # untyped there
    """A message whose envelope has the types that kombu and Celery rely on."""

    def __init__(self, payload: Any, channel: Any = None, **kwargs: Any) -> None:
        try:
            super().__init__(payload, channel=channel, **kwargs)
        except Exception as error:
            raise MalformedMessage(f"{type(error).__name__}: {error}") from error
        if not (
            isinstance(self.delivery_tag, str)
            and isinstance(self.delivery_info, dict)
            and isinstance(self.delivery_info.get("routing_key"), str)
            and isinstance(self.content_type, str)
            and isinstance(self.headers, dict)
            and isinstance(self.body, str | bytes)
        ):
            raise MalformedMessage("a part of the envelope is missing or of another type")


class QoS(_REDIS.QoS):  # type: ignore[misc]  # untyped there
    """Forgets a message whose acknowledgement failed.

    Kombu goes on counting it as under way. With a limit of one such a worker stays connected and takes no
    task ever again. Redis delivers the message once more after `visibility_timeout`.
    """

    def ack(self, delivery_tag: str) -> None:
        """Acknowledge a message, twice if the reply is lost. Raises the connection's errors."""
        try:
            super().ack(delivery_tag)
        except self.channel.connection_errors:
            self._again_or_forget(delivery_tag)

    def reject(self, delivery_tag: str, requeue: bool = False) -> None:
        """Drop a message, or put it back on its queue. Raises the connection's errors."""
        try:
            super().reject(delivery_tag, requeue=requeue)
        except self.channel.connection_errors:
            self._quick_ack(delivery_tag)
            raise

    def _again_or_forget(self, delivery_tag: str) -> None:
        try:
            super().ack(delivery_tag)  # on a new connection; it changes nothing the second time
        except self.channel.connection_errors:
            self._quick_ack(delivery_tag)
            raise


class Channel(_REDIS.Channel):  # type: ignore[misc]  # untyped there
    """A channel that outlives an element of a queue that it cannot read, and leaves a demoted master."""

    Message = Message
    QoS = QoS
    connection_class = PlainConnection
    connection_class_ssl = TlsConnection

    def close(self) -> None:
        """Close it with its connections, also if Redis refuses what belongs to it. Raises that error.

        Kombu leaves such a channel open, and a finalizer that runs at the end of the process refers to it.
        """
        try:
            super().close()
        except (*self.connection_errors, *REFUSALS):
            if self._qos is not None:
                with suppress(*self.connection_errors, *REFUSALS):
                    self._qos.restore_unacked_once()  # cancels the finalizer first
            self._disconnect_pools()
            self._close_clients()
            raise

    def _brpop_read(self, **options: Any) -> Any:
        return self._kept_alive(super()._brpop_read, **options)

    def _receive(self) -> Any:
        return self._kept_alive(super()._receive)

    def _kept_alive(self, read: Callable[..., Any], **options: Any) -> Any:
        try:
            return read(**options)
        except (Empty, ResponseError, *self.connection_errors):
            raise  # of Redis itself, and no element has left the queue
        except Exception as error:
            # The element has left the queue. Its text may be anything, so none of it is logged.
            refused("malformed", f"{type(error).__name__}")
            return True


class Transport(_REDIS.Transport):  # type: ignore[misc]  # untyped there
    """Redis with such channels."""

    Channel = Channel
    _leave_loop: Callable[[], object] = staticmethod(lambda: None)

    def register_with_event_loop(self, connection: Any, loop: Any) -> None:
        """Start to take messages. Raises the connection's errors, and closes it then: Celery forgets it."""
        before = set(loop.on_tick)
        try:
            super().register_with_event_loop(connection, loop)
            self._leave_loop = partial(loop.on_tick.difference_update, loop.on_tick - before)
        except (*self.connection_errors, *REFUSALS):  # a read-only Redis refuses the look at unacked messages
            self.close_connection(connection)
            raise

    def close_connection(self, connection: Any) -> None:
        """Close all channels, and leave the event loop.

        Kombu leaves the others open after one whose closing fails, and each closed connection in the loop.
        """
        self._leave_loop()
        while True:
            with suppress(*self.connection_errors, *REFUSALS):
                super().close_connection(connection)  # each time one channel less
                return


def use_for_redis() -> None:
    """Let kombu use this transport for Redis in this process, from the next connection on."""
    ours = f"{__name__}:{Transport.__name__}"
    kombu.transport.TRANSPORT_ALIASES |= {"redis": ours, "rediss": ours}


class TaskConsumer(Consumer):
    """Celery's consumer, for tasks of ours alone. It tells the children whether it takes any."""

    connection_errors: tuple[type[Exception], ...]

    def connect(self) -> Any:
        """Return the connection that tasks are taken from. None are taken until `on_ready`."""
        _taking[0] = 0
        return super().connect()

    def on_ready(self) -> None:
        """Note that tasks are taken from now on. Celery calls this after each connection."""
        super().on_ready()
        _taking[0] = 1

    def stop(self) -> None:
        """Take no more tasks, because the worker ends."""
        _taking[0] = 0
        super().stop()

    def ensure_connected(self, conn: Any) -> Any:
        """Connect, however long it takes, and return the connection. Celery's pauses grow to 30 s."""
        conn.ensure_connection = partial(conn.ensure_connection, interval_max=RECONNECT_PAUSE_S)
        connected = super().ensure_connected(conn)
        # Kombu's channels of the connection before are cycles, and hold its closed sockets until collected.
        collect_garbage_of_outage()
        return connected

    def on_decode_error(self, message: Any, exc: Exception) -> None:
        """Refuse a message. Celery's own method logs its body."""
        self._refuse(message, "malformed", type(exc).__name__)

    def on_invalid_task(self, body: Any, message: Any, exc: Exception) -> None:
        """Refuse a message, as above."""
        self._refuse(message, "malformed", type(exc).__name__)

    def create_task_handler(self, *args: Any, **kwargs: Any) -> Callable[[Any], None]:
        """Return the function that takes each message."""
        take = super().create_task_handler(*args, **kwargs)

        def take_ours(message: Any) -> None:
            found = reason_against(message, self.app.tasks)
            if found is None:
                try:
                    take(message)
                except self.connection_errors:
                    raise
                except Exception as error:
                    found = ("malformed", f"{type(error).__name__}")
                else:
                    return
            self._refuse(message, *found)

        return take_ours

    def _refuse(self, message: Any, reason: str, detail: str) -> None:
        refused(reason, detail)
        message.reject_log_error(log, self.connection_errors)


def refused(reason: str, detail: str) -> None:
    """Count and log a refused message."""
    metrics.REFUSED_TASKS.labels(reason=reason).inc()
    log.error("a message was refused: %s (%s)", reason, detail)


@contextmanager
def reading_arguments(task: str) -> Iterator[None]:
    """Count a task as refused if its arguments cannot be read in this block. The error goes on.

    A message of a newer release is not counted: its sender repeats it in the older schema.
    """
    try:
        yield
    except NewerSchema:
        raise
    except Exception as error:
        refused("arguments", f"{task}: {type(error).__name__}")
        raise


def reason_against(message: Any, tasks: Mapping[str, Any]) -> tuple[str, str] | None:
    """Return the reason for which a message is refused and a detail for the log, or None for a task of ours.

    Decodes the body; the message keeps it for Celery.
    """
    if message.content_type != JSON:
        return "content_type", repr(message.content_type)[:80]
    headers = message.headers
    name = headers.get("task")
    if not isinstance(name, str) or name.startswith(BUILT_IN) or name not in tasks:
        return "unknown_task", repr(name)[:80]
    if not (isinstance(headers.get("id"), str) and _is_ordinary(headers)):
        return "malformed", f"headers of {name}"
    try:
        payload = message.payload
    except Exception as error:
        return "malformed", f"body of {name}: {type(error).__name__}"
    return None if _has_one_document(payload) else ("arguments", name)


def _is_ordinary(headers: dict[str, Any]) -> bool:
    """Whether the other headers have the types of our senders, which use few of them."""
    limits = headers.get("timelimit") or (None, None)
    return (
        all(isinstance(headers.get(name, 0), int) for name in _NUMBERS)
        and all(isinstance(headers.get(name) or "", str) for name in _TEXTS)
        and not any(headers.get(name) for name in _UNUSED)
        and isinstance(limits, list | tuple)
        and len(limits) == len((None, None))
        and all(limit is None or type(limit) in (int, float) for limit in limits)
    )


def _has_one_document(payload: Any) -> bool:
    """Whether a body is that of a call with one JSON object, after which nothing follows."""
    match payload:
        case [[dict()], {**named}, {**following}]:
            wanted = cast("dict[str, Any]", following)
            return not named and not any(wanted.get(name) for name in _FOLLOWING)
    return False
