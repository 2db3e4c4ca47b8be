"""Rows judged a column at a time come out as the same rows judged one by one."""

from __future__ import annotations

import csv
import io
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any, Final

import orjson
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from errors import InvalidReading, MalformedBody
from readings import arrow, rows
from readings.parsing import parse_reading
from readings.reading import STATUSES, Reading
from readings.refused import Refused

NOW: Final = datetime(2026, 5, 4, 12, 0, tzinfo=UTC)
NUMBERS: Final = ("energy_delivered", "power", "temperature", "uptime_hours", "total_sessions")

edges = st.sampled_from(
    [
        0.0,
        -0.0,
        -1.0,
        5e3,
        5001.0,
        1e4,
        10001.0,
        1e6,
        1e6 + 1,
        1e9,
        2e9,
        -60.0,
        -61.0,
        200.0,
        200.5,
        12.0,
        12.5,
    ]
)
numbers = st.none() | edges | st.floats(allow_nan=True, allow_infinity=True) | st.floats(0, 100)
moments = st.none() | st.sampled_from(
    [
        *("2026-01-05T10:00:00Z", "2026-01-05T10:00:00.123Z", "2026-01-05t10:00:00+02:00", "2026-01-05"),
        *("20260105", "2026-05-04T12:04:59Z", "2026-05-04T12:05:01Z", "1969-12-31T23:59:59Z", "1970-01-01"),
        *("yesterday", "2026-02-30T10:00:00Z", "2026-01-05X10:00", "0001-01-01T00:00:00Z", "2999-01-01"),
    ]
)
json_rows = st.fixed_dictionaries(
    {
        "charger_id": st.none()
        | st.sampled_from(["A", "EVZ*1|2", "not one", "A\n", "x" * 129, "x" * 128, "ä"]),
        "connector_status": st.none()
        | st.sampled_from([*STATUSES, "suspendedEV", "charging", "SINGING", "\ud7ff", "Fully Charged"]),
        **dict.fromkeys(NUMBERS, numbers),
        "error_codes": st.none()
        | st.lists(st.none() | st.sampled_from(["NoError", " noerror ", "E-1", "", "y" * 129]), max_size=3),
        "last_maintenance": moments,
        "timestamp": moments,
    }
)


def judged(raw: dict[str, Any]) -> Any:
    """What the rules for a single reading make of a row; an error as its field errors."""
    raw = {name: value for name, value in raw.items() if value is not None}
    try:
        return parse_reading(raw, now=NOW)
    except InvalidReading as error:
        return error.errors


def shown(row: Reading | Refused) -> Any:
    if isinstance(row, Refused):
        assert isinstance(row.error, InvalidReading)
        return row.error.errors
    return row


@settings(deadline=None)
@given(st.lists(json_rows, min_size=1, max_size=12))
def test_an_arrow_table_is_judged_like_its_rows(raw: list[dict[str, Any]]) -> None:
    schema = pa.schema(
        [
            *((name, pa.string()) for name in ("charger_id", "connector_status")),
            *((name, pa.float64()) for name in NUMBERS),
            ("error_codes", pa.list_(pa.string())),
            *((name, pa.string()) for name in ("last_maintenance", "timestamp")),
        ]
    )
    got = arrow.from_table(pa.Table.from_pylist(raw, schema), now=NOW)
    assert [repr(shown(row)) for row in got] == [repr(judged(row)) for row in raw]


@settings(deadline=None)
@given(st.lists(json_rows, min_size=1, max_size=12))
def test_a_csv_file_is_judged_like_its_rows(raw: list[dict[str, Any]]) -> None:
    """As far as CSV can say the same: an empty cell is missing, codes have semicolons between them."""
    said = [{name: value for name, value in row.items() if not _unsayable(value)} for row in raw]
    file = io.StringIO(newline="")
    writer = csv.DictWriter(file, list(raw[0]))
    writer.writeheader()
    for row in said:
        writer.writerow(
            row | {"error_codes": ";".join(row["error_codes"])} if row.get("error_codes") else row
        )
    got = rows.from_csv(file.getvalue().encode(), now=NOW)
    assert [repr(shown(row)) for row in got] == [repr(judged(row)) for row in said]


def _unsayable(value: Any) -> bool:
    if isinstance(value, list):
        return not value or None in value or any(not code for code in value)
    return value is None or (isinstance(value, float) and not abs(value) < float("inf"))


