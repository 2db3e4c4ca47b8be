"""The loop against stand-ins: what is published and committed when things go wrong."""

from __future__ import annotations

import threading
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Any, cast

import orjson
import pytest
from kafka import KafkaConsumer, TopicPartition
from kafka.consumer.fetcher import ConsumerRecord

from consumers.kafka.crash_journal import MOST_DEATHS, CrashJournal
from consumers.kafka.heartbeat import Heartbeat, Status
from consumers.kafka.loop import UNCONNECTED_MOST_S, Stream
from consumers.kafka.offsets import CommitBatch, Partition, PendingRecord
from consumers.kafka.outcome_publisher import KafkaUnavailable, OutcomeTooLarge
from consumers.kafka.record_batches import Unreadable
from consumers.kafka.records import KEPT_VALUE_BYTES, Outgoing
from consumers.kafka.watchdog import StreamStuck
from consumers.predictions.alert_recorder import AlertRecorder
from consumers.predictions.alerts import Alerts, Rules
from consumers.predictions.prediction_processor import Predicting
from consumers.predictions.score_requests import Scoring
from consumers.predictions.slowed_tenants import SlowedTenants
from readings.reading import Kind, Reading
from settings import Settings, read_settings
from tasks.client.rate_limiter import RateLimiter
from tasks.messaging.messages import ScoreRequest, ScoreResult
from tasks.storage.state_erasures import StateErasure, digest_of
from tests.unit.consumers.doubles import START, Clock, FakePredictor

P0, P1 = TopicPartition("charger.metrics", 0), TopicPartition("charger.metrics", 1)
Q0, Q1 = Partition(*P0), Partition(*P1)


class FakeConsumer:
    """A consumer whose broker is two lists."""

    def __init__(self) -> None:
        self.logs: dict[TopicPartition, list[bytes]] = {P0: [], P1: []}
        self.positions = {P0: 0, P1: 0}
        self.held: set[TopicPartition] = set()
        self.connections = 1

    def poll(self, timeout_ms: float) -> dict[TopicPartition, list[Any]]:
        found: dict[TopicPartition, list[Any]] = {}
        for tp, log in self.logs.items():
            if tp in self.held:
                continue
            fresh = range(self.positions[tp], len(log))
            found[tp] = [_record(tp, offset, log[offset]) for offset in fresh]
            self.positions[tp] = len(log)
        return found

    def assignment(self) -> set[TopicPartition]:
        return set(self.logs)

    def paused(self) -> set[TopicPartition]:
        return set(self.held)

    def pause(self, *partitions: TopicPartition) -> None:
        self.held |= set(partitions)

    def resume(self, *partitions: TopicPartition) -> None:
        self.held -= set(partitions)

    def highwater(self, tp: TopicPartition) -> int:
        return len(self.logs[tp])

    def position(self, tp: TopicPartition, timeout_ms: float) -> int:
        return self.positions[tp]

    def end_offsets(self, partitions: list[TopicPartition], timeout_ms: float) -> dict[TopicPartition, int]:
        return {tp: len(self.logs[tp]) for tp in partitions}

    def partitions_for_topic(self, topic: str) -> set[int]:
        return {0, 1, 2}

    def metrics(self) -> dict[str, dict[str, float]]:
        return {"consumer-metrics": {"connection-count": self.connections}}


def _record(tp: TopicPartition, offset: int, value: bytes) -> Any:
    return ConsumerRecord(  # type: ignore[call-arg]  # a namedtuple; the stub names what we read
        topic=tp.topic, partition=tp.partition, leader_epoch=0, offset=offset, timestamp=0, timestamp_type=0,
        key=None, value=value, headers=[], checksum=None,
        serialized_key_size=0, serialized_value_size=0, serialized_header_size=0,
    )  # fmt: skip


class FakePublisher:
    """Takes rounds, or fails as told."""

    def __init__(self) -> None:
        self.outcomes: list[tuple[str, str]] = []
        self.letters: list[Outgoing] = []
        self.committed: dict[Partition, int] = {}
        self.forgotten: list[Partition] = []
        self.added: list[Outgoing] = []
        self.broken = False
        self.largest = 10**9

    def publish(self, done: CommitBatch) -> bool:
        if self.broken:
            raise KafkaUnavailable("down")
        if any(len(record.value or b"") > self.largest for record in done.outgoing):
            raise OutcomeTooLarge("too large")
        for entry in done.records:
            place = entry.received.event_id.partition(":")[2]
            assert entry.outcomes is not None
            self.outcomes += [(place, outcome.topic) for outcome in entry.outcomes]
            self.letters += [outcome for outcome in entry.outcomes if outcome.topic.endswith("dlq")]
        self.added += [*done.added, *done.remembered]
        self.committed.update(done.offsets)
        return True

    def commit(self) -> None:
        pass

    def forget(self, partitions: Iterable[Partition]) -> None:
        self.forgotten += partitions


