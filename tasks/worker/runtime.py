"""The state of one worker process: models, cache, stores, and the threads that keep them current."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from redis import RedisError

import metrics
from errors import BrokerUnavailable, ModelsUnavailable, ScoringFailed, ServiceError
from models import fallback
from models.alert_threshold import in_force
from models.scorer import Scorer
from readings.reading import rfc3339
from settings import Settings
from tasks.jobs.chunk_size import ChunkSizer
from tasks.jobs.chunks import Chunks
from tasks.jobs.erase_jobs import Erasures
from tasks.jobs.job_store import JobStore
from tasks.messaging.messages import NO_ALERT
from tasks.messaging.names import Queues
from tasks.messaging.task_publisher import TaskPublisher
from tasks.monitoring import heartbeats
from tasks.monitoring.observer import Observer
from tasks.notify.deliver import Deliverer
from tasks.notify.outbox import Outbox
from tasks.storage.charger_attributes import AttributeStore
from tasks.storage.fleet import FleetStore
from tasks.storage.reading_history import RecentHistory
from tasks.storage.redis_connection import PinnedConnection, connect
from tasks.storage.verdict_cache import VerdictCache
from tasks.worker.announcements import Announcements
from tasks.worker.intake import takes_tasks

log = logging.getLogger(__name__)

# Interval of model folder checks without a reload request in Redis.
LOOK_EVERY_S: Final = 10.0
# Interval of looks whether the parent process takes tasks, until it does.
TAKING_POLL_S: Final = 0.05
# A batch worker waits this long for a Redis that restarts, and can still stop in time.
JOB_PATIENCE_S: Final = 10.0


class Runtime:
    """Created after the fork, once per worker process: ONNX sessions and sockets do not survive a fork."""

    def __init__(self, settings: Settings, name: str, queues: Sequence[str]) -> None:
        patience_s = JOB_PATIENCE_S if Queues.BATCH in queues else 0.0
        self.redis = connect(settings.redis_url, patience_s=patience_s)
        # For the thread that runs the tasks.
        self.connection = PinnedConnection(self.redis)
        self.cache = VerdictCache(settings)
        self.fleet = FleetStore(settings, self.redis)
        self.attributes = AttributeStore(self.redis, self.cache.discard_many)
        self.history = RecentHistory(self.connection)
        self.jobs = JobStore(settings, self.redis)
        publisher = TaskPublisher(settings)
        self.chunks = Chunks(settings, self.redis, publisher)
        self.erasures = Erasures(settings, self.redis, publisher, self.jobs)
        self.outbox = Outbox(self.redis, publisher)
        self.announcements = Announcements(settings, self.redis, self.outbox, self.jobs)
        self.deliverer = Deliverer(settings, self.outbox)
        self.chunk_sizer = ChunkSizer(self.redis, settings.batch_chunk_rows)
        self.observer = Observer(settings, self.redis)
        self._settings = settings
        self._name = name
        self._queues = list(queues)
        self._scorer: Scorer | None = None
        self._models: list[dict[str, Any]] = []
        self._loaded_at = ""
        self._problem: str | None = None
        # By failure version, of this one and the one before. Empty if the settings have the threshold.
        self.alert_thresholds: dict[str, float] = {}
        self._generation = 0
        self._looked_at = 0.0
        self._stopped = threading.Event()
        self._chores: list[Callable[[], object]] = []
        self._look()
        self._thread = threading.Thread(target=self._keep_current, name="runtime", daemon=True)
        self._thread.start()

    def every_beat(self, chore: Callable[[], object]) -> None:
        """Have `chore` called about once a second in the runtime's thread. It must not block for long."""
        self._chores.append(chore)

    @property
    def scorer(self) -> Scorer:
        """The active models. A task reads this once, so that no reply mixes two versions.

        Raises `ModelsUnavailable` if none are loaded.
        """
        if self._scorer is None:
            raise ModelsUnavailable(f"No model is loaded: {self._problem}")
        return self._scorer

    def close(self) -> None:
        """Stop the threads and remove the heartbeat record. Blocks for one Redis command."""
        self._stopped.set()
        self.deliverer.close()
        self.observer.close()
        try:
            heartbeats.sign_off(self.redis, self._name, os.getpid())
        except RedisError:
            log.debug("could not sign off; the record goes stale by itself")

    def _look(self) -> None:
        """Update to the model folder: the active versions and the shadow versions."""
        self._look_for_active()
        if self._scorer is not None:
            self.observer.look(self._scorer)

    def _look_for_active(self) -> None:
        """Load the active versions if they have changed. In place of one that is refused, another serves."""
        self._looked_at = time.monotonic()
        before = self._scorer
        try:
            if before is not None and before.is_active(self._settings.model_dir):
                return
            scorer = fallback.load(self._settings.model_dir, self._settings.costs, before)
        except (ServiceError, OSError) as error:
            self._problem = str(error)
            log.error("models not loaded: %s", error)
            return
        self._problem = "; ".join(refused.problem for refused in scorer.refused) or None
        if self._problem is not None:
            log.error("versions refused, these serve: %s: %s", scorer.versions, self._problem)
        is_new = before is None or not scorer.has_models_of(before)
        if is_new:
            self._loaded_at = rfc3339(datetime.now(UTC))
            for model in self._models:
                metrics.MODEL_PROCESSES.labels(model["name"], model["version"]).set(0)
        self._models = [model | {"loaded_at": self._loaded_at} for model in scorer.info()]
        if is_new:
            self._set_alert_threshold(scorer)  # before the first verdict of this version
        self._scorer = scorer
        if is_new:
            for model in self._models:
                metrics.MODEL_PROCESSES.labels(model["name"], model["version"]).set(1)
            log.info("models loaded: %s", scorer.versions)

    def _set_alert_threshold(self, scorer: Scorer) -> None:
        alerts = in_force(scorer.part("failure")[1], self._settings)
        at = NO_ALERT if alerts.threshold is None else alerts.threshold
        metrics.ALERT_THRESHOLD.labels(policy=alerts.policy).set(at)
        if alerts.policy == "threshold":
            return
        version = scorer.versions["failure"]
        kept = list(self.alert_thresholds.items())[-1:]
        self.alert_thresholds = {**dict(kept), version: at}
        if alerts.reason is None:
            log.info("alert threshold of %s by %s: %g", version, alerts.policy, at)
        else:
            log.warning("no alert threshold by %s: %s", alerts.policy, alerts.reason)

    def _keep_current(self) -> None:
        while not self._stopped.is_set():
            was_taking = takes_tasks()
            try:
                asked_for = heartbeats.beat(self.redis, self._state())
                if asked_for != self._generation or time.monotonic() - self._looked_at > LOOK_EVERY_S:
                    self._look()
                    self._generation = asked_for
                    heartbeats.beat(self.redis, self._state())
                if self._scorer is not None:
                    self.cache.announce_versions(self._scorer.versions)
                for chore in self._chores:
                    chore()
            except (RedisError, BrokerUnavailable) as error:
                log.debug("no heartbeat: %s", error)
            except Exception:
                log.exception("heartbeat failed")
            self._rest(was_taking=was_taking)

    def _rest(self, *, was_taking: bool) -> None:
        """Wait for the next heartbeat. It is due at once when the parent process begins to take tasks."""
        if was_taking:
            self._stopped.wait(heartbeats.BEAT_S)
            return
        until = time.monotonic() + heartbeats.BEAT_S
        while time.monotonic() < until and not takes_tasks():
            if self._stopped.wait(TAKING_POLL_S):
                return

    def _state(self) -> heartbeats.WorkerState:
        return heartbeats.WorkerState(
            name=self._name,
            pid=os.getpid(),
            # A child is often ready before its parent: a task would wait on its queue meanwhile.
            queues=self._queues if takes_tasks() else [],
            models=[model | {"shadow": self.observer.shadow_of(model["name"])} for model in self._models],
            problem=self._problem,
            generation=self._generation,
            seen_at=0.0,
        )


_current: Runtime | None = None


def current() -> Runtime:
    """The runtime of this worker process. Raises `ScoringFailed` outside a worker process."""
    if _current is None:
        raise ScoringFailed("The worker process has not started.")
    return _current


def set_current(runtime: Runtime) -> None:
    """Set the runtime of this process, for its tasks."""
    global _current
    _current = runtime


def close_current() -> None:
    """Close this process's runtime, if it was started."""
    if _current is not None:
        _current.close()
