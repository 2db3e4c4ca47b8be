"""What a scrape shows: the metrics of this program, or of all programs of this host."""

from __future__ import annotations

import fcntl
from collections.abc import Iterable

from prometheus_client import REGISTRY, CollectorRegistry, Metric, ProcessCollector
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector
from prometheus_client.samples import Sample

from metrics import folder


def of_program(more: Collector | None = None) -> CollectorRegistry:
    """A registry with the metrics of this program's processes, and memory, CPU and files of this process.

    `more` adds metrics that are computed for a scrape.
    """
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    registry.register(_Program())
    if more is not None:
        registry.register(more)
    return registry


def of_host(more: Collector) -> CollectorRegistry:
    """A registry with the sums over all programs of this host, and the metrics of `more`.

    Without `PROMETHEUS_MULTIPROC_DIR`, it has the metrics of this process only.
    """
    registry = CollectorRegistry()
    registry.register(_Host())
    registry.register(more)
    return registry


def samples_of_program(name: str) -> list[Sample]:
    """The samples of one metric of this program, by its name at `/metrics`."""
    return [each for metric in _Program().collect() for each in metric.samples if each.name == name]


class _Program(Collector):
    def collect(self) -> Iterable[Metric]:
        own = folder.own_folder()
        return _own_metrics() if own is None else _merged(folder.files_of_program(own))


class _Host(Collector):
    def collect(self) -> Iterable[Metric]:
        own = folder.own_folder()
        if own is None:
            return _own_metrics()
        with folder.locked(own.parent, fcntl.LOCK_SH):
            return list(_merged(folder.files_of_host(own.parent)))


def _own_metrics() -> list[Metric]:
    """The service's metrics in this process, without those that the library adds by itself."""
    return [metric for metric in REGISTRY.collect() if metric.name.startswith("ml_")]


def _merged(files: list[str]) -> Iterable[Metric]:
    return MultiProcessCollector.merge(files)  # type: ignore[no-untyped-call, no-any-return]  # not typed there
