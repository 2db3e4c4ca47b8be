"""The reading contract: what comes in, what it becomes, what is refused and how it is named."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import orjson
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from errors import InvalidReading, MalformedBody
from readings import parsing
from readings.parsing import decode_json, parse_reading
from readings.reading import BOUNDS, EARLIEST, OCPP_STATUSES, STATUSES, Reading, rfc3339

NOW = datetime(2026, 11, 1, 12, tzinfo=UTC)
LEAST = {"charger_id": "A", "connector_status": "CHARGING"}


def parse(**fields: Any) -> Reading:
    return parse_reading(LEAST | fields, now=NOW)


def pointers(**fields: Any) -> list[str]:
    with pytest.raises(InvalidReading) as caught:
        parse(**fields)
    return [error.pointer for error in caught.value.errors]


def test_what_is_missing_is_missing_and_not_zero() -> None:
    assert parse() == Reading("A", "CHARGING", NOW, stated_at=False)
    assert parse(power=None, error_codes=None, last_maintenance=None, metadata=None) == parse()


def test_every_spelling_of_a_status_is_mapped() -> None:
    for status in STATUSES:
        assert parse(connector_status=status.lower()).connector_status == status
    for spelling, status in OCPP_STATUSES.items():
        assert parse(connector_status=spelling).connector_status == status
        assert parse(connector_status=spelling.upper()).connector_status == status
    assert parse(connector_status="fully charged").connector_status == "FULLY_CHARGED"


def test_no_error_is_none_and_unknown_codes_are_welcome() -> None:
    assert parse(error_codes=["NoError", "noerror", " ", "Vendor-0x17 "]).error_codes == ("Vendor-0x17",)
    assert parse(error_codes=[]).error_codes == ()


def test_times_are_iso_8601_or_epoch_seconds() -> None:
    assert parse(timestamp="2026-11-01T13:00:00+02:00").timestamp == datetime(2026, 11, 1, 11, tzinfo=UTC)
    assert parse(timestamp="2026-11-01T11:00:00").timestamp == datetime(2026, 11, 1, 11, tzinfo=UTC)
    assert parse(timestamp=NOW.timestamp()).timestamp == NOW
    assert parse(last_maintenance="2026-05-02").last_maintenance == datetime(2026, 5, 2, tzinfo=UTC)


def test_a_clock_may_be_five_minutes_ahead() -> None:
    ahead = NOW + timedelta(minutes=5)
    assert parse(timestamp=ahead.isoformat()).timestamp == ahead
    assert pointers(timestamp=(ahead + timedelta(seconds=1)).isoformat()) == ["/timestamp"]


@pytest.mark.parametrize("timestamp", [float("nan"), float("inf"), 1e300, -1e300, "1" * 10_000, "", [], {}])
def test_a_moment_that_is_none_is_refused(timestamp: Any) -> None:
    assert pointers(timestamp=timestamp) == ["/timestamp"]


def test_bounds_are_inclusive() -> None:
    assert (parse(temperature=-60).temperature, parse(temperature=200).temperature) == (-60, 200)
    assert pointers(temperature=200.01, power=-0.01) == ["/power", "/temperature"]


def detail_of(**fields: Any) -> str:
    with pytest.raises(InvalidReading) as caught:
        parse(**fields)
    (error,) = caught.value.errors
    assert error.code == ("range" if "Must be" in error.detail else "type")
    return error.detail


@pytest.mark.parametrize(
    ("fields", "detail"),
    [
        ({"power": 31_000}, "Must be between 0 and 5,000 (kW). Is this W?"),
        ({"power": -1}, "Must be between 0 and 5,000 (kW)."),
        ({"energy_delivered": 18_400}, "Must be between 0 and 10,000 (kWh). Is this Wh?"),
        ({"temperature": 314.15}, "Must be between -60 and 200 (°C). Is this K?"),
        ({"uptime_hours": 10**400}, "Must be between 0 and 1,000,000 (h). Is this s?"),
        ({"total_sessions": 2e9}, "Must be between 0 and 1,000,000,000."),
    ],
)
def test_a_number_that_no_charger_reaches_is_refused_with_its_unit(
    fields: dict[str, Any], detail: str
) -> None:
    assert detail_of(**fields) == detail


def test_a_charger_may_reach_each_bound() -> None:
    assert parse(power=5_000, energy_delivered=10_000).power == 5_000


@pytest.mark.parametrize(
    ("value", "detail"),
    [
        ("18,4", "'18,4' is not a number; use a decimal point."),
        ("-1.018,4", "'-1.018,4' is not a number; use a decimal point, and no thousands separators."),
        ("hot", "'hot' is not a number."),
        ("31.5", "'31.5' is not a number but a string; leave the quotes out."),
        ("\ud800", "'\\ud800' is not a number."),
        ("9" * 41 + "x", "'" + "9" * 40 + "'… is not a number."),
        (True, "Not a valid number."),
    ],
)
def test_what_is_no_number_is_shown(value: Any, detail: str) -> None:
    assert detail_of(power=value) == detail


def test_a_local_time_that_lies_in_the_future_as_utc_is_told_so() -> None:
    with pytest.raises(InvalidReading, match="A time without an offset is UTC"):
        parse(timestamp="2026-11-01T13:00:00")


def test_each_wrong_field_is_named_whatever_is_wrong_with_it() -> None:
    wrong = {"temperature": "hot", "last_maintenance": "2099-01-01", "metadata": []}
    assert pointers(**wrong) == ["/temperature", "/metadata", "/last_maintenance"]
    assert pointers(error_codes=[1], timestamp="2099-01-01") == ["/error_codes/0", "/timestamp"]


def test_twelve_point_zero_sessions_are_twelve() -> None:
    sessions = parse(total_sessions=12.0).total_sessions
    assert (sessions, type(sessions)) == (12, int)


def test_the_pointer_says_where_the_reading_stands() -> None:
    with pytest.raises(InvalidReading) as caught:
        parse_reading(LEAST | {"error_codes": ["x", 5]}, now=NOW, pointer="/chargers/3")
    assert [error.pointer for error in caught.value.errors] == ["/chargers/3/error_codes/1"]


def test_a_reading_survives_its_way_through_a_message() -> None:
    full = parse(
        energy_delivered=1.5,
        power=0,
        temperature=-5,
        error_codes=["A", "B"],
        uptime_hours=3,
        total_sessions=4,
        last_maintenance="2026-01-01T00:00:00.123456Z",
        timestamp="2026-10-01T00:00:00.654321Z",
        metadata={"costs": {"visit": 5}},
    )
    for reading in (full, parse()):
        assert Reading.from_wire(orjson.loads(orjson.dumps(reading.to_wire()))) == reading


def test_equal_readings_have_equal_fingerprints_and_others_have_not() -> None:
    later = parse_reading(LEAST, now=NOW + timedelta(minutes=3))
    assert later.fingerprint() == parse().fingerprint()  # only the moment of arrival differs
    stated = parse(timestamp=NOW.isoformat())
    assert len({parse().fingerprint(), stated.fingerprint(), parse(power=1).fingerprint()}) == 3
    assert parse(error_codes=[]).fingerprint() != parse().fingerprint()


def test_json_is_decoded_and_what_is_not_json_is_refused() -> None:
    assert decode_json(b'{"a": [1, null]}') == {"a": [1, None]}
    for bad in (b"", b"{", b"\xff", b"nan", b"[" * 100_000, b'"\\ud800"', "{'a': 1}", "{}".encode("utf-16")):
        with pytest.raises(MalformedBody):
            decode_json(bad)


def test_numbers_that_json_has_not_are_left_to_the_schema() -> None:
    assert decode_json(b'{"power": Infinity}') == {"power": float("inf")}


def nested(levels: int) -> Any:
    found: Any = []
    for level in range(levels - 1):
        found = {"inner": found} if level % 2 else [found, 1]
    return found


def test_of_metadata_only_costs_are_kept_whatever_else_it_holds() -> None:
    costs = {"visit": 90.5, "currency": "EUR", "maintenance_interval_days": 90}
    for other in (float("nan"), 10**400, "\ud800", "x" * 1_000_000, nested(31), {1: 2}):
        assert parse(metadata={"costs": costs, "other": other}).metadata == {"costs": costs}
        assert parse(metadata={"other": other}).fingerprint() == parse().fingerprint()
    ignored: list[Any] = [None, {}, [], "visit: 5", 7]
    for nothing in ignored:
        assert parse(metadata={"costs": nothing}) == parse()


@pytest.mark.parametrize("levels", [33, 254, 255, 100_000])
def test_metadata_may_be_thirty_two_levels_deep(levels: int) -> None:
    assert parse(metadata={"other": nested(31)}).metadata == {}
    assert parse(metadata={"costs": {"other": nested(30)}}).fingerprint() != parse().fingerprint()
    assert pointers(metadata={"other": nested(levels - 1)}) == ["/metadata"]
    assert pointers(metadata={"costs": nested(levels - 1)}) == ["/metadata"]


@pytest.mark.parametrize("cost", [float("nan"), float("-inf"), 2**64, "\udfff", {1: 2}, "x" * 16_380])
def test_costs_that_cannot_be_carried_are_refused_by_name(cost: Any) -> None:
    with pytest.raises(InvalidReading) as caught:
        parse(metadata={"costs": {"visit": cost}})
    assert [(error.pointer, error.code) for error in caught.value.errors] == [("/metadata/costs", "range")]


def test_costs_may_have_sixteen_kilobytes() -> None:
    costs = {"note": "x" * (16_384 - len('{"note":""}'))}
    assert parse(metadata={"costs": costs}).metadata == {"costs": costs}
    assert pointers(metadata={"costs": costs | {"note": costs["note"] + "x"}}) == ["/metadata/costs"]
    assert pointers(metadata={"costs": "x" * 16_384}) == ["/metadata/costs"]


def test_half_of_a_surrogate_pair_is_refused_by_the_name_of_its_field() -> None:
    assert pointers(charger_id="\ud800", error_codes=["ok", "E\udc00"]) == ["/charger_id", "/error_codes/1"]
    assert pointers(connector_status="\ud800", timestamp="\ud800") == ["/connector_status", "/timestamp"]
    assert parse(note="\ud800", error_codes=["\x00", "\u202e", "\U0001f600"]).error_codes == (
        "\x00",
        "\u202e",
        "\U0001f600",
    )


def test_of_too_many_codes_none_is_judged() -> None:
    assert pointers(error_codes=[1] * 10_000) == ["/error_codes"]


@pytest.mark.parametrize("levels", [60, 1024, 1025, 20_000])
def test_what_is_nested_deeply_is_left_to_the_schema(levels: int) -> None:
    deep = b'{"a":[' * (levels // 2) + b'1, "]}"' + b"]}" * (levels // 2)
    raw = decode_json(
        b'{"charger_id":"A","connector_status":"CHARGING","x":%b,"metadata":{"a":%b}}' % (deep, deep),
        for_schema=True,
    )
    assert raw["charger_id"] == "A"
    with pytest.raises(InvalidReading) as caught:
        parse_reading(raw, now=NOW)
    assert [error.pointer for error in caught.value.errors] == ["/metadata"]


@pytest.mark.parametrize("tail", [b"", b"]" * 2999, b"]" * 3001, b'"' + b"]" * 3000, b"]" * 3000 + b'"'])
def test_what_is_nested_deeply_and_is_no_json_is_refused(tail: bytes) -> None:
    with pytest.raises(MalformedBody):
        decode_json(b"[" * 3000 + tail, for_schema=True)


def test_an_integer_beyond_64_bits_is_a_float_whatever_else_there_is() -> None:
    for digits in ("18446744073709551616", "-9223372036854775809", "9" * 300):
        plain, strange = (decode_json(f"[{digits}, {other}]")[0] for other in ("1", "NaN"))
        assert (plain, type(plain)) == (strange, float)
    assert decode_json("[18446744073709551615, NaN]")[0] == 2**64 - 1
    assert decode_json("9" * 5000) == float("inf")


def _zulu(at: int, timespec: str) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat(timespec=timespec).replace("+00:00", "Z")


ANYTHING = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.just(10**400),
    st.floats(),
    st.text(max_size=200),
    st.lists(st.one_of(st.text(max_size=130), st.integers(), st.just("NoError")), max_size=3),
    st.lists(st.just("x"), min_size=127, max_size=130),
    st.dictionaries(st.text(max_size=3), st.one_of(st.integers(), st.floats()), max_size=2),
)
NEAR_BOUNDS = st.sampled_from(
    [bound + step for low, high in BOUNDS.values() for bound in (low, high) for step in (-1, 0, 1)]
)
MOMENTS = st.one_of(
    st.integers(-100_000_000, 2_000_000_000).map(lambda at: _zulu(at, "seconds")),
    st.integers(-100_000_000, 2_000_000_000).map(lambda at: _zulu(at, "milliseconds")),
    st.from_regex(
        r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ][0-9:]{8}([.,][0-9]{1,6})?(Z|z|[+-][0-9]{2}:?[0-9]{2})?",
        fullmatch=True,
    ),
    st.from_regex(
        r"[0-9]{4}[0-9W-]{3,6}[T x0-9][T0-9:]{0,9}([.,][0-9]{1,50})?(Z|\+[0-9:]{2,8})?", fullmatch=True
    ),
    st.sampled_from([NOW + timedelta(seconds=step) for step in (299, 300, 301)]).map(datetime.isoformat),
    st.datetimes(
        datetime(1969, 12, 31),  # noqa: DTZ001 - hypothesis adds the zone
        datetime(2026, 12, 31),  # noqa: DTZ001 - the same
        timezones=st.integers(-1439, 1439).map(lambda minutes: timezone(timedelta(minutes=minutes))),
    ).map(datetime.isoformat),
)
READINGS = st.fixed_dictionaries(
    {
        "charger_id": st.one_of(st.from_regex(r"[A-Za-z0-9*_=:+|@.\-]{1,4}\n?", fullmatch=True), ANYTHING),
        "connector_status": st.one_of(
            st.sampled_from([*STATUSES, *OCPP_STATUSES, "fully charged"]), ANYTHING
        ),
    },
    optional={name: st.one_of(NEAR_BOUNDS, ANYTHING) for name in BOUNDS}
    | {name: st.one_of(MOMENTS, ANYTHING) for name in ("timestamp", "last_maintenance")}
    | {"error_codes": ANYTHING, "metadata": ANYTHING, "new_field": ANYTHING},
)


@settings(max_examples=1500, deadline=None)
@given(READINGS)
@example(LEAST | {"timestamp": "2026-02-30T00:00:00Z", "power": 0})
@example(LEAST | {"timestamp": "2026-10-01T24:00:00Z"})
@example(LEAST | {"timestamp": "2026-W18-7T06:00:00", "last_maintenance": "2026W187T06"})
@example(LEAST | {"timestamp": "20260503T06:00:00", "last_maintenance": "20260503x1T"})
@example(LEAST | {"timestamp": "2026-10-01T00:00:00." + "0" * 60})
@example(LEAST | {"timestamp": "1970-01-01T00:00:00Z", "total_sessions": 3.0, "error_codes": [" a ", ""]})
def test_the_short_way_for_plain_readings_passes_only_what_the_schema_passes_and_alike(
    raw: dict[str, Any],
) -> None:
    short = parsing._plainly_right(raw, NOW)
    if short is not None:
        assert repr(short) == repr(parsing._judged(raw, NOW, ""))


@pytest.mark.parametrize(
    "end", ["", "Z", ".123Z", ".123456Z", "+00:00", ".123456+00:00", ".123+05:30", "-08:00"]
)
def test_plain_readings_take_the_short_way(end: str) -> None:
    plain = LEAST | {
        "power": 7,
        "temperature": 41.5,
        "error_codes": ["X"],
        "total_sessions": 12,
        "metadata": {},
    }
    plain |= {"timestamp": f"2026-10-01T00:00:00{end}", "last_maintenance": f"2026-05-02T09:00:00{end}"}
    assert parsing._plainly_right(plain, NOW) == parsing._judged(plain, NOW, "")


@given(
    st.datetimes(
        EARLIEST.replace(tzinfo=None), timezones=st.sampled_from([UTC, timezone(timedelta(hours=-9))])
    )
)
@example(NOW)
def test_a_time_is_written_in_utc_with_three_decimals(moment: datetime) -> None:
    expected = moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    assert rfc3339(moment) == expected
