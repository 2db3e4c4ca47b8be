"""When the web process scores by itself, and how its thread does it."""

from __future__ import annotations

import asyncio
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import orjson
import pytest

from errors import ModelsUnavailable, QueueFull, ScoringFailed
from models.scorer import Scorer
from readings.reading import Kind, Reading
from settings import ROOT, Settings
from tasks.client import degraded
from tasks.client.degraded import MAX_WAITING, SLOW_REDIS_S, DegradedScoring, reason_of
from tasks.client.local_scorer import LocalScorer
from tasks.client.pending import Outcome, PendingRequest, PendingRequests
from tasks.messaging.messages import ScoreRequest, ScoreResult
from tasks.messaging.names import Queues
from tasks.monitoring.heartbeats import WorkerState
from tasks.monitoring.service_health import STALE_AFTER_S, Check, Snapshot
from tests.processes import settings_for, wait_until
from tests.readings import reading

NOW = 1000.0
UP, DOWN = {"redis": Check("ok", "")}, {"redis": Check("down", "")}
ACTIVE = {"name": "failure", "version": "1"}


def worker(queue: str = Queues.SINGLE, *, able: bool = True) -> WorkerState:
    return WorkerState("w", 1, [queue], [ACTIVE] if able else [], None, 0, 0.0)