class NoLooks:
    """Keeps what the loop notes: the event ids of committed dead letters."""

    def __init__(self) -> None:
        self.noted: list[str] = []

    def note(self, entries: Iterable[PendingRecord]) -> None:
        self.noted += [entry.received.event_id for entry in entries if entry.is_dead_letter]


class FakeHeartbeat:
    def __init__(self) -> None:
        self.pause_reason: str | None = None
        self.statuses: list[Status] = []
        self.erasures: object = ()
        self.dead_letters = NoLooks()

    def record_loop(self, now: float) -> None:
        pass

    def set_status(self, status: Status) -> None:
        self.statuses.append(status)


class AskedErasures:
    """Requests that Redis would have; what was carried out, by partition."""

    def __init__(self, *asked: StateErasure) -> None:
        self.asked = asked
        self.done: dict[int, int] = {}

    def __bool__(self) -> bool:
        return bool(self.asked)

    def due(self, partitions: Collection[Partition]) -> dict[Partition, list[StateErasure]]:
        return {each: list(self.asked) for each in partitions if each.partition not in self.done}

    def carried_out(self, due: dict[Partition, list[StateErasure]], *, of: int) -> None:
        self.done |= {partition.partition: of for partition in due}


class Bench:
    def __init__(self, settings: Settings, folder: Path) -> None:
        self.journal = CrashJournal(folder, "group", 0)
        self.consumer, self.publisher = FakeConsumer(), FakePublisher()
        self.source, self.heartbeat, self.clock = FakePredictor(), FakeHeartbeat(), Clock()
        self.recorder = AlertRecorder(settings)  # not started: nothing is written
        self.stream = Stream(
            settings,
            consumer=cast(KafkaConsumer, self.consumer),
            publisher=self.publisher,
            processor=Predicting(
                settings,
                scoring=Scoring(self.source, clock=self.clock),
                slowed=SlowedTenants(
                    RateLimiter(settings, self.clock),
                    settings.tenant_limits.readings_per_second,
                    clock=self.clock,
                ),
                alerts=Alerts(
                    Rules(open_at=0.1, close_below=0.05, readings_to_close=1),
                    topics={"failure": "alerts", "anomaly": "anomalies"},
                    state_topic="state",
                    load=lambda _: {},
                ),
                recorder=self.recorder,
                heartbeat=cast(Heartbeat, self.heartbeat),
                now=lambda: START,
                clock=self.clock,
            ),
            heartbeat=cast(Heartbeat, self.heartbeat),
            journal=self.journal,
            clock=self.clock,
        )

    def produce(self, tp: TopicPartition, *values: bytes) -> None:
        self.consumer.logs[tp] += values

    def turn(self, seconds: float = 0.1) -> None:
        self.clock.now += seconds
        self.stream.step()
        self.source.work()


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Bench:
    monkeypatch.setenv("ML_SERVICE_API_KEY", "k" * 20)
    monkeypatch.setenv("MODEL_DIR", "/")
    monkeypatch.setenv("KAFKA_MAX_POLL_RECORDS", "2")
    return Bench(read_settings(dotenv=None), tmp_path)


def good(number: int = 0) -> bytes:
    return orjson.dumps({"charger_id": f"C{number}", "connector_status": "CHARGING"})


def test_a_poison_record_is_buried_and_the_next_ones_are_scored(bench: Bench) -> None:
    bench.produce(P0, good(), b"{bad", good())
    for _ in range(3):
        bench.turn()
    assert bench.publisher.outcomes == [
        ("0:0", "ml.predictions"),
        ("0:1", "charger.metrics.dlq"),
        ("0:2", "ml.predictions"),
    ]
    assert bench.publisher.committed == {Q0: 3}


def test_an_alert_and_its_state_go_out_with_the_prediction_that_opens_it(bench: Bench) -> None:
    bench.produce(P0, good(), good())
    bench.publisher.broken = True
    bench.turn()
    with pytest.raises(KafkaUnavailable):
        bench.turn()
    bench.publisher.broken = False
    bench.turn()
    assert [record.topic for record in bench.publisher.added] == ["alerts", "state"]


