"""The state of a charge point: the newest value of each field of each part. Pure.

A value replaces another only if its event occurred no earlier. Events may therefore arrive in any order, and
repeatedly, with the same result. Of two events at the same microsecond, the later arrival wins.
"""

from __future__ import annotations

import hashlib
from bisect import insort
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

import orjson

from consumers.ocpp.envelope import InvalidEvent
from consumers.ocpp.messages import INTERVAL, PROBLEM, START, TRANSACTION, Told

STATE_SCHEMA: Final = 1
# Enough for the repeats and reordering of brokers and backends; limits the size of the state.
EVENTS_REMEMBERED: Final = 32
STARTS_REMEMBERED: Final = 16
INTERVALS_REMEMBERED: Final = 128
PROBLEMS_REMEMBERED: Final = 64
# The state of this many parts fits into one Kafka record of 1 MB, a topic's default limit.
PARTS_KNOWN: Final = 64

NEVER: Final = -1


@dataclass(frozen=True, slots=True)
class Word:
    """A value, and the time of its event in microseconds since 1970."""

    at_us: int
    value: Any


@dataclass(frozen=True, slots=True)
class Part:
    """The state of one part. `sessions` counts starts; `starts_us` are the newest, so that none counts twice.

    `intervals` are the energies of the current session, each with its time and kWh. The oldest intervals
    beyond the limit are summed in `spent_kwh`, up to the time `spent_us`.
    """

    reports: Mapping[str, Word] = field(default_factory=dict)
    starts_us: tuple[int, ...] = ()
    sessions: int = 0
    intervals: tuple[tuple[int, float], ...] = ()
    spent_us: int = NEVER
    spent_kwh: float = 0.0

    def value(self, name: str) -> Any:
        """The newest value of a field; None if unknown."""
        word = self.reports.get(name)
        return None if word is None else word.value

    def at_us(self, name: str) -> int:
        """The time of a field's newest value in microseconds since 1970; `NEVER` if unknown."""
        word = self.reports.get(name)
        return NEVER if word is None else word.at_us


@dataclass(frozen=True, slots=True)
class ChargePoint:
    """The state of a charge point. `as_of_us` is the time of the newest event in microseconds since 1970.

    `seen` are the newest events by time and digest.
    """

    as_of_us: int = NEVER
    seen: tuple[tuple[int, str], ...] = ()
    parts: Mapping[str, Part] = field(default_factory=dict)

    def has_seen(self, at_us: int, event_id: str) -> bool:
        """Whether this event is among the newest ones."""
        return (at_us, _digest(event_id)) in self.seen

    def part_of(self, told: Told) -> str | None:
        """The part of a message, by its own field or a known transaction; None if unknown."""
        if told.part is not None:
            return told.part
        for name, part in self.parts.items():
            if told.transaction is not None and part.value(TRANSACTION) == told.transaction:
                return name
        return None

    def hear(self, at_us: int, event_id: str, part: str, told: Told) -> tuple[ChargePoint, bool]:
        """The charge point after an event, and whether the event changed any field except the transaction.

        Raises `InvalidEvent` if the event would exceed `PARTS_KNOWN`.
        """
        seen = list(self.seen)
        insort(seen, (at_us, _digest(event_id)))
        parts = dict(self.parts)
        envelope = False
        for fact in told.facts:
            name = fact.part or part
            before = parts.get(name, Part())
            after = _heard(before, fact.field, Word(at_us, fact.value))
            if after is not before:
                parts[name] = after
                envelope |= fact.field != TRANSACTION
        if len(parts) > max(PARTS_KNOWN, len(self.parts)):
            raise InvalidEvent("/payload", f"Names more than {PARTS_KNOWN} EVSEs and connectors.")
        heard = ChargePoint(max(self.as_of_us, at_us), tuple(seen[-EVENTS_REMEMBERED:]), parts)
        return heard, envelope


def _digest(event_id: str) -> str:
    return hashlib.blake2b(event_id.encode("utf-8", "replace"), digest_size=8).hexdigest()


