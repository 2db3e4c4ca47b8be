"""Serving computes what training computed: a fleet is replayed reading by reading."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from models.features.columns import Floats, from_readings
from models.features.frame import MAX_ENTRIES, FeatureSpec, compute
from models.simulation.simulate import simulate
from models.training.history import History, load
from readings.reading import STATUSES, Reading


@pytest.fixture(scope="module")
def history(tmp_path_factory: pytest.TempPathFactory) -> History:
    folder = Path(tmp_path_factory.mktemp("fleet"))
    simulate(8, 60, 3).write(folder)
    return load(folder)


@pytest.fixture(scope="module")
def readings(history: History, tmp_path_factory: pytest.TempPathFactory) -> list[Reading]:
    """The same fleet as a server sees it."""
    frame = simulate(8, 60, 3).readings
    result = []
    for row in frame.to_dict("records"):
        codes = row["error_codes"]
        numbers: dict[str, Any] = {
            name: None if np.isnan(row[name]) else float(row[name])
            for name in ("energy_delivered", "power", "temperature", "uptime_hours", "total_sessions")
        }
        sessions = numbers.pop("total_sessions")
        result.append(
            Reading(
                charger_id=row["charger_id"],
                connector_status=row["connector_status"],
                timestamp=datetime.fromtimestamp(row["timestamp"].timestamp(), UTC),
                error_codes=tuple(filter(None, codes.split(";"))) if isinstance(codes, str) else None,
                total_sessions=None if sessions is None else int(sessions),
                last_maintenance=datetime.fromtimestamp(row["last_maintenance"].timestamp(), UTC),
                **numbers,
            )
        )
    return result


def test_replay_gives_the_training_features_bit_for_bit(history: History, readings: list[Reading]) -> None:
    trained = compute(history.columns, history.spec)
    by_charger: dict[str, list[Reading]] = {}
    histories = []
    for reading in readings:
        past = by_charger.setdefault(reading.charger_id, [])
        histories.append(list(reversed(past)))
        past.append(reading)
    step = 32
    for start in range(0, len(readings), step):
        batch = slice(start, start + step)
        columns, rows = from_readings(readings[batch], histories[batch], history.spec.code_columns)
        np.testing.assert_array_equal(compute(columns, history.spec, rows), trained[batch])
    for index in (0, 1, 50, 119, 700):
        columns, rows = from_readings([readings[index]], [histories[index]], history.spec.code_columns)
        np.testing.assert_array_equal(compute(columns, history.spec, rows)[0], trained[index])


def test_without_history_only_the_past_is_missing(history: History, readings: list[Reading]) -> None:
    columns, rows = from_readings(readings[100:110], None, history.spec.code_columns)
    frame = compute(columns, history.spec, rows)
    first = history.spec.first_history
    assert np.isnan(frame[:, first:]).all()
    full = compute(history.columns, history.spec, np.arange(100, 110))
    np.testing.assert_array_equal(frame[:, :first], full[:, :first])
    cut = compute(history.columns, history.spec, np.arange(100, 110), np.zeros(10, np.int64))
    np.testing.assert_array_equal(frame, cut)


def test_the_future_changes_nothing(history: History) -> None:
    rows = np.arange(40, 60)
    before = compute(history.columns, history.spec, rows)
    hotter = history.columns.temperature_c.copy()
    hotter[60:] = 150.0
    changed = replace(history.columns, temperature_c=hotter)
    np.testing.assert_array_equal(compute(changed, history.spec, rows), before)


def at(hour: int, **fields: Any) -> Reading:
    moment = datetime.fromtimestamp(1_700_000_000 // 86_400 * 86_400 + hour * 3600, UTC)
    return Reading("A", fields.pop("status", "AVAILABLE"), moment, **fields)


def features(past: list[Reading], now: Reading, *vocabulary: str) -> dict[str, float]:
    spec = FeatureSpec(vocabulary)
    columns, rows = from_readings([now], [past], spec.code_columns)
    row: Floats = compute(columns, spec, rows)[0].astype(np.float64)
    return dict(zip(spec.names, row.tolist(), strict=True))


def test_known_values() -> None:
    past = [
        at(0, temperature=20.0, total_sessions=100, error_codes=("GroundFailure",)),
        at(24, temperature=30.0, status="OFFLINE", error_codes=()),
        at(25, temperature=99.0, status="FAULTY"),  # the same 12 hours as the entry before: left out
        at(48, temperature=40.0, total_sessions=104, error_codes=("X-17", "X-17")),
    ]
    now = at(72, temperature=60.0, total_sessions=109, error_codes=())
    value = features(past, now, "X-17")
    assert value["temperature_mean_30d"] == 30.0
    assert value["temperature_above_usual"] == 30.0
    assert value["history_days"] == 3.0
    assert value["sessions_per_day_30d"] == 3.0
    assert value["offline_share_7d"] == pytest.approx(1 / 3)
    assert value["faulty_share_30d"] == 0.0
    assert value["ground_share_30d"] == pytest.approx(1 / 3)
    assert value["code_mean_30d:X-17"] == pytest.approx(2 / 3)
    assert value["days_since_code"] == 1.0
    assert np.isnan(value["temperature_trend_per_day"])  # fewer than 4 entries
    assert value["is_faulty"] == 0.0
    assert STATUSES[0] == "AVAILABLE"


def week_of(temperatures: list[float], charging: int) -> list[Reading]:
    """An entry for each 12 hours, the first ones while charging."""
    status = ["CHARGING"] * charging + ["AVAILABLE"] * (len(temperatures) - charging)
    return [at(12 * n, temperature=temperatures[n], status=status[n]) for n in range(len(temperatures))]


@pytest.mark.parametrize(
    ("past", "is_stuck"),
    [
        (week_of([41.0] * 14, charging=2), True),
        (week_of([20.0, 30.0] + [41.0] * 14, charging=5), True),  # it moved longer ago
        (week_of([41.0] * 14, charging=1), False),  # what hardly charges hardly warms up
        (week_of([41.0] * 13 + [41.5], charging=5), False),
        (week_of([40.0] * 14, charging=5), False),  # it moves now
        (week_of([41.0] * 11, charging=5), False),  # too short
    ],
)
def test_the_temperature_of_a_stuck_sensor_is_missing(past: list[Reading], is_stuck: bool) -> None:
    value = features(past, at(12 * len(past), temperature=41.0, power=7.0))
    temperatures = {name: number for name, number in value.items() if name.startswith("temperature_")}
    assert np.isnan(temperatures["temperature_c"]) == is_stuck
    if is_stuck:
        assert np.isnan(list(temperatures.values())).all()
    assert value["power_kw"] == 7.0
    assert value["charging_share_7d"] > 0


def test_versions_of_earlier_releases_take_temperatures_as_they_are() -> None:
    spec = FeatureSpec()
    earlier = spec.to_manifest()
    del earlier["checks_sensors"]
    columns, rows = from_readings([at(168, temperature=160.0)], [week_of([160.0] * 14, charging=5)], {})
    (now,) = compute(columns, FeatureSpec.from_manifest(earlier), rows)
    assert (now[spec.names.index("temperature_c")], now[spec.names.index("temperature_mean_7d")]) == (
        160,
        160,
    )
    assert FeatureSpec.from_manifest(spec.to_manifest()) == spec


def test_temperatures_that_no_sensor_measures_are_missing() -> None:
    past = [at(0, temperature=20.0), at(24, temperature=-50.0), at(48, temperature=30.0)]
    assert features(past, at(72, temperature=151.0))["temperature_mean_30d"] == 25.0
    assert np.isnan(features(past, at(72, temperature=151.0))["temperature_c"])
    assert features(past, at(72, temperature=150.0))["temperature_c"] == 150.0


def test_the_past_is_bounded(history: History) -> None:
    frame = compute(history.columns, history.spec)
    assert np.nanmax(frame[:, history.spec.first_history]) <= 30.0
    assert MAX_ENTRIES == 60
