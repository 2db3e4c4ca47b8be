"""A peer that vanishes without a word is noticed by the kernel, and a slow one by the look at Redis."""

from __future__ import annotations

import itertools
import socket
import threading
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import kombu
import pytest
from redis import ConnectionError, Redis, TimeoutError

import keepalive
from errors import StillAccepted
from tasks.jobs.idempotency import Claim, IdempotencyKeys
from tasks.monitoring.service_health import Monitor
from tasks.storage.redis_connection import connect
from tests.processes import settings_for, wait_until
from tests.services import RunningServer
from tests.tcp_proxy import LOOPBACK, TcpProxy


@pytest.fixture
def proxy(redis: RunningServer) -> Iterator[TcpProxy]:
    with TcpProxy(redis.url) as proxy:
        yield proxy


def test_a_reader_of_a_half_open_connection_gets_an_error(proxy: TcpProxy) -> None:
    errors: list[OSError] = []
    with socket.create_connection((LOOPBACK, proxy.port)) as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for option, value in keepalive.TCP_OPTIONS.items():
            client.setsockopt(socket.IPPROTO_TCP, option, value)
        client.sendall(b"PING\r\n")
        assert client.recv(100)

        def read() -> None:
            try:
                client.recv(1)
            except OSError as error:
                errors.append(error)

        reader = threading.Thread(target=read, daemon=True)
        reader.start()
        proxy.silence()
        wait_until(lambda: errors, what="an error of the kernel")
    reader.join()


def test_a_command_whose_reply_was_lost_is_carried_out_once(proxy: TcpProxy, redis: RunningServer) -> None:
    with connect(f"redis://{LOOPBACK}:{proxy.port}/0") as client, Redis.from_url(redis.url) as direct:
        proxy.loses = lambda name: name == b"INCRBY"
        with pytest.raises((ConnectionError, TimeoutError)):
            client.incr("lost-reply")
        assert direct.get("lost-reply") == b"1"
        assert client.get("lost-reply") == b"1"
        direct.delete("lost-reply")


def test_a_claim_whose_reply_was_lost_is_held_all_the_same(proxy: TcpProxy) -> None:
    keys = IdempotencyKeys(settings_for(f"redis://{LOOPBACK}:{proxy.port}/10"))
    lost = iter([True])
    proxy.loses = lambda name: name == b"SET" and next(lost, False)
    claim = keys.claim(None, "lost-reply", "asked", "job-1")
    assert isinstance(claim, Claim)
    assert next(lost, None) is None
    with pytest.raises(StillAccepted):
        keys.claim(None, "lost-reply", "asked", "job-2")
    claim.give_back()


def test_a_worker_takes_tasks_after_the_reply_to_an_acknowledgement_was_lost(proxy: TcpProxy) -> None:
    url = f"redis://{LOOPBACK}:{proxy.port}/10"
    with kombu.Connection(url, transport="tasks.worker.intake:Transport") as connection:
        queue: Any = connection.SimpleQueue("lost-acknowledgements")  # untyped there
        queue.channel.basic_qos(0, 1, False)
        for lost in (iter([True]), itertools.repeat(True)):
            queue.put({})
            message = queue.get(timeout=10)
            assert not queue.channel.qos.can_consume()
            proxy.loses = lambda name, lost=lost: name == b"EXEC" and next(lost, False)
            with suppress(ConnectionError):
                message.ack()
            proxy.loses = None
            assert queue.channel.qos.can_consume()


def test_the_look_at_the_parts_measures_the_round_trip(proxy: TcpProxy) -> None:
    proxy.answer_delay_s = 0.05
    monitor = Monitor(settings_for(f"redis://{LOOPBACK}:{proxy.port}/0"))
    try:
        wait_until(lambda: monitor.snapshot.redis_s >= 0.05, what="a slow round trip")
        proxy.answer_delay_s = 0
        wait_until(lambda: 0 < monitor.snapshot.redis_s < 0.05, what="a quick one")
    finally:
        monitor.close()
