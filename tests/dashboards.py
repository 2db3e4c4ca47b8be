"""The dashboards, and the names in PromQL, for tests."""

from __future__ import annotations

import json
import re
from typing import Any, Final

# Its stubs are a package of their own, which may be missing.
import yaml

from settings import ROOT

RULES: Final = ROOT / "deploy" / "prometheus" / "rules.yml"
DASHBOARDS: Final = {
    path.name: json.loads(path.read_text())
    for path in sorted((ROOT / "deploy" / "grafana" / "dashboards").glob("*.json"))
}
# What Grafana puts in place of its variables.
VARIABLES: Final = {"$__rate_interval": "1m", "$instance": ".*"}
KEYWORDS: Final = frozenset(
    {
        *("and", "or", "unless", "on", "ignoring", "group_left", "group_right"),
        *("by", "without", "bool", "offset", "inf", "nan"),
    }
)

Panel = dict[str, Any]


def panels(dashboard: dict[str, Any]) -> list[Panel]:
    """The panels that show something: all but headings."""
    return [panel for panel in dashboard["panels"] if panel["type"] != "row"]


def expressions() -> dict[str, str]:
    """Each query of the dashboards in PromQL that Prometheus takes, by its place."""
    found = {}
    for file, dashboard in DASHBOARDS.items():
        for panel in panels(dashboard):
            for target in panel["targets"]:
                expr = target["expr"]
                for name, value in VARIABLES.items():
                    expr = expr.replace(name, value)
                found[f"{file}: {panel['title']} ({panel['id']}{target['refId']})"] = expr
    return found


def variable_series() -> list[str]:
    """The selectors in the queries of variables."""
    return [
        re.fullmatch(r"label_values\((.+), \w+\)", variable["query"]["query"])[1]  # type: ignore[index]  # another query fails here
        for dashboard in DASHBOARDS.values()
        for variable in dashboard["templating"]["list"]
        if variable["type"] == "query"
    ]


def rules() -> list[dict[str, Any]]:
    """The alerts and recordings."""
    return [rule for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]]


def metric_names(expr: str) -> set[str]:
    """The names of series in PromQL: neither function, keyword, label, number nor duration."""
    bare = re.sub(r'"[^"]*"', '""', expr)  # a string may hold braces and brackets
    bare = re.sub(r"\{[^}]*\}|\[[^\]]*\]", " ", bare)
    bare = re.sub(r"\b(by|without|on|ignoring|group_left|group_right)\s*\([^)]*\)", " ", bare)
    words = re.findall(r"(?<![\w:.$])([A-Za-z_:][\w:]*)(?!\s*\()(?![\w:])", bare)
    return {word for word in words if word.lower() not in KEYWORDS}


def matchers(expr: str) -> list[tuple[str, str, str, str]]:
    """Metric, label, operator and value of each matcher."""
    return [
        (name, *matcher)
        for name, inner in re.findall(r'([A-Za-z_:][\w:]*)\{((?:[^}"]|"[^"]*")*)\}', expr)
        for matcher in re.findall(r'(\w+)\s*(=~|!~|!=|=)\s*"([^"]*)"', inner)
    ]


def labels_kept(expr: str) -> set[str]:
    """Labels by which series are aggregated or joined."""
    return {
        label
        for found in re.findall(r"\b(?:by|without|on|ignoring)\s*\(([^)]*)\)", expr)
        for label in re.findall(r"\w+", found)
    }