def test_nothing_is_committed_before_it_is_published(bench: Bench) -> None:
    bench.produce(P0, good())
    bench.publisher.broken = True
    bench.turn()
    with pytest.raises(KafkaUnavailable):
        bench.turn()
    assert bench.publisher.committed == {}


def test_without_workers_partitions_are_paused_and_nothing_is_lost(bench: Bench) -> None:
    bench.produce(P0, good())
    bench.stream.step()  # under way when the workers go
    bench.heartbeat.pause_reason = "no worker"
    bench.produce(P0, good())
    bench.turn(seconds=2)
    assert bench.consumer.held == {P0, P1}
    assert bench.heartbeat.statuses[-1] == Status("paused", "no worker", lag=2, partitions=2)
    bench.heartbeat.pause_reason = None
    for _ in range(5):
        bench.turn()
    assert not bench.consumer.held
    assert bench.publisher.committed == {Q0: 2}


def test_a_full_window_pauses_its_partition_only(bench: Bench) -> None:
    bench.produce(P0, *(good(n) for n in range(4)))
    bench.stream.step()
    bench.produce(P0, good(4))
    bench.produce(P1, good())
    bench.stream.step()
    assert bench.consumer.held == {P0}
    assert bench.consumer.positions == {P0: 4, P1: 1}
    for _ in range(8):
        bench.turn()
    assert bench.publisher.committed == {Q0: 5, Q1: 1}


def test_a_revoked_partition_is_neither_published_nor_committed(bench: Bench) -> None:
    bench.produce(P0, good())
    bench.produce(P1, good())
    bench.stream.step()
    bench.stream.revoked([P0])
    bench.source.work()
    bench.turn()
    assert bench.publisher.outcomes == [("1:0", "ml.predictions")]
    assert bench.publisher.committed == {Q1: 1}
    assert bench.publisher.forgotten == [Q0]


def test_a_verdict_that_makes_no_sense_is_buried(bench: Bench) -> None:
    bench.produce(P0, good())
    bench.stream.step()
    for score_requests, future in bench.source.tasks:
        future.set_result([ScoreResult(b"{}") for _ in score_requests])
    bench.source.tasks.clear()
    bench.turn()
    assert bench.publisher.outcomes == [("0:0", "charger.metrics.dlq")]


def test_a_lost_connection_asks_for_new_clients(bench: Bench) -> None:
    bench.turn(seconds=1)
    assert bench.heartbeat.statuses[-1].state == "running"
    bench.consumer.connections = 0
    bench.turn(seconds=UNCONNECTED_MOST_S - 1)
    with pytest.raises(KafkaUnavailable):
        bench.turn(seconds=2)


def test_lag_counts_what_is_fetched_and_what_is_not(bench: Bench) -> None:
    bench.produce(P0, good(), good(), good(), good())
    bench.stream.step()
    bench.produce(P0, good())
    bench.turn(seconds=1)
    assert bench.heartbeat.statuses[-1].lag == 5


def test_a_partition_that_is_not_fetched_any_more_ends_the_process(bench: Bench) -> None:
    bench.turn(seconds=30)
    bench.consumer.poll = lambda timeout_ms: {}  # type: ignore[method-assign]
    bench.produce(P0, good())
    bench.consumer.highwater = lambda tp: 0  # type: ignore[method-assign]  # no fetch tells of it
    for _ in range(3):
        bench.turn(seconds=21)
    with pytest.raises(StreamStuck):
        bench.turn(seconds=61)


def test_the_end_waits_for_what_is_under_way(bench: Bench) -> None:
    bench.produce(P0, good())
    bench.stream.step()
    stopping = threading.Event()
    stopping.set()
    bench.consumer.subscribe = lambda topics, listener: None  # type: ignore[attr-defined]
    threading.Timer(0.05, bench.source.work).start()
    bench.stream.run(stopping)
    assert bench.publisher.committed == {Q0: 1}


def test_a_dead_letter_that_its_topic_refuses_goes_out_shortened(bench: Bench) -> None:
    bench.produce(P0, good(), b"{" * 300_000, good())
    bench.publisher.largest = 100_000
    for _ in range(4):
        bench.turn()
    assert bench.publisher.outcomes == [
        ("0:0", "ml.predictions"),
        ("0:1", "charger.metrics.dlq"),
        ("0:2", "ml.predictions"),
    ]
    (letter,) = bench.publisher.letters
    assert letter.value == b"{" * KEPT_VALUE_BYTES


