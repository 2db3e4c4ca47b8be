"""Faults of Apache Kafka itself: the consumer has transactions, and each record must have one outcome."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Final

from tests.faults.services import CannotCause, usual
from tests.host.live_service import LiveService
from tests.integration.stream_bench import DEAD_LETTERS, INPUT, PREDICTIONS
from tests.kafka import broker
from tests.kafka.broker import ApacheKafka
from tests.kafka.cluster import COORDINATES_GROUPS, COORDINATES_TRANSACTIONS, KafkaCluster
from tests.kafka.held_commit import HELD, HOLD
from tests.processes import wait_until
from tests.services import RunningServer

TRANSACTIONS: Final = {"KAFKA_TRANSACTIONS": "on", "KAFKA_SESSION_TIMEOUT": "6"}
# A slow broker runs for this part of each period.
SLOW_PERIOD_S: Final = 1.0
SLOW_STOPPED_S: Final = 0.8
# Each is led by some node; the leader moves while a transaction is open.
MOVED: Final = (INPUT, COORDINATES_TRANSACTIONS, PREDICTIONS)
HELD_WITHIN_S: Final = 60.0


def _require() -> None:
    problem = broker.fetch()
    if problem is not None:
        raise CannotCause(f"it needs Apache Kafka: {problem}")


@contextmanager
def one_node(app: str) -> Iterator[LiveService]:
    """A service on one node of Apache Kafka."""
    _require()
    with usual(app, TRANSACTIONS, kafka_server=ApacheKafka) as service:
        yield service


@contextmanager
def three_nodes(app: str) -> Iterator[LiveService]:
    """A service on three nodes of Apache Kafka. Its consumer can be held before a commit."""
    _require()
    with usual(
        app, TRANSACTIONS, kafka_server=KafkaCluster, consumer=("tests.kafka.held_commit",)
    ) as service:
        yield service


@contextmanager
def stopped_kafka(service: LiveService) -> Iterator[None]:
    """Stop the broker in good order, and start it again."""
    service.kafka.stop()
    yield
    service.kafka.restart()


@contextmanager
def killed_kafka(service: LiveService) -> Iterator[None]:
    """Kill the broker, and start it again with its log."""
    service.kafka.kill()
    yield
    service.kafka.restart()


@contextmanager
def slow_kafka(service: LiveService) -> Iterator[None]:
    """Have the broker run for 0.2 s of each second."""
    over = threading.Event()

    def run() -> None:
        while not over.is_set():
            service.kafka.pause()
            over.wait(SLOW_STOPPED_S)
            service.kafka.resume()
            over.wait(SLOW_PERIOD_S - SLOW_STOPPED_S)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def moving_leaders(service: LiveService, fault_s: float) -> None:
    """Kill the node that leads a partition between produce and commit, in turn for each of `MOVED`.

    Then the coordinator of the group is stopped in good order. Each node comes back before the next goes.
    """
    cluster = service.kafka
    assert isinstance(cluster, KafkaCluster)
    folder = Path(service.environments["consumer"]["STATE_DIR"])
    topics = (*MOVED, COORDINATES_GROUPS, DEAD_LETTERS)
    for topic in MOVED:
        cluster.wait_in_sync(*MOVED, COORDINATES_GROUPS)
        leader = cluster.leader(topic)
        (folder / HOLD).touch()
        wait_until((folder / HELD).exists, what="an open transaction", timeout_s=HELD_WITHIN_S)
        leader.kill()
        wait_until(
            partial(_has_moved, cluster, topic, leader), what="another leader", timeout_s=HELD_WITHIN_S
        )
        (folder / HOLD).unlink()
        time.sleep(fault_s)
        leader.restart()
    cluster.wait_in_sync(*topics)
    coordinator = cluster.leader(COORDINATES_GROUPS)
    coordinator.stop()
    time.sleep(fault_s)
    coordinator.restart()
    cluster.wait_in_sync(*topics)


def _has_moved(cluster: KafkaCluster, topic: str, leader: RunningServer) -> bool:
    return cluster.leader(topic) is not leader
