"""The forms in which the fleet store keeps rows, past verdicts and readings."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, get_args

import orjson
from hypothesis import given
from hypothesis import strategies as st

from models.actions import Action
from readings.flat_or_envelope import parse_flat_or_enveloped
from readings.reading import STATUSES, Reading, epoch_rfc3339
from tasks.storage.fleet_rows import (
    ACTIONS,
    HISTORY_FIELDS,
    MOST_METADATA_BYTES,
    ChargerHistory,
    FleetRow,
    decode_past,
    decode_row,
    encode_past,
    encode_reading,
    encode_row,
    state_of,
    version_field,
)

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
shares = st.integers(0, 1_000_000).map(lambda share: share / 1e6)
times_ms = st.integers(0, int(NOW.timestamp() * 1000))
names = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._\-]{0,63}", fullmatch=True)


@st.composite
def verdicts(draw: st.DrawFn) -> tuple[int, dict[str, Any]]:
    at_ms = draw(times_ms)
    p1, p7, p30 = sorted(draw(st.tuples(shares, shares, shares)))
    return at_ms, {
        "reading_timestamp": epoch_rfc3339(at_ms / 1000),
        "failure_probability": p30,
        "horizons": {"1d": p1, "7d": p7, "30d": p30},
        "recommended_action": draw(st.sampled_from(ACTIONS)),
        "in_failure": draw(st.booleans()),
        "confidence": draw(st.integers(0, 10_000)) / 1e4,
        "model_version": draw(names),
    }


@given(verdict=verdicts())
def test_a_past_verdict_survives_its_compact_form(verdict: tuple[int, dict[str, Any]]) -> None:
    at_ms, fields = verdict
    past = encode_past(fields, at_ms)
    version = fields["model_version"]
    assert len(past) == 36
    assert decode_past(past, {version_field(version): version.encode()}) == fields
    assert tuple(fields) == HISTORY_FIELDS


@given(first=times_ms, second=times_ms, verdict=verdicts())
def test_past_verdicts_sort_by_time(first: int, second: int, verdict: tuple[int, dict[str, Any]]) -> None:
    one, other = (encode_past(verdict[1], at_ms)[1:12] for at_ms in (first, second))
    assert (one < other) == (first < second)


@given(
    verdict=verdicts(),
    status=st.sampled_from(STATUSES),
    savings=st.one_of(st.none(), st.floats(-1e9, 1e9)),
    currency=st.sampled_from([None, "USD"]),
)
def test_a_row_survives_its_packed_form(
    verdict: tuple[int, dict[str, Any]], status: str, savings: float | None, currency: str | None
) -> None:
    at_ms, fields = verdict
    reading = Reading("EVZ-1", status, datetime.fromtimestamp(at_ms / 1000, UTC))
    row = decode_row(
        encode_row(fields | {"cost_of_waiting": savings, "currency": currency}, reading, at_ms / 1000)
    )
    p1, p7, p30 = fields["horizons"].values()
    action, in_failure = fields["recommended_action"], fields["in_failure"]
    assert row == FleetRow(at_ms / 1000, p1, p7, p30, action, in_failure, status, savings, currency)


def test_rows_of_other_releases_are_read_or_skipped() -> None:
    longer = orjson.dumps([1, 1.5, 0.1, 0.2, 0.3, "IMMEDIATE", True, "FAULTY", None, "USD", "new"])
    assert decode_row(longer) == FleetRow(1.5, 0.1, 0.2, 0.3, "IMMEDIATE", True, "FAULTY", None, "USD")
    before = orjson.dumps([1, 1.5, 0.1, 0.2, 0.3, "IMMEDIATE", True, "FAULTY", 12.5])
    assert decode_row(before) == FleetRow(1.5, 0.1, 0.2, 0.3, "IMMEDIATE", True, "FAULTY", 12.5, None)
    assert decode_row(b'[2,{"at":1.5}]') is None


def test_each_action_and_alert_has_a_state_of_its_own() -> None:
    assert set(get_args(Action)) == set(ACTIONS)
    states = {
        state_of({"recommended_action": action, "failure_probability": p}, 0.7)
        for action in ACTIONS
        for p in (0.699999, 0.7)
    }
    assert len(states) == 2 * len(ACTIONS)
    assert all(0 < state < 16 for state in states)


def test_a_reading_is_stored_as_its_contract_names_it() -> None:
    body: dict[str, Any] = {
        "charger_id": "EVZ-1",
        "connector_status": "CHARGING",
        "timestamp": "2026-11-24T10:00:00.123Z",
        "energy_delivered": 1.5,
        "power": 22.0,
        "temperature": 30.0,
        "error_codes": ["E1"],
        "uptime_hours": 7.0,
        "total_sessions": 3,
        "last_maintenance": "2026-01-01T00:00:00.000Z",
        "metadata": {"costs": {"call_out": 1.0}},
    }
    reading = parse_flat_or_enveloped(body, now=NOW)
    stored = orjson.loads(encode_reading(reading, body["timestamp"]))
    assert parse_flat_or_enveloped(stored, now=NOW) == reading
    assert stored["timestamp"] == body["timestamp"]
    large = reading._replace(metadata={"costs": "x" * MOST_METADATA_BYTES})
    assert "metadata" not in orjson.loads(encode_reading(large, ""))
    bare = Reading("EVZ-1", "OFFLINE", NOW)
    assert set(orjson.loads(encode_reading(bare, ""))) == {"charger_id", "connector_status", "timestamp"}


def test_what_another_release_adds_to_the_hash_is_left_out() -> None:
    held = {b"16": b"2strange", b"next": b"1", b"cut": b"7"}
    assert ChargerHistory.of(held, after_ms=0).verdicts == []
