"""Memory, descriptors, threads, Redis keys and connections over time, and whether they stay flat."""

from __future__ import annotations

import itertools
import math
import statistics
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NamedTuple

from redis import Redis, RedisError

from stack.die_with_parent import processes_of_session
from tests.host.live_service import LiveService

EVERY_S: Final = 10.0
HOUR_S: Final = 3600.0
# A process that has just started still loads and fills its pools.
WARM_UP_S: Final = 300.0
# A shorter time shows no trend.
LEAST_SPAN_S: Final = 600.0
# A series grows if its median slope is more than this share an hour, and more than so much of its unit, and
# the trend is beyond chance.
LIMIT_AN_HOUR: Final = 0.02
LEAST_AN_HOUR: Final = {"MB": 5.0, "descriptors": 2.0, "threads": 1.0, "keys": 20.0, "connections": 2.0}
Z_LIMIT: Final = 3.0
MB: Final = 1e6
ALERTS: Final = b":alerts:"


class Sample(NamedTuple):
    """A value of a series. `life` changes when the process is started again; `is_quiet`: no fault lasts."""

    at: float
    series: str
    unit: str
    life: str
    value: float
    is_quiet: bool


@dataclass(frozen=True)
class Trend:
    """A series over a run: medians of the first and last quarter, and the slope per hour as a share."""

    series: str
    unit: str
    first: float
    last: float
    slope: float
    z: float
    span_s: float

    @property
    def verdict(self) -> str:
        """`flat`, `GROWS`, or `too short`."""
        if self.span_s < LEAST_SPAN_S:
            return "too short"
        level = max(statistics.fmean((self.first, self.last)), 1e-9)
        grows = self.slope > LIMIT_AN_HOUR and self.slope * level > LEAST_AN_HOUR[self.unit]
        return "GROWS" if grows and self.z > Z_LIMIT else "flat"

    def line(self) -> str:
        """The trend as a row of a table."""
        return (
            f"  {self.series:28} {self.unit:12} {self.first:10,.1f} {self.last:10,.1f} "
            f"{self.slope:+9.1%} {self.z:+6.1f} {self.span_s / 60:6.0f}  {self.verdict}"
        )


HEADER: Final = (
    f"  {'series':28} {'unit':12} {'first':>10} {'last':>10} {'an hour':>9} {'z':>6} {'min':>6}  verdict"
)


def trends(samples: Iterable[Sample]) -> list[Trend]:
    """The trend of each series, over its samples of quiet times and of processes that are warm.

    The slope is the median of the slopes between all pairs of samples of the same process (Theil and Sen),
    `z` is that of Mann and Kendall. A restart is therefore neither growth nor decline.
    """
    every: dict[tuple[str, str], list[Sample]] = {}
    warm: dict[tuple[str, str], dict[str, list[Sample]]] = {}
    began: dict[tuple[str, str], float] = {}
    for sample in samples:
        key = sample.series, sample.unit
        every.setdefault(key, []).append(sample)
        start = began.setdefault((sample.series, sample.life), sample.at)
        if sample.is_quiet and sample.at - start >= WARM_UP_S:
            warm.setdefault(key, {}).setdefault(sample.life, []).append(sample)
    return [_trend(*key, list(warm.get(key, {}).values()), found) for key, found in every.items()]


def _trend(series: str, unit: str, lives: list[list[Sample]], every: list[Sample]) -> Trend:
    """The trend over the samples of `lives`; without any, the levels of all samples."""
    values = [sample.value for life in lives for sample in life] or [sample.value for sample in every]
    quarter = max(1, len(values) // 4)
    level = max(statistics.median(values), 1e-9)
    slopes: list[float] = []
    score, variance = 0.0, 0.0
    for life in lives:
        rises = [
            (later.value - one.value) / (later.at - one.at) for one, later in itertools.combinations(life, 2)
        ]
        slopes += rises
        score += sum((rise > 0) - (rise < 0) for rise in rises)
        variance += len(life) * (len(life) - 1) * (2 * len(life) + 5) / 18
    return Trend(
        series,
        unit,
        statistics.median(values[:quarter]),
        statistics.median(values[-quarter:]),
        statistics.median(slopes) * HOUR_S / level if slopes else 0.0,
        score / math.sqrt(variance) if variance else 0.0,
        sum(life[-1].at - life[0].at for life in lives),
    )


class Sampler:
    """Samples a service every 10 s. `is_quiet` is set by its owner."""

    def __init__(self, service: LiveService) -> None:
        self.samples: list[Sample] = []
        self.is_quiet = True
        self._service = service
        self._over = threading.Event()

    @contextmanager
    def running(self) -> Iterator[None]:
        """Sample in a thread."""
        thread = threading.Thread(target=self._run)
        thread.start()
        try:
            yield
        finally:
            self._over.set()
            thread.join()

    def _run(self) -> None:
        while not self._over.wait(EVERY_S):
            for name, program in list(self._service.programs.items()):
                # A program that is killed meanwhile has no sample.
                with suppress(OSError, ValueError):
                    pids = list(processes_of_session(program.process.pid))
                    life = str(program.process.pid)
                    if pids and not program.has_ended():
                        self._add(f"{name}: memory (PSS)", "MB", life, sum(map(_pss_mb, pids)))
                        self._add(f"{name}: descriptors", "descriptors", life, sum(map(_descriptors, pids)))
                        self._add(f"{name}: threads", "threads", life, sum(map(_threads, pids)))
            with suppress(RedisError), Redis.from_url(self._service.redis.url, socket_timeout=2) as redis:
                found: dict[str, Any] = redis.info()
                self._add("Redis: memory of data", "MB", "", found["used_memory"] / MB)
                # Records of alerts are kept for 30 days: their number follows from the run, not from a leak.
                kept = sum(ALERTS not in key for key in redis.scan_iter(count=1_000))
                self._add("Redis: keys, without alerts", "keys", "", float(kept))
                self._add("Redis: connections", "connections", "", found["connected_clients"])

    def _add(self, series: str, unit: str, life: str, value: float) -> None:
        self.samples.append(Sample(time.monotonic(), series, unit, life, value, self.is_quiet))


def _pss_mb(pid: int) -> float:
    """Memory of a process in MB, with its share of the memory that it has in common with others."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith("Pss:")) * 1024 / MB


def _descriptors(pid: int) -> int:
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


def _threads(pid: int) -> int:
    return len(list(Path(f"/proc/{pid}/task").iterdir()))
