"""Translate OCPP events into readings, dead letters, or a counted reason for no reading.

The state of each charge point is stored in a compacted topic, together with the readings that depend on it.
A new owner of a partition reads it there.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import orjson

import metrics
from consumers.kafka.crash_journal import CrashJournal
from consumers.kafka.offsets import CommitBatch, Partition, PendingRecord
from consumers.kafka.pending_erasures import IsErased
from consumers.kafka.record_processor import send_to_dead_letter
from consumers.kafka.records import Outgoing
from consumers.kafka.state_topic import Load, states_of
from consumers.ocpp.charge_point import ChargePoint, decode, state_key, state_value
from consumers.ocpp.envelope import Event, InvalidEvent, read_event
from consumers.ocpp.merge import reading_of
from consumers.ocpp.messages import read_message
from errors import ServiceError
from settings import Settings

log = logging.getLogger(__name__)

# Reasons for no reading; labels of `ml_ocpp_events` besides readings and dead letters.
OTHER_TYPE: Final = "other_type"  # Heartbeat, FirmwareStatusNotification, …
NOTHING_TOLD: Final = "nothing_told"  # no measurand or variable that readings contain
NO_PART: Final = "unknown_connector"
REPEATED: Final = "repeated"
OUT_OF_DATE: Final = "late"
NO_STATUS: Final = "no_status"
# Kafka's default limit of a record is 1 MB.
MAX_STATE_BYTES: Final = 900_000
# Charge points of a process: their state takes about 7 kB each, together half of the memory that it may have.
CHARGE_POINTS_KNOWN: Final = 200_000

# Tenant and charger id.
ChargerKey = tuple[str | None, str]
States = dict[ChargerKey, ChargePoint]


def translate(event: Event, known: ChargePoint) -> tuple[ChargePoint, dict[str, Any] | str]:
    """The charge point after an event, and the reading, or the reason why there is none.

    Raises `InvalidEvent`.
    """
    told = read_message(event)
    if told is None:
        return known, OTHER_TYPE
    if not told.facts:
        return known, NOTHING_TOLD
    if known.has_seen(event.at_us, event.event_id):
        return known, REPEATED
    part = known.part_of(told)
    if part is None:
        return known, NO_PART
    heard, envelope = known.hear(event.at_us, event.event_id, part, told)
    if not envelope:
        return heard, NOTHING_TOLD if told.about_transaction_only else OUT_OF_DATE
    metadata = {"ocpp_event_id": event.event_id, "ocpp_event_type": event.event_type}
    reading = reading_of(heard, charger_id=event.charger_id, tenant=event.tenant, metadata=metadata)
    return heard, NO_STATUS if reading is None else reading


@dataclass(frozen=True, slots=True)
class _Note:
    """The result of an entry: `outcome` for the metric, and the charge point's new state if it changed."""

    outcome: str
    key: ChargerKey | None = None
    state: bytes | None = None


