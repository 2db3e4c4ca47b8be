"""The consumer loop: poll, process, publish, commit.

One thread runs it. Records are fetched while others are processed. Outcomes of a partition are published in
the order of arrival. All published records are committed before the next poll. A rebalance, which happens
inside `poll`, therefore finds only unpublished records. Those of revoked partitions are dropped here and
processed again by the new owner.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable
from typing import Final, Protocol

from kafka import ConsumerRebalanceListener, KafkaConsumer, TopicPartition
from kafka.consumer.fetcher import ConsumerRecord
from kafka.errors import KafkaError

import metrics
import tracing
from consumers.kafka.crash_journal import MOST_DEATHS, CrashJournal, ProcessDied
from consumers.kafka.heartbeat import Heartbeat, Status
from consumers.kafka.offsets import CommitBatch, OffsetTracker, Partition
from consumers.kafka.outcome_publisher import KafkaUnavailable, OutcomeTooLarge
from consumers.kafka.pending_erasures import is_erased
from consumers.kafka.record_batches import Unreadable
from consumers.kafka.record_processor import RecordProcessor, shorten_dead_letters
from consumers.kafka.records import Received
from consumers.kafka.watchdog import Watchdog
from settings import Settings

log = logging.getLogger(__name__)

# The wait of `poll` for records: while outcomes are pending, and otherwise.
BUSY_POLL_MS: Final = 3
IDLE_POLL_MS: Final = 200
# After an empty poll the loop waits for the first outcome, for this long at most: an empty poll costs as much
# CPU as some readings.
BUSY_WAIT_S: Final = 0.01
LOOK_EVERY_S: Final = 1.0
# Without a connection for this long, the clients are replaced and the topics are checked again.
UNCONNECTED_MOST_S: Final = 4.0
ASK_ENDS_EVERY_S: Final = 20.0
ASK_ENDS_TIMEOUT_MS: Final = 1_000
# Time for records in flight to finish at shutdown.
DRAIN_S: Final = 5.0


class Publisher(Protocol):
    """Publishes outcomes and commits offsets: `outcome_publisher.py`, `transactions.py`, or a test double."""

    def publish(self, done: CommitBatch) -> bool:
        """Publish and commit a batch; False if nothing was committed and the batch must be repeated."""

    def commit(self) -> None:
        """Commit published offsets whose commit was postponed."""

    def forget(self, partitions: Iterable[Partition]) -> None:
        """Discard uncommitted offsets of partitions that another member owns now."""


class Stream:
    """The loop on one set of Kafka clients. Not thread-safe."""

    def __init__(
        self,
        settings: Settings,
        *,
        consumer: KafkaConsumer,
        publisher: Publisher,
        processor: RecordProcessor,
        heartbeat: Heartbeat,
        journal: CrashJournal,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._consumer = consumer
        self._publisher = publisher
        self._processor = processor
        self._heartbeat = heartbeat
        self._journal = journal
        self._clock = clock
        self._batch_records = 2 * settings.kafka_max_poll_records
        self._offsets = OffsetTracker(
            most=8 * settings.kafka_max_poll_records,
            most_per_partition=2 * settings.kafka_max_poll_records,
        )
        self._watchdog = Watchdog()
        self._ends: dict[TopicPartition, int] = {}
        self._looked_at = self._connected_at = self._asked_ends_at = clock()

    def run(self, stopping: threading.Event) -> None:
        """Run until `stopping` is set, then finish records in flight within `DRAIN_S`.

        Raises `KafkaUnavailable` if the clients must be replaced, and `OutcomeRefused` or `StreamStuck`
        if the process must end. Raises kafka-python's errors for an invalid configuration.
        """
        self._consumer.subscribe([self._processor.topic], listener=_Listener(self))
        while not stopping.is_set():
            self.step()
        deadline = self._clock() + DRAIN_S
        while len(self._offsets) and self._clock() < deadline and self._processor.pause_reason is None:
            self._publish()
            time.sleep(BUSY_POLL_MS / 1000)
        self._publisher.commit()
        log.info("stopped; %d records under way are left to the next run", len(self._offsets))

    def step(self) -> None:
        """One iteration of the loop. Blocks for 0.2 s, and longer if Kafka or Redis are slow."""
        if self._heartbeat.erasures:
            self._erase_state()
        self._hold_or_fetch()
        timeout_ms = BUSY_POLL_MS if self._processor.busy else IDLE_POLL_MS
        polled = self._consumer.poll(timeout_ms=timeout_ms)
        for records in polled.values():
            for record in records:
                self._take(record)
        self._publish()
        self._look_around()
        if not polled and self._processor.busy:
            self._processor.wait(BUSY_WAIT_S)

    def revoked(self, partitions: Iterable[TopicPartition]) -> None:
        """Drop revoked partitions: nothing of them may be published or committed here any more."""
        lost = [Partition(*partition) for partition in partitions]
        self._publisher.forget(lost)
        dropped = self._offsets.drop(lost)
        self._processor.drop(lost)
        log.info("partitions %s revoked, %d records under way dropped", _numbers(lost), dropped)

    def assigned(self) -> None:
        """Reload the crash journal: the previous owner may have died at a record of an assigned partition."""
        self._journal.reload()

    def _hold_or_fetch(self) -> None:
        """Pause partitions that must not be fetched now, and resume the others."""
        held = self._processor.pause_reason is not None
        assigned = self._consumer.assignment()
        paused = self._consumer.paused()
        unwanted = {tp for tp in assigned if held or self._offsets.full(Partition(*tp))}
        self._consumer.pause(*(unwanted - paused))
        self._consumer.resume(*((paused & assigned) - unwanted))

    def _take(self, record: ConsumerRecord) -> None:
        received = Received(
            topic=record.topic,
            partition=record.partition,
            offset=record.offset,
            key=record.key,
            value=record.value,
            headers=record.headers,
            recorded_at=record.timestamp / 1000 if (record.timestamp or 0) > 0 else None,
        )
        entry, place = self._offsets.add(received), received.event_id
        entry.taken_at = self._clock()
        entry.span = tracing.begin_record(record.topic, record.headers)
        if isinstance(record.value, Unreadable):
            # The producer's client accepts no subclass of bytes.
            entry.received = received._replace(value=bytes(record.value))
            self._processor.refuse(entry, record.value.error, attempts=1)
            return
        if self._journal.deaths(place) >= MOST_DEATHS:
            reason = ProcessDied(f"The consumer process died {MOST_DEATHS} times at this record.")
            self._processor.refuse(entry, reason, attempts=MOST_DEATHS)
            return
        self._journal.begin(place)
        self._processor.take(entry)
        self._journal.end()

    def _publish(self) -> None:
        self._processor.advance()
        done = self._offsets.finished(most=self._batch_records)
        if not done.records:
            self._publisher.commit()
            return
        self._processor.complete(done)
        try:
            published = self._publisher.publish(done)
        except OutcomeTooLarge as error:
            if not shorten_dead_letters(done):
                raise
            log.warning("dead letters are shortened, their topic takes no larger ones: %s", error)
            return  # the next iteration repeats the batch
        if published:
            oldest = min(entry.taken_at for entry in done.records)
            metrics.STREAM_ROUND_SECONDS.observe(self._clock() - oldest)
            self._offsets.settle(done)
            self._processor.settle(done)
            self._heartbeat.dead_letters.note(done.records)
            self._journal.forget(entry.received.event_id for entry in done.records)
            _end_spans(done)

    def _erase_state(self) -> None:
        """Erase the state that was asked for, in the partitions of this member.

        The tombstones are committed with the present offset of their partition: a member that the group has
        removed can commit none, and its successor erases the state.
        """
        offsets = self._next_offsets()
        due = self._heartbeat.erasures.due(offsets)
        if not due:
            return
        erased = {partition: is_erased(requests) for partition, requests in due.items()}
        records = self._processor.tombstones(erased)
        for start in range(0, len(records), self._batch_records):
            some = records[start : start + self._batch_records]
            committed = {partition: offsets[partition] for partition in due}
            if not self._publisher.publish(CommitBatch(offsets=committed, remembered=some)):
                return  # the next iteration repeats it
        self._processor.erase(erased)
        count = len(self._consumer.partitions_for_topic(self._processor.topic) or offsets)
        self._heartbeat.erasures.carried_out(due, of=count)
        log.info("%d states erased in partitions %s", len(records), _numbers(due))

    def _next_offsets(self) -> dict[Partition, int]:
        """The next offset of each assigned partition. Those without a position yet are left out."""
        found = {
            (partition := Partition(*tp)): self._next_offset(partition) for tp in self._consumer.assignment()
        }
        return {partition: offset for partition, offset in found.items() if offset is not None}

    def _next_offset(self, partition: Partition) -> int | None:
        """The offset to commit that changes nothing; None if it is not known yet."""
        first = self._offsets.first(partition)
        return self._consumer.position(TopicPartition(*partition), timeout_ms=0) if first is None else first

    def _look_around(self) -> None:
        """Once a second, update the lag, check the connection, and set the status of this process."""
        now = self._clock()
        elapsed = now - self._looked_at
        if elapsed < LOOK_EVERY_S:
            return
        self._looked_at = now
        assigned = self._consumer.assignment()
        self._heartbeat.record_loop(now)
        paused = {Partition(*tp) for tp in self._consumer.paused()}
        standing = [(Partition(*tp), *self._standing(tp)) for tp in assigned]
        lag = sum(end - position + self._offsets.pending(partition) for partition, position, end in standing)
        metrics.STREAM_LAG.labels(topic=self._processor.topic).set(lag)
        if self._consumer.metrics()["consumer-metrics"]["connection-count"] > 0:
            self._connected_at = now
        unconnected_s = now - self._connected_at
        pause_reason = self._processor.pause_reason
        if unconnected_s >= UNCONNECTED_MOST_S:
            raise KafkaUnavailable(f"No connection to Kafka for {unconnected_s:.0f} s.")
        if pause_reason is not None:
            metrics.STREAM_PAUSED_SECONDS.labels(reason=_label(pause_reason)).inc(elapsed)
            self._heartbeat.set_status(Status("paused", pause_reason, lag, len(assigned)))
        else:
            slow_reason = self._processor.slow_reason
            if slow_reason:
                metrics.STREAM_SLOWED_SECONDS.inc(elapsed)
            self._heartbeat.set_status(Status("running", slow_reason, lag, len(assigned)))
            self._ask_for_ends(assigned, now)
            self._watchdog.look((each for each in standing if each[0] not in paused), now)
        self._processor.look_around(self._next_offsets())

    def _standing(self, tp: TopicPartition) -> tuple[int, int]:
        """The next offset to fetch, and the end offset by the last fetch or the last `end_offsets`."""
        position = self._consumer.position(tp, timeout_ms=0) or 0
        end = max(self._consumer.highwater(tp) or 0, self._ends.get(tp, 0))
        return position, max(position, end)

    def _ask_for_ends(self, assigned: Iterable[TopicPartition], now: float) -> None:
        """Request end offsets regularly. Fetches report none for a partition that is not fetched."""
        if now - self._asked_ends_at < ASK_ENDS_EVERY_S:
            return
        self._asked_ends_at = now
        try:
            self._ends = self._consumer.end_offsets(list(assigned), timeout_ms=ASK_ENDS_TIMEOUT_MS)
        except KafkaError as error:
            log.debug("ends of partitions not known: %s", error)


class _Listener(ConsumerRebalanceListener):
    """Called inside `poll` and `close`, in the loop's thread."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream

    def on_partitions_assigned(self, assigned: Iterable[TopicPartition]) -> None:
        log.info("partitions %s assigned", _numbers(assigned))
        self._stream.assigned()

    def on_partitions_revoked(self, revoked: Iterable[TopicPartition]) -> None:
        self._stream.revoked(revoked)


def _end_spans(done: CommitBatch) -> None:
    """End the spans of a committed batch. A record that another member takes over is that member's span."""
    for entry in done.records:
        if entry.span is not None:
            topics = ",".join(sorted({outcome.topic for outcome in entry.outcomes or ()}))
            seen: tracing.Attributes = {
                "messaging.kafka.offset": entry.received.offset,
                "messaging.destination.partition.id": str(entry.received.partition),
                "evzone.outcome_topics": topics,
            }
            tracing.end(entry.span, seen)


def _label(pause_reason: str) -> str:
    return "redis" if "Redis" in pause_reason else "workers"


def _numbers(partitions: Iterable[tuple[str, int]]) -> str:
    return ", ".join(str(number) for _, number in sorted(partitions)) or "none"
