"""Alerts look at metrics that exist, and each leads to a page that says what to do."""

from __future__ import annotations

import re
from typing import Any, Final

import pytest
import yaml

from metrics import Looked
from metrics.reference import declared
from settings import ROOT

RULES: Final = ROOT / "deploy" / "prometheus" / "rules.yml"
GROUPS: Final[list[dict[str, Any]]] = yaml.safe_load(RULES.read_text())["groups"]
ALERTS: Final = {rule["alert"]: rule for group in GROUPS for rule in group["rules"] if "alert" in rule}
RECORDED: Final = {rule["record"] for group in GROUPS for rule in group["rules"] if "record" in rule}


def test_each_metric_of_a_rule_is_declared() -> None:
    names = set(
        re.findall(r"\bml_\w+", " ".join(rule["expr"] for group in GROUPS for rule in group["rules"]))
    )
    plain = {re.sub(r"_(sum|count|bucket)$", "", name) if name not in declared() else name for name in names}
    assert plain
    assert plain <= declared().keys()


def test_each_label_of_a_rule_is_one_of_its_metric() -> None:
    labels = {
        name: metric.labels if isinstance(metric, Looked) else metric._labelnames
        for name, metric in declared().items()
    }
    for group in GROUPS:
        for rule in group["rules"]:
            for name, matchers in re.findall(r"(ml_\w+)\{([^}]*)\}", rule["expr"]):
                asked = set(re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", re.sub(r'"[^"]*"', '""', matchers)))
                assert asked <= set(labels[name]), rule


def test_each_recorded_series_that_an_alert_uses_is_recorded() -> None:
    used = set(re.findall(r"\bevzone_ml:[\w:]+", " ".join(alert["expr"] for alert in ALERTS.values())))
    assert used == RECORDED


@pytest.mark.parametrize("name", ALERTS)
def test_each_alert_has_a_page_that_names_it(name: str) -> None:
    alert = ALERTS[name]
    assert alert["labels"]["severity"] in ("page", "ticket")
    assert alert["labels"]["service"] == "evzone-ml"  # by which the overview finds what fires
    page = (ROOT / alert["annotations"]["runbook"]).read_text()
    assert f"`{name}`" in page
    for part in ("**Seen.**", "**Wake somebody.**", "## Look", "## Do"):
        assert part in page


def test_no_page_is_without_an_alert() -> None:
    pages = {path.relative_to(ROOT).as_posix() for path in (ROOT / "docs" / "runbooks").glob("*.md")}
    assert pages == {alert["annotations"]["runbook"] for alert in ALERTS.values()}