def _heard(part: Part, name: str, word: Word) -> Part:
    """The part after a new value of one field; the same object if the value is not newer."""
    if name == INTERVAL:
        return _with_interval(part, word)
    known = part.reports.get(name)
    is_new = known is None or known.at_us < word.at_us or (known.at_us == word.at_us and known != word)
    after = replace(part, reports=_bounded({**part.reports, name: word})) if is_new else part
    return _with_start(after, word.at_us) if name == START else after


def _bounded(reports: dict[str, Word]) -> dict[str, Word]:
    """Remove the oldest problem beyond the limit: an unknown model may report any number of them."""
    problems = [name for name in reports if name.startswith(PROBLEM)]
    if len(problems) > PROBLEMS_REMEMBERED:
        del reports[min(problems, key=lambda name: (reports[name].at_us, name))]
    return reports


def _with_start(part: Part, at_us: int) -> Part:
    """Count a session once, and remove the intervals of earlier sessions."""
    starts = part.starts_us
    too_old = len(starts) == STARTS_REMEMBERED and at_us < starts[0]
    if at_us in starts or too_old:
        return part
    since_us = part.at_us(START)
    return replace(
        part,
        starts_us=tuple(sorted((*starts, at_us))[-STARTS_REMEMBERED:]),
        sessions=part.sessions + 1,
        intervals=tuple(each for each in part.intervals if each[0] > since_us),
        spent_us=part.spent_us if part.spent_us > since_us else NEVER,
        spent_kwh=part.spent_kwh if part.spent_us > since_us else 0.0,
    )


def _with_interval(part: Part, word: Word) -> Part:
    known = any(at_us == word.at_us for at_us, _ in part.intervals)
    if known or word.at_us <= max(part.spent_us, part.at_us(START)):
        return part
    intervals = sorted((*part.intervals, (word.at_us, word.value)))
    spent_us, spent_kwh = part.spent_us, part.spent_kwh
    if len(intervals) > INTERVALS_REMEMBERED:
        spent_us, oldest_kwh = intervals.pop(0)
        spent_kwh += oldest_kwh
    return replace(part, intervals=tuple(intervals), spent_us=spent_us, spent_kwh=spent_kwh)


def encode(charge_point: ChargePoint) -> dict[str, Any]:
    """The state as JSON values, for the state topic."""
    return {
        "v": STATE_SCHEMA,
        "as_of_us": charge_point.as_of_us,
        "seen": charge_point.seen,
        "parts": {
            name: {
                "words": {key: [word.at_us, word.value] for key, word in part.reports.items()},
                "starts_us": part.starts_us,
                "sessions": part.sessions,
                "intervals": part.intervals,
                "spent": [part.spent_us, part.spent_kwh],
            }
            for name, part in charge_point.parts.items()
        },
    }


def decode(state: Mapping[str, Any]) -> ChargePoint:
    """The inverse of `encode`. Does not validate: use it only for state that this service wrote."""
    parts = {
        name: Part(
            reports={key: Word(at_us, _value(value)) for key, (at_us, value) in part["words"].items()},
            starts_us=tuple(part["starts_us"]),
            sessions=part["sessions"],
            intervals=tuple((at_us, kwh) for at_us, kwh in part["intervals"]),
            spent_us=part["spent"][0],
            spent_kwh=part["spent"][1],
        )
        for name, part in state["parts"].items()
    }
    return ChargePoint(state["as_of_us"], tuple((at_us, digest) for at_us, digest in state["seen"]), parts)


def _value(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def state_key(partition: int, tenant: str | None, charger_id: str) -> bytes:
    """The key of a state record. Each partition that receives a charge point's events has its own state."""
    return f"{partition}|{tenant or ''}|{charger_id}".encode()


def state_value(partition: int, tenant: str | None, charger_id: str, charge_point: ChargePoint) -> bytes:
    """The value of a state record, as JSON."""
    about = {"partition": partition, "tenant_id": tenant, "charger_id": charger_id}
    return orjson.dumps(about | encode(charge_point))
