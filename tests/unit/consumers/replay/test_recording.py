"""Files of readings and of sessions, read in the order of their times."""

from __future__ import annotations

import gzip
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from consumers.replay.recording import RecordingUnreadable, load
from readings.reading import Reading
from stack.sample.sessions import SESSIONS_FILE, load_sessions

NINE, TEN, ELEVEN = (datetime(2025, 1, 1, hour, tzinfo=UTC) for hour in (9, 10, 11))

CSV = """charger_id,timestamp,connector_status,power,error_codes,colour
B,2025-01-01T11:00:00Z,Charging,7.4,HighTemperature;X17,red
A,2025-01-01T09:00:00Z,AVAILABLE,,,
A,,AVAILABLE,1,,
A,2025-01-01T10:00:00Z,BURNING,1,,
"""


def test_csv_is_read_in_the_order_of_time_and_what_is_no_reading_is_told(tmp_path: Path) -> None:
    file = tmp_path / "readings.csv.gz"
    file.write_bytes(gzip.compress(CSV.encode()))
    recording = load(file)
    assert (recording.without_time, recording.unreadable_time) == (1, None)
    (nine, first), (ten, wrong), (eleven, last) = recording.readings()
    assert (nine, ten, eleven) == (NINE, TEN, ELEVEN)
    assert first == Reading("A", "AVAILABLE", NINE)
    assert isinstance(wrong, str)
    assert "A: /connector_status" in wrong
    assert isinstance(last, Reading)
    assert (last.connector_status, last.power, last.error_codes) == (
        "CHARGING", 7.4, ("HighTemperature", "X17"),
    )  # fmt: skip


def test_in_parquet_no_error_and_no_report_of_errors_stay_apart(tmp_path: Path) -> None:
    rows = {
        "charger_id": ["A", "B"],
        "connector_status": ["AVAILABLE", "AVAILABLE"],
        "timestamp": [TEN, NINE],
        "error_codes": ["", None],
    }
    pq.write_table(pa.table(rows), tmp_path / "readings.parquet")
    recording = load(tmp_path)
    codes = [found.error_codes for _, found in recording.readings() if isinstance(found, Reading)]
    assert codes == [None, ()]


def test_the_sample_becomes_the_readings_that_the_demo_sends() -> None:
    recording = load(SESSIONS_FILE, limit=500)
    later = load(SESSIONS_FILE, since=recording.times[400], limit=500)
    assert later.times[:100] == recording.times[400:]
    found = [reading for _, reading in recording.readings()]
    assert len(recording) == len(found) == 500
    assert recording.times == sorted(recording.times)
    first = min(load_sessions(), key=lambda session: session.ended_at)
    assert isinstance(found[0], Reading)
    assert found[0].charger_id == first.charger_id
    assert found[0].energy_delivered == first.kwh


SESSIONS = """charger_id,ended_at,minutes,kwh,session_number
A,2025-01-01T09:00:00Z,30,5.5,1
A,2025-01-01T10:00:00Z,0,0.0,2
A,2025-01-01T10:00:00Z,many,1.0,3
A,2025-01-01T10:00:00Z,20,,4
A,2025-01-01T11:00:00Z,60,7.0,5
"""


def test_a_row_that_is_no_session_costs_that_row_alone(tmp_path: Path) -> None:
    file = tmp_path / "sessions.csv"
    file.write_text(SESSIONS)
    recording = load(file)
    assert recording.times == [NINE, ELEVEN]
    assert [found.power for _, found in recording.readings() if isinstance(found, Reading)] == [11.0, 7.0]
    assert recording.no_sessions == (
        "row 2: minutes is 0, and must be more than 0",
        "row 3: minutes is 'many', not a whole number",
        "row 4: kwh is '', not a number",
    )


@pytest.mark.parametrize(
    ("name", "text", "why"),
    [
        ("a.csv", "charger_id,connector_status\nA,AVAILABLE\n", "there is no column timestamp"),
        ("a.csv", "charger_id,ended_at,minutes,kwh,session_number\nA,2025-01-01,x,1,1\n", "no table of ses"),
        ("a.parquet", "text", "Parquet"),
        ("b.csv", None, "b.csv"),
        (".", None, "holds neither"),
    ],
)
def test_what_cannot_be_read_is_named(tmp_path: Path, name: str, text: str | None, why: str) -> None:
    if text is not None:
        (tmp_path / name).write_text(text)
    with pytest.raises(RecordingUnreadable, match=why):
        load(tmp_path / name)


def test_a_time_that_cannot_be_read_is_shown_as_it_stands(tmp_path: Path) -> None:
    file = tmp_path / "readings.csv"
    file.write_text("charger_id,timestamp,connector_status\nA,,AVAILABLE\nA,20.11.2026 08:30,AVAILABLE\n")
    recording = load(file)
    assert (len(recording), recording.without_time) == (0, 2)
    assert recording.unreadable_time == "20.11.2026 08:30"


def test_the_first_reading_of_a_charger_states_its_attributes(tmp_path: Path) -> None:
    (tmp_path / "readings.csv").write_text(CSV)
    (tmp_path / "chargers.csv").write_text("charger_id,site_id,connector_types,name\nB,S1,CCS2;CHAdeMO,\n")
    found = [reading for _, reading in load(tmp_path).readings() if isinstance(reading, Reading)]
    assert [(reading.charger_id, reading.metadata) for reading in found] == [
        ("A", {}),
        ("B", {"attributes": {"site_id": "S1", "connector_types": ["CCS2", "CHAdeMO"]}}),
    ]


def test_attributes_that_are_wrong_are_told(tmp_path: Path) -> None:
    (tmp_path / "readings.csv").write_text(CSV)
    (tmp_path / "chargers.csv").write_text("charger_id,rated_power_kw\nB,strong\n")
    with pytest.raises(RecordingUnreadable, match=r"chargers\.csv: .*rated_power_kw"):
        load(tmp_path)