@pytest.mark.parametrize(
    ("snapshot", "reason"),
    [
        (Snapshot(), None),  # before the first look
        (Snapshot(NOW, UP, [worker()]), None),
        (Snapshot(NOW, DOWN, [worker()]), "redis"),
        (Snapshot(NOW, UP, [worker()], redis_s=SLOW_REDIS_S), "redis"),
        (Snapshot(NOW, UP, [worker()], redis_s=SLOW_REDIS_S / 2), None),
        (Snapshot(redis_s=SLOW_REDIS_S), None),  # before the first look
        (Snapshot(NOW - STALE_AFTER_S, UP, [worker()]), "redis"),  # the look itself hangs
        (Snapshot(NOW, UP, []), "workers"),
        (Snapshot(NOW, UP, [worker(Queues.BATCH)]), "workers"),
        (Snapshot(NOW, UP, [worker(able=False)]), "workers"),
        (Snapshot(NOW, UP, [worker(able=False), worker()]), None),
    ],
)
def test_the_last_look_at_the_parts_decides(snapshot: Snapshot, reason: str | None) -> None:
    assert reason_of(snapshot, NOW) == reason


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Settings with a copy of the model folder."""
    shutil.copytree(ROOT / "models" / "versions", tmp_path / "versions")
    return settings_for(MODEL_DIR=str(tmp_path / "versions"), ML_DEGRADED_SCORING="true")


def score_request(kind: Kind = "failure", tenant: str | None = None) -> ScoreRequest:
    return ScoreRequest(kind, tenant, reading(), "f", time.time() + 60)


def pending(
    loop: asyncio.AbstractEventLoop, *, expires_in_s: float = 60, tenant: str | None = None
) -> PendingRequest:
    now = time.monotonic()
    return PendingRequests().join(
        score_request(tenant=tenant), now + expires_in_s, loop.create_future(), now, cached_only=False
    )[0]


@pytest.fixture
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    loop = asyncio.new_event_loop()
    yield loop
    loop.close()


def test_each_request_gets_the_verdict_of_its_kind_and_tenant(settings: Settings) -> None:
    scorer = LocalScorer(settings)
    assert isinstance(scorer.score([score_request()])[0], ModelsUnavailable)
    scorer.look()
    asked = [score_request("anomaly", "a"), score_request("failure", "b"), score_request("anomaly")]
    for request, result in zip(asked, scorer.score(asked), strict=True):
        assert isinstance(result, ScoreResult)
        verdict = orjson.loads(result.body)
        assert (verdict["charger_id"], verdict["tenant_id"]) == (request.reading.charger_id, request.tenant)
        assert (verdict["degraded"], verdict["fingerprint"], verdict["cached"]) == (True, None, False)
        assert ("anomaly_score" in verdict) == (request.kind == "anomaly")


def test_a_reading_that_cannot_be_scored_costs_no_neighbour(settings: Settings) -> None:
    scorer = LocalScorer(settings)
    scorer.look()
    odd: Reading = score_request().reading._replace(power=cast(float, "not a number"))
    results = scorer.score([score_request(), score_request()._replace(reading=odd), score_request()])
    assert [type(result) for result in results] == [ScoreResult, ScoringFailed, ScoreResult]


def test_activations_are_followed_and_a_damaged_version_is_not(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tasks.client.local_scorer.LOOK_EVERY_S", 0.0)
    scorer = LocalScorer(settings)
    scorer.look()
    before = cast(Scorer, scorer._scorer)
    active = settings.model_dir / "failure" / "ACTIVE"
    was = active.read_text()
    active.write_text("missing-1\n")
    scorer.look()
    held = cast(Scorer, scorer._scorer)
    assert held.has_models_of(before)
    assert [refused.version for refused in held.refused] == ["missing-1"]
    active.write_text(was)
    scorer.look()
    held = cast(Scorer, scorer._scorer)
    assert held.has_models_of(before)
    assert not held.refused
    # The same version under another name.
    version, other = was.strip(), "other-1"
    shutil.copytree(active.parent / version, active.parent / other)
    manifest = active.parent / other / "manifest.json"
    manifest.write_bytes(orjson.dumps(orjson.loads(manifest.read_bytes()) | {"version": other}))
    active.write_text(f"{other}\n")
    scorer.look()
    result = scorer.score([score_request()])[0]
    assert isinstance(result, ScoreResult)
    assert orjson.loads(result.body)["model_version"] == other


def test_the_thread_settles_what_is_still_wanted(
    settings: Settings, loop: asyncio.AbstractEventLoop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(degraded, "LOAD_AFTER_S", 0.0)
    settled: list[tuple[PendingRequest, Outcome]] = []
    scoring = DegradedScoring(settings, lambda: Snapshot(time.monotonic(), DOWN))
    assert scoring.reason() is None  # without models, the queue's own answer is better than none
    scoring.start(settled.extend)
    try:
        wait_until(lambda: scoring.able, what="the models")
        assert scoring.reason() == "redis"
        wanted, expired, answered = pending(loop), pending(loop, expires_in_s=-1), pending(loop)
        answered.outcome = QueueFull("predictions")
        scoring.add([expired, answered, wanted], "redis")
        wait_until(lambda: settled, what="a verdict")
    finally:
        scoring.stop()
    assert [request for request, _ in settled] == [wanted]
    assert isinstance(settled[0][1], ScoreResult)


def test_what_exceeds_the_capacity_is_refused_at_once(
    settings: Settings, loop: asyncio.AbstractEventLoop
) -> None:
    settled: list[tuple[PendingRequest, Outcome]] = []
    scoring = DegradedScoring(settings, Snapshot)
    scoring._settle = settled.extend  # the thread is not started: nothing is scored
    requests = [pending(loop) for _ in range(MAX_WAITING + 2)]
    scoring.add(requests, "workers")
    assert [request for request, _ in settled] == requests[-2:]
    assert all(isinstance(outcome, QueueFull) for _, outcome in settled)


def test_tenants_take_turns(settings: Settings, loop: asyncio.AbstractEventLoop) -> None:
    scoring = DegradedScoring(settings, Snapshot)
    scoring.add([pending(loop, tenant="a") for _ in range(MAX_WAITING)], "workers")
    scoring.add([beside := pending(loop, tenant="b")], "workers")
    scoring.add([], "redis")  # is no reason
    together, reason = scoring._next()
    assert beside in together[:2]
    assert reason == "workers"
