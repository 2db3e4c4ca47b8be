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
from models.features.columns import Entries
from models.monitoring.loaded_version import Seen, Watched
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


class _Watch:
    """One stored model: its active version, a shadow if there is one, and what waits for them.

    Changed by the runtime's thread, by replacing whole attributes; read by the others.
    """

    def __init__(self) -> None:
        self.active: Watched | None = None
        self.shadow: Watched | None = None
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
        self._watches = {name: _Watch() for name in registry.NAMES}
        self._last: tuple[str, Sequence[Reading]] = ("", ())
        self._flush_at = time.monotonic() + FLUSH_S
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="observer", daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._stopped.set()

    def see(self, kind: Kind, readings: Sequence[Reading], past: Sequence[Entries]) -> None:
        """Readings that were scored, with the past they were scored with. For one thread.

        Never blocks, never fails, keeps some of the readings for some seconds.
        """
        name = STORED.get(kind, "")
        watch = self._watches.get(name)
        if watch is None:
            return
        counts, compares = watch.drift is not None, watch.comparison is not None
        last, self._last = self._last, (name, readings)
        if last[0] == name and last[1] is readings:
            return  # a job of all kinds asks for failure and maintenance: both are the failure model's
        for seen in zip(readings, past, strict=True):
            if counts:
                watch.drift_backlog.put(seen)
            if compares:
                watch.shadow_backlog.put(seen)

    def look(self, scorer: Scorer) -> None:
        """Follow the active versions and the model folder's SHADOW files.

        A version that may not serve is refused with its reason, and nothing else changes. Blocks while a
        version loads. Raises nothing.
        """
        for name, watch in self._watches.items():
            active = Watched.active(scorer, name)
            if watch.active is None or watch.active.model is not active.model:
                counter = DriftCounter(self._redis, active)
                watch.drift = counter if counter.able else None
                watch.active, watch.comparison = active, None
            self._look_for_shadow(name, watch, active)

    def _look_for_shadow(self, name: str, watch: _Watch, active: Watched) -> None:
        try:
            watch.wanted = None
            watch.wanted = registry.shadow_version(self._settings.model_dir, name)
            if watch.wanted is None or watch.wanted == active.version:
                watch.wanted = watch.shadow = watch.comparison = watch.problem = None
                return
            if watch.shadow is None or watch.shadow.version != watch.wanted:
                watch.shadow = watch.comparison = None
                watch.shadow = Watched.load(self._settings.model_dir, name, watch.wanted)
                log.info("%s %s scores beside %s", name, watch.wanted, active.version)
            if watch.comparison is None:
                watch.comparison = ShadowComparison(self._settings, self._redis, active, watch.shadow)
            watch.problem = None
        except Exception as error:  # whatever a broken version makes of the libraries: the active one stays
            watch.shadow, watch.comparison = None, None
            watch.problem = str(error) or type(error).__name__
            log.error("shadow version not loaded: %s", watch.problem)

    def shadow_of(self, name: str) -> dict[str, Any] | None:
        """For the worker's state: the shadow version of a model and what is wrong with it."""
        watch = self._watches.get(name)
        if watch is None or (watch.wanted is None and watch.problem is None):
            return None
        return {"version": watch.wanted, "problem": watch.problem}

    def _run(self) -> None:
        while not self._stopped.wait(ROUND_S):
            for watch in self._watches.values():
                self._spend(watch.drift_backlog, watch.drift, DRIFT_CPU_S)
                self._spend(watch.shadow_backlog, watch.comparison, SHADOW_CPU_S)
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
            for watch in self._watches.values():
                if watch.drift is not None:
                    watch.drift.flush()
                if watch.comparison is not None:
                    watch.comparison.dropped(watch.shadow_backlog.take_dropped())
                    watch.comparison.flush()
        except RedisError as error:
            log.debug("counts wait for Redis: %s", error)
        except Exception:
            log.exception("counts could not be written")
