"""Tools to damage a small history: each damage is made, and says how a command must answer."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

START: Final = pd.Timestamp("2026-01-01T22:00", tz="UTC")
CHARGERS: Final = 12
DAYS: Final = 45
NUMBERS: Final = ("energy_delivered", "power", "temperature", "uptime_hours", "total_sessions")
TABLES: Final = ("readings", "failures", "maintenance")


@dataclass(frozen=True)
class Answer:
    """What a command must do: accept (True), refuse (False), or either (None). A refusal names `words`."""

    accepted: bool | None
    words: tuple[str, ...] = ()
    options: tuple[str, ...] = ()


Damage = Callable[[Path, random.Random], Answer]


def tables() -> dict[str, pd.DataFrame]:
    """A healthy history: daily readings of chargers that fail about every two weeks."""
    rng = np.random.default_rng(5)
    readings, failures, repairs = [], [], []
    for number in range(CHARGERS):
        out, who = 0, f"C-{number:03d}"
        for day in range(DAYS):
            at = START + pd.Timedelta(days=day, minutes=number)
            if not out and rng.random() < 0.07:
                out = int(rng.integers(1, 3))
                failures.append((who, at - pd.Timedelta(hours=9)))
                repairs.append((who, at + pd.Timedelta(days=out, hours=-9), "corrective"))
            state = ("FAULTY", "GroundFailure") if out else ("AVAILABLE", "")
            values = (8.5, 22.0, float(rng.normal(35, 4)), 24.0 * day + 5, 100 + day, START)
            readings.append((who, at, *state, *values))
            out = max(out - 1, 0)
    names = ("charger_id", "timestamp", "connector_status", "error_codes", *NUMBERS, "last_maintenance")
    return {
        "readings": pd.DataFrame(readings, columns=names),
        "failures": pd.DataFrame(failures, columns=names[:2]),
        "maintenance": pd.DataFrame(repairs, columns=[*names[:2], "kind"]),
    }


def write(folder: Path, name: str, table: pd.DataFrame, *, csv: bool = False) -> Path:
    """Write one table in place of the healthy one. Returns its file."""
    for old in folder.glob(f"{name}.*"):
        old.unlink()
    file = folder / f"{name}.{'csv' if csv else 'parquet'}"
    if csv:
        table.to_csv(file, index=False)
    else:
        table.to_parquet(file, index=False)
    return file


def cell(name: str, column: str, value: Any) -> Damage:
    """One wrong value in a random row, in a random format."""

    def damage(folder: Path, rng: random.Random) -> Answer:
        csv, table = rng.random() < 0.5, tables()[name]
        row = rng.randrange(len(table))
        values = table[column].map(lambda one: one.isoformat() if isinstance(one, pd.Timestamp) else str(one))
        values.iloc[row] = value
        file = write(folder, name, table.assign(**{column: values}), csv=csv)
        return Answer(False, (f"{file}, row {row + (2 if csv else 1)}, column {column}: ",))

    return damage


def typed(name: str, column: str, values: Callable[[int], Any], *, accepted: bool = False) -> Damage:
    """A column of another type, in Parquet."""

    def damage(folder: Path, _: random.Random) -> Answer:
        table = pa.Table.from_pandas(tables()[name], preserve_index=False)
        changed = table.set_column(table.column_names.index(column), column, values(len(table)))
        write(folder, name, tables()[name])
        pq.write_table(changed.replace_schema_metadata(None), folder / f"{name}.parquet")
        return Answer(accepted, (f"{folder / name}.parquet, row 1, column {column}: ",))

    return damage


def whole(name: str, change: Callable[[pd.DataFrame], pd.DataFrame], answer: Answer) -> Damage:
    """A table that is changed as a whole, in a random format."""

    def damage(folder: Path, rng: random.Random) -> Answer:
        write(folder, name, change(tables()[name]), csv=rng.random() < 0.5)
        return Answer(answer.accepted, (str(folder), *answer.words), answer.options)

    return damage


def content(name: str, suffix: str, change: Callable[[bytes], bytes], *words: str) -> Damage:
    """A file whose bytes are damaged."""

    def damage(folder: Path, _: random.Random) -> Answer:
        file = write(folder, name, tables()[name], csv=suffix == "csv")
        file.write_bytes(change(file.read_bytes()))
        return Answer(False, (str(file), *words))

    return damage


def one_line(number: int, change: Callable[[bytes], bytes]) -> Callable[[bytes], bytes]:
    """Changes one line of a file, counted from 1."""

    def damage(text: bytes) -> bytes:
        lines = text.split(b"\n")
        lines[number - 1] = change(lines[number - 1])
        return b"\n".join(lines)

    return damage


def instead(name: str, make: Callable[[Path], object], word: str) -> Damage:
    """Something else in the place of a table's file."""

    def damage(folder: Path, _: random.Random) -> Answer:
        file = folder / f"{name}.parquet"
        file.unlink()
        make(file)
        return Answer(False, (str(folder), word))

    return damage


def with_options(accepted: bool | None, *options: str, words: tuple[str, ...] = ()) -> Damage:
    def damage(folder: Path, _: random.Random) -> Answer:
        return Answer(accepted, (str(folder), *words), options)

    return damage


def doubled(name: str, column: str) -> Damage:
    def damage(folder: Path, rng: random.Random) -> Answer:
        frame = tables()[name]
        twice = pa.Table.from_pandas(frame, preserve_index=False)
        twice = twice.append_column(column, twice.column(column))
        if rng.random() < 0.5:
            pq.write_table(twice, folder / f"{name}.parquet")
            return Answer(False, (f"{folder / name}.parquet: ", f"{column} twice"))
        file = write(folder, name, pd.concat([frame, frame[[column]]], axis=1), csv=True)
        return Answer(False, (f"{file}: ", f"{column} twice"))

    return damage


def moved(change: Callable[[Path, Path], object], word: str) -> Damage:
    """The folder itself is moved away, and something else is made in its place."""

    def damage(folder: Path, _: random.Random) -> Answer:
        away = folder.with_name("away")
        folder.rename(away)
        change(folder, away)
        return Answer(False, (str(folder), word))

    return damage


def bare(chargers: int, a_day: int, failing: Callable[[int, int], bool]) -> Damage:
    """Bare readings of two months, and failures three hours after those where `failing(charger, number)`."""

    def damage(folder: Path, _: random.Random) -> Answer:
        every = [(who, number) for who in range(chargers) for number in range(60 * a_day)]
        for name, hours in (("readings", 0), ("failures", 3)):
            chosen = every if name == "readings" else [one for one in every if failing(*one)]
            times = [START + pd.Timedelta(days=number / a_day, hours=hours) for _, number in chosen]
            ids = [f"C-{who}" for who, _ in chosen]
            write(folder, name, pd.DataFrame({"charger_id": ids, "timestamp": times}))
        write(folder, "maintenance", pd.DataFrame({"charger_id": [], "timestamp": []}))
        return Answer(None, (str(folder),))

    return damage
