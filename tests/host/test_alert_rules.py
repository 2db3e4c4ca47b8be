"""Each alert fires on its fault and not before, by promtool."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from settings import ROOT
from tests.host.programs import require

pytestmark = pytest.mark.host

RULES: Final = ROOT / "deploy" / "prometheus" / "rules.yml"
QUIET_MIN: Final = 30
FAULT_MIN: Final = 120
POST: Final = 'endpoint="predictions.predict_failure",method="POST"'
# Series during QUIET_MIN minutes without a fault, then during FAULT_MIN minutes with it. In the notation of
# promtool: start+step x minutes. Counters go on from where they were.
FAULTS: Final[dict[str, dict[str, str]]] = {
    "SinglePredictionsFailFast": {
        f'ml_http_requests_total{{{POST},status="200"}}': "0+6000x30 180000+6000x120",
        f'ml_http_requests_total{{{POST},status="504"}}': "0+0x30 0+300x120",
    },
    "SinglePredictionsFailSlowly": {
        f'ml_http_requests_total{{{POST},status="200"}}': "0+6000x30 180000+6000x120",
        f'ml_http_requests_total{{{POST},status="503"}}': "0+0x30 0+60x120",
    },
    "TasksWait": {'ml_queue_oldest_task_seconds{queue="ml.single"}': "0x30 5x120"},
    "JobsStandStill": {
        'ml_queue_oldest_task_seconds{queue="ml.batch"}': "1x30 0+60x120",
        'ml_job_rows_total{result="scored"}': "0+1000x30 30000x120",
    },
    "StreamLags": {'ml_stream_lag_records{topic="charger.metrics"}': "0x30 0+2000x120"},
    "StreamPaused": {'ml_stream_paused_seconds_total{reason="redis"}': "0x30 0+60x120"},
    "DeadLetters": {
        'ml_stream_records_total{outcome="scored"}': "0+600x30 18000+600x120",
        'ml_stream_dead_letters_total{code="invalid_reading"}': "0+1x30 30+100x120",
    },
    "DegradedAnswers": {'ml_requests_degraded_total{reason="broker_unavailable"}': "0x30 0+10x120"},
    "RequestsRefused": {'ml_requests_shed_total{capacity="predictions"}': "0x30 0+10x120"},
    "PartDown": {'ml_up{part="redis"}': "1x30 0x120"},
    "OptionalPartDown": {'ml_up{part="consumer"}': "1x30 0x120"},
    "ClockSkew": {'ml_clock_offset_seconds{instance="b"}': "0.01x30 -4x120"},
    "RedisMemory": {
        'ml_redis_used_bytes{server="main"}': "500x30 900x120",
        'ml_redis_limit_bytes{server="main"}': "1000x30 1000x120",
    },
    "ModelDrift": {'ml_drift_features{model="failure",status="drifted"}': "0x30 2x120"},
    "UnexpectedErrors": {'ml_unexpected_errors_total{unit="row"}': "0x30 0+1x120"},
}


@pytest.fixture(scope="module")
def promtool() -> str:
    return require("promtool", "prometheus")


def firing(alert: str, minute: int, samples: list[dict[str, Any]]) -> dict[str, Any]:
    count = f'count(ALERTS{{alertname="{alert}",alertstate="firing"}})'
    return {"expr": count, "eval_time": f"{minute}m", "exp_samples": samples}


def test_the_rules_are_valid(promtool: str) -> None:
    ran = subprocess.run([promtool, "check", "rules", str(RULES)], capture_output=True, text=True, timeout=60)
    assert ran.returncode == 0, ran.stdout + ran.stderr


def test_each_alert_has_a_fault() -> None:
    groups = yaml.safe_load(RULES.read_text())["groups"]
    assert {rule["alert"] for group in groups for rule in group["rules"] if "alert" in rule} == FAULTS.keys()


@pytest.mark.parametrize("alert", FAULTS)
def test_an_alert_fires_on_its_fault_and_not_before(promtool: str, alert: str, tmp_path: Path) -> None:
    test = {
        "rule_files": [str(RULES)],
        "evaluation_interval": "1m",
        "tests": [
            {
                "interval": "1m",
                "input_series": [
                    {"series": series, "values": values} for series, values in FAULTS[alert].items()
                ],
                "promql_expr_test": [
                    firing(alert, QUIET_MIN - 1, []),
                    firing(alert, QUIET_MIN + FAULT_MIN, [{"labels": "{}", "value": 1}]),
                ],
            }
        ],
    }
    file = tmp_path / "test.yml"
    file.write_text(yaml.safe_dump(test))
    ran = subprocess.run([promtool, "test", "rules", str(file)], capture_output=True, text=True, timeout=60)
    assert ran.returncode == 0, ran.stdout + ran.stderr
