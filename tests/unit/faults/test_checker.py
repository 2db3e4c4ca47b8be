"""Each law of the history checker is seen to fail, by a history that violates it and no other."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from settings import ROOT
from tests.faults.history import History, read
from tests.unit.faults.histories import (
    LOSING,
    LOST,
    NORTH,
    RUN,
    SETTLED,
    SOUTH,
    SWITCHED,
    SWITCHING,
    Event,
    accept,
    dead_letter,
    degraded,
    ended,
    good,
    judged,
    looks,
    newest,
    outcome,
    reading,
    record,
    rows,
    shown,
    single,
    submit,
    unanswered,
)

OUTCOMES = "one outcome for each acknowledged record"
ORDER = "predictions in the order of each charger's records"
RESULTS = "one result for each row of each accepted job"
SAME_JOB = "one job for each Idempotency-Key of a tenant"
NEWEST = "the newest reading is in fleet and cache"
ANSWERS = "every answer is its own request's"
JOB = [reading(3), reading(4)]


def with_more(*events: Event) -> list[Event]:
    """The good history and more."""
    whole = good()
    at = next(number for number, event in enumerate(whole) if event["event"] == "jobs")
    return [*whole[:at], *events, *whole[at:]]


def with_job(*after: Event) -> list[Event]:
    """The good history, and a job `j2` that is accepted."""
    return with_more(submit("k2", JOB), accept("k2", "j2"), *after)


def changed(old: Event, *new: Event) -> list[Event]:
    """The good history with other events instead of one."""
    whole = good()
    at = whole.index(old)
    return [*whole[:at], *new, *whole[at + 1 :]]


def at_least_once(events: list[Event]) -> list[Event]:
    """Events of a run without transactions."""
    return [event | {"transactions": False} if event is RUN else event for event in events]


VIOLATIONS: dict[str, tuple[str, list[Event]]] = {
    "a record has no outcome": (OUTCOMES, with_more(record(2, reading(1)))),
    "a record has two outcomes": (OUTCOMES, with_more(outcome(1, reading(5)))),
    "a record has a prediction and a dead letter": (OUTCOMES, with_more(dead_letter(1))),
    "a wrong record has a prediction": (
        OUTCOMES,
        with_more(record(2, reading(1), wrong=True), outcome(2, reading(1))),
    ),
    "an outcome is of another reading": (
        OUTCOMES,
        with_more(record(2, reading(3)), outcome(2, reading(1))),
    ),
    "an outcome is of another tenant": (
        OUTCOMES,
        with_more(
            record(2, reading(1)),
            outcome(2, reading(1, tenant=SOUTH)),
            *single("r2", reading(1, tenant=SOUTH)),
            *shown(reading(1, tenant=SOUTH)),
        ),
    ),
    "an older record has the later outcome": (
        ORDER,
        with_more(
            record(2, reading(1)), record(3, reading(2)), outcome(3, reading(2)), outcome(2, reading(1))
        ),
    ),
    "outcomes stand in the wrong order": (
        ORDER,
        with_more(record(2, reading(1)), outcome(2, reading(1), placed=0)),
    ),
    "a charger's outcomes are in two partitions": (
        ORDER,
        with_more(record(0, reading(1), partition=1), outcome(0, reading(1), partition=1)),
    ),
    "a job does not end": (RESULTS, with_job()),
    "a job fails": (RESULTS, with_job(rows("j2", JOB), ended("j2", "FAILED"))),
    "a job is gone": (RESULTS, with_job(ended("j2", "GONE"))),
    "a row has no result": (RESULTS, with_job(rows("j2", JOB[:1]), ended("j2"))),
    "a row has two results": (RESULTS, with_job(rows("j2", JOB), rows("j2", JOB[:1]), ended("j2"))),
    "a row was not sent": (RESULTS, with_job(rows("j2", [*JOB, reading(4)]), ended("j2"))),
    "rows are exchanged": (RESULTS, with_job(rows("j2", JOB[::-1]), ended("j2"))),
    "a good row fails": (
        RESULTS,
        with_job(
            {"event": "rows", "job": "j2", "rows": [[0, *JOB[0]], [1, None, JOB[1][1], None, None]]},
            ended("j2"),
        ),
    ),
    "a refused job is accepted": (RESULTS, with_more(submit("k2", [], wrong=True), accept("k2", "j2"))),
    "a refused job is there": (
        RESULTS,
        changed(
            {"event": "jobs", "tenant": NORTH, "jobs": ["j1"]},
            submit("k2", [], wrong=True),
            accept("k2", None, status=422),
            {"event": "jobs", "tenant": NORTH, "jobs": ["j1", "j2"]},
        ),
    ),
    "two jobs are there for one submission without an answer": (
        RESULTS,
        changed(
            {"event": "jobs", "tenant": NORTH, "jobs": ["j1"]},
            submit("k2", JOB),
            accept("k2", None, status=0),
            accept("k2", None, status=503),
            {"event": "jobs", "tenant": NORTH, "jobs": ["j1", "j2", "j3"]},
        ),
    ),
    "a tenant is shown another's job": (
        RESULTS,
        with_more({"event": "jobs", "tenant": SOUTH, "jobs": ["j1"]}),
    ),
    "a job is listed twice": (RESULTS, with_more({"event": "jobs", "tenant": NORTH, "jobs": ["j1", "j1"]})),
    "a job is made twice": (SAME_JOB, with_job(accept("k2", "j3"), rows("j2", JOB), ended("j2"))),
    "tenants share a job": (SAME_JOB, with_more(accept("k", "j1", tenant=SOUTH))),
    "an older reading is shown": (NEWEST, with_more(newest("fleet", reading(4)))),
    "an older reading is cached": (NEWEST, with_more(newest("cache", reading(4)))),
    "nothing is cached": (NEWEST, with_more(newest("cache", None))),
    "an older reading is cached while the traffic runs": (
        NEWEST,
        with_more(looks("l1"), newest("cache", reading(4), look="l1")),
    ),
    "another tenant's reading is cached while the traffic runs": (
        NEWEST,
        with_more(looks("l1"), newest("cache", reading(9, tenant=SOUTH), look="l1")),
    ),
    "nothing is cached while the traffic runs": (
        NEWEST,
        with_more(looks("l1"), newest("cache", None, look="l1")),
    ),
    "nothing is cached after a switch of models": (
        NEWEST,
        [
            *good()[:-3],
            SWITCHING,
            SWITCHED,
            *single("r2", reading(9)),
            newest("cache", None),
            newest("fleet", reading(9)),
            SETTLED,
        ],
    ),
    "nothing is in the fleet while models switch": (NEWEST, with_more(SWITCHING, newest("fleet", None))),
    "an older reading is cached while models switch": (
        NEWEST,
        with_more(SWITCHING, newest("cache", reading(4))),
    ),
    "a reading that was not sent is shown": (NEWEST, with_more(newest("fleet", reading(9)))),
    "another tenant's reading is shown": (NEWEST, with_more(newest("fleet", reading(5, tenant=SOUTH)))),
    "a degraded answer is stored": (
        NEWEST,
        with_more(*degraded("r2", reading(9)), newest("fleet", [*reading(9)[:3], ""])),
    ),
    "a charger is missing": (NEWEST, with_more(*single("r2", reading(1, charger="EVZ-002")))),
    "an answer is about another reading": (ANSWERS, with_more(*single("r2", reading(4), said=reading(3)))),
    "an answer is about another charger": (
        ANSWERS,
        with_more(
            *single("r2", reading(3), said=reading(3, charger="EVZ-002")),
            *single("r3", reading(3, charger="EVZ-002")),
            *shown(reading(3, charger="EVZ-002")),
        ),
    ),
    "a degraded answer is about another reading": (
        ANSWERS,
        with_more(*single("r2", reading(4), degraded=True, said=[*reading(3)[:3], None])),
    ),
    "an answer has another's id": (ANSWERS, with_more(*single("r2", reading(4), echo="r1"))),
    "an answer has no request": (ANSWERS, with_more(single("r2", reading(4))[1])),
    "a call does not end": (ANSWERS, with_more(single("r2", reading(4))[0])),
    "a tenant reads another's job": (
        ANSWERS,
        with_more({"event": "peek", "tenant": SOUTH, "job": "j1", "status": 200}),
    ),
}

GOOD: dict[str, list[Event]] = {
    "of every law": good(),
    "an outcome is seen before its acknowledgement": with_more(outcome(2, reading(1)), record(2, reading(1))),
    "repeats are allowed without transactions": at_least_once(
        with_more(outcome(0, reading(2), placed=5), outcome(1, reading(5), placed=6))
    ),
    "a wrong record is a dead letter": with_more(record(2, reading(1), wrong=True), dead_letter(2)),
    "an acknowledgement is lost": with_more(record(None, reading(4)), outcome(2, reading(4))),
    "a lost answer's reading may be stored": [
        *good()[:-3],
        *unanswered("r2", reading(9)),
        *shown(reading(9)),
        SETTLED,
    ],
    "a lost answer's reading need not be stored": with_more(*unanswered("r2", reading(9))),
    "a look is answered with the newest of its moment, or a newer one": [
        *good()[:-3],
        looks("l1"),
        looks("l2"),
        *single("r2", reading(9)),
        newest("cache", reading(5), look="l1"),
        newest("cache", reading(9), look="l2"),
        *shown(reading(9)),
        SETTLED,
    ],
    "a degraded answer's reading is not stored": with_more(*degraded("r2", reading(9))),
    "a submission without an answer may be a job": changed(
        {"event": "jobs", "tenant": NORTH, "jobs": ["j1"]},
        submit("k2", JOB),
        accept("k2", None, status=0),
        {"event": "jobs", "tenant": NORTH, "jobs": ["j1", "j2"]},
    ),
    "tenants use the same key": with_more(
        submit("k", [reading(3, tenant=SOUTH)], tenant=SOUTH),
        accept("k", "j2", tenant=SOUTH),
        rows("j2", [reading(3, tenant=SOUTH)]),
        ended("j2"),
        *shown(reading(3, tenant=SOUTH)),
    ),
    "the cache shows no verdict of before a switch of models": [
        *good()[:-3],
        SWITCHING,
        *single("r2", reading(9)),
        looks("l1"),
        newest("cache", None, look="l1"),
        SWITCHED,
        newest("cache", None),
        newest("fleet", reading(9)),
        SETTLED,
    ],
    "what is lost on purpose is forgiven": with_job(
        *single("r2", reading(8)),
        LOSING,
        *single("r4", reading(7)),
        LOST,
        *single("r3", reading(5)),
        ended("j2", "GONE"),
        accept("k2", "j3"),
    ),
}


@pytest.mark.parametrize("name", VIOLATIONS)
def test_a_violation_is_found(name: str) -> None:
    law, events = VIOLATIONS[name]
    verdict = judged(events)
    assert verdict.broken == [law], "\n".join(verdict.lines())
    shown_lines = next(found for found in verdict.laws if found.title == law).violations
    assert all('"event":' in line for line in shown_lines), "a violation is shown without its lines"


@pytest.mark.parametrize("name", GOOD)
def test_a_good_history_passes(name: str) -> None:
    verdict = judged(GOOD[name])
    assert verdict.broken == [], "\n".join(verdict.lines())


def test_each_law_is_seen_to_fail() -> None:
    assert {law for law, _ in VIOLATIONS.values()} == {law.title for law in judged([]).laws}


def test_a_law_that_was_not_tried_is_not_kept() -> None:
    events = [event for event in good() if event["event"] not in ("record", "outcome")]
    assert f"not tried: {OUTCOMES}" in judged(events).broken


def test_a_cut_history_is_not_kept() -> None:
    assert judged(good()[:-1]).broken == ["the history is not of a whole run"]


def checked(path: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tests.faults.checker", str(path)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=60)


def written(path: Path, events: list[dict[str, Any]]) -> Path:
    with History(path) as history:
        for event in events:
            history.write(**event)
    return path


def test_the_program_reads_what_is_written(tmp_path: Path) -> None:
    done = checked(written(tmp_path / "good.ndjson", good()))
    assert done.returncode == 0, done.stdout
    assert "verdict: all laws hold" in done.stdout
    assert [line.number for line in read(tmp_path / "good.ndjson")] == list(range(1, len(good()) + 1))


def test_the_program_shows_the_lines_of_a_violation(tmp_path: Path) -> None:
    done = checked(written(tmp_path / "bad.ndjson", with_more(record(2, reading(1)))))
    assert done.returncode == 1
    assert "a record without an outcome" in done.stdout
    assert '"event":"record"' in done.stdout