def test_a_prediction_that_its_topic_refuses_ends_the_process(bench: Bench) -> None:
    bench.produce(P0, good())
    bench.publisher.largest = 10
    bench.turn()
    with pytest.raises(OutcomeTooLarge):
        bench.turn()


def die(bench: Bench, times: int, at: str) -> None:
    """Leave behind what so many processes leave that were killed at a record."""
    for _ in range(times):
        bench.journal.begin(at)
        bench.journal.count_death()  # the next process does this first
    bench.stream.assigned()


def test_a_record_that_has_ended_three_processes_is_not_tried_again(bench: Bench) -> None:
    bench.produce(P0, good(), good(), good())
    die(bench, MOST_DEATHS, "charger.metrics:0:1")
    for _ in range(3):
        bench.turn()
    assert bench.publisher.outcomes == [
        ("0:0", "ml.predictions"),
        ("0:1", "charger.metrics.dlq"),
        ("0:2", "ml.predictions"),
    ]
    (letter,) = bench.publisher.letters
    assert letter.value == good()
    assert dict(letter.headers)["x-error-code"] == b"process_died"
    assert bench.heartbeat.dead_letters.noted == ["charger.metrics:0:1"]
    assert bench.journal.deaths("charger.metrics:0:1") == 0  # it has its outcome


def test_a_record_that_has_ended_two_processes_is_tried_again(bench: Bench) -> None:
    bench.produce(P0, good())
    die(bench, MOST_DEATHS - 1, "charger.metrics:0:0")
    for _ in range(3):
        bench.turn()
    assert bench.publisher.outcomes == [("0:0", "ml.predictions")]


def test_a_record_that_cannot_be_read_out_of_its_batch_is_buried(bench: Bench) -> None:
    bench.produce(P0, good(), Unreadable.of(b"raw", ValueError("no UTF-8")), good())
    for _ in range(3):
        bench.turn()
    assert bench.publisher.outcomes == [
        ("0:0", "ml.predictions"),
        ("0:1", "charger.metrics.dlq"),
        ("0:2", "ml.predictions"),
    ]
    (letter,) = bench.publisher.letters
    assert letter.value == b"raw"
    assert type(letter.value) is bytes
    assert dict(letter.headers)["x-error-code"] == b"unreadable_record"


