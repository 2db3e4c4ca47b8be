"""Figures of this host's metrics, for people: requests refused, readings behind, dead letters, heartbeats."""

from __future__ import annotations

from typing import Final, NamedTuple

from metrics import exposition
from tasks.monitoring.service_health import Monitor
from tasks.monitoring.snapshot_metrics import SnapshotCollector

DEAD_LETTERS: Final = "ml_stream_dead_letters_total"
LAG: Final = "ml_stream_lag_records"
HEARTBEATS: Final = "ml_heartbeat_timestamp_seconds"
# Sample -> its label, None without one, and its meaning for people.
COUNTS: Final[dict[str, tuple[str | None, str]]] = {
    "ml_requests_shed_total": ("capacity", "requests refused because a capacity was used up"),
    "ml_requests_limited_total": ("limit", "requests refused because of a limit of their key or tenant"),
    "ml_requests_degraded_total": ("reason", "predictions without history, scored by the web process"),
    DEAD_LETTERS: ("code", "Kafka records that became dead letters"),
    "ml_wrong_keys_total": ("result", "requests with a wrong API key"),
    "ml_expired_tasks_total": (None, "tasks removed after the deadline of their caller"),
    "ml_lost_tasks_total": (None, "predictions sent again because their process died"),
    "ml_repeated_tasks_total": ("queue", "tasks started again because the first attempt did not finish"),
    "ml_unexpected_errors_total": ("unit", "errors that no code expected"),
}
_GAUGES: Final = {LAG: "topic", HEARTBEATS: "program"}


class HostCount(NamedTuple):
    """A counter of this host: its sum, and the parts of it that are not zero, by their label."""

    name: str
    meaning: str
    total: float
    parts: dict[str, float]


class HostFigures(NamedTuple):
    """`lag` is by topic, in records; `heartbeats` by program, in epoch seconds. Both may be empty."""

    counts: list[HostCount]
    lag: dict[str, float]
    heartbeats: dict[str, float]

    def parts(self, name: str) -> dict[str, float]:
        """The parts of one counter that are not zero, by their label."""
        return next(each.parts for each in self.counts if each.name == name)


def read(monitor: Monitor) -> HostFigures:
    """The figures of all programs of this host, as at `/metrics`. Blocks for some files."""
    found: dict[str, dict[str, float]] = {name: {} for name in (*COUNTS, *_GAUGES)}
    for metric in exposition.of_host(SnapshotCollector(monitor)).collect():
        for sample in metric.samples:
            if sample.name in found and sample.value:
                label = COUNTS[sample.name][0] if sample.name in COUNTS else _GAUGES[sample.name]
                part = "" if label is None else sample.labels.get(label, "")
                found[sample.name][part] = found[sample.name].get(part, 0.0) + sample.value
    counts = [
        HostCount(name, meaning, sum(found[name].values()), dict(sorted(found[name].items())))
        for name, (_, meaning) in COUNTS.items()
    ]
    return HostFigures(counts, found[LAG], found[HEARTBEATS])
