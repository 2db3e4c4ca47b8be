"""A recording survives its file, and keeps its rates when it is stretched in time."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.host.recordings import Recording, pack, unpack

RECORDING = Recording(
    recorded=True,
    fault="a fault",
    interval_s=5,
    quiet_s=10,
    fault_s=10,
    after_s=0,
    series={'ml_up{part="redis"}': "1*2 0 -", 'ml_jobs_total{status="failed"}': "- 10 20 3"},
)


def test_equal_values_are_packed_into_runs() -> None:
    values = [12.0, 12.0, 12.0, None, None, 0.25, -0.00001, 1_700_000_000.0]
    assert pack(values) == "12*3 -*2 0.25 0 1700000000"
    assert unpack(pack(values)) == [12, 12, 12, None, None, 0.25, 0, 1_700_000_000]


def test_a_gauge_keeps_each_value_for_as_many_times_as_long() -> None:
    gauge, _ = RECORDING.stretched(2, 5).values()
    assert gauge == "1 1 1 1 0 0 stale _"


def test_a_counter_keeps_its_rate_and_its_restarts() -> None:
    _, counter = RECORDING.stretched(2, 5).values()
    # From 10 to 20 in 5 s: 2 a second, and as many when the 5 s have become 10.
    assert counter == "_ _ 20 30 40 40 6 6"


def test_samples_between_scrapes_are_left_out() -> None:
    assert list(RECORDING.stretched(1, 10).values()) == ["1 0", "_ 20"]


def test_a_recording_can_be_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.host.recordings.FOLDER", tmp_path)
    RECORDING.write("Alert.variant")
    assert Recording.of("Alert.variant") == RECORDING != replace(RECORDING, fault_s=5)
