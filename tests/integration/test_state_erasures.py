"""Requests to erase state, from the job to the consumers and back, on a real server."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from redis import Redis

from consumers.kafka.offsets import Partition
from consumers.kafka.pending_erasures import PendingErasures, is_erased
from tasks.storage.redis_connection import connect
from tasks.storage.state_erasures import StateErasures
from tests.services import RunningServer

ROLE = "consumer"
PARTITIONS = [Partition("charger.metrics", number) for number in range(3)]


@pytest.fixture
def redis(redis: RunningServer) -> Iterator[Redis]:
    client = connect(redis.url.replace("/0", "/10"))
    client.flushdb()
    yield client
    client.flushdb()


def request(redis: Redis, request_id: str, tenant: str | None, charger_id: str | None) -> None:
    with redis.pipeline(transaction=True) as pipeline:
        StateErasures(redis).request(pipeline, request_id, tenant, charger_id)
        pipeline.execute()


def test_a_request_ends_when_all_partitions_are_done(redis: Redis) -> None:
    requests = StateErasures(redis)
    request(redis, "one", "t", "C-1")
    request(redis, "two", None, "C-2")
    first, second = PendingErasures(redis, ROLE), PendingErasures(redis, ROLE)
    for member in (first, second):
        assert not member
        member.refresh()
        assert member
    due = first.due(PARTITIONS[:2])
    assert {partition.partition for partition in due} == {0, 1}
    assert {each.request_id for each in due[PARTITIONS[0]]} == {"one", "two"}
    first.carried_out(due, of=3)
    assert first.due(PARTITIONS[:2]) == {}  # known here before Redis knows it
    first.refresh()
    second.refresh()
    assert second.due(PARTITIONS).keys() == {PARTITIONS[2]}  # also for a member that takes all over
    assert requests.is_pending(ROLE, "one")
    second.carried_out(second.due(PARTITIONS), of=3)
    second.refresh()
    assert not requests.is_pending(ROLE, "one")
    assert not second
    assert redis.keys(f"ml:erasures:{ROLE}") == []
    # The other role has its own.
    assert {each.request_id for each in requests.pending("ocpp")} == {"one", "two"}


def test_a_report_that_comes_twice_leaves_nothing(redis: Redis) -> None:
    requests = StateErasures(redis)
    request(redis, "one", None, "C-1")
    for _ in range(2):
        requests.note_done(ROLE, "one", [0, 1, 2], of=3)
    assert redis.keys(f"ml:erasures:{ROLE}") == []


def test_a_request_concerns_its_charger_or_its_tenant_alone(redis: Redis) -> None:
    request(redis, "charger", None, "C-1")
    request(redis, "tenant", "t", None)
    concerns = is_erased(StateErasures(redis).pending(ROLE))
    for tenant, charger, expected in (
        (None, "C-1", True),
        (None, "C-2", False),
        ("t", "C-1", True),
        ("t", "C-9", True),
        ("u", "C-1", False),
        (None, "t", False),
    ):
        assert concerns(tenant, charger) is expected, (tenant, charger)
    assert "C-1" not in str(redis.hgetall(f"ml:erasures:{ROLE}"))
