"""Prometheus takes each query of the dashboards, and its own configuration."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
import yaml

from settings import ROOT
from tests.dashboards import expressions, variable_series
from tests.host.programs import require

pytestmark = pytest.mark.host


@pytest.fixture(scope="module")
def promtool() -> str:
    return require("promtool", "prometheus")


def checked(promtool: str, queries: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    """The queries as recordings, by promtool."""
    recordings = [{"record": f"query_{number}", "expr": query} for number, query in enumerate(queries)]
    file = folder / "queries.yml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "dashboards", "rules": recordings}]}))
    return subprocess.run(
        [promtool, "check", "rules", str(file)], capture_output=True, text=True, timeout=60, check=False
    )


def test_each_query_is_promql(promtool: str, tmp_path: Path) -> None:
    queries = [*expressions().values(), *variable_series()]
    ran = checked(promtool, queries, tmp_path)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert f"{len(queries)} rules found" in ran.stdout


def test_a_wrong_query_is_found(promtool: str, tmp_path: Path) -> None:
    assert checked(promtool, ["sum by (rate(ml_jobs_total[5m]))"], tmp_path).returncode != 0


def test_the_configuration_is_valid(promtool: str) -> None:
    file = ROOT / "deploy" / "prometheus" / "prometheus.yml"
    ran = subprocess.run(
        [promtool, "check", "config", str(file)], capture_output=True, text=True, timeout=60, check=False
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "SUCCESS: 1 rule files found" in ran.stdout