def test_a_reading_that_cannot_be_asked_about_is_buried_and_the_others_are_scored(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    requests_for = bench.source.requests_for

    def refuse(kinds: Iterable[Kind], reading: Reading, tenant: str | None) -> list[ScoreRequest]:
        if reading.charger_id == "C1":
            raise TypeError("no JSON")
        return requests_for(kinds, reading, tenant)

    monkeypatch.setattr(bench.source, "requests_for", refuse)
    bench.produce(P0, good(0), good(1), good(2))
    for _ in range(3):
        bench.turn()
    assert bench.publisher.outcomes == [
        ("0:0", "ml.predictions"),
        ("0:1", "charger.metrics.dlq"),
        ("0:2", "ml.predictions"),
    ]


def test_a_verdict_that_alerts_cannot_read_is_buried(bench: Bench) -> None:
    bench.produce(P0, good(0), good(1))
    bench.stream.step()
    for score_requests, future in bench.source.tasks:
        bad = [ScoreResult(b"not json", headline_score=0.9), ScoreResult(b"{}", headline_score=False)]
        future.set_result([*bad, *[ScoreResult(b'{"x":1}', headline_score=0.0) for _ in score_requests[2:]]])
    bench.source.tasks.clear()
    bench.turn()
    assert bench.publisher.outcomes == [("0:0", "charger.metrics.dlq"), ("0:1", "ml.predictions")]
    assert bench.publisher.added == []


def test_tombstones_are_committed_with_unchanged_offsets_and_again_after_a_failure(bench: Bench) -> None:
    bench.produce(P0, good(7))
    for _ in range(2):
        bench.turn()
    assert bench.publisher.committed == {Q0: 1}
    bench.publisher.added.clear()
    bench.produce(P0, good(8))
    bench.stream.step()  # in flight
    asked = AskedErasures(StateErasure("r", digest_of(None, "C7"), frozenset()))
    bench.heartbeat.erasures = asked
    bench.publisher.broken = True
    with pytest.raises(KafkaUnavailable):
        bench.turn()
    assert asked.done == {}
    bench.publisher.broken = False
    bench.publisher.committed.clear()
    bench.turn()
    (tombstone,) = bench.publisher.added
    assert (tombstone.topic, tombstone.key, tombstone.value) == ("state", b"0|failure||C7", None)
    assert bench.publisher.committed == {Q0: 1, Q1: 0}
    assert asked.done == {0: 3, 1: 3}
    bench.publisher.added.clear()
    bench.produce(P0, good(7))
    for _ in range(3):
        bench.turn()
    opened = [orjson.loads(record.value or b"")["charger_id"] for record in bench.publisher.added]
    assert opened == ["C8", "C8", "C7", "C7"]  # each an alert and its state


@pytest.fixture
def limited(monkeypatch: pytest.MonkeyPatch, bench: Bench, tmp_path: Path) -> Bench:
    """Of each tenant two readings a second."""
    monkeypatch.setenv("ML_TENANT_READINGS_PER_SECOND", "2")
    return Bench(read_settings(dotenv=None), tmp_path / "limited")


def of_tenant(tenant: str, number: int = 0) -> bytes:
    return orjson.dumps({"charger_id": f"C{number}", "connector_status": "CHARGING", "tenant_id": tenant})


@pytest.mark.owasp("API4", "readings from Kafka are slowed to the limit of their tenant, and none is lost")
def test_readings_over_the_limit_of_their_tenant_wait(limited: Bench) -> None:
    limited.produce(P0, *(of_tenant("a", number) for number in range(7)))
    limited.produce(P1, of_tenant("b"), of_tenant("b"))
    for _ in range(5):
        limited.turn(0.001)
    assert limited.publisher.committed == {Q0: 2, Q1: 2}
    limited.turn(1.0)
    limited.turn(0.001)
    limited.turn(0.001)
    assert limited.publisher.committed == {Q0: 4, Q1: 2}
    reason = "readings of tenants over 2 a second wait for their turn"
    status = limited.heartbeat.statuses[-1]
    assert (status.state, status.reason) == ("running", reason)
    for _ in range(40):
        limited.turn(0.1)
    assert limited.publisher.committed == {Q0: 7, Q1: 2}
    assert {topic for _, topic in limited.publisher.outcomes} == {"ml.predictions"}
    places = [place for place, _ in limited.publisher.outcomes if place.startswith("0:")]
    assert places == [f"0:{number}" for number in range(7)]
    for _ in range(15):
        limited.turn(1.0)
    assert limited.heartbeat.statuses[-1].reason == ""


def test_one_tenant_over_its_limit_pauses_its_partition_alone(limited: Bench) -> None:
    limited.produce(P0, *(of_tenant("a", number) for number in range(10)))
    for _ in range(3):
        limited.turn(0.001)
    assert limited.consumer.held == {P0}  # too many records under way
    limited.produce(P1, *(of_tenant("b", number) for number in range(2)))
    for _ in range(3):
        limited.turn(0.001)
    assert limited.publisher.committed == {Q0: 2, Q1: 2}
    # Readings of another tenant in the paused partition come after those that wait.
    limited.produce(P0, of_tenant("c"))
    for _ in range(60):
        limited.turn(0.1)
    assert limited.publisher.committed[Q0] == 11


def test_readings_that_wait_are_dropped_with_their_partition(limited: Bench) -> None:
    limited.produce(P0, *(of_tenant("a", number) for number in range(6)))
    limited.turn(0.001)
    limited.stream.revoked([P0])
    limited.produce(P1, of_tenant("a", 9))
    limited.turn(1.0)
    limited.turn(0.1)
    limited.turn(0.1)
    assert limited.publisher.committed == {Q1: 1}


def test_nothing_is_taken_from_a_limit_during_a_pause(limited: Bench) -> None:
    limited.produce(P0, *(of_tenant("a", number) for number in range(6)))
    limited.turn(0.001)
    limited.heartbeat.pause_reason = "no worker reads the queue"
    for _ in range(20):
        limited.turn(0.5)
    done = limited.publisher.committed.get(Q0, 0)
    limited.heartbeat.pause_reason = None
    for _ in range(3):
        limited.turn(0.001)
    assert limited.publisher.committed[Q0] <= done + 4
    for _ in range(20):
        limited.turn(0.5)
    assert limited.publisher.committed[Q0] == 6
