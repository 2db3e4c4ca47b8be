"""Send the tenant's readings to the service's Kafka, and count their outcomes and alerts there."""

from __future__ import annotations

import dataclasses
import math
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

import orjson
from kafka import TopicPartition
from kafka.errors import KafkaError

from consumers.kafka.clients import make_producer, make_reader
from consumers.kafka.outcome_publisher import KafkaUnavailable, OutcomeRefused
from consumers.replay.recording import Recording
from consumers.replay.replay_readings import Outbox, Rhythm, record
from evzone_ml_client.schemas import KafkaInfo
from readings.reading import Reading
from settings import Settings
from stack.demo.api import TENANT, DemoFailed

# More wait until some of these have an outcome, so that Ctrl-C ends the demo's traffic at once.
MOST_UNDER_WAY: Final = 4_000
NOTHING_CAME_FOR_S: Final = 60.0
LOOK_EVERY_S: Final = 0.1
# The alerts of the last readings are in other topics than their predictions, and may come after them.
LAST_ALERTS_WITHIN_S: Final = 1.0


@dataclass(slots=True)
class Replay:
    """The progress of one recording, and the outcomes of its readings.

    Each reading counts once, even if its outcome came twice. `day` is the recorded day, from 1, of `days`.
    """

    total: int
    days: int
    day: int = 1
    sent: int = 0
    # Event ids of the predictions and of the dead letters.
    predicted: set[str] = field(default_factory=set)
    refused: set[str] = field(default_factory=set)
    # `recommended_action` of each prediction.
    actions: Counter[str] = field(default_factory=Counter)
    # The newest reading of each charger, JSON.
    newest: dict[str, bytes | None] = field(default_factory=dict)
    # Kinds and ids of alerts.
    opened: set[tuple[str, str]] = field(default_factory=set)
    closed: set[tuple[str, str]] = field(default_factory=set)
    # The charger and the probability of the failure alert that opened last.
    newest_alert: str = ""
    began: float = field(default_factory=time.monotonic)
    looked_at: float = 0.0
    came_at: float = field(default_factory=time.monotonic)
    # Event ids of this replay's readings, and documents about readings that may be or not be among them.
    _ours: set[str] = field(default_factory=set)
    _early: dict[str, list[dict[str, Any]]] = field(default_factory=dict)

    @property
    def seconds(self) -> float:
        """The seconds since it began."""
        return time.monotonic() - self.began

    @property
    def ended(self) -> int:
        """The number of readings with an outcome."""
        return len(self.predicted) + len(self.refused)

    def alerts(self, kind: str) -> tuple[int, int]:
        """The numbers of alerts of a kind that opened, and that closed."""
        opened, closed = (sum(found == kind for found, _ in each) for each in (self.opened, self.closed))
        return opened, closed

    def acknowledge(self, event_id: str) -> None:
        """Count what has come for this reading already, and what will come."""
        self._ours.add(event_id)
        for document in self._early.pop(event_id, ()):
            self._count(event_id, document)

    def receive(self, event_id: str, document: dict[str, Any]) -> None:
        """Count a prediction, an alert, or a dead letter (an empty document).

        One of an earlier run is not counted. The end of a topic is not exact in the embedded broker.
        """
        if event_id in self._ours:
            self._count(event_id, document)
        else:
            self._early.setdefault(event_id, []).append(document)

    def _count(self, event_id: str, document: dict[str, Any]) -> None:
        if not document:
            self.refused.add(event_id)
        elif "alert" in document:
            is_open = document["state"] == "open"
            (self.opened if is_open else self.closed).add((document["alert"], document["alert_id"]))
            if is_open and document["alert"] == "failure":
                self.newest_alert = f"{document['charger_id']}, {document['failure_probability'] * 100:.0f} %"
        elif event_id not in self.predicted:
            self.predicted.add(event_id)
            self.actions[document["recommended_action"]] += 1


OnProgress = Callable[[Replay], None]


