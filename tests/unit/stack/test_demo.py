"""Recordings of the demo, and its count of what comes back."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import orjson

from consumers.replay.recording import Recording
from consumers.replay.replay_readings import record
from readings.attributes import FIELDS, read_attributes
from readings.parsing import parse_reading
from readings.reading import Reading
from stack.demo.recordings import real_sessions, simulated_fleet
from stack.demo.stream import Replay

NOTHING: dict[str, Any] = {}


def sent(recording: Recording) -> list[dict[str, Any]]:
    """The readings as they are sent, with the last one now."""
    shift = datetime.now(UTC) - recording.times[-1]
    found = [reading for _, reading in recording.readings() if isinstance(reading, Reading)]
    assert len(found) == len(recording)
    return [orjson.loads(record(each, topic="in", shift=shift, tenant="demo").value or b"") for each in found]


def test_every_reading_of_the_simulated_fleet_is_valid_and_the_last_is_now() -> None:
    documents = sent(simulated_fleet(30, 10))
    now = datetime.now(UTC)
    readings = [parse_reading(document, now=now) for document in documents]
    assert len(readings) == 30 * 10 * 2
    assert {document["tenant_id"] for document in documents} == {"demo"}
    assert now - timedelta(minutes=1) < max(reading.timestamp for reading in readings) <= now
    assert min(reading.timestamp for reading in readings) > now - timedelta(days=10, hours=1)
    stated = [reading.metadata["attributes"] for reading in readings if reading.metadata]
    assert len(stated) == 30  # the first reading of each charger
    assert all(read_attributes(given) == given and set(given) == set(FIELDS) for given in stated)


def test_the_simulated_fleet_is_the_same_each_time() -> None:
    first, second = simulated_fleet(5, 3), simulated_fleet(5, 3)
    assert list(first.readings()) == list(second.readings())


def test_the_newest_real_sessions_can_be_taken_alone() -> None:
    whole, some = real_sessions(), real_sessions(50)
    assert (len(whole), len(some)) == (31_998, 50)
    assert some.times == whole.times[-50:]
    (first, *_) = (reading for _, reading in some.readings())
    assert isinstance(first, Reading)
    assert set(first.metadata["attributes"]) == {"site_id", "model"}


def prediction(action: str) -> dict[str, Any]:
    return {"recommended_action": action, "charger_id": "A"}


def alert(state: str, kind: str = "failure") -> dict[str, Any]:
    return {"alert": kind, "alert_id": "1", "state": state, "charger_id": "A", "failure_probability": 0.9}


def test_each_outcome_of_a_reading_counts_once() -> None:
    replay = Replay(total=2, days=1)
    replay.acknowledge("in:0:7")
    for _ in range(2):  # the embedded broker may deliver twice
        replay.receive("in:0:7", prediction("NONE"))
        replay.receive("in:0:7", alert("open"))
    replay.acknowledge("in:0:8")
    replay.receive("in:0:8", NOTHING)  # a dead letter
    assert replay.ended == 2
    assert replay.actions == {"NONE": 1}
    assert (len(replay.predicted), len(replay.refused)) == (1, 1)
    assert replay.alerts("failure") == (1, 0)
    assert replay.newest_alert == "A, 90 %"


def test_an_outcome_that_overtakes_its_acknowledgement_counts() -> None:
    replay = Replay(total=1, days=1)
    replay.receive("in:0:7", alert("closed", "anomaly"))
    replay.receive("in:0:7", prediction("IMMEDIATE"))
    assert replay.ended == 0
    replay.acknowledge("in:0:7")
    assert (replay.ended, replay.actions, replay.alerts("anomaly")) == (1, {"IMMEDIATE": 1}, (0, 1))


def test_outcomes_of_an_earlier_run_do_not_count() -> None:
    replay = Replay(total=1, days=1)
    replay.receive("in:0:3", prediction("IMMEDIATE"))
    replay.acknowledge("in:0:7")
    assert (replay.ended, dict(replay.actions)) == (0, {})
