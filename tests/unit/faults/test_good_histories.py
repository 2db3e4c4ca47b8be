"""Histories of a service that keeps its promises pass, in whichever order the events are seen."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.faults.histories import (
    NORTH,
    SETTLED,
    SOUTH,
    Event,
    accept,
    degraded,
    ended,
    good,
    judged,
    outcome,
    reading,
    record,
    rows,
    shown,
    single,
    submit,
    unanswered,
)

CHARGERS = ("EVZ-001", "EVZ-002", "EVZ-003")


@st.composite
def histories(draw: st.DrawFn) -> list[Event]:
    """Singles, jobs and records of two tenants, interleaved; fleet and cache as they must be."""
    seconds = draw(st.permutations(range(10, 40)))
    sent = [
        reading(second, tenant=draw(st.sampled_from((NORTH, SOUTH))), charger=draw(st.sampled_from(CHARGERS)))
        for second in seconds
    ]
    threads: list[list[Event]] = [[], []]  # records as they are acknowledged, and outcomes as they are read
    stored: list[list[str]] = [reading(5)]
    unsure: list[list[str]] = []
    repeats = draw(st.booleans())
    offsets: dict[int, int] = {0: 2, 1: 0, 2: 0}
    for number, one in enumerate(sent):
        way = draw(st.sampled_from(("single", "twice", "degraded", "record", "job")))
        if way == "single":
            threads.append(single(f"s{number}", one))
            stored.append(one)
        elif way == "twice":
            threads.append(unanswered(f"a{number}", one, 504) + unanswered(f"b{number}", one))
            unsure.append(one)
        elif way == "degraded":
            threads.append(degraded(f"d{number}", one))
        elif way == "record":
            partition = CHARGERS.index(one[1])
            offset = offsets[partition]
            offsets[partition] += 1
            threads[0].append(record(offset, one, partition=partition))
            seen = outcome(offset, one, partition=partition)
            threads[1] += [seen, seen] if repeats else [seen]
            stored.append(one)
        else:
            key, job = f"k{number}", f"j-{number}"
            events = [submit(key, [one], tenant=one[0]), accept(key, job, tenant=one[0])]
            again = [accept(key, job, tenant=one[0])] if draw(st.booleans()) else []
            threads.append([*events, *again, rows(job, [one]), ended(job)])
            stored.append(one)
    events = draw(interleaved(threads))
    newest: dict[tuple[str, str], list[str]] = {}
    for one in stored + [one for one in unsure if draw(st.booleans())]:
        charger = one[0], one[1]
        newest[charger] = max(newest.get(charger, one), one, key=lambda said: said[2])
    first = [event | {"transactions": not repeats} if event["event"] == "run" else event for event in good()]
    return [*first[:-3], *events, *(entry for said in newest.values() for entry in shown(said)), SETTLED]


@st.composite
def interleaved(draw: st.DrawFn, threads: list[list[Any]]) -> list[Any]:
    """The events of all threads, those of each in its order."""
    order = draw(st.permutations([number for number, events in enumerate(threads) for _ in events]))
    waiting = [iter(events) for events in threads]
    return [next(waiting[number]) for number in order]


@given(histories())
@settings(max_examples=150, deadline=None)
def test_a_good_history_passes(events: list[Event]) -> None:
    verdict = judged(events)
    assert verdict.broken == [], "\n".join(verdict.lines())


@given(histories(), st.data())
@settings(max_examples=100, deadline=None)
def test_a_good_history_without_one_outcome_or_result_fails(events: list[Event], data: st.DataObject) -> None:
    needed = [number for number, event in enumerate(events) if event["event"] in ("rows", "ended", "record")]
    at = data.draw(st.sampled_from(needed))
    if events[at]["event"] == "record":
        place = events[at]["partition"], events[at]["offset"]
        left = [
            event
            for event in events
            if event["event"] != "outcome" or (event["partition"], event["offset"]) != place
        ]
    else:
        left = events[:at] + events[at + 1 :]
    assert judged(left).broken
