"""A worker's connection to Redis leaves no socket behind, also if Redis refuses what closing takes."""

from __future__ import annotations

import gc
import weakref
from contextlib import suppress
from typing import Any

import kombu
import pytest
from kombu.asynchronous import Hub
from redis import Redis, ResponseError

from tasks.storage.redis_connection import NotTheMaster
from tests.processes import wait_until
from tests.services import start_redis


def wait_for_one_left(direct: Redis) -> None:
    """Block until Redis has no other client."""
    wait_until(lambda: len(direct.client_list()) == 1, what="the end of all other connections")


def wait_for_tasks(connection: Any, queue: str) -> None:
    """Open a channel that waits for the queue's next message, as the event loop of a worker does."""
    channel = connection.channel()
    channel.basic_qos(0, 1, False)
    kombu.Queue(queue, channel=channel).declare()
    channel.basic_consume(queue, no_ack=False, callback=print, consumer_tag=queue)
    connection.transport.cycle._register_BRPOP(channel)


def test_no_connection_stays_when_redis_becomes_read_only() -> None:
    with start_redis() as server, Redis.from_url(server.url) as direct:
        connection: Any = kombu.Connection(server.url, transport="tasks.worker.intake:Transport")
        for queue in ("first", "second", "third"):
            wait_for_tasks(connection, queue)
        assert len(direct.client_list()) > 3
        direct.replicaof("127.0.0.1", 1)  # nothing listens there
        with suppress(ResponseError):
            connection.close()
        del connection
        gc.collect()
        wait_for_one_left(direct)


def test_no_connection_stays_of_attempts_at_a_read_only_redis() -> None:
    with start_redis() as server, Redis.from_url(server.url) as direct:
        direct.replicaof("127.0.0.1", 1)  # nothing listens there
        for _ in range(3):
            connection: Any = kombu.Connection(server.url, transport="tasks.worker.intake:Transport")
            connection.connect()  # as Celery does
            with pytest.raises(NotTheMaster):
                connection.transport.register_with_event_loop(connection.connection, Hub())
        del connection
        gc.collect()
        wait_for_one_left(direct)


def test_a_closed_connection_leaves_the_event_loop() -> None:
    hub: Any = Hub()
    with start_redis() as server:
        for _ in range(3):
            connection: Any = kombu.Connection(server.url, transport="tasks.worker.intake:Transport")
            connection.connect()
            connection.transport.register_with_event_loop(connection.connection, hub)
            assert len(hub.on_tick) == 1
            cycle = weakref.ref(connection.transport.cycle)
            connection.close()
            hub.timer.clear()  # as Celery does
            del connection
            gc.collect()
            assert (len(hub.on_tick), cycle()) == (0, None)
