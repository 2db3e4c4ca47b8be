"""A thread's own connection to Redis stays in step, whatever is answered, and outlives a hang-up."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from redis import Redis, RedisError, ResponseError

from tasks.connection import Line, connect
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
