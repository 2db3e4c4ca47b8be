"""All or nothing, and never unfenced: the transactional publisher against a producer that fails as told."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from kafka import ConsumerGroupMetadata, KafkaConsumer, KafkaProducer, OffsetAndMetadata, TopicPartition
from kafka.errors import (
    CommitFailedError,
    InvalidProducerEpochError,
    KafkaError,
    KafkaTimeoutError,
    MessageSizeTooLargeError,
    ProducerFencedError,
)

from consumers.kafka.offsets import CommitBatch, Partition, PendingRecord
from consumers.kafka.outcome_publisher import AtLeastOncePublisher, KafkaUnavailable, OutcomeRefused
from consumers.kafka.records import Outgoing, Received
from consumers.kafka.transactions import MemberFenced, MemberSlot, TransactionalPublisher, verify_isolation

MEMBER = ConsumerGroupMetadata("g", 4, "member-1", None, "<stable>")


class FakeFuture:
    def __init__(self, exception: Exception | None) -> None:
        self.exception = exception


class FakeProducer:
    """Writes down what is asked of it; `failing` names the call that raises."""

    def __init__(self, failing: dict[str, Exception]) -> None:
        self.calls: list[Any] = []
        self.failing = failing
        self._sender = self  # what is discarded goes by this door

    def _did(self, name: str, *details: Any) -> None:
        self.calls.append((name, *details) if details else name)
        if name in self.failing:
            raise self.failing[name]

    def init_transactions(self) -> None:
        self._did("init")

    def begin_transaction(self) -> None:
        self._did("begin")

    def send(self, topic: str, value: bytes, **_: Any) -> FakeFuture:
        self._did("send", topic, value)
        return FakeFuture(self.failing.get("acknowledge"))

    def send_offsets_to_transaction(self, offsets: Any, metadata: Any) -> None:
        self._did("offsets", offsets, metadata)

    def flush(self, timeout: float) -> None:
        self._did("flush")

    def commit_transaction(self) -> None:
        self._did("commit")

    def force_close(self) -> None:
        self.calls.append("discarded")


class Bench:
    def __init__(self) -> None:
        self.failing: dict[str, Exception] = {}
        self.producers: list[FakeProducer] = []
        self.member = MEMBER
        self.publisher = TransactionalPublisher(cast(KafkaConsumer, self), self._make)

    def _make(self) -> KafkaProducer:
        self.producers.append(FakeProducer(self.failing))
        return cast(KafkaProducer, self.producers[-1])

    def group_metadata(self) -> ConsumerGroupMetadata:
        return self.member

    @property
    def calls(self) -> list[Any]:
        return [call for producer in self.producers for call in producer.calls]


def a_round() -> CommitBatch:
    entry = PendingRecord(Received("in", 2, 41, None, b""), outcomes=(Outgoing("out", b"C", b"verdict"),))
    return CommitBatch([entry], {Partition("in", 2): 42})


def test_outcomes_and_offsets_are_committed_together() -> None:
    bench = Bench()
    assert bench.publisher.publish(a_round())
    assert bench.calls == [
        "init",
        "begin",
        ("send", "out", b"verdict"),
        ("offsets", {TopicPartition("in", 2): OffsetAndMetadata(42)}, MEMBER),
        "flush",
        "commit",
    ]
    assert bench.publisher.publish(a_round())
    assert len(bench.producers) == 1


@pytest.mark.parametrize("member", [MEMBER._replace(generation_id=-1), MEMBER._replace(member_id="")])
def test_without_a_membership_nothing_is_published(member: ConsumerGroupMetadata) -> None:
    bench = Bench()
    bench.member = member
    assert not bench.publisher.publish(a_round())
    assert "begin" not in bench.calls


def test_a_group_that_has_moved_on_gets_nothing_and_the_producer_is_made_anew() -> None:
    bench = Bench()
    bench.failing["offsets"] = CommitFailedError("generation")
    assert not bench.publisher.publish(a_round())
    assert "commit" not in bench.calls
    bench.failing.clear()
    assert bench.publisher.publish(a_round())
    assert [producer.calls[0] for producer in bench.producers] == ["init", "init"]
    assert bench.producers[0].calls[-1] == "discarded"


def test_a_record_that_was_not_acknowledged_is_never_committed_around() -> None:
    bench = Bench()
    bench.failing["acknowledge"] = KafkaTimeoutError("expired")
    with pytest.raises(KafkaUnavailable):
        bench.publisher.publish(a_round())
    assert "commit" not in bench.calls


@pytest.mark.parametrize("step", ["send", "acknowledge"])
def test_a_refused_outcome_stops_the_process(step: str) -> None:
    bench = Bench()
    bench.failing[step] = MessageSizeTooLargeError("too large")
    with pytest.raises(OutcomeRefused):
        bench.publisher.publish(a_round())
    assert "commit" not in bench.calls


@pytest.mark.parametrize(
    ("step", "error"),
    [
        ("begin", ProducerFencedError()),
        ("offsets", KafkaError("?")),
        ("flush", KafkaTimeoutError("slow")),
        ("commit", ProducerFencedError()),
    ],
)
def test_any_other_failure_asks_for_new_clients(step: str, error: KafkaError) -> None:
    bench = Bench()
    bench.failing[step] = error
    with pytest.raises(KafkaUnavailable):
        bench.publisher.publish(a_round())


def test_a_broker_that_never_answers_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("consumers.kafka.transactions.TRANSACTION_TIMEOUT_S", 0.05)
    bench = Bench()
    bench.publisher.open()
    monkeypatch.setattr(bench.producers[0], "flush", lambda _: time.sleep(0.3))
    with pytest.raises(KafkaUnavailable):
        bench.publisher.publish(a_round())


class SilentProducer(FakeProducer):
    """A producer whose broker never ends a transaction."""

    def __init__(self) -> None:
        super().__init__({})
        self.released = threading.Event()

    def send(self, topic: str, value: bytes, **_: Any) -> Any:
        self._did("send", topic, value)
        return SimpleNamespace(get=lambda timeout: SimpleNamespace(offset=0))

    def abort_transaction(self) -> None:
        self.released.wait(timeout=5)


def test_a_broker_that_never_ends_the_probe_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("consumers.kafka.transactions.PROBE_TIMEOUT_S", 0.05)
    producer = SilentProducer()
    with pytest.raises(KafkaUnavailable, match="probe"):
        verify_isolation(cast(KafkaProducer, producer), cast(KafkaConsumer, None), "probe")
    producer.released.set()


def test_processes_of_a_host_have_different_ids_and_successors_the_same(tmp_path: Path) -> None:
    first, second = MemberSlot(tmp_path, "g"), MemberSlot(tmp_path, "g")
    assert first.transactional_id.endswith("-0")
    assert second.transactional_id.endswith("-1")
    first.release()
    third = MemberSlot(tmp_path, "g")
    assert third.transactional_id == first.transactional_id
    second.release()
    third.release()


def test_each_folder_of_a_host_has_a_member_id_and_keeps_it(tmp_path: Path) -> None:
    first, second = MemberSlot(tmp_path / "one", "g"), MemberSlot(tmp_path / "two", "g")
    assert first.transactional_id != second.transactional_id
    first.release()
    again, named = MemberSlot(tmp_path / "one", "g"), MemberSlot(tmp_path / "one", "g", "pod-7")
    assert again.transactional_id == first.transactional_id
    assert named.transactional_id == "g-pod-7-1"
    for slot in (second, again, named):
        slot.release()


@pytest.mark.parametrize("step", ["init", "begin", "acknowledge", "offsets", "flush", "commit"])
@pytest.mark.parametrize("error", [ProducerFencedError(), InvalidProducerEpochError()])
def test_a_member_that_is_fenced_is_called_so(step: str, error: KafkaError) -> None:
    bench = Bench()
    bench.failing[step] = error
    with pytest.raises(MemberFenced):
        bench.publisher.publish(a_round())
    assert bench.producers[0].calls[-1] == "discarded"


def test_fencing_that_the_producer_only_remembers_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench()
    bench.publisher.open()
    bench.failing["flush"] = KafkaError("in an error state")
    remembered = SimpleNamespace(last_error=ProducerFencedError())
    monkeypatch.setattr(bench.producers[0], "_transaction_manager", remembered, raising=False)
    with pytest.raises(MemberFenced):
        bench.publisher.publish(a_round())


class CommitOnly:
    """The consumer and the producer of at-least-once, which commits after acknowledgement."""

    def __init__(self) -> None:
        self.committed: list[Any] = []
        self.commit_error: Exception | None = None

    def commit(self, offsets: Any, timeout_ms: int) -> None:
        if self.commit_error is not None:
            raise self.commit_error
        self.committed.append(offsets)


def test_at_least_once_commits_after_the_acknowledgement_and_again_after_a_rebalance() -> None:
    consumer, producer = CommitOnly(), FakeProducer({})
    publisher = AtLeastOncePublisher(cast(KafkaConsumer, consumer), cast(KafkaProducer, producer))
    producer.failing["acknowledge"] = KafkaTimeoutError("expired")
    with pytest.raises(KafkaUnavailable):
        publisher.publish(a_round())
    publisher.commit()
    assert consumer.committed == []
    producer.failing.clear()
    consumer.commit_error = CommitFailedError("rebalance")
    assert publisher.publish(a_round())
    consumer.commit_error = None
    publisher.commit()
    publisher.commit()
    assert consumer.committed == [{TopicPartition("in", 2): OffsetAndMetadata(42)}]


def test_at_least_once_does_not_commit_for_partitions_that_went_to_others() -> None:
    consumer = CommitOnly()
    publisher = AtLeastOncePublisher(cast(KafkaConsumer, consumer), cast(KafkaProducer, FakeProducer({})))
    consumer.commit_error = CommitFailedError("rebalance")
    publisher.publish(a_round())
    publisher.forget([Partition("in", 2)])
    consumer.commit_error = None
    publisher.commit()
    assert consumer.committed == []


def test_at_least_once_remembers_only_what_is_acknowledged() -> None:
    consumer, producer = CommitOnly(), FakeProducer({})
    publisher = AtLeastOncePublisher(cast(KafkaConsumer, consumer), cast(KafkaProducer, producer))
    done = a_round()
    done.remembered.append(Outgoing("state", b"C", b"known"))
    producer.failing["acknowledge"] = KafkaTimeoutError("expired")
    with pytest.raises(KafkaUnavailable):
        publisher.publish(done)
    producer.failing.clear()
    assert publisher.publish(done)
    sent = [call[1] for call in producer.calls if call[0] == "send"]
    assert sent == ["out", "out", "state"]
    assert consumer.committed == [{TopicPartition("in", 2): OffsetAndMetadata(42)}]
