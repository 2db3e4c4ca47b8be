"""The Kafka clients, with every option that differs from kafka-python's default and why; and the topics."""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Mapping
from typing import Any, Final, TypeVar

from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer, TopicPartition
from kafka.consumer.fetcher import ConsumerRecord
from kafka.coordinator.assignors.cooperative_sticky import CooperativeStickyAssignor
from kafka.errors import TopicAlreadyExistsError, for_code
from kafka.net.compat import KafkaNetClient

from consumers.kafka import record_batches
from consumers.kafka.records import DEAD_LETTER_MAX_BYTES
from settings import Settings

log = logging.getLogger(__name__)

record_batches.install()

CONNECT_TIMEOUT_MS: Final = 3_000
REQUEST_TIMEOUT_MS: Final = 10_000
# The others wait for this member in a rebalance at most this long; no step of the loop takes half of it.
MAX_POLL_INTERVAL_MS: Final = 120_000
# An open transaction whose process died holds back the readers of its topics for this long at most.
TRANSACTION_TIMEOUT_MS: Final = 15_000


def _security(settings: Settings) -> dict[str, Any]:
    found: dict[str, Any] = {"security_protocol": settings.kafka_security_protocol}
    if settings.kafka_security_protocol.endswith("SSL"):
        found |= {
            "ssl_cafile": settings.kafka_ssl_cafile or None,
            "ssl_certfile": settings.kafka_ssl_certfile or None,
            "ssl_keyfile": settings.kafka_ssl_keyfile or None,
        }
    if settings.kafka_security_protocol.startswith("SASL"):
        found |= {
            "sasl_mechanism": settings.kafka_sasl_mechanism,
            "sasl_plain_username": settings.kafka_sasl_username,
            "sasl_plain_password": settings.kafka_sasl_password,
        }
    return found


def _common(settings: Settings) -> dict[str, Any]:
    return _security(settings) | {
        "bootstrap_servers": [server.strip() for server in settings.kafka_bootstrap_servers.split(",")],
        "client_id": f"{settings.kafka_group_id}-{socket.gethostname()}-{os.getpid()}",
        "request_timeout_ms": REQUEST_TIMEOUT_MS,
        "bootstrap_timeout_ms": CONNECT_TIMEOUT_MS,
        # Back within two seconds of the broker (default: up to 30 s).
        "reconnect_backoff_max_ms": 2_000,
    }


Client = TypeVar("Client", bound=KafkaAdminClient | KafkaConsumer | KafkaProducer)


def open_client(kind: type[Client], **options: Any) -> Client:
    """Make a client with kafka-python's options. Raises `KafkaError` when no broker answers.

    One that finds no broker is closed again: kafka-python leaves its thread running.
    """
    made: list[KafkaNetClient] = []

    def client(**configs: Any) -> KafkaNetClient:
        made.append(KafkaNetClient(**configs))
        return made[-1]

    try:
        return kind(**options, kafka_client=client)
    except BaseException:
        for opened in made:
            opened.close()
        raise


def _open(kind: type[Client], settings: Settings, **options: Any) -> Client:
    return open_client(kind, **_common(settings), **options)


class Consumer(KafkaConsumer):
    """A `KafkaConsumer` whose partitions go on after `pause` and `resume`.

    kafka-python 3.0.12 sets aside what it has fetched, and not yet given out, of a paused partition. It takes
    that up again only while `_next_partition_records` is None, but what it leaves there after the last record
    of another partition is an empty object: the resumed partition then stands still for good.
    """

    def poll(
        self, timeout_ms: float = 0, max_records: int | None = None
    ) -> dict[TopicPartition, list[ConsumerRecord]]:
        current = self._fetcher._next_partition_records
        if current is not None and not current:
            self._fetcher._next_partition_records = None
        return super().poll(timeout_ms=timeout_ms, max_records=max_records)


def make_consumer(settings: Settings) -> Consumer:
    """A consumer that gives out bytes and commits nothing by itself.

    Blocks 3 s at most. Raises `KafkaError` when no broker answers.
    """
    return _open(
        Consumer,
        settings,
        group_id=settings.kafka_group_id,
        enable_auto_commit=False,  # would commit what was fetched, not what has an outcome
        auto_offset_reset="earliest",  # "latest" skips what came while nobody was there
        isolation_level="read_committed",
        # A joining member takes over some partitions; the default ones stop every member meanwhile.
        partition_assignment_strategy=[CooperativeStickyAssignor],
        # Some brokers look for new records only at the end of this wait.
        fetch_max_wait_ms=100,
        session_timeout_ms=round(settings.kafka_session_timeout_s * 1000),
        heartbeat_interval_ms=1_000,  # how members learn that one joins or leaves
        max_poll_interval_ms=MAX_POLL_INTERVAL_MS,
        max_poll_records=settings.kafka_max_poll_records,
    )


