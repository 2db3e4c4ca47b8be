"""Metrics are an interface: each that is declared is used, and none is used that is not declared."""

from __future__ import annotations

import re

from prometheus_client.metrics import MetricWrapperBase

import metrics
from settings import ROOT

PACKAGES = ("web", "tasks", "consumers")


def test_what_is_declared_is_used_and_described() -> None:
    kinds = (MetricWrapperBase, metrics.Looked)
    declared = {name for name, value in vars(metrics).items() if isinstance(value, kinds)}
    sources = [path.read_text() for package in PACKAGES for path in (ROOT / package).glob("**/*.py")]
    used = {name for source in sources for name in re.findall(r"metrics\.([A-Z_]+)\b", source)}
    assert used == declared
    for name in declared:
        metric = getattr(metrics, name)
        looked = isinstance(metric, metrics.Looked)
        documentation, label = (
            (metric.documentation, metric.name) if looked else (metric._documentation, metric._name)
        )
        assert documentation.endswith(".")
        assert label.startswith("ml_")
