"""Operate model versions: show, verify, activate, roll back, shadow.

A worker verifies a version before it becomes active or a shadow: files against the manifest, golden rows
against their expected scores. A refused version changes nothing, and the reason is reported.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final, cast

import orjson
from redis import Redis

from errors import Conflict, ModelRefused, PredictionTimeout, UnknownModel
from models import alert_threshold, registry
from readings.reading import KINDS
from settings import Settings
from tasks.messaging.names import SCHEMA_VERSION, Queues, TaskNames
from tasks.messaging.task_publisher import TaskPublisher
from tasks.monitoring import heartbeats

VERIFY_WAIT_S: Final = 10.0
SWITCH_WAIT_S: Final = 5.0
POLL_S: Final = 0.05
VERDICT_TTL_S: Final = 60
# The maintenance schedule is a cost policy over the failure model and shares its versions.
STORED: Final[dict[str, str]] = {kind: "failure" if kind == "maintenance" else kind for kind in KINDS}
_FOR_MACHINES: Final = ("golden", "horizons", "distributions", "alert_evidence")
# Of `python -m models evaluate`, which writes each as a file `.svg`.
PLOTS: Final = ("precision-recall", "reliability", "recall-by-alerts", "lead-time", "importance")


def stored_name(name: str) -> str:
    """The model folder that `name` uses. Raises `UnknownModel`."""
    if name not in STORED:
        raise UnknownModel(
            f"{name[:80]}: no such model, there are {', '.join(KINDS)}; {registry.MAINTENANCE}"
        )
    return STORED[name]


def queue_to_verify(living: Iterable[heartbeats.WorkerState]) -> str:
    """The queue of a verification: one that a living worker serves, and that of single predictions last.

    Loading a large model would hold up callers who wait.
    """
    served = {queue for worker in living for queue in worker.queues}
    return next((queue for queue in (Queues.BATCH, Queues.STREAM) if queue in served), Queues.SINGLE)


class Versions:
    """The model folder, and the workers that load from it. All methods also raise `redis.RedisError`."""

    def __init__(self, settings: Settings, redis: Redis, publisher: TaskPublisher) -> None:
        self._settings = settings
        self._model_dir = settings.model_dir
        self._redis = redis
        self._publisher = publisher

    def on_disk(self, name: str) -> list[str]:
        """The versions of a model that may be activated, by name. Raises `UnknownModel`."""
        return registry.versions(self._model_dir, stored_name(name))

    def previous(self, name: str) -> str | None:
        """The version to which a rollback would go, if any. Raises `UnknownModel`."""
        try:
            return registry.previous_version(self._model_dir, stored_name(name))
        except Conflict:
            return None

    def manifest(self, name: str, version: str) -> dict[str, Any]:
        """A version's manifest without its numbers for machines. Raises `UnknownModel` and `ModelRefused`."""
        if version not in self.on_disk(name):
            raise UnknownModel(f"No version {version[:80]} of {name}.")
        stored = stored_name(name)
        manifest = registry.read_manifest(self._model_dir / stored / version, f"{stored} {version}")
        return _for_people(manifest)

    def plot(self, name: str, version: str, plot: str) -> bytes | None:
        """One of `PLOTS` of the evaluation of a version, as SVG; None if there is none.

        It is in `MODEL_DIR/<name>/evaluations/<version>`, beside the versions: a version's folder has no
        file that its manifest does not list. Raises `UnknownModel`.
        """
        if plot not in PLOTS or version not in self.on_disk(name):
            return None
        try:
            return self._plot_file(name, version, plot).read_bytes()
        except OSError:
            return None

    def plots(self, name: str, version: str) -> list[str]:
        """Those of `PLOTS` that are there for a version. Raises `UnknownModel`."""
        if version not in self.on_disk(name):
            return []
        return [plot for plot in PLOTS if self._plot_file(name, version, plot).is_file()]

    def _plot_file(self, name: str, version: str, plot: str) -> Path:
        return self._model_dir / stored_name(name) / "evaluations" / version / f"{plot}.svg"

    def card(self, name: str) -> dict[str, Any]:
        """A model's versions, its active version and manifest, and the version that each worker holds.

        Raises `UnknownModel`, and `ModelRefused` if no version is active.
        """
        stored = stored_name(name)
        held = [
            {"worker": f"{worker.name}:{worker.pid}", "version": model["version"], "problem": worker.problem}
            for worker in heartbeats.living(self._redis)
            for model in worker.models
            if model["name"] == name
        ]
        active = registry.active_version(self._model_dir, stored)
        manifest = registry.read_manifest(self._model_dir / stored / active, f"{stored} {active}")
        return {
            "name": name,
            "active": active,
            "shadow": self._shadow(stored),
            "versions": registry.versions(self._model_dir, stored),
            "held": held,
            "alerts": asdict(alert_threshold.in_force(manifest, self._settings))
            if name == "failure"
            else None,
            "card": _for_people(manifest),
        }

    def verify(self, name: str, version: str) -> None:
        """Let a worker load the version and score its golden rows. Blocks 12 s at most.

        Raises `UnknownModel`, `ModelRefused` with the reason, `BrokerUnavailable`, and `PredictionTimeout` if
        no worker has replied within 10 s.
        """
        if version not in registry.versions(self._model_dir, name):
            raise UnknownModel(f"No version {version[:80]} of {name}.")
        key = f"ml:verify:{uuid.uuid4().hex}"
        message = {"v": SCHEMA_VERSION, "reply_key": key, "model": name, "version": version}
        queue = queue_to_verify(heartbeats.living(self._redis))
        self._publisher.send(TaskNames.VERIFY, message, queue=queue, expires_s=VERIFY_WAIT_S)
        deadline = time.monotonic() + VERIFY_WAIT_S
        while time.monotonic() < deadline:
            raw = cast(bytes | None, self._redis.getdel(key))
            if raw is not None:
                problem = orjson.loads(raw)["problem"]
                if problem is not None:
                    raise ModelRefused(problem)
                return
            time.sleep(POLL_S)
        raise PredictionTimeout(f"No worker has verified {name} {version} within {VERIFY_WAIT_S:g} s.")

    def activate(self, name: str, version: str) -> bool:
        """Verify a version and make it active. Returns whether every worker has switched within 5 s."""
        self.verify(name, version)
        registry.activate(self._model_dir, name, version)
        return self._switched()

    def rollback(self, name: str) -> tuple[str, bool]:
        """Activate the previously active version. Returns it, and whether all workers switched within 5 s.

        Each call goes one version further back. Also raises `Conflict` if there is none.
        """
        version = registry.previous_version(self._model_dir, name)
        self.verify(name, version)
        registry.rollback(self._model_dir, name, version)
        return version, self._switched()

    def set_shadow(self, name: str, version: str) -> bool:
        """Verify a version and make it the shadow. Returns whether every worker has loaded it within 5 s.

        Also raises `Conflict` if it is the active version.
        """
        self.verify(name, version)
        registry.set_shadow(self._model_dir, name, version)
        return self._switched()

    def clear_shadow(self, name: str) -> bool:
        """Remove the shadow version. Returns whether every worker has dropped it within 5 s."""
        registry.clear_shadow(self._model_dir, name)
        return self._switched()

    def _shadow(self, name: str) -> str | None:
        try:
            return registry.shadow_version(self._model_dir, name)
        except ModelRefused:
            return None  # `GET …/shadow` returns the reason

    def _switched(self) -> bool:
        return heartbeats.reload(self._redis, timeout_s=SWITCH_WAIT_S)[1]


def _for_people(manifest: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in manifest.items() if key not in _FOR_MACHINES}
