"""A document read in windows has the rows it has when read whole, wherever windows end."""

from __future__ import annotations

import io
import json
import re
from datetime import UTC, datetime
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from errors import InvalidReading, MalformedBody
from readings.refused import Refused
from readings.rows import from_ndjson
from web.uploads import json_rows

WINDOW_BYTES = 128
MAX_ROW_BYTES = 2000
LONGEST = 400  # without the white space of any style

# What looks like the end of a row, and is none.
text = st.sampled_from(["", "a", "},{", '"},{"', "\\", "]}", "é", "\n"])
values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(-1e9, 1e9) | text,
    lambda some: st.lists(some, max_size=3) | st.dictionaries(text, some, max_size=3),
    max_leaves=3,
)
objects = st.dictionaries(text, values, max_size=3).filter(lambda row: len(json.dumps(row)) < LONGEST)
rows = st.tuples(st.lists(objects, max_size=30), values, st.lists(objects, max_size=9)).map(
    lambda parts: [*parts[0], parts[1], *parts[2]]
)
styles = st.sampled_from([(None, (",", ":")), (None, (", ", ": ")), (2, (",", ": ")), (1, (" ,", " : "))])


@pytest.fixture(autouse=True, scope="module")
def small_windows() -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(json_rows, "WINDOW_BYTES", WINDOW_BYTES)
        patch.setattr(json_rows, "MAX_ROW_BYTES", MAX_ROW_BYTES)
        yield


def decoded(row: Any) -> Any:
    return orjson.loads(json_rows.encode_row(row))


def read(document: bytes) -> list[Any]:
    return list(map(decoded, json_rows.in_windows(io.BytesIO(document))))


@settings(deadline=None)
@given(
    rows=rows, style=styles, others=st.dictionaries(st.sampled_from(["a", "b"]), text), first=st.booleans()
)
def test_windows_do_not_change_what_is_read(
    rows: list[Any], style: tuple[int | None, tuple[str, str]], others: dict[str, Any], first: bool
) -> None:
    document = {"chargers": rows, **others} if first else {**others, "chargers": rows}
    indent, separators = style
    raw = json.dumps(document, indent=indent, separators=separators, ensure_ascii=False).encode()
    assert read(raw) == json_rows.whole(raw) == rows


@settings(deadline=None)
@given(rows=st.lists(objects, min_size=5, max_size=20), data=st.data())
def test_a_document_that_ends_early_is_refused_after_the_rows_before(rows: list[Any], data: Any) -> None:
    raw = orjson.dumps({"chargers": rows})
    cut = raw[: data.draw(st.integers(len(b'{"chargers":['), len(raw) - 1))]
    found: list[Any] = []
    with pytest.raises(MalformedBody):
        found.extend(map(decoded, json_rows.in_windows(io.BytesIO(cut))))
    assert found == rows[: len(found)]


@pytest.mark.parametrize("tail", [b",]}", b"]", b"}", b"]}}", b"]} {", b"]},", b",", b"]]}"])
def test_a_wrong_end_is_refused(tail: bytes) -> None:
    raw = b'{"chargers":[' + b",".join([b'{"charger_id":"EVZ-1"}'] * 20) + tail
    with pytest.raises(MalformedBody):
        read(raw)


@pytest.mark.parametrize("between", [b"", b" ", b",,", b":", b"x,"])
def test_a_wrong_middle_is_refused(between: bytes) -> None:
    row = b'{"charger_id":"EVZ-1"}'
    raw = b'{"chargers":[' + b",".join([row] * 20) + between + b",".join([row] * 20) + b"]}"
    with pytest.raises(MalformedBody):
        read(raw)


@pytest.mark.parametrize("number", ["NaN", "-Infinity", "1e400", "123456789012345678901234567890"])
def test_a_number_that_is_none_reaches_the_worker_by_its_name(number: str) -> None:
    row = b'{"charger_id":"EVZ-1","temperature":%b,"energy_delivered":null}' % number.encode()
    raw = b'{"chargers":[' + b",".join([b'{"charger_id":"EVZ-0"}'] * 9 + [row]) + b"]}"
    for found in (json_rows.whole(raw), list(json_rows.in_windows(io.BytesIO(raw)))):
        assert [json_rows.encode_row(each) for each in found[:-1]] == [b'{"charger_id":"EVZ-0"}'] * 9
        (refused,) = from_ndjson(json_rows.encode_row(found[-1]), now=datetime.now(UTC))
        assert isinstance(refused, Refused)
        assert isinstance(refused.error, InvalidReading)
        assert "/temperature" in [each.pointer for each in refused.error.errors]


