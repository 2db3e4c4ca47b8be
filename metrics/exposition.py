"""The metrics of a scrape: those of this program, or of all programs of this host."""

from __future__ import annotations

import fcntl
import logging
from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path

from prometheus_client import REGISTRY, CollectorRegistry, Metric, ProcessCollector
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector
from prometheus_client.samples import Sample

from metrics import folder

log = logging.getLogger(__name__)


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
    """The samples of one gauge of this program, by its name at `/metrics`. Waits for no lock."""
    own = folder.own_folder()
    found = _own_metrics() if own is None else _merged(folder.files_of_program(own))
    return [each for metric in found for each in metric.samples if each.name == name]


class _Program(Collector):
    def collect(self) -> Iterable[Metric]:
        own = folder.own_folder()
        if own is None:
            return _own_metrics()
        folder.sweep(own.parent)
        with folder.locked(own.parent, fcntl.LOCK_SH):
            return _merged(folder.files_of_program(own))


class _Host(Collector):
    def collect(self) -> Iterable[Metric]:
        own = folder.own_folder()
        if own is None:
            return _own_metrics()
        folder.sweep(own.parent)
        with folder.locked(own.parent, fcntl.LOCK_SH):
            return _merged(folder.files_of_host(own.parent))


def _own_metrics() -> list[Metric]:
    """The service's metrics in this process, without those that the library adds by itself."""
    return [metric for metric in REGISTRY.collect() if metric.name.startswith("ml_")]


def _merged(files: Sequence[str]) -> Iterable[Metric]:
    """The metrics of the files, added up. A damaged file is left out and logged once."""
    try:
        return _merge(files)
    except Exception:  # the library raises whatever half an entry leads to
        return _merge([file for file in files if _is_readable(file)])


def _merge(files: Sequence[str]) -> list[Metric]:
    return list(MultiProcessCollector.merge(files))  # type: ignore[no-untyped-call]  # not typed there


def _is_readable(file: str) -> bool:
    try:
        if Path(file).stat().st_size:  # empty: its process is just starting
            _merge([file])
            return True
    except FileNotFoundError:
        pass  # its process has ended
    except Exception:
        _log_damaged(file)
    return False


@cache  # once for each file
def _log_damaged(file: str) -> None:
    log.warning("a file of metrics cannot be read and is left out: %s", file, exc_info=True)
