"""The OCPP process's work: outcomes, the state that goes with them, and taking partitions over."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path

import orjson
import pytest

from consumers.kafka.offsets import CommitBatch, PendingRecord
from consumers.kafka.outcome_publisher import KafkaUnavailable
from consumers.kafka.records import Received
from consumers.ocpp.charge_point import (
    EVENTS_REMEMBERED,
    INTERVALS_REMEMBERED,
    PARTS_KNOWN,
    PROBLEMS_REMEMBERED,
    STARTS_REMEMBERED,
    ChargePoint,
    Part,
    Word,
    decode,
    state_value,
)
from consumers.ocpp.messages import (
    CHARGING,
    CODES,
    POWER,
    REGISTER,
    START,
    STATUS,
    STOP,
    TEMPERATURE,
    TRANSACTION,
    WHOLE,
)
from settings import read_settings
from tests.unit.consumers.ocpp.bench import P0, P1, Bench, code_of
from tests.unit.consumers.ocpp.events import (
    Document,
    envelope,
    hear,
    notify,
    power,
    status,
)


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Bench:
    monkeypatch.setenv("ML_SERVICE_API_KEY", "k" * 20)
    monkeypatch.setenv("MODEL_DIR", "/")
    monkeypatch.delenv("KAFKA_TOPIC_OCPP", raising=False)
    return Bench(read_settings(dotenv=None), tmp_path)


def test_each_event_ends_as_a_reading_as_a_dead_letter_or_as_nothing(bench: Bench) -> None:
    good, bad, broken, none = bench.take(
        status(0, "Available"), status(1, "Burning"), b"{bad", envelope(2, "Heartbeat", {})
    )
    assert good.outcomes is not None
    assert [(record.topic, record.key) for record in good.outcomes] == [("charger.metrics", b"CP-1")]
    for entry, code in ((bad, b"invalid_event"), (broken, b"malformed_body")):
        assert entry.outcomes is not None
        (letter,) = entry.outcomes
        headers = dict(letter.headers)
        assert (letter.topic, letter.value) == ("charger.metrics.dlq", entry.received.value)
        assert (headers["x-origin-topic"], headers["x-error-code"]) == (b"ocpp.events", code)
    assert none.outcomes == ()


def test_a_round_carries_the_last_state_of_what_it_changes(bench: Bench) -> None:
    events = [status(0, "Available"), status(1, "Charging"), power(2, 7000)]
    entries = bench.take(*events, status(0, "Available") | {"chargePointId": "CP-2"})
    done = bench.commit(entries[:2])
    assert [record.key for record in done.remembered] == [b"0|acme|CP-1"]
    assert decode(orjson.loads(done.remembered[0].value or b"")) == hear(*events[:2])[0]
    assert [record.key for record in bench.commit(entries[2:]).remembered] == [b"0|acme|CP-1", b"0|acme|CP-2"]


def test_a_failed_round_is_completed_again_with_the_same_state(bench: Bench) -> None:
    entries = bench.take(status(0, "Available"))
    first, second = CommitBatch(entries), CommitBatch(entries)
    bench.work.complete(first)
    bench.work.complete(second)
    assert first.remembered == second.remembered
    assert first.remembered


def test_a_successor_goes_on_from_what_was_committed(bench: Bench) -> None:
    entries = bench.take(status(0, "Charging"), power(1, 7000))
    bench.commit(entries[:1])
    bench.work = bench.successor()
    repeated, fresh = bench.take(status(0, "Charging"), power(1, 7000))
    assert repeated.outcomes == ()
    assert fresh.outcomes == entries[1].outcomes


def test_state_is_read_once_for_each_partition_and_again_when_it_comes_back(bench: Bench) -> None:
    bench.commit(bench.take(status(0, "Available")))
    bench.take(status(1, "Charging"))
    bench.take(status(0, "Available") | {"chargePointId": "CP-2"}, partition=P1)
    assert bench.loads == [[0], [1]]
    bench.work.drop([P0])
    # What was known of the charge point here was not committed, so it is news to whoever reads the state.
    (again,) = bench.take(status(1, "Charging"))
    assert bench.loads == [[0], [1], [0]]
    assert again.outcomes


def test_a_dropped_entry_is_not_translated(bench: Bench) -> None:
    entry = PendingRecord(Received(*P0, 0, None, orjson.dumps(status(0, "Available"))))
    bench.work.take(entry)
    entry.dropped = True
    bench.work.drop([P0])
    bench.work.advance()
    assert entry.outcomes is None
    assert bench.loads == []


def test_without_its_state_a_partition_is_not_touched(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: list[int]) -> Mapping[int, Iterable[bytes]]:
        raise KafkaUnavailable("away")

    monkeypatch.setattr(bench.work, "_load", fail)
    with pytest.raises(KafkaUnavailable):
        bench.take(status(0, "Available"))


def availability(*evses: int) -> Document:
    """A NotifyEvent in which each of these EVSEs says that it is available."""
    event = notify(1)
    (each,) = event["payload"]["eventData"]
    event["payload"]["eventData"] = [
        each
        | {
            "component": {"name": "EVSE", "evse": {"id": evse}},
            "variable": {"name": "AvailabilityState"},
            "actualValue": "Available",
        }
        for evse in evses
    ]
    return event


def test_an_event_that_names_more_parts_than_a_charge_point_can_have_is_a_dead_letter(bench: Bench) -> None:
    too_many, known, one_more, after = bench.take(
        availability(*range(1, 9_000)),
        availability(*range(1, PARTS_KNOWN + 1)),
        status(2, "Charging", connector=PARTS_KNOWN + 7),
        status(3, "Charging"),
    )
    assert [code_of(entry) for entry in (too_many, known, one_more, after)] == [
        b"invalid_event", None, b"invalid_event", None,
    ]  # fmt: skip


def test_the_largest_state_of_a_charge_point_fits_into_a_record() -> None:
    at_us = 1_795_000_000_123_456
    reports = {name: Word(at_us, 12345678.123456) for name in (REGISTER, POWER, TEMPERATURE, START, STOP)}
    reports |= {STATUS: Word(at_us, "UNAVAILABLE"), CHARGING: Word(at_us, "FULLY_CHARGED")}
    reports |= {TRANSACTION: Word(at_us, "T" * 200), CODES: Word(at_us, ("E" * 128, "V" * 128))}
    part = Part(
        reports,
        tuple(at_us + number for number in range(STARTS_REMEMBERED)),
        10**6,
        tuple((at_us + number, 0.123456789012345) for number in range(INTERVALS_REMEMBERED)),
    )
    problems = {f"{number:x>200}": Word(at_us, "P" * 128) for number in range(PROBLEMS_REMEMBERED)}
    parts = {f"{number}.2147483647": part for number in range(2**31 - PARTS_KNOWN, 2**31 - 1)}
    seen = tuple((at_us, "d" * 16) for _ in range(EVENTS_REMEMBERED))
    largest = ChargePoint(at_us, seen, {WHOLE: replace(part, reports=reports | problems), **parts})
    assert len(largest.parts) == PARTS_KNOWN
    assert len(state_value(0, "t" * 64, "C" * 128, largest)) < 1_000_000


@pytest.mark.parametrize("field", ["eventId", "eventType"])
def test_a_name_that_would_not_fit_into_the_reading_is_a_dead_letter(bench: Bench, field: str) -> None:
    event = status(1, "Charging")
    event[field] += "-" * 900_000
    assert code_of(bench.take(event)[0]) == b"invalid_event"


def test_a_number_that_no_ocpp_integer_can_hold_is_a_dead_letter(bench: Bench) -> None:
    assert code_of(bench.take(status(1, "Charging", connector=2**31))[0]) == b"invalid_event"


def test_a_state_that_cannot_be_written_is_the_fault_of_its_event_alone(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(partition: int, tenant: str | None, charger_id: str, state: ChargePoint) -> bytes:
        if charger_id == "CP-2":
            raise TypeError("no JSON")
        return state_value(partition, tenant, charger_id, state)

    monkeypatch.setattr("consumers.ocpp.translation.state_value", refuse)
    good, bad, after = bench.take(
        status(0, "Available"), status(1, "Available") | {"chargePointId": "CP-2"}, status(2, "Charging")
    )
    assert [code_of(entry) for entry in (good, bad, after)] == [None, b"internal", None]
    assert [record.key for record in bench.commit([good, bad, after]).remembered] == [b"0|acme|CP-1"]


def test_a_state_record_that_cannot_be_read_is_left_out(bench: Bench) -> None:
    bench.commit(bench.take(status(0, "Charging")))
    bench.stored[b"other"] = b'{"partition":0,"tenant_id":null,"charger_id":"X","parts":7}'
    bench.work = bench.successor()
    (repeated,) = bench.take(status(0, "Charging"))
    assert repeated.outcomes == ()  # the readable state is known


def test_an_erased_charge_point_is_forgotten_with_its_events_under_way(bench: Bench) -> None:
    gone = {P0: lambda tenant, charger: (tenant, charger) == ("acme", "CP-1")}
    other = status(0, "Available") | {"chargePointId": "CP-2"}
    bench.commit(bench.take(status(0, "Charging"), other))
    under_way = bench.take(power(1, 7000))
    tombstones = bench.work.tombstones(gone)
    assert [(record.key, record.value) for record in tombstones] == [(b"0|acme|CP-1", None)]
    bench.work.erase(gone)
    assert bench.work.tombstones(gone) == []
    # Its reading is published, and no state of it comes back.
    assert under_way[0].outcomes
    assert bench.commit(under_way).remembered == []
    (again,) = bench.take(status(2, "Available"))
    assert (
        decode(orjson.loads(bench.commit([again]).remembered[0].value or b""))
        == hear(status(2, "Available"))[0]
    )


def test_a_successor_erases_a_charge_point_that_it_has_not_heard_yet(bench: Bench) -> None:
    bench.commit(bench.take(status(0, "Charging")))
    bench.work = bench.successor()
    bench.loads.clear()
    gone = {P0: lambda _tenant, _charger: True}
    assert len(bench.work.tombstones(gone)) == 1
    assert bench.loads == [[0]]
    bench.work.erase(gone)
    assert bench.work.tombstones(gone) == []
