"""In whatever order events come, and however often, what is known in the end is the same."""

from __future__ import annotations

from typing import Any

import orjson
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from consumers.ocpp.charge_point import (
    EVENTS_REMEMBERED,
    INTERVALS_REMEMBERED,
    PROBLEMS_REMEMBERED,
    STARTS_REMEMBERED,
    ChargePoint,
    decode,
    state_value,
)
from readings.parsing import parse_reading
from tests.unit.consumers.ocpp.events import (
    NOW,
    SESSION_1,
    SESSION_2,
    Document,
    envelope,
    hear,
    meter_values,
    notify,
    power,
    reading,
    register,
    sampled,
    start,
    status,
    status_2,
    stop,
    transaction,
)

INTERVAL = "Energy.Active.Import.Interval"


def interval(minutes: float, wh: int) -> Document:
    return meter_values(minutes, sampled(str(wh), INTERVAL))


reports = st.sampled_from(["Available", "Charging", "SuspendedEV", "Faulted", "Unavailable", "Finishing"])
numbers = st.integers(0, 200_000)
messages = st.one_of(
    st.builds(lambda word, c, code: lambda t: status(t, word, c, errorCode=code),
              reports, st.integers(0, 2), st.sampled_from(["NoError", "OverVoltage", "X-1"])),
    st.builds(lambda wh, c: lambda t: start(t, wh, c), numbers, st.integers(1, 2)),
    st.builds(lambda wh, c: lambda t: stop(t, wh, c), numbers, st.integers(1, 2)),
    st.builds(lambda wh, c: lambda t: register(t, wh, c), numbers, st.integers(0, 2)),
    st.builds(lambda w, c: lambda t: power(t, w, c), numbers, st.integers(0, 2)),
    st.builds(lambda wh: lambda t: interval(t, wh), numbers),
    st.builds(lambda c: lambda t: meter_values(t, sampled(str(c), "Temperature")), st.integers(-100, 300)),
    st.builds(lambda kind, wh, s: lambda t: transaction(t, kind, sampled(wh), state=s),
              st.sampled_from(["Started", "Updated", "Ended"]), numbers,
              st.sampled_from(["Charging", "SuspendedEV", None])),
    st.builds(lambda word, e: lambda t: status_2(t, word, evse=e),
              st.sampled_from(["Available", "Occupied", "Faulted"]), st.integers(1, 2)),
    st.builds(lambda yes, code: lambda t: notify(t, actualValue=yes, techCode=code),
              st.sampled_from(["true", "false"]), st.sampled_from([None, "E-1"])),
    st.just(lambda t: envelope(t, "BootNotification", {}, connectorId=0)),
    st.just(lambda t: envelope(t, "Heartbeat", {})),
)  # fmt: skip


@st.composite
def histories(draw: st.DrawFn) -> list[Document]:
    """Events of one charge point, each at a moment of its own, the oldest first."""
    made = draw(st.lists(messages, min_size=1, max_size=15))
    return [make(10 * n) | {"eventId": f"e{n}"} for n, make in enumerate(made)]


@given(histories(), st.data())
# No limits of time: the machine may be busy with other tests.
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_order_and_repetition_change_nothing(events: list[Document], data: st.DataObject) -> None:
    repeated = data.draw(st.lists(st.sampled_from(events), max_size=8))
    shuffled = data.draw(st.permutations(events + repeated))
    assert hear(*shuffled)[0] == hear(*events)[0]


@given(st.sampled_from([SESSION_1, SESSION_2]), st.data())
@settings(max_examples=200, deadline=None)
def test_a_session_ends_in_the_same_state_however_it_arrives(
    session: tuple[Document, ...], data: st.DataObject
) -> None:
    events = list(session)
    shuffled = data.draw(st.permutations(events + data.draw(st.lists(st.sampled_from(events), max_size=10))))
    assert hear(*shuffled)[0] == hear(*events)[0]


@given(histories(), st.data())
@settings(max_examples=200, deadline=None)
def test_every_reading_is_one_and_none_is_older_than_the_one_before(
    events: list[Document], data: st.DataObject
) -> None:
    shuffled = data.draw(st.permutations(events))
    given_readings = [found for found in hear(*shuffled)[1] if isinstance(found, dict)]
    times = [parse_reading(found, now=NOW).timestamp for found in given_readings]
    assert times == sorted(times)


@given(histories())
@settings(max_examples=200, deadline=None)
def test_a_repeated_event_gives_no_second_reading(events: list[Document]) -> None:
    known, given_once = hear(*events)
    again, given_twice = hear(*events, known=known)
    assert again == known
    assert all(found in ("repeated", "other_type", "nothing_told") for found in given_twice)
    assert len(given_once) == len(given_twice)


@given(histories())
@settings(max_examples=200, deadline=None)
def test_what_is_known_survives_the_state_topic(events: list[Document]) -> None:
    known, _ = hear(*events)
    assert decode(orjson.loads(state_value(3, None, "CP-1", known))) == known


def test_a_late_event_with_the_first_word_on_something_gives_a_reading_of_the_newest_time() -> None:
    late_fault = status(5, "Faulted", connector=2)
    found = reading(status(0, "Available"), power(9, 0), late_fault)
    assert (found["connector_status"], found["timestamp"]) == ("FAULTY", "2026-11-20T08:09:00.000Z")


def test_a_late_start_counts_a_session_and_no_start_counts_twice() -> None:
    events = (status(0, "Charging"), start(20, 5000), register(30, 6000))
    known, given = hear(*events, start(10, 1000))
    assert isinstance(given[-1], dict)
    assert (given[-1]["total_sessions"], given[-1]["energy_delivered"]) == (2, 1.0)
    _, again = hear(start(10, 1000) | {"eventId": "another"}, known=known)
    assert again == ["late"]


def test_of_two_at_the_same_moment_the_later_arrival_is_believed() -> None:
    assert reading(status(0, "Preparing"), status(0, "Charging") | {"eventId": "2"})["connector_status"] == (
        "CHARGING"
    )


def test_the_state_of_a_charge_point_is_bounded() -> None:
    known = ChargePoint()
    for n in range(400):
        known, _ = hear(
            interval(10 * n, 100),
            start(10 * n + 1, n) if n < 100 else interval(10 * n + 1, 100),
            notify(10 * n + 2, component={"name": f"C{n}"}) | {"eventId": f"n{n}"},
            known=known,
        )
    part: Any = known.parts["1"]
    assert part.sessions == 100
    assert len(part.starts_us) == STARTS_REMEMBERED
    assert len(part.intervals) == INTERVALS_REMEMBERED
    assert len(known.seen) == EVENTS_REMEMBERED
    assert len(known.parts["0"].reports) == PROBLEMS_REMEMBERED
    assert reading(status(3999, "Charging"), known=known)["energy_delivered"] == 60.0
