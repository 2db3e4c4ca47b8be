"""Records that a newer release has written are read: fields that this one does not know are ignored."""

from __future__ import annotations

import pytest

from tasks.monitoring.heartbeats import WorkerState
from tasks.storage.outcomes import Outcome

WORKER = {
    "name": "single@host",
    "pid": 7,
    "queues": ["ml.single"],
    "models": [],
    "problem": None,
    "generation": 3,
    "seen_at": 1.0,
}
OUTCOME = {"charger_id": "A", "outcome": "failed", "occurred_at": 1.0, "verdict": None}


def test_a_heartbeat_with_a_new_field_is_read() -> None:
    assert WorkerState.of_record({**WORKER, "new": 1}) == WorkerState.of_record(WORKER)


def test_an_outcome_with_a_new_field_is_read() -> None:
    assert Outcome.of_record({**OUTCOME, "new": 1}) == Outcome.of_record(OUTCOME)


def test_a_record_without_a_needed_field_is_none() -> None:
    with pytest.raises(TypeError):
        WorkerState.of_record({"name": "single@host"})
