"""A worker's verdicts: scored together, encoded once, and one that fails costs the others nothing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any, cast

import orjson
import pytest
from redis.exceptions import ConnectionError, ResponseError

from errors import ScoringFailed
from models.features.columns import HistoryEntries
from models.scoring_batch import Batch
from readings.reading import Kind, Reading
from tasks.storage.reading_history import NO_ENTRIES
from tasks.worker.runtime import Runtime
from tasks.worker.scoring import Subject, Verdict, add_histories, encoded, score_kinds

NOW = datetime(2026, 11, 1, 12, tzinfo=UTC)
PAST = HistoryEntries.of(())


def subjects(*charger_ids: str) -> list[Subject]:
    return [Subject(Reading(charger_id, "CHARGING", NOW), "t") for charger_id in charger_ids]


class Scorer:
    """Fails at the verdict `of` a charger, or has one that is no JSON."""

    def __init__(self, of: tuple[Kind, str], *, no_json: bool) -> None:
        self._of = of
        self._no_json = no_json

    def verdicts(self, kind: Kind, batch: Batch) -> list[dict[str, Any]]:
        found = []
        for reading in batch.readings:
            bad = (kind, reading.charger_id) == self._of
            if bad and not self._no_json:
                raise ValueError("nobody thought of this")
            found.append({"charger_id": reading.charger_id, "kind": object() if bad else kind})
        return found


def runtime(scorer: Scorer) -> Runtime:
    observer = SimpleNamespace(see=lambda kind, readings, history: None)
    return cast(Runtime, SimpleNamespace(scorer=scorer, observer=observer))


@pytest.mark.parametrize("no_json", [False, True])
def test_a_verdict_that_fails_costs_no_other_reading_and_no_other_kind(no_json: bool) -> None:
    scorer = Scorer(("anomaly", "BAD"), no_json=no_json)
    some = subjects("A", "BAD", "B")
    failures, anomalies = score_kinds(runtime(scorer), ("failure", "anomaly"), some, source="rest")
    assert [orjson.loads(cast(Verdict, each).body)["charger_id"] for each in failures] == ["A", "BAD", "B"]
    assert isinstance(anomalies[1], ScoringFailed)
    for each, charger_id in zip(anomalies[::2], "AB", strict=True):
        assert isinstance(each, Verdict)
        assert orjson.loads(each.body)["charger_id"] == charger_id


def test_the_json_of_a_verdict_is_its_fields_and_what_the_service_adds() -> None:
    (subject,) = subjects("A")
    fields: dict[str, Any] = {"charger_id": "A", "text": 'Ä "quoted"', "nested": [{}], "nothing": None}
    (verdict,) = encoded("failure", [subject], [fields], scored_at=NOW.timestamp())
    assert (verdict.kind, verdict.tenant, verdict.fields) == ("failure", "t", fields)
    assert verdict.body == orjson.dumps(
        fields
        | {"reading_stale": False, "tenant_id": "t", "timestamp": "2026-11-01T12:00:00.000Z"}
        | {"cached": False, "degraded": False}
        | {"fingerprint": subject.reading.fingerprint()}
    )
    (other,) = subjects("B")
    other.tenant = None
    both = encoded("failure", [subject, other], [{"x": 1}, {"x": 2}], scored_at=NOW.timestamp())
    assert [orjson.loads(each.body)["tenant_id"] for each in both] == ["t", None]


@pytest.mark.parametrize(("hours", "stale"), [(23.9, False), (24.1, True)])
def test_a_verdict_of_a_reading_older_than_a_day_says_so(hours: float, stale: bool) -> None:
    scored_at = (NOW + timedelta(hours=hours)).timestamp()
    (verdict,) = encoded("failure", subjects("A"), [{"x": 1}], scored_at=scored_at)
    assert orjson.loads(verdict.body)["reading_stale"] is stale


def reader(broken: str, error: Exception) -> Runtime:
    def of(
        readings: Sequence[Reading], tenants: Sequence[str | None], *, among_themselves: bool
    ) -> list[HistoryEntries]:
        if any(reading.charger_id == broken for reading in readings):
            raise error
        return [PAST] * len(readings)

    history: Callable[..., list[HistoryEntries]] = of
    return cast(Runtime, SimpleNamespace(history=SimpleNamespace(of=history)))


def test_a_past_that_cannot_be_read_is_empty_and_the_others_are_not() -> None:
    some = subjects("A", "BAD", "B")
    add_histories(reader("BAD", ResponseError("WRONGTYPE")), some, source="batch")
    assert [each.history is PAST for each in some] == [True, False, True]
    assert some[1].history is NO_ENTRIES


def test_a_redis_that_is_away_is_no_charger_s_fault() -> None:
    with pytest.raises(ConnectionError):
        add_histories(reader("BAD", ConnectionError("away")), subjects("A", "BAD"), source="batch")
