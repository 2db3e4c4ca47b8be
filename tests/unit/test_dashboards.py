"""Dashboards of Grafana ask for metrics that exist, and are coloured where alerts fire."""

from __future__ import annotations

import itertools
import json
import re
from typing import Any, Final

import pytest
from prometheus_client import Counter, Histogram
from prometheus_client.metrics import MetricWrapperBase

from metrics import Looked
from metrics.reference import declared
from settings import ROOT
from tests.dashboards import (
    DASHBOARDS,
    Panel,
    expressions,
    labels_kept,
    matchers,
    metric_names,
    panels,
    rules,
    variable_series,
)

FILES: Final = {"overview.json", "single-predictions.json", "batch.json", "stream.json", "models.json"}
SCHEMA_VERSION: Final = 39
COLUMNS: Final = 24
MOST_WORDS: Final = 30
# Grafana's thresholds begin at a value: "more than 0" begins here.
ABOVE_ZERO: Final = 0.000001
COLOURS: Final = {"page": "red", "ticket": "orange"}
OF_PROMETHEUS: Final = frozenset({"up", "ALERTS", "ALERTS_FOR_STATE"})
# Added by Prometheus, or by a histogram.
LABELS_ADDED: Final = frozenset({"instance", "job", "le"})
RECORDED: Final = frozenset(rule["record"] for rule in rules() if "record" in rule)
ALERTS: Final = {rule["alert"]: rule for rule in rules() if "alert" in rule}
QUERIES: Final = expressions()
ALL: Final = [
    *QUERIES.values(),
    *variable_series(),
    *(rule["expr"] for rule in rules()),
]
PANELS: Final = [
    pytest.param(panel, id=f"{file}-{panel['id']}")
    for file, dashboard in DASHBOARDS.items()
    for panel in panels(dashboard)
]
each_panel: Final = pytest.mark.parametrize("panel", PANELS)
each_file: Final = pytest.mark.parametrize("file", DASHBOARDS)
# Values of labels that the golden scenes have brought about.
SEEN: Final[dict[str, dict[str, Any]]] = json.loads((ROOT / "tests" / "golden" / "metrics.json").read_text())[
    "all_processes"
]


def metric_of(series: str) -> MetricWrapperBase | Looked | None:
    """The declared metric that a series belongs to."""
    found = declared().get(series)
    if found is not None and not isinstance(found, Histogram):
        return found
    name = re.sub(r"_(bucket|sum|count)$", "", series)
    histogram = declared().get(name)
    return histogram if name != series and isinstance(histogram, Histogram) else None


def labels_of(series: str) -> set[str]:
    """The labels of a series of ours."""
    metric = metric_of(series)
    names = metric.labels if isinstance(metric, Looked) else metric._labelnames if metric is not None else ()
    return {*names, *LABELS_ADDED}


def ours(expr: str) -> set[str]:
    return {name for name in metric_names(expr) if name.startswith("ml_")}


def coloured(panel: Panel) -> set[tuple[float, str]]:
    """Each limit of a panel, and the colour on its bad side. Bad is below a limit if the first colour is."""
    config = panel["fieldConfig"]
    values = [config["defaults"].get("thresholds")]
    for override in config["overrides"]:
        values += [each["value"] for each in override["properties"] if each["id"] == "thresholds"]
    found = set()
    for steps in (value["steps"] for value in values if value is not None):
        falling = steps[0]["color"] in COLOURS.values()
        for below, above in itertools.pairwise(steps):
            found.add((above["value"], (below if falling else above)["color"]))
    return found


def kinds(expr: str) -> set[str]:
    """The names of series. Recordings over different times count as one."""
    return {re.sub(r":ratio_rate\w+$", ":ratio", name) for name in metric_names(expr)}


