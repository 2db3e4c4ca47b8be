"""Open and close alerts with hysteresis, so that fluctuating verdicts cause one alert. Pure, except `load`.

A failure alert opens at the threshold, or when a charger reports a failure. It closes after several
consecutive readings well below. An anomaly alert opens with the first anomaly, and closes after as many
readings without one. Open alerts are stored in a compacted topic, together with the outcomes that changed
them. A new owner of a partition reads them there, so neither a crash nor a rebalance opens an alert twice.
"""

from __future__ import annotations

import hashlib
import logging
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final, NamedTuple

import orjson

import metrics
from consumers.kafka.offsets import CommitBatch, Partition, PendingRecord
from consumers.kafka.pending_erasures import IsErased
from consumers.kafka.records import Outgoing, Received, Scored
from consumers.kafka.state_topic import Load, states_of
from tasks.messaging.messages import NO_ALERT
from tasks.storage.alert_records import ALERT_KINDS, AlertChange, AlertKind, essentials

STATE_SCHEMA: Final = 1
# As the default of ML_ALERT_CLEAR_THRESHOLD.
CLEARANCE: Final = 0.1
# Of a process. They take about 800 bytes each.
OPEN_ALERTS_KNOWN: Final = 1_000_000

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Rules:
    """The thresholds of alerts. `open_at` and `close_below` are failure probabilities, 0 to 1.

    `readings_to_close` is the number of consecutive readings below that close an alert.
    """

    open_at: float
    close_below: float
    readings_to_close: int

    def of(self, alert_at: float | None) -> tuple[float, float]:
        """Both thresholds for a verdict, given its version's own `alert_at`, if it has one.

        An open alert stays open between them, so that a moved threshold changes no alert by itself. Without
        any threshold (`NO_ALERT`), open alerts still close by the rule of the settings.
        """
        if alert_at is None:
            return self.open_at, self.close_below
        if alert_at >= NO_ALERT:
            return alert_at, self.close_below
        return alert_at, max(alert_at - CLEARANCE, alert_at / 2)


@dataclass(frozen=True, slots=True)
class OpenAlert:
    """An open alert. `below_threshold` is the number of consecutive readings in favour of closing it.

    `opening` are the essentials of the verdict that opened it; None if an older release has stored it.
    """

    alert_id: str
    opened_at: str
    opened_by: str
    below_threshold: int = 0
    opening: bytes | None = None


class AlertKey(NamedTuple):
    """Identifies an alert. A tuple for speed: nearly every verdict creates and hashes one."""

    kind: AlertKind
    tenant: str | None
    charger_id: str

    def on(self, partition: Partition) -> bytes:
        """The key of the state record. Each partition with readings of a charger has its own state."""
        return f"{partition.partition}|{self.kind}|{self.tenant or ''}|{self.charger_id}".encode()


OpenAlerts = dict[AlertKey, OpenAlert]


class _Signal(NamedTuple):
    """One `verdict` (JSON). `alarming` opens an alert; `below_threshold` counts towards closing it."""

    kind: AlertKind
    verdict: bytes
    alarming: bool
    below_threshold: bool


class _Change(NamedTuple):
    """The effect of a verdict on one alert; None closes it. `outgoing` are the alert records to publish.

    `recorded` is the change of the alert's record in Redis.
    """

    key: AlertKey
    alert: OpenAlert | None
    outgoing: tuple[Outgoing, ...] = ()
    recorded: AlertChange | None = None


@dataclass(slots=True)
class Judgement:
    """The effect of a batch's verdicts on alerts. `Alerts.settle` applies it.

    `recorded` are the changes of records in Redis. `failed` are the Kafka records whose alerts could not be
    determined, with the errors.
    """

    outgoing: list[Outgoing] = field(default_factory=list)
    remembered: list[Outgoing] = field(default_factory=list)
    changes: dict[Partition, dict[AlertKey, OpenAlert | None]] = field(default_factory=dict)
    recorded: list[AlertChange] = field(default_factory=list)
    failed: list[tuple[PendingRecord, Exception]] = field(default_factory=list)