@pytest.mark.parametrize(
    ("column", "expected"),
    [
        (pa.array([1767607200 * 10**9]).cast(pa.timestamp("ns")), datetime(2026, 1, 5, 10, tzinfo=UTC)),
        (pa.array([1767607200]).cast(pa.timestamp("s", "Europe/London")), None),
        (pa.array([date(2026, 1, 5)]), datetime(2026, 1, 5, tzinfo=UTC)),
        (pa.array(["2026-01-05T10:00:00Z"]).dictionary_encode(), datetime(2026, 1, 5, 10, tzinfo=UTC)),
        (pa.array([1767607200], pa.int64()), datetime(2026, 1, 5, 10, tzinfo=UTC)),
        (pa.array([1767607200.5]), datetime(2026, 1, 5, 10, 0, 0, 500_000, tzinfo=UTC)),
    ],
)
def test_a_moment_may_have_any_type_that_says_when(column: pa.Array, expected: datetime | None) -> None:
    got = one({"timestamp": column})
    assert isinstance(got, Reading)
    assert got.timestamp == (expected or datetime(2026, 1, 5, 10, tzinfo=UTC))
    assert got.stated_at


IDS: Final = [
    pa.array([41, 7], pa.int64()),
    pa.array([41, 7], pa.uint8()),
    pa.array([41, 7]).dictionary_encode(),
    pa.array(["41", "7"]),
]


@pytest.mark.parametrize("column", IDS)
def test_an_id_may_be_an_integer_whatever_becomes_of_its_row(column: pa.Array) -> None:
    columns = {"charger_id": column, "connector_status": pa.array(["Charging", "SINGING"])}
    good, bad = arrow.from_table(pa.table(columns), now=NOW)
    assert isinstance(good, Reading)
    assert (good.charger_id, [each.pointer for each in shown(bad)]) == ("41", ["/connector_status"])
    assert isinstance(bad, Refused)
    assert bad.charger_id == "7"


def test_an_integer_that_is_missing_is_no_id() -> None:
    got = one({"charger_id": pa.array([None], pa.int64())})
    assert [(each.pointer, each.code) for each in shown(got)] == [("/charger_id", "required")]


@pytest.mark.parametrize(("column", "said"), [(pa.array([4.5]), "4.5"), (pa.array([True]), None)])
def test_other_types_are_no_ids_but_what_they_say_is_shown(column: pa.Array, said: str | None) -> None:
    got = one({"charger_id": column})
    assert isinstance(got, Refused)
    assert ([each.pointer for each in shown(got)], got.charger_id) == (["/charger_id"], said)


def test_an_integer_is_no_id_in_json_but_it_is_shown() -> None:
    (got,) = rows.from_ndjson(b'{"charger_id":7,"connector_status":"Charging"}', now=NOW)
    assert isinstance(got, Refused)
    assert ([each.detail for each in shown(got)], got.charger_id) == (["Not a valid string."], "7")


@pytest.mark.parametrize(
    "column",
    [
        pa.array([41], pa.int8()),
        pa.array([41.0], pa.float32()),
        pa.array([Decimal("41")]),
        pa.array(["41"]),
        pa.array(["4.1e1"]).cast(pa.large_string()),
    ],
)
def test_a_number_may_have_any_type_that_is_one(column: pa.Array) -> None:
    got = one({"temperature": column, "total_sessions": column})
    assert isinstance(got, Reading)
    assert (got.temperature, got.total_sessions) == (41.0, 41)
    assert type(got.total_sessions) is int


PLAIN_NUMBERS: Final = [" 41", "41 ", "+41", "41.", "041", "4.1E+1", "\t410e-1\u00a0", ".41e2"]


@pytest.mark.parametrize("neighbour", ["Charging", "SINGING"])
def test_a_number_in_csv_is_what_plainly_is_one(neighbour: str) -> None:
    """Whether the columns are judged or, for the sake of another field, the row."""
    lines = [f"A, {neighbour} ,{text},{text}" for text in PLAIN_NUMBERS]
    data = "\n".join(["charger_id,connector_status,temperature,total_sessions", *lines]).encode()
    got = rows.from_csv(data, now=NOW)
    if neighbour == "Charging":
        assert [(row.temperature, row.total_sessions) for row in got if isinstance(row, Reading)] == [
            (41, 41)
        ] * len(PLAIN_NUMBERS)
    else:
        assert [[each.pointer for each in shown(row)] for row in got] == [["/connector_status"]] * len(lines)


@pytest.mark.parametrize(
    "text",
    ["4 1", "+", ".", "-", "++1", "+-1", "1,5", "1_0", "0x1", "1e", "nan", "inf", "41 °C", "--1", "e5"],
)
def test_a_text_that_is_not_plainly_a_number_is_refused(text: str) -> None:
    got = rows.from_csv(f'charger_id,connector_status,power\nA,Charging,"{text}"\n'.encode(), now=NOW)
    assert [[each.pointer for each in shown(row)] for row in got] == [["/power"]]