def limits(alert: dict[str, Any], panel: Panel) -> set[float]:
    """The numbers that an alert compares with, as a panel shows them."""
    complement = panel["targets"][0]["expr"].startswith("1 - ")
    found = set()
    for operator, number, factor in re.findall(r"(==|[<>]) (\d[\d.]*)(?: \* (\d[\d.]*))?", alert["expr"]):
        limit = float(number) * float(factor or 1)
        if operator == "==":  # of a value that is 0 or 1
            limit = 1.0
        elif complement:
            limit = 1 - limit
        found.add(round(limit or ABOVE_ZERO, 9))
    return found


def test_the_dashboards_are_there() -> None:
    assert DASHBOARDS.keys() == FILES


@each_file
def test_a_dashboard_has_an_address_that_stays(file: str) -> None:
    dashboard = DASHBOARDS[file]
    assert dashboard["uid"] == f"evzone-ml-{file.removesuffix('.json')}"
    assert "id" not in dashboard  # Grafana gives its own
    assert dashboard["schemaVersion"] >= SCHEMA_VERSION
    assert dashboard["title"].startswith("EVzone ML: ")
    assert dashboard["description"].endswith(".")


@each_file
def test_a_dashboard_asks_which_prometheus(file: str) -> None:
    variables = {each["name"]: each for each in DASHBOARDS[file]["templating"]["list"]}
    assert variables["datasource"]["type"] == "datasource"
    assert variables["datasource"]["query"] == "prometheus"
    used = set(re.findall(r"\$\{?([a-z]\w*)\}?", json.dumps(DASHBOARDS[file]["panels"])))
    assert used == variables.keys()


@each_file
def test_the_panels_of_a_dashboard_do_not_overlap(file: str) -> None:
    places = [panel["gridPos"] for panel in DASHBOARDS[file]["panels"]]
    cells = [
        set(
            itertools.product(
                range(each["x"], each["x"] + each["w"]), range(each["y"], each["y"] + each["h"])
            )
        )
        for each in places
    ]
    assert all(each["x"] + each["w"] <= COLUMNS for each in places)
    assert len(set().union(*cells)) == sum(map(len, cells))
    ids = [panel["id"] for panel in DASHBOARDS[file]["panels"]]
    assert len(ids) == len(set(ids))


@each_panel
def test_a_panel_says_what_it_shows(panel: Panel) -> None:
    assert panel["title"]
    assert panel["description"].endswith(".")
    assert len(panel["description"].split()) <= MOST_WORDS
    assert panel["fieldConfig"]["defaults"]["unit"]
    assert panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
    assert [target["refId"] for target in panel["targets"]] == list("ABCDEFG")[: len(panel["targets"])]


@each_panel
def test_only_what_is_drawn_over_time_asks_for_a_range(panel: Panel) -> None:
    """Of a range, a number would be the last value of a series that has ended."""
    assert panel["type"] in ("timeseries", "stat", "table")
    instant = {target.get("instant", False) for target in panel["targets"]}
    assert instant == {panel["type"] != "timeseries"}


def test_each_metric_of_dashboards_and_rules_is_declared() -> None:
    assert len(QUERIES) > len(PANELS)
    unknown = {
        name
        for expr in ALL
        for name in metric_names(expr)
        if metric_of(name) is None
        and name not in OF_PROMETHEUS | RECORDED
        and not name.startswith("process_")
    }
    assert unknown == set()


def test_each_label_is_one_of_its_metric() -> None:
    wrong = [
        (name, label)
        for expr in ALL
        for name, label, _, _ in matchers(expr)
        if metric_of(name) is not None and label not in labels_of(name)
    ]
    assert wrong == []
    for place, expr in QUERIES.items():
        known = set().union(*(labels_of(name) for name in ours(expr)))
        if known:
            assert labels_kept(expr) <= known, place


@each_panel
def test_a_legend_names_labels_that_are_left(panel: Panel) -> None:
    for target in panel["targets"]:
        named = set(re.findall(r"\{\{(\w+)\}\}", target.get("legendFormat", "")))
        assert named <= labels_kept(target["expr"]) | {"instance"}