class Alerts:
    """The open alerts of the partitions that this member owns. Not thread-safe."""

    def __init__(
        self, rules: Rules, *, topics: Mapping[AlertKind, str], state_topic: str, load: Load
    ) -> None:
        self._rules = rules
        self._topics = topics
        self._state_topic = state_topic
        self._load = load
        self._open_alerts: dict[Partition, OpenAlerts] = {}
        self._counts: Counter[AlertKind] = Counter()
        self._show()

    def judge(self, done: CommitBatch) -> Judgement:
        """Determine the alert and state records of a batch, in its order. Changes no alert yet.

        Blocks while it loads the state of newly assigned partitions. Raises the errors of `load`.
        """
        self.load(done.offsets)
        judgement = Judgement()
        for entry in done.records:
            if entry.scored is not None:
                try:
                    self._judge(judgement, entry, entry.scored)
                except Exception as error:
                    log.exception("alerts of record %s could not be judged", entry.received.event_id)
                    metrics.UNEXPECTED_ERRORS.labels(unit="record").inc()
                    judgement.failed.append((entry, error))
        for partition, changes in judgement.changes.items():
            for key, alert in changes.items():
                judgement.remembered.append(self._state_record(partition, key, alert))
        return judgement

    def settle(self, judgement: Judgement) -> None:
        """Apply the changes of a committed batch."""
        for partition, changes in judgement.changes.items():
            open_alerts = self._open_alerts.get(partition)
            if open_alerts is None:
                continue  # revoked meanwhile
            for key, alert in changes.items():
                before = len(open_alerts)
                if alert is None:
                    open_alerts.pop(key, None)
                else:
                    open_alerts[key] = alert
                if len(open_alerts) != before:
                    self._counts[key.kind] += len(open_alerts) - before
                    self._show()

    def tombstones(self, erased: Mapping[Partition, IsErased]) -> list[Outgoing]:
        """The records that delete the alerts of erased chargers. Blocks and raises as `judge` does."""
        self.load(erased)
        return [
            self._state_record(partition, key, None)
            for partition, concerns in erased.items()
            for key in self._open_alerts[partition]
            if concerns(key.tenant, key.charger_id)
        ]

    def erase(self, erased: Mapping[Partition, IsErased]) -> None:
        """Drop the alerts of erased chargers. They open again at the next alarming reading, if there is one.

        No closing record is published: it would be a new record with the charger's id.
        """
        for partition, concerns in erased.items():
            open_alerts = self._open_alerts.get(partition, {})
            for key in [key for key in open_alerts if concerns(key.tenant, key.charger_id)]:
                del open_alerts[key]
                self._counts[key.kind] -= 1
        self._show()

    def open_in(self, partition: Partition) -> list[tuple[AlertKey, OpenAlert]]:
        """The open alerts of a partition whose state has been loaded."""
        return list(self._open_alerts[partition].items())

    def load(self, partitions: Iterable[Partition]) -> None:
        """Load the state of partitions that are newly assigned. Blocks and raises as `judge` does."""
        assigned = [partition for partition in partitions if partition not in self._open_alerts]
        if assigned:
            loaded = states_of(assigned, self._load, _open_alert)
            self._open_alerts |= loaded
            self._counts.update(key.kind for alerts in loaded.values() for key in alerts)
            self._show()

    def drop(self, partitions: Iterable[Partition]) -> None:
        """Drop the alerts of partitions that other members own now. A later assignment loads them again."""
        for partition in partitions:
            dropped = self._open_alerts.pop(Partition(*partition), {})
            self._counts.subtract(key.kind for key in dropped)
        self._show()

    def _show(self) -> None:
        for kind in ALERT_KINDS:
            metrics.ALERTS_OPEN.labels(kind=kind).set(self._counts[kind])

    def _signals(self, scored: Scored) -> Iterator[_Signal]:
        probability, in_failure = scored.failure_probability, scored.in_failure
        open_at, close_below = self._rules.of(scored.alert_at)
        yield _Signal(
            "failure",
            scored.failure,
            alarming=in_failure or probability >= open_at,
            below_threshold=not in_failure and probability < close_below,
        )
        if scored.anomaly is not None:
            odd = bool(scored.is_anomaly)
            yield _Signal("anomaly", scored.anomaly, alarming=odd, below_threshold=not odd)

    def _judge(self, judgement: Judgement, entry: PendingRecord, scored: Scored) -> None:
        """Add the changes of one record's verdicts to `judgement`. Adds nothing if it raises."""
        changes, open_alerts = (
            judgement.changes.setdefault(entry.partition, {}),
            self._open_alerts[entry.partition],
        )
        found: list[_Change] = []
        for signal in self._signals(scored):
            if signal.alarming or open_alerts or changes:  # usually no alert is open and none opens
                key = AlertKey(signal.kind, scored.tenant, scored.charger_id)
                alert = changes[key] if key in changes else open_alerts.get(key)
                found += self._changes(key, alert, signal, entry.received)
        opens = any(change.alert is not None and change.key not in open_alerts for change in found)
        if opens and sum(map(len, self._open_alerts.values())) >= OPEN_ALERTS_KNOWN:
            raise OverflowError(f"{OPEN_ALERTS_KNOWN} alerts are open")
        for change in found:
            changes[change.key] = change.alert
            judgement.outgoing += change.outgoing
            if change.recorded is not None:
                judgement.recorded.append(change.recorded)

    def _changes(
        self, key: AlertKey, alert: OpenAlert | None, signal: _Signal, received: Received
    ) -> Iterator[_Change]:
        if alert is None:
            if signal.alarming:
                body, opened_by = orjson.loads(signal.verdict), received.event_id
                alert = OpenAlert(
                    _alert_id(key, opened_by), _moment(body), opened_by, opening=essentials(body)
                )
                record = self._alert_record(key, alert, body | received.origin)
                yield _Change(key, alert, (record,), opened(received.partition, key, alert))
        elif not signal.below_threshold:
            if alert.below_threshold:
                yield _Change(key, replace(alert, below_threshold=0))
        elif alert.below_threshold + 1 < self._rules.readings_to_close:
            yield _Change(key, replace(alert, below_threshold=alert.below_threshold + 1))
        else:
            body = orjson.loads(signal.verdict)
            closed_at = _moment(body)
            record = self._alert_record(key, alert, body | received.origin, closed_at=closed_at)
            change = replace(
                opened(received.partition, key, alert), closed_at=closed_at, closing=essentials(body)
            )
            yield _Change(key, None, (record,), change)

    def _alert_record(
        self, key: AlertKey, alert: OpenAlert, body: dict[str, Any], *, closed_at: str | None = None
    ) -> Outgoing:
        document = body | {
            "alert_id": alert.alert_id,
            "alert": key.kind,
            "state": "open" if closed_at is None else "closed",
            "opened_at": alert.opened_at,
            "opened_by": alert.opened_by,
            "closed_at": closed_at,
        }
        return Outgoing(self._topics[key.kind], key.charger_id.encode(), orjson.dumps(document))

    def _state_record(self, partition: Partition, key: AlertKey, alert: OpenAlert | None) -> Outgoing:
        value = None
        if alert is not None:
            value = orjson.dumps(
                {
                    "v": STATE_SCHEMA,
                    "partition": partition.partition,
                    "kind": key.kind,
                    "tenant_id": key.tenant,
                    "charger_id": key.charger_id,
                    "alert_id": alert.alert_id,
                    "opened_at": alert.opened_at,
                    "opened_by": alert.opened_by,
                    "calm": alert.below_threshold,
                    "opening": None if alert.opening is None else orjson.Fragment(alert.opening),
                }
            )
        return Outgoing(self._state_topic, key.on(partition), value)


def _open_alert(state: Mapping[str, Any]) -> tuple[AlertKey, OpenAlert]:
    key = AlertKey(state["kind"], state["tenant_id"], state["charger_id"])
    opening = state.get("opening")  # older releases write none
    return key, OpenAlert(
        state["alert_id"],
        state["opened_at"],
        state["opened_by"],
        state["calm"],
        None if opening is None else orjson.dumps(opening),
    )


def opened(partition: int, key: AlertKey, alert: OpenAlert) -> AlertChange:
    """An open alert, for its record in Redis."""
    return AlertChange(
        key.tenant, alert.alert_id, partition, key.kind, key.charger_id, alert.opened_at, alert.opened_by,
        alert.opening,
    )  # fmt: skip


def _moment(verdict: Mapping[str, Any]) -> str:
    moment: str = verdict.get("reading_timestamp") or verdict.get("timestamp") or ""
    return moment


def _alert_id(key: AlertKey, opened_by: str) -> str:
    """The same alert id for every attempt at the reading that opens it."""
    name = f"{key.kind}|{key.tenant or ''}|{key.charger_id}|{opened_by}"
    return hashlib.blake2b(name.encode(), digest_size=12).hexdigest()
