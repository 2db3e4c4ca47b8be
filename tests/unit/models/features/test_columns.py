"""Readings as columns: order, what is left out, codes, and entries that were never readings here."""

from __future__ import annotations

import random
from collections.abc import Callable
from datetime import timedelta

import numpy as np

from models.features.columns import Columns, HistoryEntries, count_codes, from_readings
from readings.reading import Reading
from tests.unit.models.samples import NOON

VOCABULARY = {"X-17": 10}
Make = Callable[..., Reading]


def history_of(reading: Reading, n: int, rng: random.Random) -> list[Reading]:
    past = [
        reading._replace(
            timestamp=NOON - timedelta(hours=rng.uniform(-30, 700)),
            temperature=rng.choice([None, rng.uniform(0, 60)]),
            error_codes=rng.choice([None, (), ("GroundFailure",), ("X-17", "X-17", "WeakSignal")]),
        )
        for _ in range(n)
    ]
    return [*past, reading._replace(temperature=99.0), *past[:2]]  # its own moment; moments that repeat


def test_each_reading_stands_after_its_older_entries_in_time_order(reading: Make) -> None:
    rng = random.Random(4)
    readings = [reading(charger_id=f"C{index}", error_codes=("X-17",)) for index in range(6)]
    histories = [history_of(one, n, rng) for one, n in zip(readings, (5, 0, 40, 1, 60, 9), strict=True)]
    columns, rows = from_readings(readings, histories, VOCABULARY)
    expected: list[Reading] = []
    for index, (one, history) in enumerate(zip(readings, histories, strict=True)):
        older = [entry for entry in history if entry.timestamp < one.timestamp]
        expected += [*sorted(older, key=lambda entry: entry.timestamp), one]
        assert rows[index] == len(expected) - 1
        assert (columns.charger == index).sum() == len(older) + 1
    np.testing.assert_array_equal(
        columns.time_s, np.round([entry.timestamp.timestamp() for entry in expected], 3)
    )
    np.testing.assert_array_equal(
        columns.codes, np.array([count_codes(entry.error_codes, VOCABULARY) for entry in expected])
    )
    np.testing.assert_array_equal(
        columns.temperature_c,
        np.array([np.nan if entry.temperature is None else entry.temperature for entry in expected]),
    )
    assert np.isfinite(columns.serviced_s[rows]).all()


def test_entries_are_as_good_as_readings(reading: Make) -> None:
    rng = random.Random(5)
    readings = [reading(charger_id=f"C{index}") for index in range(8)]
    histories = [history_of(one, 20, rng) for one in readings]
    from_past, rows = from_readings(readings, histories, VOCABULARY)
    from_entries, same_rows = from_readings(
        readings, [HistoryEntries.of(past) for past in histories], VOCABULARY
    )
    np.testing.assert_array_equal(rows, same_rows)
    for name in Columns.__dataclass_fields__:
        np.testing.assert_array_equal(getattr(from_past, name), getattr(from_entries, name))
