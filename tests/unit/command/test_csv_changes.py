"""`--map` and `--unit`: columns of CSV files renamed and converted."""

from __future__ import annotations

import gzip
import tracemalloc
from pathlib import Path

import pytest

from evzone_ml_client.command.csv_changes import parse_changes, write_changed
from evzone_ml_client.command.outcome import Refused

MAPS = ["ID=charger_id", "State=connector_status", "Temp=temperature"]
UNITS = ["power=W", "energy_delivered=Wh", "temperature=F"]


def changed(folder: Path, text: str, maps: list[str], units: list[str]) -> str:
    (folder / "fleet.csv.gz").write_bytes(gzip.compress(text.encode()))
    out = folder / "changed.csv"
    write_changed(folder / "fleet.csv.gz", "csv.gz", parse_changes(maps, units), out)
    return out.read_text()


def test_columns_are_renamed_and_converted_and_others_stay(tmp_path: Path) -> None:
    text = (
        "ID,State,Temp,power,energy_delivered,note\n"
        'E1,Charging,212,31000,18400,"a, ""b""\nc"\n'
        "\n"
        "E2,Faulted,-40,.5,1e3,\n"
        'E3,Faulted,, 47500 ,"18,4",x\n'
        "E4,too short\n"
    )
    assert changed(tmp_path, text, MAPS, UNITS) == (
        "charger_id,connector_status,temperature,power,energy_delivered,note\n"
        'E1,Charging,100,31,18.4,"a, ""b""\nc"\n'
        "E2,Faulted,-40,0.0005,1,\n"
        'E3,Faulted,,47.5,"18,4",x\n'
        "E4,too short\n"
    )


def test_bytes_that_are_not_utf_8_reach_the_service_as_they_are(tmp_path: Path) -> None:
    (tmp_path / "fleet.csv").write_bytes(b"ID,note\nE,caf\xe9\n")
    write_changed(
        tmp_path / "fleet.csv", "csv", parse_changes(["ID=charger_id"], []), tmp_path / "changed.csv"
    )
    assert (tmp_path / "changed.csv").read_bytes() == b"charger_id,note\nE,caf\xe9\n"


@pytest.mark.parametrize(
    ("maps", "units", "said"),
    [
        (["Temp"], [], "--map Temp: must be OLD=NEW"),
        (["ID=charger"], [], r"--map ID=charger: readings have no field charger \(charger_id\?\)"),
        (["Id=charger_id"], [], r"there is no column Id \(ID\?\). The columns are: ID, power"),
        (["ID=power"], [], "more than one column power"),
        ([], ["power=kW"], "--unit power=kW: is none of power=W, energy_delivered=Wh, temperature=F"),
        ([], ["temperature=F"], "--unit: there is no column temperature"),
    ],
)
def test_a_change_that_cannot_be_made_is_refused(
    tmp_path: Path, maps: list[str], units: list[str], said: str
) -> None:
    with pytest.raises(Refused, match=said):
        changed(tmp_path, "ID,power\nE,1\n", maps, units)


def test_other_formats_are_not_changed(tmp_path: Path) -> None:
    with pytest.raises(Refused, match="CSV files only"):
        write_changed(
            tmp_path / "f.ndjson", "ndjson", parse_changes(["a=charger_id"], []), tmp_path / "o.csv"
        )


def test_memory_does_not_grow_with_the_file(tmp_path: Path) -> None:
    file = tmp_path / "fleet.csv"
    file.write_text("ID,power\n" + "EVZ-0042,31000\n" * 100_000)
    changes = parse_changes(["ID=charger_id"], ["power=W"])
    tracemalloc.start()
    write_changed(file, "csv", changes, tmp_path / "changed.csv")
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak_bytes < file.stat().st_size / 2


def test_semicolons_and_decimal_commas_are_read(tmp_path: Path) -> None:
    (tmp_path / "fleet.csv").write_text(
        "\ufeffID;connector_status;power;uptime_hours;note;error_codes\r\n"
        'E1;Charging;31000,5;1.234;"1,5;a";"A;B"\r\n'
        "E2;Faulted;-0,5;1.234.567,5;;A\r\n"
        "E3;Faulted;much;12.5;;\r\n"
    )
    changes = parse_changes(["ID=charger_id"], ["power=W"], semicolons=True)
    write_changed(tmp_path / "fleet.csv", "csv", changes, tmp_path / "changed.csv")
    assert (tmp_path / "changed.csv").read_text() == (
        "charger_id,connector_status,power,uptime_hours,note,error_codes\n"
        'E1,Charging,31.0005,1234,"1,5;a",A;B\n'
        "E2,Faulted,-0.0005,1234567.5,,A\n"
        "E3,Faulted,much,12.5,,\n"
    )
