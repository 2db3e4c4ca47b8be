"""Inputs in the forms in which callers have them: paths as text, times as text or `datetime`."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from driven import Connect, reading

from evzone_ml_client import MLClient
from tests import readings
from tests.processes import Web

NOON: datetime = datetime(2026, 11, 20, 12, 30, tzinfo=timezone(timedelta(hours=3)))


def test_a_file_is_named_by_a_path_or_by_text(ml: MLClient, tmp_path: Path) -> None:
    file = tmp_path / "fleet.csv"
    file.write_text("charger_id,connector_status\nEVZ-1,CHARGING\nEVZ-2,FAULTY\n")
    jobs = [ml.submit_batch(given) for given in (file, str(file))]
    assert [job["total"] for job in jobs] == [2, 2]
    *_, done = ml.stream_job(jobs[1]["job_id"])
    ml.save_results(done.job["job_id"], str(tmp_path / "scored.ndjson"))
    assert len((tmp_path / "scored.ndjson").read_text().splitlines()) == 2


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (
            "nowhere/fleet.csv",
            "batch: there is no file 'nowhere/fleet.csv'; give the path of a file, or readings",
        ),
        (b"fleet.csv", "readings: must be a list of readings, not bytes"),
        (readings.metrics(), "readings: must be a list of readings, not dict"),
    ],
)
def test_text_that_is_no_path_and_a_single_reading_are_no_batch(ml: MLClient, given: Any, said: str) -> None:
    with pytest.raises(TypeError) as caught:
        ml.submit_batch(given)
    assert str(caught.value) == said
    if not isinstance(given, str):
        with pytest.raises(TypeError, match=said):
            ml.batch_predictions(given)


def test_no_letters_are_sent_as_readings(ml: MLClient) -> None:
    with pytest.raises(TypeError, match="not str"):
        ml.batch_predictions("fleet.csv")  # type: ignore[arg-type]  # what a caller may do


def test_times_of_a_reading_may_be_datetimes(ml: MLClient) -> None:
    for given in (NOON, NOON.isoformat(), NOON.timestamp()):
        answer = ml.predict_failure(reading(timestamp=given, last_maintenance=NOON))
        assert answer["reading_timestamp"] == "2026-11-20T09:30:00.000Z"
    (row,) = ml.batch_predictions([reading(timestamp=NOON)])["predictions"]
    assert row["reading_timestamp"] == "2026-11-20T09:30:00.000Z"


def test_a_time_without_a_zone_and_other_values_are_refused_here(ml: MLClient) -> None:
    with pytest.raises(ValueError, match="a time in a reading must say its time zone"):
        ml.predict_failure(reading(timestamp=NOON.replace(tzinfo=None)))
    with pytest.raises(TypeError, match="a reading cannot hold a value of type timedelta"):
        ml.predict_failure(reading(timestamp=timedelta(hours=1)))


@pytest.mark.parametrize("moment", [NOON, "2026-11-20T12:30:00+03:00", "2026-11-20T09:30:00z"])
def test_times_of_other_calls_may_be_text(connect: Connect, web: Web, moment: datetime | str) -> None:
    ml = connect(web.url, tenant=f"times-{readings.new_charger_id()}")
    ml.predict_failure(reading("EVZ-1"))
    accepted = ml.post_outcome("EVZ-1", "failed", moment)
    assert accepted["charger_id"] == "EVZ-1"
    job = ml.submit_batch([reading()])
    assert [each["job_id"] for each in ml.list_jobs(created_after=moment)] == [job["job_id"]]
    later = datetime.now(UTC) + timedelta(days=1)
    assert list(ml.list_jobs(created_after=later.isoformat())) == []


@pytest.mark.parametrize(
    ("moment", "said"),
    [
        ("20.11.2026", "occurred_at must be like 2026-11-20T08:30:00Z, not '20.11.2026'"),
        ("2026-11-20T08:30:00", "occurred_at must say its time zone"),
        (NOON.replace(tzinfo=None), "occurred_at must say its time zone"),
    ],
)
def test_a_time_that_is_none_is_refused_here(ml: MLClient, moment: datetime | str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        ml.post_outcome("EVZ-1", "failed", moment)
