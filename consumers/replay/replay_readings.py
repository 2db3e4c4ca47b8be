"""`python -m consumers replay`: publish recorded readings to the input topic at their recorded rate.

All times are shifted by the same span, so the intervals between readings stay the same. The shift is the
largest with which no reading is sent before its time, which the consumer would refuse. The last reading of a
fast replay, or the first of one slower than real time, then has the time of its sending.
"""

from __future__ import annotations

import argparse
import math
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final, TextIO

import orjson
from kafka import KafkaProducer
from kafka.errors import KafkaError
from kafka.producer.future import FutureRecordMetadata
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from consumers.kafka.clients import ensure_topics, make_producer, scoring_topics
from consumers.kafka.outcome_publisher import PUBLISH_TIMEOUT_S, KafkaUnavailable, OutcomeRefused, as_trouble
from consumers.kafka.records import Outgoing
from consumers.replay.arguments import INTERRUPTED, count, moment, number_of, speed, tenant
from errors import ServiceError
from readings.reading import Reading
from settings import Settings

if TYPE_CHECKING:
    from consumers.replay.recording import Recording

# The producer itself has no limit of unacknowledged records.
MOST_UNACKNOWLEDGED: Final = 10_000
# The delay of Ctrl-C and of updates of the progress bar, seconds.
TURN_S: Final = 0.1
LEFT_OUT: Final = 1  # as `evzone-ml batch` for failed rows

Show = Callable[[int, datetime, float], None]


@dataclass(frozen=True, slots=True)
class Rhythm:
    """The schedule of a replay, and the shift of its times.

    `first` and `last` are the first and last recorded times, `begin` is the start of the replay. `speed` is
    the factor of real time; infinite is as fast as possible.
    """

    first: datetime
    last: datetime
    speed: float
    begin: datetime
    shifted: bool

    def due_s(self, recorded_at: datetime) -> float:
        """The due time of a reading in seconds after the start."""
        return (recorded_at - self.first).total_seconds() / self.speed

    @property
    def shift(self) -> timedelta:
        """The span that is added to all times of readings."""
        if not self.shifted:
            return timedelta(0)
        if self.speed < 1:
            return self.begin - self.first
        return self.begin + timedelta(seconds=self.due_s(self.last)) - self.last


