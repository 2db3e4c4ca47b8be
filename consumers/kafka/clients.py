"""Create the Kafka clients and topics. Options that differ from kafka-python's defaults have a reason."""

from __future__ import annotations

import logging
import math
import os
import socket
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final, TypeVar

from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer, OffsetAndMetadata, TopicPartition
from kafka.consumer.fetcher import ConsumerRecord
from kafka.coordinator.assignors.cooperative_sticky import CooperativeStickyAssignor
from kafka.errors import KafkaTimeoutError, TopicAlreadyExistsError, for_code
from kafka.net.compat import KafkaNetClient

import keepalive
from consumers.kafka import record_batches
from consumers.kafka.records import DEAD_LETTER_MAX_BYTES
from settings import Settings

if TYPE_CHECKING:
    from kafka import ConsumerGroupMetadata

log = logging.getLogger(__name__)

record_batches.install()

CONNECT_TIMEOUT_MS: Final = 3_000
REQUEST_TIMEOUT_MS: Final = 10_000
# In a rebalance other members wait for this one at most this long; no step of the loop takes half of it.
MAX_POLL_INTERVAL_MS: Final = 120_000
# An open transaction of a dead process blocks the readers of its topics for this long at most.
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
        "bootstrap_servers": settings.kafka_servers,
        "client_id": f"{settings.kafka_group_id}-{socket.gethostname()}-{os.getpid()}",
        "request_timeout_ms": REQUEST_TIMEOUT_MS,
        "bootstrap_timeout_ms": CONNECT_TIMEOUT_MS,
        "socket_options": [
            (socket.IPPROTO_TCP, socket.TCP_NODELAY, 1),
            (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
            *((socket.IPPROTO_TCP, option, value) for option, value in keepalive.TCP_OPTIONS.items()),
        ],
        # Reconnect within two seconds of the broker's return (default: up to 30 s).
        "reconnect_backoff_max_ms": 2_000,
    }


Client = TypeVar("Client", bound=KafkaAdminClient | KafkaConsumer | KafkaProducer)


