"""Damages of a history by name: wrong cells, wrong types, broken files, and odd contents."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import pandas as pd
import pyarrow as pa

from tests.unit.models.damage import (
    NUMBERS,
    START,
    TABLES,
    Answer,
    Damage,
    bare,
    cell,
    content,
    doubled,
    instead,
    moved,
    one_line,
    tables,
    typed,
    whole,
    with_options,
)


def _cut_to(share: float) -> Callable[[bytes], bytes]:
    return lambda text: text[: int(share * len(text))]


def _without(column: str) -> Callable[[pd.DataFrame], pd.DataFrame]:
    return lambda table: table.drop(columns=column)


def _renamed(column: str) -> Callable[[pd.DataFrame], pd.DataFrame]:
    return lambda table: table.rename(columns={column: "Id"})


def _cells() -> Iterator[tuple[str, Damage]]:
    wrong_times = ("yesterday", "2026-13-45", "2026-02-30", "0001-01-01", "9999-12-31T23:59:59Z", "12:30")
    wrong: dict[str, tuple[Any, ...]] = {
        "charger_id": ("", "   ", None),
        "timestamp": (*wrong_times, "", None, "9" * 25, "1970-01-12T00:00:00Z"),
        "connector_status": ("asleep", "42", "none at all " * 40),
        "energy_delivered": ("-1", "inf", "1e999"),
        "power": ("eleven", "9" * 30, "-0.5"),
        "temperature": ("3,5", "-400", "1e300"),
        "uptime_hours": ("-inf", "1 h", "[1, 2]"),
        "total_sessions": ("-3", "many", "9" * 25),
        "last_maintenance": ("soon", "9999-99-99", "3000-01-01"),
    }
    for column, values in wrong.items():
        for value in values:
            yield f"a reading's {column} is {str(value)[:20]!r}", cell("readings", column, value)
    for name in TABLES[1:]:
        for column in ("charger_id", "timestamp"):
            for value in wrong[column]:
                yield f"{column} in {name} is {str(value)[:20]!r}", cell(name, column, value)


def _types() -> Iterator[tuple[str, Damage]]:
    odd: dict[str, Callable[[int], Any]] = {
        "bytes": lambda n: pa.array([b"\xff\x00"] * n),
        "lists": lambda n: pa.array([[1, 2]] * n),
        "structs": lambda n: pa.array([{"a": 1}] * n),
        "durations": lambda n: pa.array([5] * n, pa.duration("s")),
        "true and false": lambda n: pa.array([True] * n),
        "times of day": lambda n: pa.array([5] * n, pa.time32("s")),
    }
    for kind, values in odd.items():
        for column in ("charger_id", "timestamp", "temperature", "last_maintenance", "connector_status"):
            yield f"{column} of readings: {kind}", typed("readings", column, values)
        for name in TABLES[1:]:
            yield f"timestamp of {name}: {kind}", typed(name, "timestamp", values)
    for kind in ("bytes", "structs", "durations", "times of day"):
        yield f"error_codes: {kind}", typed("readings", "error_codes", odd[kind])
    huge = pa.scalar(2**63 - 1, pa.int64())
    for column in ("timestamp", "total_sessions", "power"):
        yield f"huge {column}", typed("readings", column, lambda n: pa.array([huge.as_py()] * n))
    yield "negative counts of codes", typed("readings", "error_codes", lambda n: pa.array([-1] * n))
    milliseconds = int(START.timestamp() * 1000)
    yield "milliseconds", typed("readings", "timestamp", lambda n: pa.array([milliseconds] * n))
    yield (
        "dates",
        typed(
            "readings", "last_maintenance", lambda n: pa.array([START.date()] * n, pa.date32()), accepted=True
        ),
    )
    yield "empty codes", typed("readings", "error_codes", lambda n: pa.nulls(n), accepted=True)
    yield "codes in lists", typed("readings", "error_codes", lambda n: pa.array([["A"]] * n), accepted=True)
    states = pa.array(["AVAILABLE"]).dictionary_encode()
    yield (
        "categories",
        typed("readings", "connector_status", lambda n: states.take(pa.array([0] * n)), accepted=True),
    )
    yield (
        "decimals",
        typed("readings", "power", lambda n: pa.array([22] * n).cast(pa.decimal128(21, 2)), accepted=True),
    )


def _files() -> Iterator[tuple[str, Damage]]:
    for name in TABLES:
        for share in (0.3, 0.9):
            yield (
                f"{name} cut to {share}",
                content(name, "parquet", _cut_to(share)),
            )
        yield f"{name} is empty", content(name, "parquet", lambda _: b"")
        yield f"{name} is no Parquet", content(name, "parquet", lambda _: b"charger_id,timestamp\n")
        yield f"{name} is an empty CSV", content(name, "csv", lambda _: b"")
        yield (
            f"{name} has Latin-1",
            content(name, "csv", one_line(9, lambda line: b"\xfcber" + line), "row 9"),
        )
        yield f"{name} is UTF-16", content(name, "csv", lambda text: text.decode().encode("utf-16"), "row 1")
        yield (
            f"{name} has a long row",
            content(name, "csv", one_line(7, lambda line: line + b",1,2,3"), "line 7"),
        )
        yield f"{name} has an open quote", content(name, "csv", one_line(5, lambda line: b'"' + line))
        yield f"{name} is a folder", instead(name, Path.mkdir, "is not a file")
        yield f"{name} is a pipe", instead(name, os.mkfifo, "is not a file")
        for column in ("charger_id", "timestamp"):
            yield f"{name} has {column} twice", doubled(name, column)
            answer = Answer(False, (f"{name}.", f"no column {column}"))
            yield (
                f"{name} lacks {column}",
                whole(name, _without(column), answer),
            )
            yield (
                f"{name} has another {column}",
                whole(name, _renamed(column), answer),
            )
    for name in TABLES[:2]:
        yield f"{name} is missing", instead(name, lambda _: None, "has neither")
        yield f"{name} leads nowhere", instead(name, lambda file: file.symlink_to("nowhere"), "has neither")
    yield "readings have temperature twice", doubled("readings", "temperature")
    yield "the folder is missing", moved(lambda *_: None, "is not a folder")
    yield "the folder is a file", moved(lambda folder, _: folder.write_text("x"), "is not a folder")
    yield "the folder leads in a circle", moved(lambda folder, _: folder.symlink_to(folder), "")


def _contents() -> Iterator[tuple[str, Damage]]:
    def readings(change: Callable[[pd.DataFrame], pd.DataFrame], accepted: bool | None = True) -> Damage:
        return whole("readings", change, Answer(accepted))

    one = tables()["readings"].charger_id.iloc[0]
    yield "no readings", readings(lambda table: table.head(0), False)
    yield "one reading", whole("readings", lambda table: table.tail(1), Answer(None))
    yield "one charger", readings(lambda table: table[table.charger_id == one], None)
    yield "all at one moment", readings(lambda table: table.assign(timestamp=START), None)
    yield "all FAULTY", readings(lambda table: table.assign(connector_status="FAULTY"))
    yield "readings twice", readings(lambda table: pd.concat([table, table]))
    yield "readings shuffled", readings(lambda table: table.sample(frac=1, random_state=1))
    yield "more columns", readings(lambda table: table.assign(note="x", **{"": 1}))
    yield "two columns", readings(lambda table: table[["charger_id", "timestamp"]])
    yield "nothing measured", readings(lambda table: table.assign(**dict.fromkeys(NUMBERS)))
    zones = ["2026-01-20T22:00:00+14:00", "2026-01-20T22:00:00-11:00", "2026-01-20 22:00", "2026-01-20"]
    yield (
        "time zones",
        readings(lambda table: table.assign(timestamp=(zones * len(table))[: len(table)]), None),
    )
    yield "numbers as ids", readings(lambda table: table.assign(charger_id=range(len(table))), False)
    yield "no failures", whole("failures", lambda table: table.head(0), Answer(None))
    yield (
        "a failure a day",
        whole("failures", lambda _: tables()["readings"][["charger_id", "timestamp"]], Answer(None)),
    )
    yield (
        "failures long ago",
        whole("failures", lambda table: table.assign(timestamp=START - pd.Timedelta(days=900)), Answer(None)),
    )
    yield (
        "failures to come",
        whole("failures", lambda table: table.assign(timestamp=START + pd.Timedelta(days=900)), Answer(None)),
    )
    yield "one charger that fails often", bare(1, 24, lambda _, number: number % 100 == 50)
    yield "two chargers, one fails", bare(2, 24, lambda who, number: who == 0 and number % 90 == 50)
    yield "all fail at once", bare(12, 4, lambda _, number: number == 100)
    yield "all fail at the end", bare(12, 4, lambda _, number: number == 60 * 4 - 1)
    yield "all fail at the start", bare(12, 4, lambda _, number: number == 5)
    others = Answer(False, ("failures.", "row ", "column charger_id", "has no reading"))
    yield "failures of others", whole("failures", lambda table: table.assign(charger_id="Z"), others)
    yield "no maintenance", whole("maintenance", lambda table: table.head(0), Answer(True))
    yield "a kind of numbers", whole("maintenance", lambda table: table.assign(kind=5), Answer(True))
    yield "a column that is not", with_options(False, "--map", "temperature=heat", words=("heat",))
    yield "a field that is not", with_options(False, "--map", "heat=temperature", words=("heat",))
    yield (
        "words as counts",
        with_options(
            False, "--map", "error_codes=connector_status,power", words=("row 1, column connector_status",)
        ),
    )


DAMAGES: Final = dict([*_cells(), *_types(), *_files(), *_contents()])