class Traffic:
    """The tenant's readings in, and its outcomes out. Not thread-safe. Methods raise `DemoFailed`."""

    def __init__(self, settings: Settings, kafka: KafkaInfo) -> None:
        self._topics = kafka["topics"]
        self._outbox = Outbox(make_producer(settings))
        self._reader: Any = make_reader(settings)
        self._listen_from_now()

    def close(self) -> None:
        """Close the connections to Kafka. Blocks for about a second."""
        with suppress(KafkaError):
            self._outbox.producer.close(timeout=1)
            self._reader.close()

    def replay(self, recording: Recording, *, seconds: float, on_progress: OnProgress) -> Replay:
        """Send a recording within `seconds` (0: at full speed), and wait for the outcome of each reading.

        All times are shifted by one span, so that the last reading has the time of its sending. Calls
        `on_progress` about ten times a second. Blocks.
        """
        first, last = recording.times[0], recording.times[-1]
        speed = (last - first).total_seconds() / seconds if seconds and last > first else math.inf
        rhythm = Rhythm(first, last, speed, datetime.now(UTC), shifted=True)
        replay = Replay(len(recording), (last - first).days + 1)
        self._outbox.on_acknowledged = replay.acknowledge
        for at, found in recording.readings():
            due_at = replay.began + rhythm.due_s(at)
            while (wait_s := due_at - time.monotonic()) > 0 or replay.sent - replay.ended >= MOST_UNDER_WAY:
                self._look(replay, wait_s if wait_s > 0 else LOOK_EVERY_S, on_progress)
            if not isinstance(found, Reading):
                raise DemoFailed(f"A recorded reading cannot be read: {found}")
            sent = record(found, topic=self._topics["readings"], shift=rhythm.shift, tenant=TENANT)
            self._outbox.send(sent)
            replay.newest[found.charger_id] = sent.value
            replay.sent += 1
            replay.day = (at - first).days + 1
            if time.monotonic() - replay.looked_at > LOOK_EVERY_S:
                self._look(replay, 0, on_progress)
        while replay.ended < replay.sent:
            self._look(replay, LOOK_EVERY_S, on_progress)
        last_s = time.monotonic() + LAST_ALERTS_WITHIN_S
        while time.monotonic() < last_s:
            self._look(replay, LOOK_EVERY_S, on_progress)
        return replay

    def _look(self, replay: Replay, wait_s: float, on_progress: OnProgress) -> None:
        """Count the outcomes that have come. Blocks for at most `wait_s`, and for at most 0.1 s."""
        self._outbox.count()
        before = replay.ended
        timeout_ms = math.ceil(min(wait_s, LOOK_EVERY_S) * 1000)
        for place, records in self._reader.poll(timeout_ms=timeout_ms).items():
            for found in records:
                self._count(replay, place.topic, found)
        now = time.monotonic()
        if now - replay.looked_at >= LOOK_EVERY_S:
            replay.looked_at = now
            on_progress(replay)
        if replay.ended > before or replay.ended == replay.sent:
            replay.came_at = now
        elif now - replay.came_at > NOTHING_CAME_FOR_S:
            missing = f"{replay.sent - replay.ended:,} of {replay.sent:,} readings have no prediction"
            raise DemoFailed(
                f"{missing}, and none came within {NOTHING_CAME_FOR_S:.0f} s. Do the consumer and the stream "
                "worker run?"
            )

    def _listen_from_now(self) -> None:
        """Read every partition from its end. Without a group, no later run resumes at this one's offsets."""
        topics = [self._topics[name] for name in ("predictions", "dead_letters", "alerts", "anomalies")]
        places = []
        for topic in topics:
            partitions = self._reader.partitions_for_topic(topic)
            if not partitions:
                raise DemoFailed(f"There is no topic {topic}. Does the consumer run?")
            places += [TopicPartition(topic, partition) for partition in partitions]
        self._reader.assign(places)
        self._reader.seek_to_end()
        for place in places:
            self._reader.position(place)  # resolves the end offset now, and not at the first poll

    def _count(self, replay: Replay, topic: str, found: Any) -> None:
        with suppress(ValueError, TypeError, KeyError):  # another sender's record may be anything
            document = orjson.loads(found.value)
            if document["tenant_id"] != TENANT:
                return
            if topic == self._topics["dead_letters"]:
                headers = dict(found.headers)
                names = ("x-origin-topic", "x-origin-partition", "x-origin-offset")
                replay.receive(":".join(headers[name].decode() for name in names), {})
            else:
                replay.receive(document["event_id"], document)


@contextmanager
def traffic(settings: Settings, kafka: KafkaInfo) -> Iterator[Traffic]:
    """Open the Kafka that the service names. User, password and certificates are those of `settings`.

    Raises `DemoFailed` if it cannot be reached, at first or later.
    """
    theirs = dataclasses.replace(
        settings,
        kafka_bootstrap_servers=",".join(kafka["bootstrap_servers"]),
        kafka_security_protocol=kafka["security_protocol"],
        kafka_sasl_mechanism=kafka["sasl_mechanism"] or settings.kafka_sasl_mechanism,
    )
    try:
        found = Traffic(theirs, kafka)
        try:
            yield found
        finally:
            found.close()
    except (KafkaError, KafkaUnavailable, OutcomeRefused) as error:
        raise DemoFailed(
            f"Kafka, as the service names it, cannot be reached from here: {theirs.kafka_bootstrap_servers}, "
            f"{theirs.kafka_security_protocol} ({type(error).__name__})."
        ) from None