@pytest.mark.parametrize(
    "value", [b"[" * 900 + b"]" * 900, b"1" * 5000, b"[" * 5000, b"1e99999999999999999999"]
)
def test_a_hostile_row_ends_in_a_refusal_of_it_or_of_the_body(value: bytes) -> None:
    row = b'{"charger_id":"EVZ-1","temperature":%b}' % value
    raw = b'{"chargers":[' + b",".join([b'{"charger_id":"EVZ-0"}'] * 9 + [row] * 2) + b"]}"
    try:
        lines = [json_rows.encode_row(each) for each in json_rows.in_windows(io.BytesIO(raw))]
    except MalformedBody:
        return
    assert len(lines) == 11
    assert isinstance(from_ndjson(lines[-1], now=datetime.now(UTC))[0], Refused)


def test_a_second_list_is_refused() -> None:
    row = b'{"charger_id":"EVZ-1"}'
    rows = b",".join([row] * 200)
    with pytest.raises(InvalidReading, match="more than one"):
        read(b'{"chargers":[%b],"chargers":[%b]}' % (rows, row))


def metadata_of(line: bytes) -> Any:
    return orjson.loads(line).get("metadata")


@pytest.mark.parametrize(
    "other", [b'"%b"' % (b"x" * 1000), b"NaN", b'"\\ud800"', b"9" * 5000, b"[" * 30 + b"]" * 30]
)
def test_metadata_that_nobody_reads_is_not_stored(other: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_rows, "MAX_ROW_BYTES", 100_000)
    metadata = b'{"costs":{"visit":90},"other":%b}' % other
    raw = b'{"chargers":[{"charger_id":"A"},{"charger_id":"B","metadata":%b}]}' % metadata
    for rows in (json_rows.whole(raw), list(json_rows.in_windows(io.BytesIO(raw)))):
        assert list(map(metadata_of, map(json_rows.encode_row, rows))) == [None, {"costs": {"visit": 90}}]


@pytest.mark.parametrize(
    ("member", "pointer"),
    [
        *((b'"metadata":{"a":%b}' % (b"[" * n + b"]" * n), "/metadata") for n in (32, 254, 900, 1100, 5000)),
        (b'"metadata":{"costs":{"visit":NaN}}', "/metadata/costs"),
        (b'"metadata":{"costs":{"visit":"\\ud800"}}', "/metadata/costs"),
        (b'"metadata":{"costs":"%b"}' % (b"x" * 16_384), "/metadata/costs"),
        (b'"error_codes":["\\ud800"]', "/error_codes/0"),
        (b'"power":%b' % (b"9" * 5000), "/power"),
        (b'"power":%b' % (b"[" * 5000 + b"]" * 5000), "/power"),
    ],
)
def test_a_hostile_row_is_refused_by_the_name_of_its_field_and_its_neighbours_are_not(
    member: bytes, pointer: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(json_rows, "MAX_ROW_BYTES", 100_000)
    good = b'{"charger_id":"A","connector_status":"CHARGING"}'
    raw = b'{"chargers":[%b,%b,%b},%b]}' % (good, good[:-1], member, good)
    for rows in (json_rows.whole(raw), list(json_rows.in_windows(io.BytesIO(raw)))):
        lines = b"\n".join(map(json_rows.encode_row, rows))
        first, refused, last = from_ndjson(lines, now=datetime.now(UTC))
        assert not isinstance(first, Refused)
        assert not isinstance(last, Refused)
        assert isinstance(refused, Refused)
        assert isinstance(refused.error, InvalidReading)
        assert [each.pointer for each in refused.error.errors] == [pointer]


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (b'{"charger_id": "A"}\n{"charger_id": "B"}\n', "send Content-Type: application/x-ndjson."),
        (b'[{"charger_id": "A"}]', 'Must be a JSON object, like {"chargers": [reading, …]}.'),
        (b'{"charger_id": "A"}', 'The body must be like {"chargers": [reading, …]}.'),
        (b'{"chargers": [{]}', "line 1 column 16 (char 15)."),
    ],
)
def test_a_body_of_another_form_is_told_the_form(body: bytes, told: str) -> None:
    with pytest.raises((InvalidReading, MalformedBody), match=re.escape(told) + "$"):
        json_rows.whole(body)
