"""Dead letters are shown in Redis, and put back on request of an administrator: on Apache Kafka."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from redis import Redis
from redis.lock import Lock

from consumers.replay import requested_replays
from consumers.replay.dead_letters import DeadLetter, put_back
from consumers.replay.requested_replays import LOCK_KEY, LOCK_S, RequestedReplays
from settings import Settings
from tasks.storage.dead_letter_looks import DeadLetterLook, DeadLetterLooks
from tasks.storage.replay_requests import ReplayRequest, ReplayRequests
from tests.integration.stream_bench import DEAD_LETTERS, INPUT, StreamBench, event_id
from tests.kafka.members import bench_on_apache_kafka
from tests.kafka.outcomes import read_all
from tests.processes import settings_of, wait_until

BAD, WORSE = b'{"charger_id": "CP-7", "tenant_id": "acme"}', b"{bad"


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[StreamBench]:
    with bench_on_apache_kafka(tmp_path, max_poll_records=50) as bench:
        bench.start_worker()
        yield bench


def ended(bench: StreamBench, request: ReplayRequest) -> ReplayRequest:
    """A request after its end."""

    def now() -> ReplayRequest:
        (found,) = [
            each for each in ReplayRequests(bench.redis).newest() if each.request_id == request.request_id
        ]
        return found

    wait_until(lambda: not now().is_open, what="the replay", timeout_s=60, log=bench.logs)
    return now()


def looks(bench: StreamBench, count: int, tenant: str | None = None) -> list[DeadLetterLook]:
    """The looks of a tenant, as soon as there are so many."""

    def found() -> list[DeadLetterLook]:
        return list(DeadLetterLooks(bench.redis).newest(tenant, now=0))

    wait_until(lambda: len(found()) >= count, what=f"{count} looks", timeout_s=60, log=bench.logs)
    return found()


def replayed_values(bench: StreamBench) -> list[bytes | None]:
    """The values of records that were put back on the input topic."""
    return [
        record.value
        for record in read_all(bench, INPUT)
        if any(name == "x-replayed-from" for name, _ in record.headers)
    ]


@pytest.mark.timeout(240)
def test_each_dead_letter_is_looked_at_and_put_back_once(bench: StreamBench) -> None:
    """By two living consumers: by reason, once more, and one alone that fails again."""
    bench.start_consumer()
    bench.start_consumer()
    sent = bench.produce(BAD, WORSE, BAD)
    found = looks(bench, 3)
    assert {(look.origin, look.code, look.text) for look in found} == {
        (sent[0], "invalid_reading", BAD.decode()),
        (sent[1], "malformed_body", WORSE.decode()),
        (sent[2], "invalid_reading", BAD.decode()),
    }
    assert {look.origin for look in looks(bench, 2, "acme")} == {sent[0], sent[2]}
    requests = ReplayRequests(bench.redis)
    first = ended(bench, requests.add(code="invalid_reading"))
    assert (first.state, first.sent, first.left_out, first.detail) == ("done", 2, 0, "")
    assert replayed_values(bench) == [BAD, BAD]
    # Both have failed again, as new dead letters. Those of before are not put back twice.
    again = looks(bench, 5)
    assert len({look.origin for look in again}) == 5
    second = ended(bench, requests.add(code="invalid_reading"))
    assert (second.state, second.sent, second.left_out) == ("done", 2, 2)
    one = ended(bench, requests.add(origin=sent[1]))
    assert (one.state, one.sent, one.left_out) == ("done", 1, 0)
    assert sorted(value or b"" for value in replayed_values(bench)) == [BAD, BAD, BAD, BAD, WORSE]
    bench.read(until=8, topics=(DEAD_LETTERS,), timeout_s=60)
    assert not bench.redis.exists(LOCK_KEY)


@pytest.mark.timeout(240)
def test_a_request_outlives_the_consumer_that_dies_at_it(
    bench: StreamBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The part that it has noted is not sent again."""
    bench.start_consumer()
    sent = bench.produce(BAD, BAD, BAD)
    looks(bench, 3)
    for process in bench.processes:
        if process.log_file.name.startswith("consumer"):
            assert process.end(20) == 0
    requests = ReplayRequests(bench.redis)
    request = requests.add(code="invalid_reading")
    replays = RequestedReplays(settings_of(bench.environment))
    # Another consumer is at it.
    lock = Lock(bench.redis, LOCK_KEY, timeout=LOCK_S)
    assert lock.acquire(blocking=False)
    replays.look()
    assert requests.newest() == [request]
    lock.release()

    class Died(BaseException):
        """As the end of a process: nothing is stored after it."""

    parts: list[Sequence[DeadLetter]] = []

    def put_back_once(settings: Settings, redis: Redis, letters: Sequence[DeadLetter]) -> None:
        if parts:
            raise Died
        parts.append(letters)
        put_back(settings, redis, letters)

    monkeypatch.setattr(requested_replays, "MOST_OF_PART", 1)
    monkeypatch.setattr(requested_replays, "put_back", put_back_once)
    with pytest.raises(Died):
        replays.look()
    (left,) = requests.newest()
    assert (left.state, left.sent) == ("running", 1)
    monkeypatch.undo()
    replays.look()
    (done,) = requests.newest()
    assert (done.state, done.sent, done.left_out) == ("done", 3, 0)
    assert replayed_values(bench) == [BAD] * 3
    origins = {event_id(record) for record in read_all(bench, DEAD_LETTERS)}
    assert origins == set(sent)


@pytest.mark.timeout(240)
def test_a_request_without_kafka_fails_with_the_reason(bench: StreamBench) -> None:
    requests = ReplayRequests(bench.redis)
    requests.add(code="invalid_reading")
    replays = RequestedReplays(settings_of(bench.environment | {"KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1"}))
    replays.look()
    (failed,) = requests.newest()
    assert failed.state == "failed"
    assert failed.detail.startswith("Kafka: ")
