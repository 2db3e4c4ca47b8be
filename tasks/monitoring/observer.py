"""What is done with readings after they were answered: drift is counted, a shadow version scores them too.

A thread of its own in each worker process, so that neither answers nor heartbeats wait for it. Tasks leave
scored readings in bounded memory, at about a microsecond each; the thread looks at a few every half second,
within a budget of its own processor time. What finds no room is not looked at; for a shadow it is counted.

Drift is counted on a sample: 1 ms each half second are 16 readings a second with their past behind them, some
60 without, for each model and process. 16 a second are 1.4 million a day, where 3,000 tell the PSI of a
feature to 0.01. A shadow may spend 50 ms each half second: 200 readings a second with their past, and more
without.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Final

from redis import Redis, RedisError

from models import registry
from models.features.columns import HistoryEntries
from models.monitoring.loaded_version import LoadedVersion, Seen
from models.scorer import Scorer
from readings.reading import Kind, Reading
from settings import Settings
from tasks.monitoring.drift_counts import DriftCounter
from tasks.monitoring.shadow_counts import ShadowComparison
from tasks.monitoring.versions import STORED

log = logging.getLogger(__name__)

ROUND_S: Final = 0.5
FLUSH_S: Final = 2.0
DRIFT_CPU_S: Final = 0.001
SHADOW_CPU_S: Final = 0.05
# Readings that may wait, each with a past of 60 entries at most (about 15 kB).
DRIFT_WAITING: Final = 128
SHADOW_WAITING: Final = 512
# Readings looked at in one go: about 2 ms during which this process answers nobody (one interpreter lock).
CHUNK: Final = 8


class Backlog:
    """First in, first out; one thread puts in, one takes out. What finds no place is counted and let go."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._waiting: deque[Seen] = deque()
        self._dropped = 0

    def put(self, seen: Seen) -> None:
        """Never blocks, never fails."""
        if len(self._waiting) < self._limit:
            self._waiting.append(seen)
        else:
            self._dropped += 1

    def clear(self) -> None:
        self._waiting.clear()
        self._dropped = 0

    def take_dropped(self) -> int:
        """How many found no place since the last call."""
        dropped, self._dropped = self._dropped, 0
        return dropped

    def spend(self, cpu_s: float, look: Callable[[Sequence[Seen]], None]) -> None:
        """Have `look` called with a few at a time until none wait or `cpu_s` of this thread are spent."""
        until = time.thread_time() + cpu_s
        while self._waiting and time.thread_time() < until:
            look([self._waiting.popleft() for _ in range(min(CHUNK, len(self._waiting)))])
            time.sleep(0)  # whoever waits for the interpreter goes first


class _ModelMonitor:
    """One stored model: its active version, a shadow if there is one, and what waits for them.

    Changed by the runtime's thread, by replacing whole attributes; read by the others.
    """

    def __init__(self) -> None:
        self.active: LoadedVersion | None = None
        self.shadow: LoadedVersion | None = None
        self.wanted: str | None = None
        self.problem: str | None = None
        self.drift: DriftCounter | None = None
        self.comparison: ShadowComparison | None = None
        self.drift_backlog = Backlog(DRIFT_WAITING)
        self.shadow_backlog = Backlog(SHADOW_WAITING)


class Observer:
    """Looks at what a worker process has scored. `see` is for its tasks, `look` for its runtime."""

    def __init__(self, settings: Settings, redis: Redis) -> None:
        self._settings = settings
        self._redis = redis
        self._monitors = {name: _ModelMonitor() for name in registry.NAMES}
        self._last: tuple[str, Sequence[Reading]] = ("", ())
        self._flush_at = time.monotonic() + FLUSH_S
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="observer", daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._stopped.set()

    def see(self, kind: Kind, readings: Sequence[Reading], history: Sequence[HistoryEntries]) -> None:
        """Readings that were scored, with the past they were scored with. For one thread.

        Never blocks, never fails, keeps some of the readings for some seconds.
        """
        name = STORED.get(kind, "")
        monitor = self._monitors.get(name)
        if monitor is None:
            return
        counts, compares = monitor.drift is not None, monitor.comparison is not None
        last, self._last = self._last, (name, readings)
        if last[0] == name and last[1] is readings:
            return  # a job of all kinds asks for failure and maintenance: both are the failure model's
        for seen in zip(readings, history, strict=True):
            if counts:
                monitor.drift_backlog.put(seen)
            if compares:
                monitor.shadow_backlog.put(seen)

    def look(self, scorer: Scorer) -> None:
        """Follow the active versions and the model folder's SHADOW files.

        A version that may not serve is refused with its reason, and nothing else changes. Blocks while a
        version loads. Raises nothing.
        """
        for name, monitor in self._monitors.items():
            active = LoadedVersion.active(scorer, name)
            if monitor.active is None or monitor.active.model is not active.model:
                counter = DriftCounter(self._redis, active)
                monitor.drift = counter if counter.able else None
                monitor.active, monitor.comparison = active, None
            self._look_for_shadow(name, monitor, active)

    def _look_for_shadow(self, name: str, monitor: _ModelMonitor, active: LoadedVersion) -> None:
        try:
            monitor.wanted = None
            monitor.wanted = registry.shadow_version(self._settings.model_dir, name)
            if monitor.wanted is None or monitor.wanted == active.version:
                monitor.wanted = monitor.shadow = monitor.comparison = monitor.problem = None
                return
            if monitor.shadow is None or monitor.shadow.version != monitor.wanted:
                monitor.shadow = monitor.comparison = None
                monitor.shadow = LoadedVersion.load(self._settings.model_dir, name, monitor.wanted)
                log.info("%s %s scores beside %s", name, monitor.wanted, active.version)
            if monitor.comparison is None:
                monitor.comparison = ShadowComparison(self._settings, self._redis, active, monitor.shadow)
            monitor.problem = None
        except Exception as error:  # whatever a broken version makes of the libraries: the active one stays
            monitor.shadow, monitor.comparison = None, None
            monitor.problem = str(error) or type(error).__name__
            log.error("shadow version not loaded: %s", monitor.problem)

    def shadow_of(self, name: str) -> dict[str, Any] | None:
        """For the worker's state: the shadow version of a model and what is wrong with it."""
        monitor = self._monitors.get(name)
        if monitor is None or (monitor.wanted is None and monitor.problem is None):
            return None
        return {"version": monitor.wanted, "problem": monitor.problem}

    def _run(self) -> None:
        while not self._stopped.wait(ROUND_S):
            for monitor in self._monitors.values():
                self._spend(monitor.drift_backlog, monitor.drift, DRIFT_CPU_S)
                self._spend(monitor.shadow_backlog, monitor.comparison, SHADOW_CPU_S)
            if time.monotonic() >= self._flush_at:
                self._flush_at = time.monotonic() + FLUSH_S
                self._flush()

    def _spend(self, backlog: Backlog, viewer: DriftCounter | ShadowComparison | None, cpu_s: float) -> None:
        if viewer is None:
            backlog.clear()
            return
        try:
            backlog.spend(cpu_s, viewer.look)
        except Exception:
            log.exception("readings could not be looked at again")

    def _flush(self) -> None:
        try:
            for monitor in self._monitors.values():
                if monitor.drift is not None:
                    monitor.drift.flush()
                if monitor.comparison is not None:
                    monitor.comparison.dropped(monitor.shadow_backlog.take_dropped())
                    monitor.comparison.flush()
        except RedisError as error:
            log.debug("counts wait for Redis: %s", error)
        except Exception:
            log.exception("counts could not be written")