class Translation:
    """A `RecordProcessor` without workers: the next `advance` sets the outcome of each record."""

    pause_reason = None
    slow_reason = ""
    busy = False

    def __init__(
        self,
        settings: Settings,
        *,
        load: Load,
        journal: CrashJournal,
        now: Callable[[], datetime],
    ) -> None:
        self.topic = settings.kafka_topic_ocpp
        self._readings = settings.kafka_topic_metrics
        self._dead_letters = settings.kafka_topic_dead_letters
        self._state_topic = settings.kafka_topic_ocpp_state
        self._load = load
        self._journal = journal
        self._now = now
        self._fresh: list[PendingRecord] = []
        self._states: dict[Partition, States] = {}
        # The results of tracked records, until they are committed.
        self._notes: dict[PendingRecord, _Note] = {}

    def wait(self, timeout_s: float) -> None:
        """Return at once: each record has its outcome before the next poll."""

    def take(self, entry: PendingRecord) -> None:
        """Accept an event for the next `advance`."""
        self._fresh.append(entry)

    def refuse(self, entry: PendingRecord, error: ServiceError, *, attempts: int) -> None:
        """Send an event to the dead letters without translating it."""
        self._send_to_dead_letter(entry, error, attempts=attempts)

    def advance(self) -> None:
        """Translate the accepted events.

        Blocks while it loads the state of newly assigned partitions. Raises the errors of `load`.
        """
        self._load_new(entry.partition for entry in self._fresh)
        fresh, self._fresh = self._fresh, []
        for entry in fresh:
            self._journal.begin(entry.received.event_id)
            try:
                self._notes[entry] = self._translate(entry)
            except ServiceError as error:
                self._send_to_dead_letter(entry, error)
            except Exception as error:
                # No record may block its partition.
                log.exception("event %s could not be translated", entry.received.event_id)
                metrics.UNEXPECTED_ERRORS.labels(unit="event").inc()
                self._send_to_dead_letter(entry, ServiceError(f"{type(error).__name__}: {error}"))
        self._journal.end()

    def complete(self, done: CommitBatch) -> None:
        """Add the state record of each charge point that the batch changes."""
        changed: dict[tuple[Partition, ChargerKey], bytes] = {}
        for entry in done.records:
            note = self._notes[entry]
            if note.key is not None and note.state is not None:
                changed[entry.partition, note.key] = note.state
        done.remembered = [
            Outgoing(self._state_topic, state_key(partition.partition, *key), state)
            for (partition, key), state in changed.items()
        ]

    def settle(self, done: CommitBatch) -> None:
        """Count the outcomes of a committed batch."""
        for entry in done.records:
            metrics.OCPP_EVENTS.labels(outcome=self._notes.pop(entry).outcome).inc()

    def look_around(self, partitions: Collection[Partition]) -> None:
        """Do nothing: charge points have no records in Redis."""

    def tombstones(self, erased: Mapping[Partition, IsErased]) -> list[Outgoing]:
        """The records that delete the state of erased charge points. Blocks and raises as `advance` does."""
        self._load_new(erased)
        return [
            Outgoing(self._state_topic, state_key(partition.partition, *key), None)
            for partition, concerns in erased.items()
            for key in self._states[partition]
            if concerns(*key)
        ]

    def erase(self, erased: Mapping[Partition, IsErased]) -> None:
        """Drop the state of erased charge points, also that of events which are not committed yet."""
        for partition, concerns in erased.items():
            states = self._states.get(partition, {})
            for key in [key for key in states if concerns(*key)]:
                del states[key]
        for entry, note in self._notes.items():
            concerns_one = erased.get(entry.partition)
            if concerns_one is not None and note.key is not None and concerns_one(*note.key):
                self._notes[entry] = _Note(note.outcome)

    def _load_new(self, partitions: Iterable[Partition]) -> None:
        assigned = set(partitions) - self._states.keys()
        self._states |= states_of(assigned, self._load, _charge_point)

    def drop(self, partitions: Iterable[Partition]) -> None:
        """Drop the state of partitions that other members own now. A later assignment loads it again."""
        for partition in partitions:
            self._states.pop(Partition(*partition), None)
        self._fresh = [entry for entry in self._fresh if not entry.dropped]
        self._notes = {entry: note for entry, note in self._notes.items() if not entry.dropped}

    def _translate(self, entry: PendingRecord) -> _Note:
        event = read_event(entry.received.value, now=self._now())
        states, key = self._states[entry.partition], (event.tenant, event.charger_id)
        known = states.get(key)
        if known is None:
            known = ChargePoint()
            if sum(map(len, self._states.values())) >= CHARGE_POINTS_KNOWN:
                raise InvalidEvent("/chargePointId", f"Is new to a process that knows {CHARGE_POINTS_KNOWN}.")
        heard, found = translate(event, known)
        # Encode here: a failure then concerns only this event.
        state = None if heard is known else state_value(entry.partition.partition, *key, heard)
        if state is not None and len(state) > MAX_STATE_BYTES:
            raise InvalidEvent("", f"Makes more than {MAX_STATE_BYTES} bytes of state of the charge point.")
        if isinstance(found, str):
            entry.outcomes = ()
        else:
            value = orjson.dumps(found)
            entry.outcomes = (Outgoing(self._readings, event.charger_id.encode(), value),)
        outcome = found if isinstance(found, str) else "reading"
        if state is None:
            return _Note(outcome)
        states[key] = heard
        return _Note(outcome, key, state)

    def _send_to_dead_letter(self, entry: PendingRecord, error: ServiceError, *, attempts: int = 1) -> None:
        send_to_dead_letter(entry, error, attempts=attempts, topic=self._dead_letters)
        self._notes[entry] = _Note("dead_letter")


def _charge_point(state: Mapping[str, Any]) -> tuple[ChargerKey, ChargePoint]:
    return (state["tenant_id"], state["charger_id"]), decode(state)
