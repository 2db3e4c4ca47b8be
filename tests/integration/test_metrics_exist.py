"""Each metric that rules and dashboards name is in a live scrape."""

from __future__ import annotations

import re
from collections.abc import Iterator

import httpx
import pytest

from tests.dashboards import expressions, metric_names, rules, variable_series
from tests.processes import Web, environment, free_port
from tests.services import RunningServer

# Of a histogram, the last part of a series' name.
SERIES = {"histogram": ("_bucket", "_sum", "_count"), "counter": ("",), "gauge": ("",)}


@pytest.fixture(scope="module")
def page(redis: RunningServer) -> Iterator[str]:
    """What the admin port of a web process shows.

    Without `PROMETHEUS_MULTIPROC_DIR` it has a `# TYPE` line of each metric, with or without a series.
    """
    port = free_port()
    with Web(environment(redis.url, ADMIN_PORT=str(port))):
        yield httpx.get(f"http://127.0.0.1:{port}/metrics").text


def test_each_metric_of_dashboards_and_rules_can_be_scraped(page: str) -> None:
    types = re.findall(r"^# TYPE (\w+) (\w+)$", page, re.MULTILINE)
    there = {name + ending for name, kind in types for ending in SERIES[kind]}
    recorded = {rule["record"] for rule in rules() if "record" in rule}
    asked = {
        name
        for expr in (*expressions().values(), *variable_series(), *(rule["expr"] for rule in rules()))
        for name in metric_names(expr)
    }
    assert {"ml_up", "ml_http_request_seconds_bucket", "process_cpu_seconds_total"} <= asked
    assert asked - there == recorded | {"ALERTS", "ALERTS_FOR_STATE"}
