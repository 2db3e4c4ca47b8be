"""What is decided without a service: when to come back, and which prediction is the last one."""

from __future__ import annotations

import math
import pickle
import time
from datetime import UTC, datetime
from typing import Any, cast

import pytest

from evzone_ml_client import (
    InvalidSettings,
    JobNotFinished,
    MLClientError,
    NotFound,
    RequestRejected,
    ServiceUnavailable,
)
from evzone_ml_client.breaker import Circuit
from evzone_ml_client.retries import retry_after_s
from evzone_ml_client.schemas import FailurePrediction, Job, Problem
from evzone_ml_client.stale import LastPredictions

PROBLEM = cast(Problem, {"code": "invalid_reading", "detail": "Wrong.", "request_id": "r-1", "errors": []})
JOB = cast(Job, {"job_id": "j-1", "status": "RUNNING", "done": 1, "total": 2})
NOW = datetime(2026, 11, 20, 8, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (None, None),
        ("0", 0),
        (" 120 ", 120),
        ("Fri, 20 Nov 2026 08:31:30 GMT", 90),
        ("Fri, 20 Nov 2026 08:29:00 GMT", 0),
        ("Fri, 20 Nov 2026 08:31:30 -0000", 90),
        ("soon", None),
        ("-1", None),
        ("1.5", None),
        ("²", None),
        ("9" * 400, math.inf),
        ("Fri, 20 Nov 2026 08:31:30 +99999999999999999999", None),
        ("", None),
    ],
)
def test_retry_after_is_seconds_or_a_date(value: str | None, seconds: float | None) -> None:
    assert retry_after_s(value, now=NOW) == seconds


@pytest.mark.parametrize(
    "error",
    [
        InvalidSettings(["url: is wrong"]),
        RequestRejected(422, PROBLEM, "r-1"),
        NotFound(404, None, "r-2"),
        ServiceUnavailable("server_error", "503", status=503, retry_after_s=2.0),
        JobNotFinished(JOB),
    ],
    ids=lambda error: type(error).__name__,
)
def test_errors_can_be_sent_to_another_process(error: MLClientError) -> None:
    sent = pickle.loads(pickle.dumps(error))  # noqa: S301 - its own
    assert (type(sent), str(sent), vars(sent)) == (type(error), str(error), vars(error))


def test_a_call_that_takes_long_is_no_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    circuit = Circuit("ml", failures=1, open_s=60)
    began = time.monotonic()
    with circuit:
        monkeypatch.setattr(time, "monotonic", lambda: began + 3600)
    assert circuit.state == "closed"


def prediction(charger_id: str, taken: str) -> FailurePrediction:
    told: dict[str, Any] = {"charger_id": charger_id, "reading_timestamp": taken}
    return cast(FailurePrediction, told)


def test_the_last_prediction_is_that_of_the_newest_reading() -> None:
    last = LastPredictions(capacity=10, ttl_s=60)
    newer = prediction("EVZ-1", "2026-11-20T08:30:00.000Z")
    last.keep("EVZ-1", newer)
    last.keep("EVZ-1", prediction("EVZ-1", "2026-11-20T08:29:59.999Z"))  # an answer that was overtaken
    held = last.get("EVZ-1")
    assert held is not None
    assert held.prediction is newer


def test_no_more_predictions_are_kept_than_wanted() -> None:
    last = LastPredictions(capacity=2, ttl_s=60)
    for charger_id in ("EVZ-1", "EVZ-2"):
        last.keep(charger_id, prediction(charger_id, "2026-11-20T08:30:00.000Z"))
    assert last.get("EVZ-1")
    last.keep("EVZ-3", prediction("EVZ-3", "2026-11-20T08:30:00.000Z"))
    assert [last.get(charger_id) is not None for charger_id in ("EVZ-1", "EVZ-2", "EVZ-3")] == [
        True,
        False,
        True,
    ]


def test_a_prediction_is_given_for_so_long_and_no_longer() -> None:
    last = LastPredictions(capacity=2, ttl_s=1e-9)
    last.keep("EVZ-1", prediction("EVZ-1", "2026-11-20T08:30:00.000Z"))
    assert last.get("EVZ-1") is None