def test_each_value_of_a_label_has_been_seen() -> None:
    """An equation with a value that never occurs leaves a panel empty for ever."""
    checked = 0
    for expr in ALL:
        for name, label, operator, value in matchers(expr):
            metric = metric_of(name)
            if metric is None or operator != "=":
                continue
            key = metric.name if isinstance(metric, Looked) else metric._name
            seen = SEEN.get(key, {}).get("label_values", {}).get(label)
            if seen:
                checked += 1
                assert value in seen, expr
    assert checked


def test_counters_are_asked_for_their_increase_alone() -> None:
    for expr in ALL:
        # A series begins with its first event, which is no increase. Its value counts while it is new.
        asked = re.sub(r"\((\w+) unless \1 offset (\w+)\) or increase\(\1\[\2\]\)", r"increase(\1[\2])", expr)
        asked = re.sub(
            r"increase\((\w+)\[(\w+)\]\) > 0\s+or \(\1 unless \1 offset \2\)", r"increase(\1[\2])", asked
        )
        for name in ours(expr):
            growing = isinstance(metric_of(name), Counter | Histogram)
            increases = re.findall(rf"\b(?:rate|increase)\({name}\b", asked)
            assert bool(increases) == growing, expr
            assert len(increases) in (0, len(re.findall(rf"\b{name}\b", asked))), expr


def test_what_each_web_program_computes_for_all_is_not_added_up() -> None:
    for expr in ALL:
        for name in ours(expr):
            if isinstance(metric_of(name), Looked):
                uses = len(re.findall(rf"\b{name}\b", expr))
                over_time = r"(?:(?:avg|max)_over_time\()?"
                whole = re.findall(
                    rf"\b(?:max|min)\s*(?:by\s*\([^)]*\)\s*)?\({over_time}{name}\b|\babsent\({name}\b", expr
                )
                assert len(whole) == uses, expr


@each_panel
def test_a_panel_is_coloured_where_its_alerts_fire(panel: Panel) -> None:
    links = [link for link in panel.get("links", ()) if "/runbooks/" in link["url"]]
    alerts = [ALERTS[link["title"].removesuffix(": runbook")] for link in links]
    shown = {kind for target in panel["targets"] for kind in kinds(target["expr"])}
    expected = []
    for link, alert in zip(links, alerts, strict=True):
        assert link["url"] == f"${{docs}}/{alert['annotations']['runbook'].removeprefix('docs/')}"
        assert kinds(alert["expr"]) & shown
        expected.append({(limit, COLOURS[alert["labels"]["severity"]]) for limit in limits(alert, panel)})
    if alerts:
        assert coloured(panel) <= set().union(*expected)
        assert all(coloured(panel) & each for each in expected)


def test_each_alert_has_a_panel() -> None:
    overview = panels(DASHBOARDS["overview.json"])
    linked = {
        link["title"].removesuffix(": runbook") for panel in overview for link in panel.get("links", ())
    }
    assert ALERTS.keys() <= linked


@pytest.mark.parametrize(
    ("expr", "names"),
    [
        ("ml_up", {"ml_up"}),
        ("-a + b_total / c:d", {"a", "b_total", "c:d"}),
        ('sum by (le, part) (rate(ml_up{part=~"redis|}[x]", job="a"}[5m])) > 2e3', {"ml_up"}),
        ("a and on (instance) b unless ignoring(x) c or vector(0)", {"a", "b", "c"}),
        ("histogram_quantile(0.95, sum by (le) (rate(h_bucket[1m] offset 1h)))", {"h_bucket"}),
        ("count(max by (instance) (ml_up)) or vector(0)", {"ml_up"}),
        ("topk(20, max without(instance) (m)) * group_left (version) n == bool NaN", {"m", "n"}),
    ],
)
def test_the_names_in_promql_are_found(expr: str, names: set[str]) -> None:
    assert metric_names(expr) == names


def test_matchers_and_labels_in_promql_are_found() -> None:
    expr = 'sum by (le,a) (x{b="1", c!~"}"}) / on(d) y{e =~ "2"} - z{}'
    assert matchers(expr) == [("x", "b", "=", "1"), ("x", "c", "!~", "}"), ("y", "e", "=~", "2")]
    assert labels_kept(expr) == {"le", "a", "d"}
