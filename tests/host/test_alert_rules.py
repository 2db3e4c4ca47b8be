"""Each alert fires on its fault and not before, by promtool, on series of a real run (`recordings.py`)."""

from __future__ import annotations

import itertools
import subprocess
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from tests.host.faults import FAULTS
from tests.host.programs import require
from tests.host.recordings import FOLDER, RULES, Recording, alert_of, metrics_of, rules

pytestmark = pytest.mark.host

ALERTS: Final = {rule["alert"] for rule in rules() if "alert" in rule}
# ALERT, and ALERT.VARIANT for further faults.
RECORDINGS: Final = sorted(file.stem for file in FOLDER.iterdir())
SCRAPE_S: Final = 15
# How many times as long a recording becomes (`Recording.stretched`). The rule's windows need it.
STRETCHED: Final = {
    "SinglePredictionsFailFast": 90,
    "SinglePredictionsFailSlowly": 120,
    "TasksWait": 3,
    "JobsStandStill": 1,
    "StreamLags": 10,
    "StreamPaused": 10,
    "DeadLetters": 30,
    "DegradedAnswers": 15,
    "RequestsRefused": 15,
    "PartDown": 3,
    "OptionalPartDown": 10,
    "ClockSkew": 10,
    "RedisMemory": 10,
    "ModelDrift": 120,
    "EventsParked": 10,
    "EventsWait": 10,
    "UnexpectedErrors": 10,
}
# Metrics that a rule reads and that are not there, with the reason.
NOT_THERE: Final = {
    "DeadLetters": {"ml_ocpp_events_total": "no OCPP process runs"},
    "ModelDrift": {"ml_drift_score_psi": "no reading of the load has a history"},
}
NOT_RESOLVED: Final = {"ModelDrift": "the gauges cover 24 hours, so they stay long after the fault"}
MOST_BYTES: Final = 8_000


@pytest.fixture(scope="module")
def promtool() -> str:
    return require("promtool", "prometheus")


def check(problem: str, at_s: int, expression: str, *, holds: bool) -> dict[str, Any]:
    """One test of an expression, which gives 1 without labels, or nothing."""
    return {
        "expr": f'label_replace({expression}, "checked", "{problem}", "", "")',
        "eval_time": f"{at_s}s",
        "exp_samples": [{"labels": f'{{checked="{problem}"}}', "value": 1}] if holds else [],
    }


def test_the_rules_are_valid(promtool: str) -> None:
    ran = subprocess.run([promtool, "check", "rules", str(RULES)], capture_output=True, text=True, timeout=60)
    assert ran.returncode == 0, ran.stdout + ran.stderr


def test_each_alert_has_a_recording() -> None:
    assert {name for name in RECORDINGS if alert_of(name) == name} == ALERTS == STRETCHED.keys()
    recorded = {name: Recording.of(name).fault for name in RECORDINGS}
    assert recorded == {name: fault.words for name, fault in FAULTS.items()}
    assert max(file.stat().st_size for file in FOLDER.iterdir()) <= MOST_BYTES


@pytest.mark.parametrize("name", RECORDINGS)
def test_a_recording_has_all_that_its_rule_reads(name: str) -> None:
    missing = metrics_of(name) - {series.partition("{")[0] for series in Recording.of(name).series}
    assert missing == NOT_THERE.get(name, {}).keys()


@pytest.mark.parametrize("name", RECORDINGS)
def test_an_alert_fires_on_its_fault_and_not_before(promtool: str, name: str, tmp_path: Path) -> None:
    alert, recording = alert_of(name), Recording.of(name)
    factor = STRETCHED[alert]
    series = recording.stretched(factor, SCRAPE_S)
    quiet_s, fault_s, end_s = (
        seconds * factor // SCRAPE_S * SCRAPE_S - SCRAPE_S
        for seconds in itertools.accumulate((recording.quiet_s, recording.fault_s, recording.after_s))
    )
    # Having fired for a while, an alert must not flap.
    third_s = recording.fault_s * factor // 3 // SCRAPE_S * SCRAPE_S
    firing = f'ALERTS{{alertname="{alert}",alertstate="firing"}}'
    checks = [
        check("quiet", quiet_s, f"max(max_over_time({firing}[{quiet_s}s]))", holds=False),
        check(
            "last third of the fault",
            fault_s,
            f"max(count_over_time({firing}[{third_s}s])) >= bool {third_s // SCRAPE_S}",
            holds=True,
        ),
        check("after the fault", end_s, f"max({firing})", holds=alert in NOT_RESOLVED),
    ]
    test = {
        "rule_files": [str(RULES)],
        "evaluation_interval": f"{SCRAPE_S}s",
        "tests": [
            {
                "interval": f"{SCRAPE_S}s",
                "input_series": [{"series": name, "values": values} for name, values in series.items()],
                "promql_expr_test": checks,
            }
        ],
    }
    file = tmp_path / "test.yml"
    file.write_text(yaml.safe_dump(test))
    ran = subprocess.run([promtool, "test", "rules", str(file)], capture_output=True, text=True, timeout=60)
    assert ran.returncode == 0, ran.stdout + ran.stderr
