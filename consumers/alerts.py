"""Alerts that open once and close once, however a charger's verdicts jump about. Pure, but for `load`.

A failure alert opens at the threshold, or when a charger says that it has failed; it closes after several
readings in a row that are well below. An anomaly alert opens with the first anomaly and closes after as many
readings without one. What is open is kept in a compacted topic, written with the outcomes that changed it,
and read back by whoever gets the partition: so neither a crash nor a rebalance opens an alert twice.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final, Literal, NamedTuple

import orjson

from consumers.offsets import Entry, Partition, Round
from consumers.records import Outgoing, Scored

AlertKind = Literal["failure", "anomaly"]
STATE_SCHEMA: Final = 1


@dataclass(frozen=True, slots=True)
class Rules:
    """`open_at` and `close_below` are failure probabilities; `calm_readings` in a row close an alert."""

    open_at: float
    close_below: float
    calm_readings: int


@dataclass(frozen=True, slots=True)
class OpenAlert:
    """One that is open. `calm` readings in a row have spoken for closing it."""

    alert_id: str
    opened_at: str
    opened_by: str
    calm: int = 0


class AlertKey(NamedTuple):
    """Whose alert, and of which kind. A tuple: it is made, and hashed, for nearly every verdict."""

    kind: AlertKind
    tenant: str | None
    charger_id: str

    def on(self, partition: Partition) -> bytes:
        """The state record's key. A charger's readings may come by several partitions; each has its own."""
        return f"{partition.partition}|{self.kind}|{self.tenant or ''}|{self.charger_id}".encode()


Book = dict[AlertKey, OpenAlert]
# Reads the state records of partitions back: for each number, values of the latest record of every key.
Load = Callable[[list[int]], Mapping[int, Iterable[bytes]]]


class _Opinion(NamedTuple):
    """What one verdict says, in JSON `verdict`: `alarming` opens an alert, `calm` speaks for closing one."""

    kind: AlertKind
    verdict: bytes
    alarming: bool
    calm: bool


@dataclass(slots=True)
class Judgement:
    """What a round's verdicts do to alerts. Nothing has changed until `Alerts.settle`."""

    outgoing: list[Outgoing] = field(default_factory=list)
    remembered: list[Outgoing] = field(default_factory=list)
    changes: dict[Partition, dict[AlertKey, OpenAlert | None]] = field(default_factory=dict)


class Alerts:
    """The open alerts of the partitions that this member owns. For one thread."""

    def __init__(
        self, rules: Rules, *, topics: Mapping[AlertKind, str], state_topic: str, load: Load
    ) -> None:
        self._rules = rules
        self._topics = topics
        self._state_topic = state_topic
        self._load = load
        self._books: dict[Partition, Book] = {}

    def judge(self, done: Round) -> Judgement:
        """Alert and state records for a round, in its order.

        Blocks while the state of a partition that is new here is read. Raises what `load` raises.
        """
        self._take_over([partition for partition in done.offsets if partition not in self._books])
        judgement = Judgement()
        for entry in done.entries:
            if entry.scored is not None:
                for opinion in self._opinions(entry.scored):
                    self._judge_one(judgement, entry, entry.scored, opinion)
        for partition, changes in judgement.changes.items():
            for key, alert in changes.items():
                judgement.remembered.append(self._state_record(partition, key, alert))
        return judgement

    def settle(self, judgement: Judgement) -> None:
        """The round is committed: what was judged is so."""
        for partition, changes in judgement.changes.items():
            book = self._books.get(partition)
            if book is None:
                continue  # it went to another member meanwhile
            for key, alert in changes.items():
                if alert is None:
                    book.pop(key, None)
                else:
                    book[key] = alert

    def drop(self, partitions: Iterable[Partition]) -> None:
        """Partitions went to other members; if they come back their state is read again."""
        for partition in partitions:
            self._books.pop(Partition(*partition), None)

    def _take_over(self, partitions: list[Partition]) -> None:
        if not partitions:
            return
        found = self._load([partition.partition for partition in partitions])
        for partition in partitions:
            book: Book = {}
            for value in found.get(partition.partition, ()):
                state = orjson.loads(value)
                key = AlertKey(state["kind"], state["tenant_id"], state["charger_id"])
                book[key] = OpenAlert(
                    state["alert_id"], state["opened_at"], state["opened_by"], state["calm"]
                )
            self._books[partition] = book

    def _opinions(self, scored: Scored) -> Iterator[_Opinion]:
        probability, in_failure = scored.failure_probability, scored.in_failure
        yield _Opinion(
            "failure",
            scored.failure,
            alarming=in_failure or probability >= self._rules.open_at,
            calm=not in_failure and probability < self._rules.close_below,
        )
        if scored.anomaly is not None:
            odd = bool(scored.is_anomaly)
            yield _Opinion("anomaly", scored.anomaly, alarming=odd, calm=not odd)

    def _judge_one(self, judgement: Judgement, entry: Entry, scored: Scored, opinion: _Opinion) -> None:
        changes, book = judgement.changes.setdefault(entry.partition, {}), self._books[entry.partition]
        if not (opinion.alarming or book or changes):
            return  # most of the time nothing is open, and nothing opens
        key = AlertKey(opinion.kind, scored.tenant, scored.charger_id)
        alert = changes[key] if key in changes else book.get(key)
        if alert is None:
            if opinion.alarming:
                body, opened_by = orjson.loads(opinion.verdict), entry.received.event_id
                changes[key] = alert = OpenAlert(_alert_id(key, opened_by), _moment(body), opened_by)
                judgement.outgoing.append(self._alert_record(key, alert, body | entry.received.origin))
        elif not opinion.calm:
            if alert.calm:
                changes[key] = replace(alert, calm=0)
        elif alert.calm + 1 < self._rules.calm_readings:
            changes[key] = replace(alert, calm=alert.calm + 1)
        else:
            changes[key] = None
            body = orjson.loads(opinion.verdict)
            judgement.outgoing.append(
                self._alert_record(key, alert, body | entry.received.origin, closed_at=_moment(body))
            )

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
                    "calm": alert.calm,
                }
            )
        return Outgoing(self._state_topic, key.on(partition), value)


def _moment(verdict: Mapping[str, Any]) -> str:
    moment: str = verdict.get("reading_timestamp") or verdict.get("timestamp") or ""
    return moment


def _alert_id(key: AlertKey, opened_by: str) -> str:
    """The same for every attempt at the reading that opens it."""
    name = f"{key.kind}|{key.tenant or ''}|{key.charger_id}|{opened_by}"
    return hashlib.blake2b(name.encode(), digest_size=12).hexdigest()
