"""Metrics are an interface: each that is declared is used, described and listed, and no other exists."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Final

import pytest
from prometheus_client import Gauge
from prometheus_client.metrics import MetricWrapperBase

import metrics
from metrics.reference import declared, page
from settings import ROOT

PACKAGES: Final = ("web", "tasks", "consumers", "models", "readings", "isolation.py")
CONSTRUCTORS: Final = {"Counter", "Gauge", "Histogram", "Summary", "Info", "Looked", "GaugeMetricFamily"}
SOURCES: Final = [
    file
    for package in PACKAGES
    for file in ([ROOT / package] if package.endswith(".py") else sorted((ROOT / package).rglob("*.py")))
]


def test_what_is_declared_is_used() -> None:
    kinds = (MetricWrapperBase, metrics.Looked)
    names = {name for name, value in vars(metrics).items() if isinstance(value, kinds)}
    used = {
        node.attr
        for source in SOURCES
        for node in ast.walk(ast.parse(source.read_text()))
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "metrics"
    }
    assert names - used == set()
    assert {name for name in used if name.isupper()} <= names


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_nothing_makes_a_metric_of_its_own(source: Path) -> None:
    tree = ast.parse(source.read_text())
    imported = {
        alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("prometheus_client")
        for alias in node.names
    }
    called = {
        node.func.id
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
    }
    assert not imported & CONSTRUCTORS & called


def test_each_has_a_name_of_ours_and_a_sentence() -> None:
    for name, metric in declared().items():
        assert name.startswith("ml_")
        meaning = metric.documentation if isinstance(metric, metrics.Looked) else metric._documentation
        assert meaning.endswith("."), name


def test_gauges_of_ended_processes_can_be_removed() -> None:
    modes = {
        name: metric._multiprocess_mode for name, metric in declared().items() if isinstance(metric, Gauge)
    }
    assert modes
    assert {name for name, mode in modes.items() if not mode.startswith("live")} == set()


def test_the_page_lists_them_all() -> None:
    assert (ROOT / "docs" / "metrics.md").read_text() == page()
