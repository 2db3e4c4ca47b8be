"""`python -m metrics.reference` prints `docs/metrics.md`: name, type, labels and meaning of every metric."""

from __future__ import annotations

import sys
from typing import Any, Final

from prometheus_client.metrics import MetricWrapperBase

import metrics
from metrics import Looked

_INTRODUCTION: Final = """\
# Metrics

<!-- Generated: `.venv/bin/python -m metrics.reference > docs/metrics.md`. A test compares the two. -->

Every program answers `/metrics` in the Prometheus text format on its admin port (`ADMIN_PORT`,
[operations](operations.md)): its own metrics, and memory, CPU time and open files of its process
(`process_…`). `/metrics` on the API's port has the sums over all programs of the host.

Times are in seconds, sizes in bytes. A histogram has the series `_bucket`, `_sum` and `_count`. Metrics of
the last table are computed by each web process for the whole service, so every host shows the same values:
aggregate them with `max`, not `sum`. Values of processes that have ended are left out of gauges at the next
scrape, and stay in counters and histograms of the host.

"""
_TITLES: Final = {
    "counter": "Counters",
    "histogram": "Histograms",
    "gauge": "Gauges of the processes",
    "looked": "Gauges of the whole service",
}


def declared() -> dict[str, MetricWrapperBase | Looked]:
    """Every declared metric by its name at `/metrics`, in the order of declaration."""
    found: dict[str, MetricWrapperBase | Looked] = {}
    for value in vars(metrics).values():
        if isinstance(value, Looked):
            found[value.name] = value
        elif isinstance(value, MetricWrapperBase):
            found[f"{value._name}_total" if value._type == "counter" else value._name] = value
    return found


def page() -> str:
    """The text of `docs/metrics.md`."""
    tables = []
    for kind, title in _TITLES.items():
        rows = [
            f"| `{name}` | {', '.join(f'`{label}`' for label in labels) or '-'} | {meaning} |"
            for name, metric in declared().items()
            for its_kind, labels, meaning in [_described(metric)]
            if its_kind == kind
        ]
        tables.append(
            f"## {title}\n\n| metric | labels | meaning |\n|---|---|---|\n" + "\n".join(rows) + "\n"
        )
    return _INTRODUCTION + "\n".join(tables)


def _described(metric: Any) -> tuple[str, tuple[str, ...], str]:
    if isinstance(metric, Looked):
        return "looked", metric.labels, metric.documentation
    return metric._type, metric._labelnames, metric._documentation


if __name__ == "__main__":
    sys.stdout.write(page())
