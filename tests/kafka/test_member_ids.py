"""Two consumers with one member id: both say so, and every reading still ends in one outcome."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.stream_bench import PREDICTIONS, StreamBench
from tests.kafka.members import bench_on_apache_kafka
from tests.processes import Process, wait_until

FENCED = "another consumer has the member id of evzone-ml-shared-0"
READING = {"charger_id": "C", "connector_status": "CHARGING"}


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[StreamBench]:
    with bench_on_apache_kafka(tmp_path, max_poll_records=50) as bench:
        yield bench


def start_in(bench: StreamBench, folder: str, **settings: str) -> Process:
    """Start a consumer with a `STATE_DIR` of its own."""
    (bench.folder / folder).mkdir()
    bench.environment |= {"STATE_DIR": str(bench.folder / folder), **settings}
    return bench.start_consumer()


@pytest.mark.timeout(240)
def test_two_consumers_with_one_member_id_are_named(bench: StreamBench) -> None:
    bench.start_worker()
    both = [start_in(bench, folder, KAFKA_MEMBER_ID="shared") for folder in ("one", "two")]
    sent: list[str] = []
    wait_until(lambda: "exactly once, as" in both[0].log(), what="the topics", log=bench.logs)

    def is_named() -> bool:
        for number in range(6):
            sent.extend(bench.produce(READING, partition=number))
        reasons = [record for record in bench.redis.hvals("ml:consumers") if FENCED.encode() in record]
        return bool(reasons) and all(FENCED in process.log() for process in both)

    wait_until(is_named, what="both to name the fencing", timeout_s=120, poll_s=0.5, log=bench.logs)
    assert not any("does not answer" in process.log() for process in both), bench.logs()
    bench.read(until=len(sent), timeout_s=60)
    predicted = [record.value for record in bench.outcomes[PREDICTIONS]]
    assert len(predicted) == len(set(sent)) == len(bench.predictions())


@pytest.mark.timeout(240)
def test_two_state_folders_of_a_host_have_ids_of_their_own(bench: StreamBench) -> None:
    bench.start_worker()
    both = [start_in(bench, folder) for folder in ("one", "two")]
    for process in both:
        wait_until(lambda log=process.log: "exactly once, as" in log(), what="both", log=bench.logs)  # type: ignore[misc]  # mypy does not infer lambdas with defaults
    sent = [each for number in range(6) for each in bench.produce(*[READING] * 20, partition=number)]
    bench.read(until=len(sent), timeout_s=60)
    assert not any("member id" in process.log() for process in both), bench.logs()
