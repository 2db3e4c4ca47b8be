"""Who is tried again, who is given up, and that neighbours do not suffer."""

from __future__ import annotations

import threading
from collections.abc import Sequence

import pytest

from consumers.kafka.offsets import PendingRecord
from consumers.kafka.records import Received
from consumers.predictions.score_requests import (
    GROUP,
    MAX_ATTEMPTS,
    MAX_IN_FLIGHT,
    PATIENCE_S,
    Result,
    Scoring,
)
from errors import PredictionTimeout
from tasks.client.stream_predictor import TaskLost
from tasks.messaging.messages import ScoreRequest, ScoreResult
from tests.readings import reading
from tests.unit.consumers.doubles import Clock, FakePredictor, verdict


class Bench:
    """Scoring with a door and a clock of its own; `turn` is one turn of the loop."""

    def __init__(self, source: FakePredictor | None = None) -> None:
        self.source = source or FakePredictor()
        self.clock = Clock()
        self.scoring = Scoring(self.source, clock=self.clock)
        self.results: dict[str, Result] = {}

    def add(self, *names: str) -> list[PendingRecord]:
        entries = [PendingRecord(Received("in", 0, n, None, b"")) for n, _ in enumerate(names)]
        for entry, name in zip(entries, names, strict=True):
            self.scoring.add(entry, reading(name), None)
            self._names = getattr(self, "_names", {}) | {id(entry): name}
        return entries

    def turn(self, seconds: float = 1.0) -> None:
        self.clock.now += seconds
        self.scoring.send()
        self.source.work()
        self.take()

    def take(self) -> None:
        for result in self.scoring.collect():
            name = self._names[id(result.candidate.record)]
            assert name not in self.results, "a reading ends once"
            self.results[name] = result


def crashes_on(name: str) -> FakePredictor:
    def answer(score_requests: Sequence[ScoreRequest]) -> list[ScoreResult]:
        if any(ask.reading.charger_id == name for ask in score_requests):
            raise TaskLost("the worker died")
        return [verdict(ask) for ask in score_requests]

    return FakePredictor(answer)


def test_readings_travel_in_groups_with_both_questions() -> None:
    bench = Bench()
    bench.add(*(f"c{n}" for n in range(2 * GROUP)))
    bench.scoring.send()
    assert [len(score_requests) for score_requests, _ in bench.source.tasks] == [2 * GROUP, 2 * GROUP]
    assert [ask.kind for ask in bench.source.tasks[1][0][:4]] == ["failure", "anomaly"] * 2
    assert bench.scoring.busy
    bench.source.work()
    bench.take()
    assert len(bench.results) == 2 * GROUP
    assert not bench.scoring.busy


def test_whoever_waits_is_woken_by_a_task_that_has_ended_and_by_no_other() -> None:
    bench = Bench()
    bench.add("a")
    bench.scoring.send()
    bench.scoring.wait(0.01)
    assert bench.scoring.collect() == []
    threading.Timer(0.05, bench.source.work).start()
    bench.scoring.wait(60)
    bench.take()
    assert set(bench.results) == {"a"}


def test_few_readings_wait_for_the_task_under_way_and_then_travel_together() -> None:
    bench = Bench()
    bench.add("a")
    bench.scoring.send()
    bench.add("b")
    bench.scoring.send()
    bench.add("c")
    bench.scoring.send()
    assert len(bench.source.tasks) == 1
    bench.source.work()
    bench.take()
    bench.scoring.send()
    ((score_requests, _),) = bench.source.tasks
    assert [ask.reading.charger_id for ask in score_requests[::2]] == ["b", "c"]


def test_nobody_waits_for_a_worker_that_does_not_answer() -> None:
    bench = Bench()
    bench.add("a")
    bench.scoring.send()
    bench.add("b")
    bench.clock.now += PATIENCE_S
    bench.scoring.send()
    assert len(bench.source.tasks) == 2


def test_tasks_under_way_are_bounded() -> None:
    bench = Bench()
    bench.add(*(f"c{n}" for n in range(GROUP * (MAX_IN_FLIGHT + 3))))
    bench.scoring.send()
    assert len(bench.source.tasks) == MAX_IN_FLIGHT


def test_a_reading_that_kills_its_worker_is_given_up_and_its_neighbours_are_not() -> None:
    bench = Bench(crashes_on("bad"))
    bench.add("a", "bad", "b")
    for _ in range(10):
        bench.turn()
    assert bench.results["bad"].error is not None
    assert bench.results["bad"].error.code == "scoring_failed"
    assert bench.results["bad"].candidate.attempts == MAX_ATTEMPTS + 1
    assert bench.results["a"].error is None
    assert bench.results["b"].error is None


def test_a_reading_that_fails_to_score_is_given_up_after_three_attempts() -> None:
    def answer(score_requests: Sequence[ScoreRequest]) -> list[ScoreResult]:
        return [
            ScoreResult(error_code="scoring_failed", error_detail="NaN")
            if ask.reading.charger_id == "bad"
            else verdict(ask)
            for ask in score_requests
        ]

    bench = Bench(FakePredictor(answer))
    bench.add("a", "bad")
    for _ in range(5):
        bench.turn()
    assert bench.results["a"].error is None
    assert bench.results["bad"].candidate.attempts == MAX_ATTEMPTS
    assert "NaN" in str(bench.results["bad"].error)


def test_a_prediction_without_anomaly_verdict_is_still_one() -> None:
    def answer(score_requests: Sequence[ScoreRequest]) -> list[ScoreResult]:
        return [
            ScoreResult(error_code="scoring_failed") if ask.kind == "anomaly" else verdict(ask)
            for ask in score_requests
        ]

    bench = Bench(FakePredictor(answer))
    bench.add("a")
    bench.turn()
    assert bench.results["a"].error is None
    assert bench.results["a"].anomaly is None


def test_an_unreachable_queue_is_tried_for_ever_and_not_too_often() -> None:
    bench = Bench()
    bench.source.down = True
    bench.add("a", "b")
    for _ in range(100):
        bench.turn(seconds=60)
    assert not bench.results
    bench.scoring.send()
    bench.scoring.collect()
    sent = bench.source.sent
    bench.turn(seconds=0.1)
    assert bench.source.sent == sent  # it waits
    bench.source.down = False
    bench.turn(seconds=60)
    assert set(bench.results) == {"a", "b"}
    assert all(result.error is None for result in bench.results.values())


def test_tasks_that_no_worker_came_to_are_nobodys_fault() -> None:
    bench = Bench()
    bench.add("a")
    for _ in range(20):
        bench.clock.now += 60
        bench.scoring.send()
        bench.source.lose(PredictionTimeout("nobody came"))
        bench.take()
    assert not bench.results
    bench.turn(seconds=60)
    assert bench.results["a"].error is None


@pytest.mark.parametrize("code", ["prediction_timeout", "models_unavailable"])
def test_what_no_worker_could_score_is_asked_again(code: str) -> None:
    late = [ScoreResult(error_code=code)] * 2
    bench = Bench(FakePredictor(lambda _: late))
    bench.add("a")
    for _ in range(10):
        bench.turn(seconds=10)
    assert not bench.results
    bench.source.answer = lambda score_requests: [verdict(ask) for ask in score_requests]
    bench.turn(seconds=10)
    assert bench.results["a"].error is None


def test_dropped_readings_are_not_sent_again() -> None:
    bench = Bench()
    bench.source.down = True
    entries = bench.add("a", "b")
    bench.turn()
    entries[0].dropped = True
    bench.source.down = False
    bench.turn(seconds=60)
    assert set(bench.results) == {"b"}
