"""Values that are valid and probably a mistake are warned of, and refused by nobody."""

from __future__ import annotations

from pathlib import Path

import pytest

from evzone_ml_client.command.check import check
from evzone_ml_client.command.implausible import ROWS_AT_START, USUAL, warnings_of_start
from evzone_ml_client.command.outcome import Exit
from readings.reading import BOUNDS

HEADER = "charger_id,connector_status,power,energy_delivered,temperature,uptime_hours,timestamp,error_codes\n"


def checked(folder: Path, rows: str, header: str = HEADER) -> tuple[Exit, list[str]]:
    file = folder / "fleet.csv"
    file.write_text(header + rows)
    lines: list[str] = []
    return check(file, "csv", lines.append), lines


@pytest.mark.parametrize(
    ("row", "warning"),
    [
        (
            "E,Charging,3700,,,,,",
            "Warning: 1 row has power above 500 kW, first in line 2: '3700'. Is this W? Then: --unit power=W",
        ),
        ("E,Charging,,9400,,,,", "energy_delivered above 500 kWh, first in line 2: '9400'. Is this Wh?"),
        ("E,Charging,,,113.0,,,", "temperature above 100 °C, first in line 2: '113.0'. Is this °F?"),
        (
            "E,Charging,,,,360000,,",
            "uptime_hours above 50,000 hours, first in line 2: '360000'. Is this in sec",
        ),
        ("E,Charging,,,,,1970-01-01,", "timestamp before the year 2000, first in line 2: '1970-01-01'."),
        ("1.23457E+12,Charging,,,,,,", "charger_id in powers of ten, first in line 2: '1.23457E+12'."),
        (
            'E,Faulted,,,,,,"A, B"',
            "error_codes with a comma, first in line 2: 'A, B'. Separate codes by semi",
        ),
    ],
)
def test_a_doubtful_value_is_warned_of_and_costs_nothing(tmp_path: Path, row: str, warning: str) -> None:
    code, lines = checked(tmp_path, row + "\n")
    assert code is Exit.SCORED
    assert warning in lines[0]


def test_rows_with_the_same_doubt_are_counted(tmp_path: Path) -> None:
    _, lines = checked(tmp_path, "E,Charging,7,,,,,\n" + "E,Charging,7000,,,,,\n" * 3)
    assert lines[0].startswith("Warning: 3 rows have power above 500 kW, first in line 3: '7000'.")


def test_usual_and_wrong_values_raise_no_doubt(tmp_path: Path) -> None:
    rows = (
        "E,Charging,350,80,71,412,2026-11-20T08:30:00Z,A;B\n"
        'E,Charging,hot,,,,noon,"[""A"",""B""]"\n'
        "E,Charging,,,,,1700000000,\n"
    )
    assert not [line for line in checked(tmp_path, rows)[1] if line.startswith("Warning")]


def test_every_value_that_is_warned_of_is_valid() -> None:
    assert all(most < BOUNDS[field][1] for field, (most, *_) in USUAL.items())


def test_a_run_warns_of_the_first_rows_of_a_large_file(tmp_path: Path) -> None:
    file = tmp_path / "fleet.csv"
    file.write_text(HEADER + "E,Charging,7,,,,,\n" * (ROWS_AT_START - 1) + "E,Charging,7000,,,,,\n" * 2)
    (warning,) = warnings_of_start(file, "csv")
    assert warning.startswith(f"Warning: 1 row has power above 500 kW, first in line {ROWS_AT_START + 1}")


@pytest.mark.parametrize("text", ["", 'a,b\n"c', "charger_id,power\nE\n"])
def test_a_run_leaves_what_is_wrong_to_the_service(tmp_path: Path, text: str) -> None:
    (tmp_path / "fleet.csv").write_text(text)
    assert warnings_of_start(tmp_path / "fleet.csv", "csv") == []
