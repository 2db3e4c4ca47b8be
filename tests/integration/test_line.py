"""Connections to Redis that threads keep stay in step, whatever is answered, and outlive a hang-up."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from redis import Redis, RedisError, ResponseError

from tasks.storage.redis_connection import Line, connect
from tests.services import RunningServer, start_redis


@pytest.fixture
def client(redis: RunningServer) -> Iterator[Redis]:
    with connect(redis.url) as client:
        yield client


def test_answers_come_in_order(client: Redis) -> None:
    line = Line(client)
    assert line.ask(("SET", "line", b"\xff"), ("GET", "line"), ("DEL", "line")) == [b"OK", b"\xff", 1]


def test_a_refused_command_leaves_no_answer_behind(client: Redis) -> None:
    line = Line(client)
    with pytest.raises(ResponseError):
        line.ask(("ECHO", "before"), ("INCRBY", "line", "much"), ("ECHO", "after"))
    assert line.ask(("ECHO", "next")) == [b"next"]


def test_a_line_that_redis_has_cut_is_made_anew(client: Redis) -> None:
    line = Line(client)
    (own_id,) = line.ask(("CLIENT", "ID"))
    assert client.client_kill_filter(_id=own_id) == 1
    (new_id,) = line.ask(("CLIENT", "ID"))
    assert new_id != own_id


def test_an_answer_that_comes_too_late_is_never_taken_for_the_next() -> None:
    with start_redis() as redis, connect(redis.url, timeout_s=0.2) as client:
        line = Line(client)
        with pytest.raises(RedisError):
            line.ask(("BLPOP", "nothing comes", 1))
        assert line.ask(("ECHO", "next")) == [b"next"]


def test_each_thread_has_a_connection_of_its_own_and_keeps_it(client: Redis) -> None:
    line = Line(client)
    with ThreadPoolExecutor(2) as threads:
        together = threading.Barrier(2)

        def ids() -> set[int]:
            together.wait(timeout=5)
            return {line.ask(("CLIENT", "ID"))[0] for _ in range(3)}

        one, other = (future.result() for future in [threads.submit(ids), threads.submit(ids)])
    assert len(one) == len(other) == 1
    assert one != other


def test_it_is_as_patient_as_its_client() -> None:
    with start_redis() as redis, connect(redis.url, patience_s=10) as client:
        line = Line(client)
        line.ask(("SET", "line", 1))
        redis.kill()
        with ThreadPoolExecutor(1) as threads:
            answers = threads.submit(line.ask, ("ECHO", "after the restart"))
            time.sleep(0.5)
            redis.restart()
            assert answers.result(timeout=10) == [b"after the restart"]


def test_nothing_asked_is_nothing_sent(client: Redis) -> None:
    assert Line(client).ask() == []


def test_a_new_connection_asks_nothing_but_what_it_is_for() -> None:
    """Each answer may take the whole time-out, and who waits was promised little more than one."""
    with start_redis() as redis, connect(redis.url) as client:
        client.config_resetstat()
        assert Line(client).ask(("PING",)) == [b"PONG"]
        asked = {name.removeprefix("cmdstat_") for name in client.info("commandstats")}
    assert asked - {"config|resetstat", "info"} == {"ping"}