def test_blanks_around_times_and_blanks_alone_in_csv() -> None:
    data = (
        b"charger_id,connector_status,power,timestamp\nA,Charging, , 2026-01-05T10:00:00Z\nB,Charging, 1, \n"
    )
    data += b"C,SINGING, , \nD,Charging,2, 1767607200 \n"
    first, second, third, last = rows.from_csv(data, now=NOW)
    assert isinstance(first, Reading)
    assert isinstance(second, Reading)
    assert isinstance(last, Reading)
    assert [each.pointer for each in shown(third)] == ["/connector_status"]
    assert last.timestamp == first.timestamp
    assert (first.power, first.timestamp) == (None, datetime(2026, 1, 5, 10, tzinfo=UTC))
    assert (second.power, second.stated_at) == (1.0, False)


def test_a_numeric_text_in_json_stays_no_number() -> None:
    (got,) = rows.from_ndjson(b'{"charger_id":"A","connector_status":"Charging","power":" 41"}', now=NOW)
    assert [each.pointer for each in shown(got)] == ["/power"]


@pytest.mark.parametrize(
    "column", [pa.array([True]), pa.array([[1.0]]), pa.array(["1_0"]), pa.array(["nan"])]
)
def test_what_is_no_number_is_refused_by_name(column: pa.Array) -> None:
    got = one({"temperature": column})
    assert isinstance(got, Refused)
    assert isinstance(got.error, InvalidReading)
    assert ([each.pointer for each in got.error.errors], got.charger_id) == (["/temperature"], "A")


@pytest.mark.parametrize(
    ("column", "expected"),
    [
        (pa.array([["E-1", "NoError"]]), ("E-1",)),
        (pa.array([[]], pa.list_(pa.null())), ()),
        (pa.array([["E-1"]], pa.large_list(pa.string())), ("E-1",)),
        (pa.array(["E-1; E-2"]), ("E-1", "E-2")),
        (pa.array(['["E;1"]']), ("E;1",)),
        (pa.array(["NoError"]), ()),
        (pa.array([""]), None),
    ],
)
def test_error_codes_are_a_list_or_a_text(column: pa.Array, expected: tuple[str, ...] | None) -> None:
    got = one({"error_codes": column})
    assert isinstance(got, Reading)
    assert got.error_codes == expected


@pytest.mark.parametrize(
    "column",
    [
        pa.array(['{"costs": {"visit": 300}, "site": NaN, "note": "\\ud800"}']),
        pa.array([{"costs": {"visit": 300}, "site": {"city": "Berlin"}}]),
        pa.array([[("costs", {"visit": 300})]], pa.map_(pa.string(), pa.struct([("visit", pa.int64())]))),
    ],
)
def test_metadata_is_an_object_of_which_costs_are_kept(column: pa.Array) -> None:
    got = one({"metadata": column})
    assert isinstance(got, Reading)
    assert got.metadata == {"costs": {"visit": 300}}


def one(columns: dict[str, pa.Array]) -> Reading | Refused:
    ordinary = {"charger_id": pa.array(["A"]), "connector_status": pa.array(["Charging"])}
    unknown = {"firmware": pa.array([{"major": 1}])}
    (got,) = arrow.from_table(pa.table(ordinary | columns | unknown), now=NOW)
    return got


def test_what_has_no_row_has_no_reading() -> None:
    assert arrow.from_table(pa.table({"charger_id": pa.array([], pa.string())}), now=NOW) == []


def test_a_column_that_is_missing_or_null_is_refused_where_it_is_required() -> None:
    for given_columns in ({}, {"connector_status": pa.nulls(1)}):
        (got,) = arrow.from_table(pa.table({"charger_id": pa.array(["A"])} | given_columns), now=NOW)
        assert isinstance(got, Refused)
        assert [each.code for each in shown(got)] == ["required"]


NOT_UTF_8: Final = pa.Array.from_buffers(
    pa.string(), 2, [None, pa.array([0, 1, 3], pa.int32()).buffers()[1], pa.py_buffer(b"A\xff\xfe")]
)
FAR: Final = [0, 2**62]  # 1970, and a year that Python has no number for


