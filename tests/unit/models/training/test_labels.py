"""Which readings train as failing, as healthy, or not at all."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from errors import ServiceError
from models.training.history import History, load
from models.training.history_table import BadHistory
from models.training.labels import futures, inside_recorded, labels

DAY = pd.Timedelta(days=1)
START = pd.Timestamp("2026-01-01", tz="UTC")


def written(
    folder: Path, readings: pd.DataFrame, failures: list[tuple[str, int]], **extra: pd.DataFrame
) -> Path:
    readings.to_parquet(folder / "readings.parquet", index=False)
    pd.DataFrame(
        {
            "charger_id": [who for who, _ in failures],
            "timestamp": [START + day * DAY for _, day in failures],
        }
    ).to_parquet(folder / "failures.parquet", index=False)
    for name, table in extra.items():
        table.to_parquet(folder / f"{name}.parquet", index=False)
    return folder


def days(charger: str, count: int, status: str = "AVAILABLE") -> pd.DataFrame:
    return pd.DataFrame(
        {
            "charger_id": charger,
            "timestamp": [START + day * DAY for day in range(count)],
            "connector_status": status,
            "temperature": 20.0,
        }
    )


def of(history: History, charger: str, horizon: float) -> list[int]:
    which = history.columns.charger == history.charger_ids.index(charger)
    return [int(value) for value in labels(history, horizon)[which]]


def test_ahead_inside_and_unknown(tmp_path: Path) -> None:
    history = load(written(tmp_path, pd.concat([days("A", 20), days("B", 20)]), [("A", 10)]))
    # inside from the onset on, for a day at least; the fleet's last week is unknown for everyone
    assert of(history, "A", 7) == [0, 0, 0, *[1] * 7, -1, *[0, 0], *[-1] * 7]
    assert of(history, "B", 7) == [*[0] * 13, *[-1] * 7]


def test_a_future_is_known_until_a_failure_or_the_end(tmp_path: Path) -> None:
    history = load(written(tmp_path, pd.concat([days("A", 20), days("B", 15)]), [("A", 10)]))
    known_days, failed = futures(history)
    is_b = history.columns.charger == history.charger_ids.index("B")
    # A's first day in failure is excluded. Then it is observed to the end, and B to its last reading.
    assert known_days[~is_b].tolist() == [*range(10, 0, -1), 0, *range(8, -1, -1)]
    assert failed[~is_b].tolist() == [True] * 10 + [False] * 10
    assert known_days[is_b].tolist() == list(range(14, -1, -1))
    assert not failed[is_b].any()


def test_a_charger_that_falls_silent_is_not_healthy(tmp_path: Path) -> None:
    history = load(written(tmp_path, pd.concat([days("A", 10), days("B", 30)]), []))
    assert of(history, "A", 7) == [*[0] * 3, *[-1] * 7]


def test_a_charger_whose_last_word_is_its_failure_is_known(tmp_path: Path) -> None:
    history = load(written(tmp_path, pd.concat([days("A", 10), days("B", 30)]), [("A", 9)]))
    assert of(history, "A", 7) == [0, 0, *[1] * 7, -1]


def test_a_failure_lasts_until_its_repair(tmp_path: Path) -> None:
    repair = pd.DataFrame({"charger_id": ["A"], "timestamp": [START + 15 * DAY], "kind": ["corrective"]})
    history = load(written(tmp_path, days("A", 40), [("A", 10)], maintenance=repair))
    assert inside_recorded(history).nonzero()[0].tolist() == [10, 11, 12, 13, 14]


def test_faulty_readings_train_nothing(tmp_path: Path) -> None:
    history = load(written(tmp_path, pd.concat([days("A", 20, "Faulted"), days("B", 20)]), []))
    assert of(history, "A", 1) == [-1] * 20


def test_until_hides_what_came_later(tmp_path: Path) -> None:
    folder = written(tmp_path, days("A", 20), [("A", 15)])
    history = load(folder, until=datetime(2026, 1, 11, tzinfo=UTC))
    assert len(history.columns) == 11
    assert len(history.failures.charger) == 0


def test_csv_and_parquet_are_the_same(tmp_path: Path) -> None:
    readings = days("A", 20)
    readings["error_codes"] = ["GroundFailure;X-1", "", "NoError", None] * 5
    folder = written(tmp_path, readings, [("A", 15)])
    binary = load(folder)
    for name in ("readings", "failures"):
        pd.read_parquet(folder / f"{name}.parquet").to_csv(folder / f"{name}.csv", index=False)
        (folder / f"{name}.parquet").unlink()
    text = load(folder, spec=binary.spec)
    assert text.columns.time_s.tolist() == binary.columns.time_s.tolist()
    # an empty cell in a CSV is a missing list, not an empty one
    assert text.columns.codes[0].tolist() == binary.columns.codes[0].tolist()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"temperature": "warm"}, r"readings\.csv, row 2, column temperature: 'warm' is no number"),
        ({"temperature": 400.0}, r"column temperature: .*is outside -60 to 200"),
        ({"connector_status": "asleep"}, r"column connector_status: 'asleep' is no connector status"),
        ({"timestamp": "yesterday"}, r"column timestamp: 'yesterday' is no ISO 8601 time"),
        ({"charger_id": None}, r"column charger_id: .* is missing"),
    ],
)
def test_a_bad_value_names_file_row_and_column(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    folder = written(tmp_path, days("A", 3), [])
    days("A", 3).assign(**change).to_csv(folder / "readings.csv", index=False)
    (folder / "readings.parquet").unlink()
    with pytest.raises(BadHistory, match=message):
        load(folder)


def test_missing_files_and_columns(tmp_path: Path) -> None:
    with pytest.raises(BadHistory, match="neither readings"):
        load(tmp_path)
    folder = written(tmp_path, days("A", 3).drop(columns="timestamp"), [])
    with pytest.raises(BadHistory, match="no column timestamp"):
        load(folder)
    (folder / "readings.parquet").write_bytes(b"not parquet")
    with pytest.raises(ServiceError, match="cannot be read"):
        load(folder)


def test_other_names_and_counters(tmp_path: Path) -> None:
    readings = days("A", 10).rename(columns={"charger_id": "serial", "temperature": "celsius"})
    readings = readings.drop(columns="connector_status").assign(bad_blocks=range(10), retries=0)
    readings.to_parquet(tmp_path / "readings.parquet", index=False)
    failures = pd.DataFrame({"serial": ["A"], "timestamp": [START + 20 * DAY]})
    failures.to_parquet(tmp_path / "failures.parquet", index=False)
    mapping = {"charger_id": ["serial"], "temperature": ["celsius"], "error_codes": ["bad_blocks", "retries"]}
    history = load(tmp_path, mapping=mapping)
    assert history.spec.vocabulary == ("bad_blocks", "retries")
    assert history.columns.codes[-1, -2:].tolist() == [9.0, 0.0]
    assert "connector_status" in history.absent
    assert of(history, "A", 30) == [-1] * 10 or of(history, "A", 30)[0] in (-1, 1)
