"""Connections to Redis that threads keep stay in step, whatever is answered, and outlive a hang-up."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from redis import Redis, RedisError, ResponseError

from tasks.storage.redis_connection import PinnedConnection, connect
from tests.services import RunningServer, start_redis


@pytest.fixture
def client(redis: RunningServer) -> Iterator[Redis]:
    with connect(redis.url) as client:
        yield client


def test_answers_come_in_order(client: Redis) -> None:
    connection = PinnedConnection(client)
    assert connection.execute(("SET", "line", b"\xff"), ("GET", "line"), ("DEL", "line")) == [
        b"OK",
        b"\xff",
        1,
    ]


def test_a_refused_command_leaves_no_answer_behind(client: Redis) -> None:
    connection = PinnedConnection(client)
    with pytest.raises(ResponseError):
        connection.execute(("ECHO", "before"), ("INCRBY", "line", "much"), ("ECHO", "after"))
    assert connection.execute(("ECHO", "next")) == [b"next"]


def test_a_line_that_redis_has_cut_is_made_anew(client: Redis) -> None:
    connection = PinnedConnection(client)
    (own_id,) = connection.execute(("CLIENT", "ID"))
    assert client.client_kill_filter(_id=own_id) == 1
    (new_id,) = connection.execute(("CLIENT", "ID"))
    assert new_id != own_id


def test_an_answer_that_comes_too_late_is_never_taken_for_the_next() -> None:
    with start_redis() as redis, connect(redis.url, timeout_s=0.2) as client:
        connection = PinnedConnection(client)
        with pytest.raises(RedisError):
            connection.execute(("BLPOP", "nothing comes", 1))
        assert connection.execute(("ECHO", "next")) == [b"next"]


def test_each_thread_has_a_connection_of_its_own_and_keeps_it(client: Redis) -> None:
    connection = PinnedConnection(client)
    with ThreadPoolExecutor(2) as threads:
        together = threading.Barrier(2)

        def ids() -> set[int]:
            together.wait(timeout=5)
            return {connection.execute(("CLIENT", "ID"))[0] for _ in range(3)}

        one, other = (future.result() for future in [threads.submit(ids), threads.submit(ids)])
    assert len(one) == len(other) == 1
    assert one != other


def test_it_is_as_patient_as_its_client() -> None:
    with start_redis() as redis, connect(redis.url, patience_s=10) as client:
        connection = PinnedConnection(client)
        connection.execute(("SET", "line", 1))
        redis.kill()
        with ThreadPoolExecutor(1) as threads:
            answers = threads.submit(connection.execute, ("ECHO", "after the restart"))
            time.sleep(0.5)
            redis.restart()
            assert answers.result(timeout=10) == [b"after the restart"]


def test_nothing_asked_is_nothing_sent(client: Redis) -> None:
    assert PinnedConnection(client).execute() == []


def test_a_new_connection_asks_nothing_but_what_it_is_for() -> None:
    """Each answer may take the whole time-out, and who waits was promised little more than one."""
    with start_redis() as redis, connect(redis.url) as client:
        client.config_resetstat()
        assert PinnedConnection(client).execute(("PING",)) == [b"PONG"]
        asked = {name.removeprefix("cmdstat_") for name in client.info("commandstats")}
    assert asked - {"config|resetstat", "info"} == {"ping"}