@pytest.mark.parametrize(
    ("name", "column"),
    [
        ("power", pa.array(["1", "1e400"])),
        ("power", pa.array(["1", "9" * 5000])),
        ("timestamp", pa.array(["1767607200", "9" * 400])),
        ("timestamp", pa.array(FAR).cast(pa.timestamp("us"))),
        ("timestamp", pa.array(FAR).cast(pa.timestamp("s"))),
        ("timestamp", pa.array([0, 2**31 - 1], pa.int32()).cast(pa.date32())),
        ("last_maintenance", pa.array(FAR).cast(pa.timestamp("ms", "UTC"))),
        ("charger_id", NOT_UTF_8),
        ("error_codes", pa.ListArray.from_arrays(pa.array([0, 1, 2]), NOT_UTF_8)),
        ("metadata", pa.array(['{"a": 1e400}', "[" * 5000 + "]" * 5000])),
        ("error_codes", pa.array(["E-1", '["\\ud800"]'])),
        ("metadata", pa.StructArray.from_arrays([pa.array(FAR[1:]).cast(pa.timestamp("us"))], ["seen"])),
    ],
)
def test_a_value_that_python_has_not_is_refused_by_name_and_its_neighbour_is_not(
    name: str, column: pa.Array
) -> None:
    n = len(column)
    columns = {"charger_id": pa.array(["A"] * n), "connector_status": pa.array(["Charging"] * n)}
    *first, last = arrow.from_table(pa.table(columns | {name: column}), now=NOW)
    assert all(isinstance(row, Reading) for row in first)
    assert [each.pointer.startswith(f"/{name}") for each in shown(last)] == [True]


def test_a_view_of_texts_is_a_text() -> None:
    got = one({"charger_id": pa.array(["A"], pa.string_view()), "metadata": pa.array([{"a": 1}])})
    assert isinstance(got, Reading)


def test_each_wrong_field_of_a_csv_row_is_named() -> None:
    data = b"charger_id,connector_status,temperature,last_maintenance\nA,Charging,hot,2099-01-01\n"
    (got,) = rows.from_csv(data, now=NOW)
    assert [each.pointer for each in shown(got)] == ["/temperature", "/last_maintenance"]


def test_a_csv_record_of_another_length_is_refused_and_its_neighbours_are_not() -> None:
    data = b'charger_id,connector_status,power\nA,Charging,1\nB,Charging\nC,Charging,"2"\nD,Charging,3,4\n'
    first, short, third, long = rows.from_csv(data, now=NOW)
    assert isinstance(first, Reading)
    assert isinstance(third, Reading)
    assert (first.power, third.power) == (1.0, 2.0)
    for refused, charger_id in ((short, "B"), (long, "D")):
        assert isinstance(refused, Refused)
        assert isinstance(refused.error, MalformedBody)
        assert refused.charger_id == charger_id


def test_a_line_that_is_not_json_is_refused_and_its_neighbours_are_not() -> None:
    good = orjson.dumps({"charger_id": "A", "connector_status": "Charging", "timestamp": 1767607200})
    first, broken, number, last = rows.from_ndjson(b"\n".join([good, b'{"charger_id":', b"7", good]), now=NOW)
    assert isinstance(first, Reading)
    assert first == last
    assert isinstance(broken, Refused)
    assert isinstance(broken.error, MalformedBody)
    assert isinstance(number, Refused)
    assert first.timestamp - datetime(2026, 1, 5, 10, tzinfo=UTC) == timedelta(0)


@pytest.mark.parametrize("encoding", ["csv", "arrow", "ndjson"])
def test_a_row_that_raises_what_nobody_expects_is_refused_alone(
    encoding: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(raw: object, *, now: datetime, pointer: str = "") -> Reading:
        if isinstance(raw, dict) and raw["charger_id"] == "BAD":
            raise RecursionError("nobody thought of this")
        return parse_reading(raw, now=now, pointer=pointer)

    monkeypatch.setattr(rows, "parse_flat_or_enveloped", refuse)
    monkeypatch.setattr(arrow, "parse_reading", refuse)
    # A status that only the schema knows, so that each row is judged by it.
    raw = [{"charger_id": name, "connector_status": "cHaRgInG"} for name in ("A", "BAD", "B")]
    if encoding == "ndjson":
        found = rows.from_ndjson(b"\n".join(map(orjson.dumps, raw)), now=NOW)
    elif encoding == "csv":
        lines = [
            "charger_id,connector_status,temperature",
            *(f"{row['charger_id']},cHaRgInG,x" for row in raw),
        ]
        found = rows.from_csv("\n".join(lines).encode(), now=NOW)
    else:
        columns = {name: [row[name] for row in raw] for name in raw[0]} | {"temperature": ["x"] * 3}
        found = arrow.from_table(pa.table(columns), now=NOW)
    first, bad, last = found
    assert isinstance(bad, Refused)
    assert "RecursionError" in str(bad.error)
    for row in (first, last):
        assert "RecursionError" not in str(row.error if isinstance(row, Refused) else row)
