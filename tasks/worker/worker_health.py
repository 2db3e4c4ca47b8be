"""The health of a worker, as its parent process sees it: from the metrics of its children."""

from __future__ import annotations

import time

from admin_port import Health
from metrics import exposition
from tasks.monitoring.heartbeats import SILENT_AFTER_S


def worker_health() -> Health:
    """Ready if a child holds models and all children reach Redis. Reads the metric files of this program."""
    versions = sorted(
        f"{sample.labels['model']} {sample.labels['version']}"
        for sample in exposition.samples_of_program("ml_model_processes")
        if sample.value
    )
    beats = [sample.value for sample in exposition.samples_of_program("ml_heartbeat_timestamp_seconds")]
    silent_s = time.time() - min(beats, default=0.0)
    reached = silent_s < SILENT_AFTER_S
    if not beats:
        detail = "no heartbeat yet"
    else:
        detail = "answers" if reached else f"no heartbeat reached it for {silent_s:.0f} s"
    checks = {
        "models": ("ok" if versions else "down", ", ".join(versions) or "no process holds models"),
        "redis": ("ok" if reached else "down", detail),
    }
    ready = bool(versions) and reached
    return Health(ready, ready, checks)
