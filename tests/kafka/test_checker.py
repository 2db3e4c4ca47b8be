"""The checker of histories reports a real consumer that repeats outcomes.

The consumer has no transactions, and is killed between publish and commit.
"""

from __future__ import annotations

import signal
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Final

import pytest
from kafka import KafkaConsumer, TopicPartition

from tests.faults.checker import check
from tests.faults.history import History, Line, read
from tests.faults.services import usual
from tests.faults.stream_laws import OneOutcome
from tests.faults.traffic import Rates, Traffic
from tests.host.live_service import LiveService
from tests.integration.stream_bench import DEAD_LETTERS, INPUT, PREDICTIONS, event_id
from tests.kafka import broker
from tests.kafka.broker import ApacheKafka
from tests.kafka.members import say

WITHOUT_TRANSACTIONS: Final = {"KAFKA_TRANSACTIONS": "off", "KAFKA_SESSION_TIMEOUT": "6"}
GROUP: Final = "evzone-ml"
RATES: Final = Rates(singles_a_second=10, records_a_second=200, job_every_s=2)
BEFORE_S: Final = 4.0
AFTER_S: Final = 4.0
CAUGHT_WITHIN_S: Final = 60.0
# A stopped consumer runs for so long before it is stopped again.
RUNS_S: Final = 0.05

# Partition and offset of a record.
Place = tuple[int, int]


class Progress:
    """The outcomes that the broker has, and the offsets that the consumer has committed."""

    def __init__(self, kafka: str) -> None:
        self._reader = KafkaConsumer(bootstrap_servers=kafka, auto_offset_reset="earliest")
        self._group = KafkaConsumer(bootstrap_servers=kafka, group_id=GROUP, enable_auto_commit=False)
        self._topics = [
            TopicPartition(topic, partition)
            for topic in (PREDICTIONS, DEAD_LETTERS)
            for partition in self._reader.partitions_for_topic(topic) or ()
        ]
        self._reader.assign(self._topics)
        self._reader.seek_to_beginning()
        self._published: set[Place] = set()

    def uncommitted(self) -> set[Place]:
        """The records that have an outcome and will be read again. Blocks until all outcomes are read."""
        ends = self._reader.end_offsets(self._topics)
        while any((self._reader.position(topic) or 0) < end for topic, end in ends.items()):
            for records in self._reader.poll(200).values():
                for record in records:
                    _, partition, offset = event_id(record).rsplit(":", 2)
                    self._published.add((int(partition), int(offset)))
        committed = {
            partition: self._group.committed(TopicPartition(INPUT, partition)) or 0
            for partition in {partition for partition, _ in self._published}
        }
        return {place for place in self._published if place[1] >= committed[place[0]]}

    def close(self) -> None:
        self._reader.close()
        self._group.close()


@pytest.fixture
def service() -> Iterator[LiveService]:
    broker.require()
    with usual("tasks.worker.app", WITHOUT_TRANSACTIONS, kafka_server=ApacheKafka) as service:
        yield service


@pytest.mark.timeout(300)
def test_the_checker_reports_each_outcome_that_a_killed_consumer_repeats(
    service: LiveService, tmp_path: Path
) -> None:
    path = tmp_path / "history.ndjson"
    with History(path) as history:
        # The promise of a consumer with transactions. This one does not keep it.
        history.write("run", transactions=True)
        traffic = Traffic([web.url for web in service.webs.values()], service.kafka.url, history, RATES)
        with traffic.running():
            time.sleep(BEFORE_S)
            doomed = killed_before_commit(service)
            service.start("consumer")
            service.wait_ready("consumer")
            time.sleep(AFTER_S)
    lines = list(read(path))
    repeats = repeated_outcomes(lines)
    places = {place_of(line) for line in repeats}
    say(f"{len(doomed)} records had an outcome and no commit, {len(places)} have {len(repeats)} repeats")
    assert doomed <= places

    verdict = check(lines)
    assert verdict.broken == [OneOutcome.title], "\n".join(verdict.lines())
    (law,) = (law for law in verdict.laws if isinstance(law, OneOutcome))
    assert law.broken == len(repeats)
    for line, told in zip(repeats, law.violations, strict=False):
        assert told.startswith("a second outcome of a record")
        assert str(line)[:600] in told

    # Nothing but the repeats is wrong with the run.
    numbers = {line.number for line in repeats}
    without = [line for line in lines if line.number not in numbers]
    assert check(without).broken == []


def killed_before_commit(service: LiveService) -> set[Place]:
    """Kill the consumer (SIGKILL) while outcomes are published whose offsets are not committed.

    It is stopped (SIGSTOP) at short intervals until that is so. Returns their records. Raises
    `AssertionError` after a minute.
    """
    deadline = time.monotonic() + CAUGHT_WITHIN_S
    with closing(Progress(service.kafka.url)) as progress:
        while time.monotonic() < deadline:
            consumer = service.programs["consumer"]
            consumer.signal_all(signal.SIGSTOP)
            if progress.uncommitted():
                consumer.kill()
                # The commit may have been on its way.
                if doomed := progress.uncommitted():
                    return doomed
                service.start("consumer")
                service.wait_ready("consumer")
            else:
                consumer.signal_all(signal.SIGCONT)
                time.sleep(RUNS_S)
    raise AssertionError("the consumer was never found between publish and commit")


def repeated_outcomes(lines: list[Line]) -> list[Line]:
    """The outcomes of records that had one already."""
    seen = Counter[Place]()
    found = []
    for line in lines:
        if line.event["event"] == "outcome":
            if seen[place_of(line)]:
                found.append(line)
            seen[place_of(line)] += 1
    return found


def place_of(outcome: Line) -> Place:
    return outcome.event["partition"], outcome.event["offset"]
