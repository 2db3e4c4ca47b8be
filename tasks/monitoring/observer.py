"""Process readings again after their replies: count drift, and score them with a shadow version.

Each worker process has one thread for this, so that neither replies nor heartbeats wait for it. Tasks put
scored readings into bounded memory, at about 1 µs each. Every half second the thread takes a few of them,
within a CPU time budget. Readings that exceed the capacity are skipped; for a shadow they are counted.

Drift is counted on a sample. 1 ms per half second, model and process is enough for 16 readings per second
with history, and for about 60 without. That is 1.4 million per day, and 3,000 give the PSI of a feature to
0.01. A shadow may use 50 ms per half second: 200 readings per second with history, and more without.
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
# Capacity in readings, each with a history of at most 60 entries (about 15 kB).
DRIFT_WAITING: Final = 128
SHADOW_WAITING: Final = 512
# Readings per step. A step holds the interpreter lock for about 2 ms, in which the process cannot reply.
CHUNK: Final = 8


class Backlog:
    """A bounded queue for one producer thread and one consumer thread. Drops and counts the excess."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._waiting: deque[Seen] = deque()
        self._dropped = 0

    def put(self, seen: Seen) -> None:
        """Append a reading, or drop it if the queue is full. Never blocks, never fails."""
        if len(self._waiting) < self._limit:
            self._waiting.append(seen)
        else:
            self._dropped += 1

    def clear(self) -> None:
        """Remove all readings and reset the number of dropped ones."""
        self._waiting.clear()
        self._dropped = 0

    def take_dropped(self) -> int:
        """Number of readings dropped since the last call."""
        dropped, self._dropped = self._dropped, 0
        return dropped

    def spend(self, cpu_s: float, look: Callable[[Sequence[Seen]], None]) -> None:
        """Call `look` with a few readings at a time, until none are left or `cpu_s` are used.

        `cpu_s` is CPU time of this thread, in seconds.
        """
        until = time.thread_time() + cpu_s
        while self._waiting and time.thread_time() < until:
            look([self._waiting.popleft() for _ in range(min(CHUNK, len(self._waiting)))])
            time.sleep(0)  # let other threads take the interpreter lock first


class _ModelMonitor:
    """One stored model: its active version, its shadow if any, and their backlogs.

    The runtime's thread changes it by replacing whole attributes; other threads only read them.
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
    """Monitor scored readings of one worker process. Tasks call `see`, the runtime calls `look`."""

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
        """Stop the thread. Does not block."""
        self._stopped.set()

    def see(self, kind: Kind, readings: Sequence[Reading], history: Sequence[HistoryEntries]) -> None:
        """Queue scored readings, with the history they were scored with. Call from one thread.

        Never blocks, never fails. Keeps some of the readings for some seconds.
        """
        name = STORED.get(kind, "")
        monitor = self._monitors.get(name)
        if monitor is None:
            return
        counts, compares = monitor.drift is not None, monitor.comparison is not None
        last, self._last = self._last, (name, readings)
        if last[0] == name and last[1] is readings:
            return  # a job of all kinds scores failure and maintenance, both with the failure model
        for seen in zip(readings, history, strict=True):
            if counts:
                monitor.drift_backlog.put(seen)
            if compares:
                monitor.shadow_backlog.put(seen)

    def look(self, scorer: Scorer) -> None:
        """Update to the active versions and to the SHADOW files of the model folder.

        A shadow that cannot be loaded is refused with a reason, and nothing else changes. Blocks while a
        version loads. Raises nothing for a bad shadow.
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
        except Exception as error:  # a broken shadow may raise anything; the active version must stay
            monitor.shadow, monitor.comparison = None, None
            monitor.problem = str(error) or type(error).__name__
            log.error("shadow version not loaded: %s", monitor.problem)

    def shadow_of(self, name: str) -> dict[str, Any] | None:
        """A model's shadow version and its problem, for the heartbeat; None without a shadow."""
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
