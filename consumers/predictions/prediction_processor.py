"""Process readings into predictions and alerts, or dead letters."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from datetime import datetime

import metrics
from consumers.kafka.heartbeat import Heartbeat
from consumers.kafka.offsets import CommitBatch, Partition, PendingRecord
from consumers.kafka.pending_erasures import IsErased
from consumers.kafka.record_processor import send_to_dead_letter
from consumers.kafka.records import Outgoing, prediction, read, scored
from consumers.predictions.alert_recorder import AlertRecorder, SweepTimes
from consumers.predictions.alerts import Alerts, Judgement
from consumers.predictions.score_requests import Result, Scoring
from consumers.predictions.slowed_tenants import SlowedTenants
from errors import ScoringFailed, ServiceError
from settings import Settings

log = logging.getLogger(__name__)


class Predicting:
    """A `RecordProcessor` whose readings are scored by workers, through `scoring`. Not thread-safe.

    Readings of a tenant over its limit wait in `slowed` before that.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        scoring: Scoring,
        slowed: SlowedTenants,
        alerts: Alerts,
        recorder: AlertRecorder,
        heartbeat: Heartbeat,
        now: Callable[[], datetime],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.topic = settings.kafka_topic_metrics
        self._predictions = settings.kafka_topic_predictions
        self._dead_letters = settings.kafka_topic_dead_letters
        self._scoring = scoring
        self._slowed = slowed
        self._alerts = alerts
        self._judgement = Judgement()
        self._recorder = recorder
        self._recorder.drop()  # the sweeps of the stream before
        self._sweeps = SweepTimes()
        self._clock = clock
        self._heartbeat = heartbeat
        self._now = now

    @property
    def pause_reason(self) -> str | None:
        """The reason why no reading can be scored now, a sentence; None while workers are available."""
        return self._heartbeat.pause_reason

    @property
    def slow_reason(self) -> str:
        """The reason why some readings wait, a sentence; empty while none does."""
        return self._slowed.reason

    @property
    def busy(self) -> bool:
        """Whether a verdict may arrive without a new record."""
        return self._scoring.busy

    def wait(self, timeout_s: float) -> None:
        """Block until a task has ended, for at most `timeout_s`."""
        self._scoring.wait(timeout_s)

    def take(self, entry: PendingRecord) -> None:
        """Decode a record and queue its reading, or send it to the dead letters. Raises nothing."""
        try:
            reading, tenant = read(entry.received, now=self._now())
        except ServiceError as error:
            self._send_to_dead_letter(entry, error, attempts=1)
        except Exception as error:
            # No record may block its partition.
            log.exception("record %s could not be read", entry.received.event_id)
            metrics.UNEXPECTED_ERRORS.labels(unit="record").inc()
            self._send_to_dead_letter(entry, ServiceError(f"{type(error).__name__}: {error}"), attempts=1)
        else:
            if not self._slowed.hold(entry, reading, tenant):
                self._scoring.add(entry, reading, tenant)

    def refuse(self, entry: PendingRecord, error: ServiceError, *, attempts: int) -> None:
        """Send a record to the dead letters without scoring it."""
        self._send_to_dead_letter(entry, error, attempts=attempts)

    def advance(self) -> None:
        """Set the outcomes of scored readings, and send waiting ones unless paused. Blocks at most 2 s."""
        for result in self._scoring.collect():
            self._conclude(result)
        if self.pause_reason is None:
            for released in self._slowed.released():
                self._scoring.add(*released)
            # Before publishing, so that workers are not idle meanwhile.
            self._scoring.send()

    def complete(self, done: CommitBatch) -> None:
        """Add alert and state records to a batch. Raises the errors of loading the alerts' state."""
        self._judgement = self._alerts.judge(done)
        for entry, error in self._judgement.failed:
            entry.scored = None
            problem = ServiceError(f"The verdict could not be judged ({type(error).__name__}: {error}).")
            self._send_to_dead_letter(entry, problem, attempts=1)
        done.added, done.remembered = self._judgement.outgoing, self._judgement.remembered

    def settle(self, done: CommitBatch) -> None:
        """Apply the alert changes of a committed batch, and count its records."""
        self._alerts.settle(self._judgement)
        if self._judgement.recorded:
            self._recorder.add(self._judgement.recorded)
        predicted = sum(entry.scored is not None for entry in done.records)
        metrics.STREAM_RECORDS.labels(outcome="prediction").inc(predicted)
        metrics.STREAM_RECORDS.labels(outcome="dead_letter").inc(len(done.records) - predicted)

    def look_around(self, partitions: Collection[Partition]) -> None:
        """Start the sweeps of alert records that are due. Raises the errors of loading the alerts' state."""
        now = self._clock()
        due = [each for each in self._sweeps.due(partitions, now) if not self._recorder.is_sweeping(each)]
        self._alerts.load(due)
        for partition in due:
            open_alerts = self._alerts.open_in(partition)
            self._recorder.sweep(partition, open_alerts)
            self._sweeps.note(partition, now, len(open_alerts))

    def tombstones(self, erased: Mapping[Partition, IsErased]) -> list[Outgoing]:
        """The records that delete the alerts of erased chargers. Raises the errors of loading their state."""
        return self._alerts.tombstones(erased)

    def erase(self, erased: Mapping[Partition, IsErased]) -> None:
        """Drop the alerts of erased chargers, and queued changes of their records."""
        self._alerts.erase(erased)
        for concerns in erased.values():
            self._recorder.erase(concerns)

    def drop(self, partitions: Iterable[Partition]) -> None:
        """Drop the alerts of partitions that other members own now."""
        lost = [Partition(*partition) for partition in partitions]
        self._alerts.drop(lost)
        self._recorder.drop(lost)

    def _conclude(self, result: Result) -> None:
        candidate = result.candidate
        entry, attempts = candidate.record, candidate.attempts
        if entry.dropped:
            return
        if result.failure is None:
            self._send_to_dead_letter(
                entry, result.error or ScoringFailed("There is no verdict."), attempts=attempts
            )
            return
        try:
            found = scored(candidate.reading, candidate.tenant, result.failure, result.anomaly)
            entry.outcomes = (prediction(entry.received, found, topic=self._predictions),)
            entry.scored = found
        except Exception as error:
            log.exception("verdict on %s could not be read", entry.received.event_id)
            metrics.UNEXPECTED_ERRORS.labels(unit="record").inc()
            problem = ServiceError(f"The verdict could not be read ({type(error).__name__}: {error}).")
            self._send_to_dead_letter(entry, problem, attempts=attempts + 1)

    def _send_to_dead_letter(self, entry: PendingRecord, error: ServiceError, *, attempts: int) -> None:
        send_to_dead_letter(entry, error, attempts=attempts, topic=self._dead_letters)