def make_producer(settings: Settings, *, transactional_id: str | None = None) -> KafkaProducer:
    """A producer whose records are acknowledged by all replicas, once each, in order.

    Blocks 3 s at most. Raises `KafkaError` when no broker answers.
    """
    return _open(
        KafkaProducer,
        settings,
        transactional_id=transactional_id,
        # Longer than the publisher gives a transaction, so that the broker never ends one that goes on.
        transaction_timeout_ms=TRANSACTION_TIMEOUT_MS,
        retry_backoff_ms=20,  # the first step of a transaction waits this long for the end of the last one
        acks="all",
        max_block_ms=5_000,
        delivery_timeout_ms=REQUEST_TIMEOUT_MS + 2_000,
        linger_ms=1,
        batch_size=131_072,
        max_request_size=DEAD_LETTER_MAX_BYTES,
    )


def discard(producer: KafkaProducer) -> None:
    """End a producer at once, without sending what it still holds. Does not block.

    `close(timeout=0)` raises while anything is unsent, and then leaves the sending thread at it for ever.
    """
    producer._sender.force_close()


def make_reader(settings: Settings, *, isolation_level: str = "read_committed") -> KafkaConsumer:
    """A reader outside the group. Blocks 3 s at most. Raises `KafkaError` when no broker answers."""
    return _open(KafkaConsumer, settings, isolation_level=isolation_level, fetch_max_wait_ms=100)


def probe_topic(settings: Settings) -> str:
    """Where it is tried out at start whether the broker hides what a transaction has aborted."""
    return f"{settings.kafka_topic_predictions}.probe"


# Kafka's configs of a topic where they differ from the broker's defaults.
TopicOptions = Mapping[str, str]
ORDINARY: Final[TopicOptions] = {}
# A reader needs only the last word on each key.
COMPACTED: Final[TopicOptions] = {"cleanup.policy": "compact"}
FOR_DEAD_LETTERS: Final[TopicOptions] = {"max.message.bytes": str(DEAD_LETTER_MAX_BYTES)}


def scoring_topics(settings: Settings) -> dict[str, TopicOptions]:
    """What the scoring consumer reads and writes."""
    return {
        settings.kafka_topic_metrics: ORDINARY,
        settings.kafka_topic_predictions: ORDINARY,
        settings.kafka_topic_dead_letters: FOR_DEAD_LETTERS,
        settings.kafka_topic_failure_alerts: ORDINARY,
        settings.kafka_topic_anomalies: ORDINARY,
        settings.kafka_topic_alert_state: COMPACTED,
    }


def ocpp_topics(settings: Settings) -> dict[str, TopicOptions]:
    """What the OCPP process reads and writes."""
    return {
        settings.kafka_topic_ocpp: ORDINARY,
        settings.kafka_topic_metrics: ORDINARY,
        settings.kafka_topic_dead_letters: FOR_DEAD_LETTERS,
        settings.kafka_topic_ocpp_state: COMPACTED,
    }


def ensure_topics(settings: Settings, topics: Mapping[str, TopicOptions]) -> None:
    """Create those of `topics` that are missing. Raises `KafkaError` when no broker answers.

    Whoever may not create topics, or even list them, has them created by somebody else: that is logged, and
    the consumer goes on and waits for them.
    """
    admin = _open(KafkaAdminClient, settings)
    try:
        wanted: dict[str, dict[str, Any]] = {
            topic: {
                "num_partitions": settings.kafka_topic_partitions,
                "replication_factor": -1,
                "configs": dict(options),
            }
            for topic, options in topics.items()
        }
        if settings.kafka_transactions:
            wanted[probe_topic(settings)] = {"num_partitions": 1, "replication_factor": -1}
        present = set(admin.list_topics())
        missing = {topic: options for topic, options in wanted.items() if topic not in present}
        if not missing:
            return
        answer = admin.create_topics(missing, raise_errors=False, timeout_ms=REQUEST_TIMEOUT_MS)
        for topic in answer["topics"]:
            error = for_code(topic["error_code"])
            if topic["error_code"] == 0:
                log.info("created topic %s (partitions: %d)", topic["name"], topic["num_partitions"])
            elif error is not TopicAlreadyExistsError:
                log.warning(
                    "topic %s is missing and could not be created (%s): create it, or allow this client to",
                    topic["name"],
                    topic["error_message"] or error.__name__,
                )
    finally:
        admin.close()
