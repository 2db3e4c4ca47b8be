"""Load of a comparison: short runs of single predictions, batch rows and stream readings on one side."""

from __future__ import annotations

import random
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import httpx
import orjson
import pyarrow.parquet as pq
from kafka import KafkaConsumer, KafkaProducer

from bench.batch import score_file
from bench.compare_side import FOLDER, KEY, Side
from bench.compare_verdict import FIGURES
from bench.fleet_file import fleet_table
from bench.load import Load, apply
from bench.stream import reading

# wrk accepts only whole seconds.
SINGLES_S: Final = 1
ROWS: Final = 20_000
READINGS: Final = 4_000
CHARGERS: Final = 2_000
# The service writes events, cache entries and history shortly after its responses.
SETTLE_S: Final = 0.3
TIMEOUT_S: Final = 60.0
BATCH: Final = "batch"
_PREDICTIONS: Final = "/api/v1/predictions/failure"


@dataclass(frozen=True, slots=True)
class Shot:
    """`count` predictions in `seconds`. Latencies are 0 if not measured."""

    count: int
    seconds: float
    cpu_s: float
    errors: int = 0
    p50_ms: float = 0.0
    p99_ms: float = 0.0


def numbers(shots: Sequence[Shot]) -> dict[str, float]:
    """Combine shots of one side into one run of a measure: its numbers by `Figure.name`."""
    count = sum(shot.count for shot in shots)
    return {
        "rate": count / sum(shot.seconds for shot in shots),
        "cpu": sum(shot.cpu_s for shot in shots) / count * 1000,
        "p50": sum(shot.p50_ms for shot in shots) / len(shots),
        "p99": sum(shot.p99_ms for shot in shots) / len(shots),
    }


class Target:
    """A running side, with the clients that load it."""

    def __init__(self, side: Side) -> None:
        self.name = side.name
        self._side = side
        self._closing = ExitStack()
        self._client = self._closing.enter_context(
            httpx.Client(base_url=side.url, headers={"X-API-Key": KEY}, timeout=TIMEOUT_S)
        )
        self._producer = KafkaProducer(bootstrap_servers=side.kafka, linger_ms=2, batch_size=131_072)
        self._closing.callback(self._producer.close)
        self._reader = KafkaConsumer(
            "ml.predictions",
            bootstrap_servers=side.kafka,
            auto_offset_reset="earliest",
            fetch_max_wait_ms=20,
            max_poll_records=5_000,
        )
        self._closing.callback(self._reader.close)

    def singles(self, connections: int) -> Shot:
        """Send single predictions, each of a different charger."""
        load = Load(f"{self._side.url}{_PREDICTIONS}", KEY, "unique", uuid.uuid4().hex[:8])
        before_s = self._side.cpu_s()
        outcome = apply(load, connections, SINGLES_S)
        if not outcome.requests:
            raise RuntimeError(f"{self.name}: no answer to single predictions in {SINGLES_S} s")
        return Shot(
            outcome.requests,
            outcome.seconds,
            self._cpu_s_since(before_s),
            outcome.errors,
            outcome.p50_ms,
            outcome.p99_ms,
        )

    def batch(self) -> Shot:
        """Run one job, Parquet in and out."""
        before_s = self._side.cpu_s()
        _, phases = score_file(self._client, _fleet(), self._side.results_file())
        return Shot(ROWS, phases.seconds, self._cpu_s_since(before_s))

    def stream(self) -> Shot:
        """Send readings. The time runs from the producer's first call to the last prediction."""
        records = _records()
        before_s, began = self._side.cpu_s(), time.monotonic()
        for key, value in records:
            self._producer.send("charger.metrics", value, key=key)
        self._producer.flush(TIMEOUT_S)
        arrived = 0
        while arrived < len(records):
            arrived += sum(map(len, self._reader.poll(timeout_ms=100).values()))
            if time.monotonic() > began + TIMEOUT_S:
                raise RuntimeError(
                    f"{self.name}: {arrived} of {len(records)} predictions after {TIMEOUT_S:g} s"
                )
        return Shot(len(records), time.monotonic() - began, self._cpu_s_since(before_s))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closing.close()

    def _cpu_s_since(self, before_s: float) -> float:
        time.sleep(SETTLE_S)
        return self._side.cpu_s() - before_s


_SHOTS: Final[tuple[Callable[[Target], Shot], ...]] = (
    lambda target: target.singles(1),
    lambda target: target.singles(16),
    lambda target: target.singles(64),
    Target.batch,
    Target.stream,
)
# In the order of `FIGURES`.
MEASURES: Final[Mapping[str, Callable[[Target], Shot]]] = dict(
    zip(dict.fromkeys(figure.measure for figure in FIGURES), _SHOTS, strict=True)
)


def warm_up(target: Target, measures: Sequence[str]) -> None:
    """Load models, open connections and fill caches for these measures. Blocks for some seconds."""
    for measure in measures:
        MEASURES[measure](target)
    if BATCH in measures:  # the first job determines the chunk size
        MEASURES[BATCH](target)


def _fleet() -> Path:
    path = FOLDER / f"fleet-{ROWS}.parquet"
    if not path.exists():
        pq.write_table(fleet_table(ROWS), path)
    return path


def _records() -> list[tuple[bytes, bytes]]:
    chargers = [f"EVZ-{random.randrange(CHARGERS):04d}" for _ in range(READINGS)]
    return [(charger.encode(), orjson.dumps(reading(charger))) for charger in chargers]