@dataclass(slots=True)
class Outbox:
    """Sends records, and counts the acknowledged ones. Not thread-safe.

    `on_acknowledged` receives the topic, partition and offset of each, joined by colons.
    """

    producer: KafkaProducer
    on_acknowledged: Callable[[str], None] | None = None
    acknowledged: int = 0
    _under_way: deque[FutureRecordMetadata] = field(default_factory=deque)

    def send(self, record: Outgoing) -> None:
        """Send a record. Blocks for at most 12 s while too many are unacknowledged.

        Raises `KafkaUnavailable` or `OutcomeRefused`.
        """
        try:
            self._under_way.append(self.producer.send(record.topic, record.value, key=record.key))
            if len(self._under_way) >= MOST_UNACKNOWLEDGED:
                self.producer.flush(PUBLISH_TIMEOUT_S)
        except KafkaError as error:
            raise as_trouble(error, "publishing") from error
        self.count()

    def count(self) -> None:
        """Count the records acknowledged since the last call. Does not block. Raises the errors of `send`."""
        while self._under_way and self._under_way[0].is_done:
            future = self._under_way.popleft()
            if future.exception is not None:
                raise as_trouble(future.exception, "publishing") from future.exception
            self.acknowledged += 1
            if self.on_acknowledged is not None:
                at = future.get(0)  # it is done
                self.on_acknowledged(f"{at.topic}:{at.partition}:{at.offset}")

    def drain(self) -> None:
        """Wait for all acknowledgements, for at most 12 s. Raises the errors of `send`."""
        try:
            self.producer.flush(PUBLISH_TIMEOUT_S)
        except KafkaError as error:
            raise as_trouble(error, "publishing") from error
        self.count()


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `replay`."""
    parser.add_argument(
        "file",
        type=Path,
        help="Parquet or CSV of readings (or a folder with readings.parquet), or a CSV of charging sessions",
    )
    parser.add_argument(
        "--speed",
        type=speed,
        default=1.0,
        help="how much faster than recorded: 60 is an hour a minute, max is without a pause (default 1)",
    )
    parser.add_argument(
        "--since", type=moment, help="only what was recorded at this time or later (ISO 8601)"
    )
    parser.add_argument("--limit", type=count, help="only the first so many readings")
    parser.add_argument(
        "--shift-to-now",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="move all times by the same span, so that the readings reach up to now (default: yes)",
    )
    parser.add_argument("--tenant", type=tenant, help="the tenant of the readings (default: none)")


def replay(
    settings: Settings,
    arguments: argparse.Namespace,
    stop_on_signals: Callable[[], threading.Event],
    out: TextIO = sys.stdout,
) -> int:
    """Send a recording; returns the exit code, 0 only if every row was sent.

    Blocks until all records are acknowledged, or until the event of `stop_on_signals` is set. It is made
    before the first record is sent. Until then Ctrl-C raises `KeyboardInterrupt`.
    """
    from consumers.replay.recording import load

    try:
        recording = load(arguments.file, since=arguments.since, limit=arguments.limit)
        if not len(recording):
            raise ServiceError(f"{arguments.file}: no reading in it has such a time.")
        ensure_topics(settings, scoring_topics(settings))
        producer = make_producer(settings)
    except (ServiceError, KafkaError) as error:
        return _complain(settings, error)
    rhythm = Rhythm(
        recording.times[0], recording.times[-1], arguments.speed, datetime.now(UTC), arguments.shift_to_now
    )
    outbox = Outbox(producer)
    stopping = stop_on_signals()
    refused = list(recording.no_sessions)
    failed = None
    try:
        with _progress(recording, rhythm) as show:
            made = partial(
                record, topic=settings.kafka_topic_metrics, shift=rhythm.shift, tenant=arguments.tenant
            )
            _send_all(made, recording, rhythm, outbox, refused, stopping, show)
        outbox.drain()
    except (KafkaUnavailable, OutcomeRefused) as error:
        failed = error
    finally:
        producer.close(timeout=1)
    _report(settings, recording, outbox, refused, out)
    if failed is not None:
        return _complain(settings, failed)
    if stopping.is_set():
        return INTERRUPTED
    return LEFT_OUT if refused or recording.without_time else 0


def _send_all(
    made: Callable[[Reading], Outgoing],
    recording: Recording,
    rhythm: Rhythm,
    outbox: Outbox,
    refused: list[str],
    stopping: threading.Event,
    show: Show,
) -> None:
    """Send each reading when it is due. Descriptions of invalid rows are added to `refused`."""
    began_at = shown_at = time.monotonic()
    for number, (recorded_at, found) in enumerate(recording.readings(), start=1):
        due_at = began_at + rhythm.due_s(recorded_at)
        while (wait_s := due_at - time.monotonic()) > 0 and not stopping.is_set():
            stopping.wait(min(wait_s, TURN_S))
            outbox.count()
            show(number - 1, recorded_at, time.monotonic() - began_at)
        if stopping.is_set():
            return
        if isinstance(found, Reading):
            outbox.send(made(found))
        else:
            refused.append(found)
        if (now := time.monotonic()) - shown_at >= TURN_S:
            shown_at = now
            show(number, recorded_at, now - began_at)
    show(len(recording), rhythm.last, time.monotonic() - began_at)


def record(reading: Reading, *, topic: str, shift: timedelta, tenant: str | None = None) -> Outgoing:
    """The record of a flat reading of a tenant for the input topic, with its times shifted by `shift`."""
    serviced = reading.last_maintenance
    said = {
        "charger_id": reading.charger_id,
        "connector_status": reading.connector_status,
        "timestamp": reading.timestamp + shift,
        "energy_delivered": reading.energy_delivered,
        "power": reading.power,
        "temperature": reading.temperature,
        "error_codes": reading.error_codes,
        "uptime_hours": reading.uptime_hours,
        "total_sessions": reading.total_sessions,
        "last_maintenance": None if serviced is None else serviced + shift,
        "metadata": reading.metadata or None,
        "tenant_id": tenant,
    }
    known = {name: value for name, value in said.items() if value is not None}
    return Outgoing(topic, reading.charger_id.encode(), orjson.dumps(known, option=orjson.OPT_UTC_Z))


@contextmanager
def _progress(recording: Recording, rhythm: Rhythm) -> Iterator[Show]:
    """Show a progress bar at a terminal: readings sent, the recorded time, and the time left."""
    console = Console(stderr=True, highlight=False)
    columns = (
        TextColumn("Replaying"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("recorded {task.fields[recorded]}"),
        TextColumn("{task.fields[left]} left"),
    )
    with Progress(*columns, console=console, disable=not console.is_terminal) as bar:
        task = bar.add_task("", total=len(recording), recorded="-", left="-")

        def show(sent: int, recorded_at: datetime, elapsed_s: float) -> None:
            if math.isinf(rhythm.speed):
                left_s = elapsed_s * (len(recording) - sent) / max(sent, 1)
            else:
                left_s = rhythm.due_s(rhythm.last) - elapsed_s
            left = timedelta(seconds=round(max(left_s, 0)))
            bar.update(task, completed=sent, recorded=f"{recorded_at:%Y-%m-%d %H:%M}", left=str(left))

        yield show


def _report(
    settings: Settings, recording: Recording, outbox: Outbox, refused: list[str], out: TextIO
) -> None:
    sent = f"{outbox.acknowledged:,} of {number_of(len(recording), 'reading')}"
    out.write(f"Sent {sent} to {settings.kafka_topic_metrics} at {settings.kafka_bootstrap_servers}.\n")
    if recording.without_time:
        skipped = f"Skipped {number_of(recording.without_time, 'row')}"
        if recording.unreadable_time is None:
            out.write(f"{skipped}: timestamp is missing.\n")
        else:
            out.write(f"{skipped}: timestamp is not ISO 8601, like {recording.unreadable_time!r}.\n")
    if refused:
        out.write(f"Skipped {number_of(len(refused), 'row')} without a reading, like {refused[0]}\n")


def _complain(settings: Settings, error: ServiceError | KafkaError) -> int:
    at = f"Kafka at {settings.kafka_bootstrap_servers}: {type(error).__name__} "
    ours = isinstance(error, ServiceError) and not isinstance(error, KafkaUnavailable | OutcomeRefused)
    sys.stderr.write(f"{'' if ours else at}{error}\n")
    return 1
