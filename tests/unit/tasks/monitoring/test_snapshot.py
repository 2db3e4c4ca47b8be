"""When a service is ready, and when it is healthy too."""

from __future__ import annotations

import time

import pytest

from tasks.messaging.names import Queues
from tasks.monitoring.heartbeats import WorkerState
from tasks.monitoring.service_health import STALE_AFTER_S, Check, Snapshot

UP = {"redis": Check("ok", "")}
ACTIVE = {"name": "failure", "version": "1"}
REFUSED = WorkerState("w", 1, [Queues.SINGLE], [ACTIVE], "failure 2: refused", 0, 0.0)
EMPTY = WorkerState("w", 1, [Queues.SINGLE], [], "failure 2: refused", 0, 0.0)
BATCH = WorkerState("w", 1, [Queues.BATCH], [ACTIVE], None, 0, 0.0)


@pytest.mark.parametrize(
    ("checks", "workers", "ready"),
    [
        (UP, [REFUSED], True),  # the version before goes on
        (UP, [EMPTY], False),
        (UP, [EMPTY, REFUSED], True),
        (UP, [BATCH], False),
        (UP, [], False),
        ({"redis": Check("down", "")}, [REFUSED], False),
    ],
)
def test_a_service_is_ready_if_a_worker_can_score(
    checks: dict[str, Check], workers: list[WorkerState], ready: bool
) -> None:
    assert Snapshot(time.monotonic(), checks, workers).ready is ready
    assert not Snapshot(time.monotonic() - STALE_AFTER_S, checks, workers).ready


def test_a_version_that_is_refused_leaves_it_ready_and_not_healthy() -> None:
    checks = UP | {"models": Check("down", str(REFUSED.problem))}
    snapshot = Snapshot(time.monotonic(), checks, [REFUSED])
    assert (snapshot.ready, snapshot.healthy) == (True, False)