def open_client(kind: type[Client], **options: Any) -> Client:
    """Create a client with kafka-python's options. Raises `KafkaError` if no broker answers.

    Closes the network client on errors, because kafka-python leaves its thread running.
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
    """A `KafkaConsumer` without two defects of kafka-python 3.0.12.

    It stores fetched but undelivered records of a paused partition. It returns to them only while
    `_next_partition_records` is None. After the last record of another partition it leaves an empty object
    there, and the resumed partition never continues.

    Its `poll` waits for records no longer than until the next heartbeat is due. While the broker leaves a
    heartbeat unanswered, that is no time at all, and `poll` spins. A frozen broker then costs most of a core,
    and 20 MB of failed futures a second. The network thread sends the heartbeats: `poll` need not end for
    them.
    """

    def __init__(self, *topics: str, **configs: Any) -> None:
        super().__init__(*topics, **configs)
        self._coordinator.time_to_next_poll = _no_limit

    def poll(
        self, timeout_ms: float = 0, max_records: int | None = None
    ) -> dict[TopicPartition, list[ConsumerRecord]]:
        """Return records by partition, as `KafkaConsumer.poll`. Blocks for at most `timeout_ms`."""
        current = self._fetcher._next_partition_records
        if current is not None and not current:
            self._fetcher._next_partition_records = None
        return super().poll(timeout_ms=timeout_ms, max_records=max_records)


def _no_limit() -> float:
    """Replace `ConsumerCoordinator.time_to_next_poll`. Returns no limit, in seconds."""
    return math.inf


class Producer(KafkaProducer):
    """A `KafkaProducer` without a defect of kafka-python 3.0.12.

    It waits for the broker's answer on a transaction without a deadline. A producer that was discarded gets
    none, so its waiting thread would stay for ever, and keep the producer with its buffers: 16 MB for each
    outage of Kafka. Each wait ends after `transaction_timeout_ms` here, with `KafkaTimeoutError`.
    """

    def send_offsets_to_transaction(
        self, offsets: Mapping[TopicPartition, OffsetAndMetadata], group_metadata: ConsumerGroupMetadata
    ) -> None:
        """Send the offsets. Blocks for 15 s at most."""
        self._await(self._transaction_manager.send_offsets_to_transaction(offsets, group_metadata))

    def commit_transaction(self) -> None:
        """Commit the transaction. Blocks for 15 s at most."""
        self._await(self._transaction_manager.begin_commit())

    def abort_transaction(self) -> None:
        """Abort the transaction. Blocks for 15 s at most."""
        self._await(self._transaction_manager.begin_abort())

    def _await(self, result: Any) -> None:
        self._sender.wakeup()
        timeout_ms = self.config["transaction_timeout_ms"]
        if not result.wait(timeout_ms=timeout_ms):
            raise KafkaTimeoutError(f"no answer within {timeout_ms} ms")


def make_consumer(settings: Settings) -> Consumer:
    """Create a group consumer that returns raw bytes and never commits automatically.

    Records that are too large come as `Unreadable`, also those of readers that this process opens later.

    Blocks for at most 3 s. Raises `KafkaError` if no broker answers.
    """
    record_batches.limit_records(settings.kafka_max_record_bytes)
    return _open(
        Consumer,
        settings,
        group_id=settings.kafka_group_id,
        enable_auto_commit=False,  # would commit fetched records without an outcome
        auto_offset_reset="earliest",  # "latest" skips records from before the first start
        isolation_level="read_committed",
        # A joining member takes over some partitions; the default assignors stop all members meanwhile.
        partition_assignment_strategy=[CooperativeStickyAssignor],
        # Some brokers check for new records only at the end of this wait.
        fetch_max_wait_ms=100,
        session_timeout_ms=round(settings.kafka_session_timeout_s * 1000),
        heartbeat_interval_ms=1_000,  # the delay until members notice a join or leave
        max_poll_interval_ms=MAX_POLL_INTERVAL_MS,
        max_poll_records=settings.kafka_max_poll_records,
    )


def make_producer(settings: Settings, *, transactional_id: str | None = None) -> Producer:
    """Create a producer whose records are acknowledged by all replicas, exactly once and in order.

    Blocks for at most 3 s. Raises `KafkaError` if no broker answers.
    """
    return _open(
        Producer,
        settings,
        transactional_id=transactional_id,
        # Longer than the publisher's own limit, so that the broker never aborts a live transaction.
        transaction_timeout_ms=TRANSACTION_TIMEOUT_MS,
        retry_backoff_ms=20,  # a transaction's first step waits this long for the end of the last one
        acks="all",
        max_block_ms=5_000,
        delivery_timeout_ms=REQUEST_TIMEOUT_MS + 2_000,
        linger_ms=1,
        batch_size=131_072,
        max_request_size=DEAD_LETTER_MAX_BYTES,
    )


def discard(producer: KafkaProducer) -> None:
    """Stop a producer at once, without sending its buffered records. Does not block.

    `close(timeout=0)` raises while records are unsent, and leaves the sending thread running for ever.
    """
    producer._sender.force_close()


def make_reader(settings: Settings, *, isolation_level: str = "read_committed") -> KafkaConsumer:
    """Create a consumer without a group. Blocks for at most 3 s. Raises `KafkaError` if no broker answers."""
    return _open(KafkaConsumer, settings, isolation_level=isolation_level, fetch_max_wait_ms=100)


def probe_topic(settings: Settings) -> str:
    """The topic for the check at start that the broker hides records of aborted transactions."""
    return f"{settings.kafka_topic_predictions}.probe"


# A topic's Kafka configs that differ from the broker's defaults.
TopicOptions = Mapping[str, str]
ORDINARY: Final[TopicOptions] = {}
# Readers need only the newest record of each key.
COMPACTED: Final[TopicOptions] = {"cleanup.policy": "compact"}
FOR_DEAD_LETTERS: Final[TopicOptions] = {"max.message.bytes": str(DEAD_LETTER_MAX_BYTES)}


def scoring_topics(settings: Settings) -> dict[str, TopicOptions]:
    """The topics of the scoring consumer, with their configs."""
    return {
        settings.kafka_topic_metrics: ORDINARY,
        settings.kafka_topic_predictions: ORDINARY,
        settings.kafka_topic_dead_letters: FOR_DEAD_LETTERS,
        settings.kafka_topic_failure_alerts: ORDINARY,
        settings.kafka_topic_anomalies: ORDINARY,
        settings.kafka_topic_alert_state: COMPACTED,
    }


def ocpp_topics(settings: Settings) -> dict[str, TopicOptions]:
    """The topics of the OCPP process, with their configs."""
    return {
        settings.kafka_topic_ocpp: ORDINARY,
        settings.kafka_topic_metrics: ORDINARY,
        settings.kafka_topic_dead_letters: FOR_DEAD_LETTERS,
        settings.kafka_topic_ocpp_state: COMPACTED,
    }


def ensure_topics(settings: Settings, topics: Mapping[str, TopicOptions]) -> None:
    """Create the missing topics. Blocks for up to 3 s to connect, and 10 s per request.

    Raises `KafkaError` if no broker answers. A topic that cannot be created, for example for lack of a
    permission, is logged. An operator must then create it, and the consumer waits for it.
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
