"""Faults of the network between the service and its servers, each caused by the proxies before them."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Final

from kafka import KafkaConsumer, TopicPartition
from redis import Redis

from tests.faults.services import SETTINGS
from tests.faults.traffic import Traffic
from tests.host.live_service import LiveService, live_service
from tests.integration.stream_bench import DEAD_LETTERS, INPUT, PREDICTIONS, event_id
from tests.processes import wait_until
from tests.services import start_redis

ANSWER_DELAY_S: Final = 0.2
# Of each command's replies, each so many is lost.
LOST_EACH: Final = 20
# A record is on time if its outcome comes within this time.
ON_TIME_S: Final = 2.0
RECOVERED_WITHIN_S: Final = 10.0
READ_WITHIN_S: Final = 10.0


def behind_proxies(app: str) -> AbstractContextManager[LiveService]:
    """A service that reaches Redis and Kafka by proxies."""
    return live_service(app, SETTINGS, two_webs=True, proxied=True)


@contextmanager
def slow_redis(service: LiveService) -> Iterator[None]:
    """Have each answer of Redis arrive 200 ms late."""
    service.network.redis.answer_delay_s = ANSWER_DELAY_S
    yield
    service.network.redis.answer_delay_s = 0


@contextmanager
def lost_replies(service: LiveService) -> Iterator[None]:
    """Have Redis carry out each command, and cut the connection instead of each 20th reply to it."""
    seen: Counter[bytes] = Counter()

    def loses(name: bytes) -> bool:
        seen[name] += 1
        return seen[name] % LOST_EACH == 0

    service.network.redis.loses = loses
    yield
    service.network.redis.loses = None


def failover(service: LiveService, fault_s: float) -> None:
    """Promote a replica of Redis, demote its master, and have the same name lead to the new master."""
    del fault_s
    replica = service.resources.enter_context(start_redis())
    with Redis.from_url(replica.url) as new, Redis.from_url(service.redis.url) as old:
        new.slaveof("127.0.0.1", service.redis.port)
        wait_until(lambda: new.info("replication")["master_link_status"] == "up", what="the replica's copy")
        # It waits for the replica to have all writes, as a planned failover does.
        old.execute_command("FAILOVER", "TO", "127.0.0.1", replica.port)
        wait_until(lambda: new.info("replication")["role"] == "master", what="the promotion", poll_s=0.005)
    service.network.redis.target_port = replica.port
    service.redis = replica


def reset_all(service: LiveService, fault_s: float) -> None:
    """Reset every connection to Redis and Kafka at once (RST)."""
    del fault_s
    _wait_until_consuming(service)
    for proxy in (service.network.redis, service.network.kafka):
        proxy.reset()


def half_open(service: LiveService, fault_s: float) -> None:
    """Let the packets of every connection vanish for ever. New connections are taken at once."""
    del fault_s
    _wait_until_consuming(service)
    for proxy in (service.network.redis, service.network.kafka):
        proxy.silence()


@contextmanager
def dropped_packets(service: LiveService) -> Iterator[None]:
    """Let all packets vanish, of old connections and of new ones. The old ones stay so afterwards."""
    _wait_until_consuming(service)
    for proxy in (service.network.redis, service.network.kafka):
        proxy.drop_new(True)
        proxy.silence()
    yield
    for proxy in (service.network.redis, service.network.kafka):
        # Those that the kernel or the proxy took in between.
        proxy.silence()
        proxy.drop_new(False)


def all_answered(service: LiveService, traffic: Traffic, over_at: float) -> list[str]:
    """Whether each call was answered, whatever the answer, before its caller's time-out."""
    del service, over_at
    silent = sum(call.first == 0 for call in traffic.calls)
    return [f"bounded calls ({silent} without an answer)"] if silent else []


def stream_recovered(service: LiveService, traffic: Traffic, over_at: float) -> list[str]:
    """Whether records have their outcome within 2 s again, at the latest 10 s after the fault."""
    del traffic
    outcomes: dict[str, float] = {}
    for record in _records(service, _OUTCOMES):
        outcomes.setdefault(event_id(record), record.timestamp / 1000)
    late_by = [
        sent_at - over_at
        for record in _records(service, (INPUT,))
        if (sent_at := record.timestamp / 1000) >= over_at
        and outcomes.get(f"{INPUT}:{record.partition}:{record.offset}", float("inf")) - sent_at > ON_TIME_S
    ]
    recovery_s = max(late_by, default=0.0)
    return [f"stream recovered within 10 s ({recovery_s:.1f} s)"] if recovery_s > RECOVERED_WITHIN_S else []


def nothing_doubled(service: LiveService, traffic: Traffic, over_at: float) -> list[str]:
    """Whether each record has one outcome, also without transactions. The laws have the rest."""
    del traffic, over_at
    counts = Counter(event_id(record) for record in _records(service, _OUTCOMES))
    doubled = sum(count > 1 for count in counts.values())
    return [f"nothing doubled ({doubled} records with two outcomes)"] if doubled else []


_OUTCOMES: Final = (PREDICTIONS, DEAD_LETTERS)


def _wait_until_consuming(service: LiveService) -> None:
    """A consumer that has no partitions yet has nothing to lose."""
    wait_until(lambda: _records(service, (PREDICTIONS,)), what="the first outcome", poll_s=0.5)


def _records(service: LiveService, topics: tuple[str, ...]) -> list[Any]:
    """All records of some topics. Blocks 10 s at most."""
    consumer = KafkaConsumer(bootstrap_servers=service.kafka.url)
    found: list[Any] = []
    try:
        partitions = [
            TopicPartition(topic, number)
            for topic in topics
            for number in consumer.partitions_for_topic(topic) or ()
        ]
        consumer.assign(partitions)
        consumer.seek_to_beginning()
        ends = consumer.end_offsets(partitions)
        deadline = time.monotonic() + READ_WITHIN_S
        while any((consumer.position(tp) or 0) < ends[tp] for tp in partitions):
            assert time.monotonic() < deadline, f"{topics} cannot be read"
            for records in consumer.poll(500).values():
                found += records
    finally:
        consumer.close()
    return found
