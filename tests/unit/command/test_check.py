"""`--check`: a file judged without a service. Whatever it reports, the service refuses."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from evzone_ml_client.command.check import NOT_CHECKED, check
from evzone_ml_client.command.csv_changes import NUMBERS
from evzone_ml_client.command.csv_file import header_of, lines_of_rows
from evzone_ml_client.command.outcome import Exit, Refused
from readings.reading import OCPP_STATUSES, STATUSES
from readings.refused import Refused as RefusedRow
from readings.rows import from_csv, from_ndjson

NOW = datetime(2026, 11, 20, 9, tzinfo=UTC)
HEADER = "charger_id,connector_status,power,timestamp,last_maintenance"


def checked(folder: Path, text: str, input_format: str = "csv") -> tuple[Exit, list[str]]:
    file = folder / f"fleet.{input_format}"
    file.write_text(text)
    lines: list[str] = []
    return check(file, input_format, lines.append), lines


ROWS = {
    "E,Charging,1.5,2026-11-20T08:30:00Z,2026-05-02": None,
    "E,suspended ev, +5. ,1700000000,": None,
    "E,,,,": "line 2, connector_status: is missing",
    ",Charging,,,": "line 2, charger_id: is missing",
    "E,BURNING,,,": "line 2, connector_status: 'BURNING' is not a connector status",
    'E,Charging,"18,4",,': "line 2, power: '18,4' is not a number; use a decimal point",
    "E,Charging,18 kW,,": "line 2, power: '18 kW' is not a number",
    "E,Charging,,20.11.2026 08:30,": "line 2, timestamp: '20.11.2026 08:30' is not an ISO 8601 time",
    "E,Charging,,,yesterday": "line 2, last_maintenance: 'yesterday' is not an ISO 8601 time",
    'E,Charging,"5,120",,': "line 2, power: '5,120' is not a number; use a decimal point, and no thousands",
    "E,Charging,N/A,,": "line 2, power: 'N/A' is not a number; leave the cell of a missing value empty",
    "E,Charging,,46354.354,": "line 2, timestamp: '46354.354' is not an ISO 8601 time. Is this an Excel",
    "E,Charging,,1795854600000,": "line 2, timestamp: 1795854600000 is not in seconds since 1970. Is this",
    "E,Charging,,1969-12-31,": "line 2, timestamp: '1969-12-31' lies before 1970",
    "E,Charging,,2999-12-31,": "line 2, timestamp: '2999-12-31' lies in the future",
    "E,Charging,,2026-11-20_08:30,": "line 2, timestamp: '2026-11-20_08:30' is not an ISO 8601 time",
    "E,Charging,,1970-01-01,": None,
    "E,Charging": "line 2, the row has 2 fields, the header has 5",
}


@pytest.mark.parametrize(("row", "problem"), ROWS.items())
def test_a_row_of_csv_is_judged_as_the_service_judges_it(
    tmp_path: Path, row: str, problem: str | None
) -> None:
    text = f"{HEADER}\n{row}\n"
    code, lines = checked(tmp_path, text)
    (judged,) = from_csv(text.encode(), now=NOW)
    assert isinstance(judged, RefusedRow) is (problem is not None)
    assert code is (Exit.SCORED if problem is None else Exit.SOME_ROWS_FAILED)
    assert any((problem or "1 row checked, 0") in line for line in lines)
    assert lines[-1] == NOT_CHECKED


@pytest.mark.parametrize(
    "fields",
    [
        {"power": "5"},
        {"power": True},
        {"temperature": []},
        {"timestamp": "now"},
        {"timestamp": {}},
        {"timestamp": 1_795_854_600_000},
        {"timestamp": "1795854600"},
        {"last_maintenance": "1899-12-30"},
        {"connector_status": 5},
        {"connector_status": "BURNING"},
        {"charger_id": None},
        {"power": 5, "timestamp": 1_700_000_000, "last_maintenance": "2026-05-02", "unknown": "x"},
    ],
)
def test_a_row_of_ndjson_is_judged_as_the_service_judges_it(
    tmp_path: Path, fields: dict[str, object]
) -> None:
    text = json.dumps({"charger_id": "E", "connector_status": "Charging", **fields})
    code, _ = checked(tmp_path, text, "ndjson")
    (judged,) = from_ndjson(text.encode(), now=NOW)
    assert isinstance(judged, RefusedRow) is (code is Exit.SOME_ROWS_FAILED)


def test_lines_that_are_no_objects_are_named_by_their_number(tmp_path: Path) -> None:
    code, lines = checked(tmp_path, '\n{"charger_id"\n[]\n', "ndjson")
    assert code is Exit.SOME_ROWS_FAILED
    assert lines[:2] == ["  line 2, the row: is not JSON", "  line 3, the row: must be an object"]


def test_each_status_of_the_service_is_known_in_any_spelling(tmp_path: Path) -> None:
    spellings = [each for status in (*STATUSES, *OCPP_STATUSES) for each in (status, status.lower())]
    rows = "".join(f"E,{each}\n" for each in (*spellings, "suspended-ev", "Fully Charged"))
    assert checked(tmp_path, "charger_id,connector_status\n" + rows)[0] is Exit.SCORED


def test_the_numbers_are_those_of_the_service() -> None:
    from readings.reading import BOUNDS

    assert set(NUMBERS) == set(BOUNDS)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "The file is empty"),
        ("charger_id,connector_status\n", "The file has no rows"),
        (
            "charger_id;connector_status\nE;A\n",
            "Column charger_id is missing.*semicolon-separated; use commas",
        ),
        ("charger_id,power\nE,1\n", "Column connector_status is missing. The columns are: charger_id, power"),
        ("charger_id\tconnector_status\nE\tA\n", "Column charger_id is missing.*tab-separated; use commas"),
        ("sep=,\ncharger_id,connector_status\nE,A\n", "The first line is Excel's sep= line"),
        ("Report,\ncharger_id,connector_status\nE,A\n", "The first line must be the header"),
        (
            "Charger ID,connectorStatus\n",
            "--map 'Charger ID=charger_id' --map 'connectorStatus=connector_status'",
        ),
        ('charger_id,connector_status\nE,Charging\nF,"Charging\n', "opened in line 3 is never closed"),
        ("charger_id,connector_status,power,power\n", "more than one column power"),
    ],
)
def test_a_file_that_the_service_would_not_take_is_refused(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(Refused, match=said):
        checked(tmp_path, text)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"charger_id,connector_status,site\nE,Charging,K\xf6ln\n", "line 2 is not UTF-8"),
        ("charger_id,connector_status\n".encode("utf-16"), "is in UTF-16"),
        (b"PK\x03\x04rest", "is an Excel workbook or a ZIP archive"),
        (b"\xd0\xcf\x11\xe0rest", "is an old Excel workbook"),
        (b"\x1f\x8brest", "is compressed by gzip"),
    ],
)
def test_a_file_of_another_format_is_named(tmp_path: Path, data: bytes, said: str) -> None:
    (tmp_path / "fleet.csv").write_bytes(data)
    with pytest.raises(Refused, match=said):
        check(tmp_path / "fleet.csv", "csv", print)


@pytest.mark.parametrize(
    ("column", "named"),
    [
        ("power (kW)", "power (kW) (power?)"),
        ("uptimeHours", "uptimeHours (uptime_hours?)"),
        ("", "(no name)"),
    ],
)
def test_an_ignored_column_is_named_with_the_field_that_it_may_be(
    tmp_path: Path, column: str, named: str
) -> None:
    _, lines = checked(tmp_path, f"charger_id,connector_status,{column}\nE,Charging,\n")
    assert lines[0] == f"Warning: 1 column is ignored: {named}."


def test_columns_that_are_ignored_are_warned_of_and_cost_nothing(tmp_path: Path) -> None:
    code, lines = checked(tmp_path, "charger_id,connector_status,temprature\nE,Charging,hot\n")
    assert code is Exit.SCORED
    assert lines[0] == "Warning: 1 column is ignored: temprature (temperature?)."


def test_of_many_wrong_rows_some_are_shown_and_all_are_counted(tmp_path: Path) -> None:
    _, lines = checked(tmp_path, "charger_id,connector_status\n" + "E,BURNING\n" * 1000)
    assert len(lines) < 30
    assert "1,000 rows checked, 1,000 with problems." in lines


def test_a_damaged_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "fleet.csv.gz").write_bytes(b"no gzip")
    with pytest.raises(Refused, match="cannot be read at line 1"):
        check(tmp_path / "fleet.csv.gz", "csv.gz", print)


def test_rows_are_found_in_the_lines_of_a_file(tmp_path: Path) -> None:
    file = tmp_path / "fleet.csv"
    file.write_text('\ufeffa,b\n1,"x\ny"\n\n2,z\n', encoding="utf-8")
    assert header_of(file, "csv") == ["a", "b"]
    assert lines_of_rows(file, "csv", {0, 1, 7}) == {0: 2, 1: 5}


def test_a_terminal_without_unicode_gets_escapes(tmp_path: Path) -> None:
    file = tmp_path / "fleet.csv"
    file.write_text("charger_id,connector_status,temperature (°C)\nE,Charging,41\n")
    ran = subprocess.run(
        [sys.executable, "-m", "evzone_ml_client.command", "batch", file, "--check"],
        env={**os.environ, "PYTHONIOENCODING": "ascii"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (ran.returncode, ran.stderr) == (0, "")
    assert ran.stdout.startswith("Warning: 1 column is ignored: temperature (\\xb0C) (temperature?).")
