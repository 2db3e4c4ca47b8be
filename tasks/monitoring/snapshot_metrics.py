"""Gauges of the whole service, computed by the web process from the monitor's last snapshot."""

from __future__ import annotations

from collections import Counter

from prometheus_client import Metric
from prometheus_client.registry import Collector

import metrics
from tasks.monitoring.drift_counts import JUDGED, STATUSES
from tasks.monitoring.service_health import Monitor, Snapshot
from tasks.storage import redis_clock


class SnapshotCollector(Collector):
    """Gauges from the monitor's last snapshot."""

    def __init__(self, monitor: Monitor) -> None:
        self._monitor = monitor

    def collect(self) -> list[Metric]:
        """The gauges of one scrape. Does not block."""
        snapshot = self._monitor.snapshot
        tasks, up = metrics.QUEUE_TASKS.family(), metrics.UP.family()
        for queue, length in snapshot.queue_lengths.items():
            tasks.add_metric([queue], length)
        oldest = metrics.QUEUE_OLDEST.family()
        for queue, age_s in snapshot.oldest_s.items():
            oldest.add_metric([queue], age_s)
        for name, check in snapshot.checks.items():
            up.add_metric([name], float(check.state == "ok"))
        return [tasks, oldest, up, *_memory(snapshot), *_webhooks(snapshot), *_drift(snapshot)]


def _webhooks(snapshot: Snapshot) -> list[Metric]:
    events, oldest = metrics.WEBHOOK_EVENTS.family(), metrics.WEBHOOK_OLDEST.family()
    found = snapshot.webhooks
    events.add_metric(["outbox"], found.outbox)
    events.add_metric(["parked"], found.parked_now)
    for state in ("delivered", "dropped"):
        events.add_metric([state], found.totals.get(state, 0))
    age_s = 0.0 if found.oldest_at is None else max(0.0, redis_clock.now() - found.oldest_at)
    oldest.add_metric([], age_s)
    return [events, oldest]


def _memory(snapshot: Snapshot) -> list[Metric]:
    used, limit = metrics.REDIS_USED.family(), metrics.REDIS_LIMIT.family()
    kinds = metrics.REDIS_KIND.family()
    for server, memory in snapshot.memory.items():
        used.add_metric([server], memory.used)
        if memory.limit is not None:
            limit.add_metric([server], memory.limit)
        for kind, size in memory.by_kind.items():
            kinds.add_metric([server, kind], size)
    return [used, limit, kinds]


def _drift(snapshot: Snapshot) -> list[Metric]:
    """Drift gauges. Leaves out PSI values of few readings or short histories: they raise false alarms."""
    readings = metrics.DRIFT_READINGS.family()
    scores, features = metrics.DRIFT_SCORE_PSI.family(), metrics.DRIFT_PSI.family()
    judged = metrics.DRIFT_FEATURES.family()
    for name, report in snapshot.drift.items():
        readings.add_metric([name], report["readings"])
        if report["score"]["status"] in JUDGED:
            scores.add_metric([name], report["score"]["psi"])
        found = Counter(each["status"] for each in report["features"])
        for status in STATUSES:
            judged.add_metric([name, status], found[status])
        for each in report["features"]:
            if each["status"] in JUDGED:
                features.add_metric([name, each["feature"]], each["psi"])
    return [readings, scores, features, judged]
