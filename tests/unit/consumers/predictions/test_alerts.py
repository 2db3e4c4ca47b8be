"""An alert opens once and closes once; what is open survives crashes and rebalances."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import orjson
import pytest
from prometheus_client import REGISTRY

from consumers.kafka.offsets import CommitBatch, Partition, PendingRecord
from consumers.kafka.records import Outgoing, Received, Scored
from consumers.predictions.alerts import Alerts, Rules
from tasks.messaging.messages import NO_ALERT
from tasks.storage.alert_records import AlertKind

TOPICS: dict[AlertKind, str] = {"failure": "alerts", "anomaly": "anomalies"}
RULES = Rules(open_at=0.7, close_below=0.6, readings_to_close=2)


class Bench:
    """Alerts with a compacted topic in memory."""

    def __init__(self, state: dict[bytes, bytes] | None = None) -> None:
        self.state = {} if state is None else state
        self.alerts = Alerts(RULES, topics=TOPICS, state_topic="state", load=self._load)
        self.offset = 0
        self.loads = 0

    def _load(self, numbers: list[int]) -> Mapping[int, Iterable[bytes]]:
        self.loads += 1
        return {
            n: [value for value in self.state.values() if orjson.loads(value)["partition"] == n]
            for n in numbers
        }

    def round(
        self,
        *verdicts: tuple[float, bool | None],
        charger: str = "C",
        partition: int = 0,
        alert_at: float | None = None,
    ) -> CommitBatch:
        done = CommitBatch()
        for probability, is_anomaly in verdicts:
            received = Received("in", partition, self.offset, None, b"")
            verdict = orjson.dumps({"charger_id": charger, "reading_timestamp": f"t{self.offset}"})
            anomaly = None if is_anomaly is None else verdict
            scored = Scored(
                charger, None, probability > 1, probability, verdict, is_anomaly, anomaly, alert_at
            )
            done.records.append(PendingRecord(received, scored=scored))
            self.offset += 1
        done.offsets[Partition("in", partition)] = self.offset
        return done

    def see(self, *verdicts: tuple[float, bool | None], commit: bool = True, **where: Any) -> list[Outgoing]:
        """The alerts that come of these verdicts."""
        judgement = self.alerts.judge(self.round(*verdicts, **where))
        if commit:
            self.alerts.settle(judgement)
            for record in judgement.remembered:
                assert record.topic == "state"
                assert record.key is not None
                if record.value is None:
                    del self.state[record.key]
                else:
                    self.state[record.key] = record.value
        return judgement.outgoing


def said(records: list[Outgoing]) -> list[tuple[str, str]]:
    return [(record.topic, orjson.loads(record.value or b"")["state"]) for record in records]


def test_a_threshold_that_moves_changes_no_alert_by_itself() -> None:
    bench = Bench()
    assert said(bench.see((0.35, None), alert_at=0.3)) == [("alerts", "open")]
    # Above the new threshold's lower bound, the alert stays open.
    assert bench.see((0.45, None), (0.45, None), (0.45, None), alert_at=0.5) == []
    assert bench.see((0.55, None), alert_at=0.5) == []
    assert said(bench.see((0.35, None), (0.35, None), alert_at=0.5)) == [("alerts", "closed")]
    assert bench.see((0.45, None), alert_at=0.5) == []
    assert said(bench.see((0.45, None), alert_at=0.4)) == [("alerts", "open")]


def test_without_a_threshold_only_a_failure_opens_an_alert_and_open_ones_close() -> None:
    bench = Bench()
    assert said(bench.see((0.35, None), alert_at=0.3)) == [("alerts", "open")]
    assert said(bench.see((0.5, None), (0.5, None), alert_at=NO_ALERT)) == [("alerts", "closed")]
    assert bench.see((0.999, None), (0.999, None), alert_at=NO_ALERT) == []
    assert said(bench.see((1.5, None), alert_at=NO_ALERT)) == [("alerts", "open")]  # in failure


def test_it_opens_once_and_closes_after_calm_readings_in_a_row() -> None:
    bench = Bench()
    assert said(bench.see((0.8, None), (0.9, None), (0.5, None), (0.65, None))) == [("alerts", "open")]
    assert bench.see((0.5, None)) == []
    assert said(bench.see((0.5, None))) == [("alerts", "closed")]
    assert bench.see((0.5, None)) == []
    assert bench.state == {}


def test_an_open_and_its_close_have_one_id_and_the_next_one_another() -> None:
    bench = Bench()
    records = bench.see((0.8, None), (0.1, None), (0.1, None), (0.8, None))
    first, closed, second = (orjson.loads(record.value or b"") for record in records)
    assert first["alert_id"] == closed["alert_id"] != second["alert_id"]
    assert (first["opened_at"], first["closed_at"]) == ("t0", None)
    assert (closed["opened_at"], closed["closed_at"]) == ("t0", "t2")
    assert first["opened_by"] == "in:0:0"


def test_a_charger_in_failure_alarms_whatever_its_probability() -> None:
    assert said(Bench().see((1.5, None))) == [("alerts", "open")]


def test_anomalies_have_alerts_of_their_own() -> None:
    bench = Bench()
    assert said(bench.see((0.1, True), (0.1, True), (0.1, False))) == [("anomalies", "open")]
    assert bench.see((0.1, None)) == []  # no verdict says nothing
    assert said(bench.see((0.1, False))) == [("anomalies", "closed")]


def test_chargers_do_not_share_alerts() -> None:
    bench = Bench()
    assert said(bench.see((0.8, None), charger="A")) == [("alerts", "open")]
    assert said(bench.see((0.8, None), charger="B")) == [("alerts", "open")]


def test_a_round_that_was_not_committed_has_changed_nothing() -> None:
    bench = Bench()
    first = bench.alerts.judge(bench.round((0.8, None)))
    bench.offset = 0  # the same record again
    assert first.outgoing == bench.alerts.judge(bench.round((0.8, None))).outgoing


def test_whoever_gets_the_partition_knows_what_is_open() -> None:
    bench = Bench()
    bench.see((0.8, True), (0.5, None))
    successor = Bench(bench.state)
    successor.offset = bench.offset
    assert said(successor.see((0.8, True))) == []
    assert said(successor.see((0.1, False), (0.1, False))) == [("alerts", "closed"), ("anomalies", "closed")]


def test_a_partition_that_comes_back_is_read_again() -> None:
    bench = Bench()
    bench.see((0.8, None))
    bench.see((0.8, None))
    assert bench.loads == 1
    bench.alerts.drop([Partition("in", 0)])
    assert bench.see((0.8, None)) == []
    assert bench.loads == 2


def test_an_erased_charger_has_no_alert_any_more_and_opens_a_new_one() -> None:
    bench = Bench()
    bench.see((0.8, True), charger="C")
    bench.see((0.8, None), charger="D")
    another = Bench(bench.state)  # it has loaded nothing yet
    erased = {Partition("in", 0): lambda tenant, charger: (tenant, charger) == (None, "C")}
    tombstones = another.alerts.tombstones(erased)
    keys = [record.key for record in tombstones]
    assert sorted(keys, key=str) == [b"0|anomaly||C", b"0|failure||C"]
    assert {record.value for record in tombstones} == {None}
    assert another.alerts.tombstones(erased) == tombstones  # until they are published
    another.alerts.erase(erased)
    assert another.alerts.tombstones(erased) == []
    assert said(another.see((0.8, None), charger="C")) == [("alerts", "open")]
    assert another.see((0.8, None), charger="D") == []


def test_alerts_of_revoked_partitions_are_not_erased_here() -> None:
    bench = Bench()
    bench.see((0.8, None))
    bench.alerts.drop([Partition("in", 0)])
    bench.alerts.erase({Partition("in", 0): lambda _tenant, _charger: True})
    assert len(bench.state) == 1


@pytest.mark.owasp("API10", "alerts of ever new chargers are bounded; open ones still close")
def test_open_alerts_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("consumers.predictions.alerts.OPEN_ALERTS_KNOWN", 1)
    bench = Bench()
    assert said(bench.see((0.9, None))) == [("alerts", "open")]
    refused = bench.alerts.judge(bench.round((0.9, None), charger="D"))
    assert [type(error) for _, error in refused.failed] == [OverflowError]
    assert (refused.outgoing, refused.remembered) == ([], [])
    assert said(bench.see((0.1, None), (0.1, None))) == [("alerts", "closed")]
    assert said(bench.see((0.9, None), charger="D")) == [("alerts", "open")]


def shown(kind: AlertKind) -> float:
    """The value of the gauge. One process has one `Alerts`."""
    return REGISTRY.get_sample_value("ml_alerts_open", {"kind": kind}) or 0.0


def test_the_gauge_shows_the_open_alerts_by_kind() -> None:
    bench = Bench()
    assert (shown("failure"), shown("anomaly")) == (0, 0)
    bench.see((0.8, True), (0.9, True))
    bench.see((0.8, True), charger="D", commit=False)
    assert (shown("failure"), shown("anomaly")) == (1, 1)
    bench.see((0.8, False), charger="D", partition=1)
    assert (shown("failure"), shown("anomaly")) == (2, 1)
    bench.see((0.1, False), (0.1, False))
    assert (shown("failure"), shown("anomaly")) == (1, 0)
    bench.alerts.erase({Partition("in", 1): lambda tenant, charger: charger == "D"})
    assert shown("failure") == 0
    # Another process has the alerts that it reads, and loses those of partitions that it gives away.
    other = Bench(bench.state)
    other.see((0.8, None), charger="E")
    assert shown("failure") == 1
    other.see((0.1, None), charger="X", partition=1)
    assert shown("failure") == 2
    other.alerts.drop([Partition("in", 1)])
    assert shown("failure") == 1
