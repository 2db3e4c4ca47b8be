"""A shadow version: it scores the same traffic, never answers, and disturbs nothing even if it is broken."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
from redis import Redis

from errors import ScoringFailed
from models.features.columns import Floats, HistoryEntries
from models.features.history_features import Frame
from models.monitoring import shadow_report
from models.monitoring.loaded_version import LoadedVersion, Seen
from models.scorer import Scorer
from readings.parsing import parse_reading
from settings import ROOT, Costs, Settings, read_settings
from tasks.monitoring import counters
from tasks.monitoring.shadow_counts import ShadowComparison
from tests.processes import READ_KEY, environment, running_service, wait_until
from tests.readings import metrics, request
from tests.services import RunningServer, start_redis
from tests.versions import copied_versions, copy_version, damage

FAILURE = "/api/v1/predictions/failure"
SHADOW = "/api/v1/models/failure/shadow"


@pytest.fixture(scope="module")
def model_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The committed versions, one that judges FAULTY readings otherwise, a twin, and a damaged one."""
    folder = copied_versions(tmp_path_factory.mktemp("models"))
    copy_version(folder / "failure", "milder", faulty_shift=-1.0)
    copy_version(folder / "failure", "damaged")
    copy_version(folder / "anomaly", "twin")
    damage(folder / "failure" / "damaged")
    return folder


@pytest.fixture(scope="module")
def client(model_dir: Path) -> Iterator[httpx.Client]:
    with start_redis() as redis, running_service(environment(redis.url, MODEL_DIR=str(model_dir))) as web:
        wait_until(lambda: len(held(web.client)) == 2, what="both workers", log=web.log)
        yield web.client


def held(client: httpx.Client, model: str = "failure") -> list[str]:
    """Versions as the workers hold them, one entry a worker."""
    return [each["version"] for each in client.get(f"/api/v1/models/{model}").json()["held"]]


def predict(client: httpx.Client, **fields: Any) -> dict[str, Any]:
    answer = client.post(FAILURE, json=request(**fields))
    assert answer.status_code == 200, answer.text
    verdict: dict[str, Any] = answer.json()
    return verdict


def batch(client: httpx.Client, rows: list[dict[str, Any]], kind: str = "failure") -> None:
    answer = client.post(
        f"/api/v1/predictions/batch?kind={kind}", json={"chargers": rows}, headers={"Prefer": "wait=10"}
    )
    assert answer.status_code == 200, answer.text


def compared(client: httpx.Client, readings: int, path: str = SHADOW) -> dict[str, Any]:
    """The report once it speaks of at least so many readings."""
    report: dict[str, Any] = {}

    def enough() -> bool:
        report.update(client.get(path).json())
        return bool(report["readings"] >= readings)

    wait_until(enough, what=f"{readings} compared readings", log=lambda: str(report))
    return report


def test_a_shadow_is_compared_and_never_answers(client: httpx.Client) -> None:
    assert client.get(SHADOW).status_code == 404
    (active, _) = held(client)
    alone = predict(client, connector_status="FAULTY", timestamp="2026-01-02T03:04:05Z")

    done = client.post(SHADOW, json={"version": "milder"})
    assert (done.status_code, done.json()) == (
        200,
        {"name": "failure", "version": "milder", "status": "shadow"},
    )
    singles = [predict(client, connector_status=status) for status in ["FAULTY", "AVAILABLE"] * 10]
    assert {verdict["model_version"] for verdict in singles} == {active}
    batch(client, [metrics(connector_status="FAULTY") for _ in range(20)])
    batch(client, [metrics() for _ in range(20)], kind="all")  # once, though it asks the model twice

    report = compared(client, 60)  # both workers' sums
    assert (report["readings"], report["failed"], report["dropped"]) == (60, 0, 0)
    assert report["scored_share"] == 1
    assert (report["active"], report["shadow"], report["problem"]) == (active, "milder", None)
    assert [worker["version"] for worker in report["workers"]] == ["milder", "milder"]
    assert report["mean_shadow"] < report["mean_active"]
    assert report["largest_difference"] > 0.05
    assert sum(map(sum, report["table"])) == 60
    assert report["since"] <= report["until"]

    again = predict(client, connector_status="FAULTY", timestamp="2026-01-02T03:04:05Z")
    assert again["horizons"] == alone["horizons"]
    models = {model["name"]: model for model in client.get("/api/v1/models").json()["models"]}
    assert models["failure"]["shadow"] == {"version": "milder", "problem": None}
    assert models["anomaly"]["shadow"] is None
    assert client.get("/api/v1/models/maintenance/shadow").json()["shadow"] == "milder"  # its model
    assert client.get("/api/v1/models/failure").json()["shadow"] == "milder"


@pytest.mark.owasp("API10", "a damaged shadow version is refused")
def test_a_damaged_shadow_is_refused_and_the_one_before_stays(client: httpx.Client) -> None:
    client.post(SHADOW, json={"version": "milder"})
    refused = client.post(SHADOW, json={"version": "damaged"})
    assert (refused.status_code, refused.json()["code"]) == (409, "model_refused")
    assert "sha256" in refused.json()["detail"]
    assert client.get(SHADOW).json()["shadow"] == "milder"


def test_a_shadow_broken_behind_the_service_s_back_disturbs_nothing(
    client: httpx.Client, model_dir: Path
) -> None:
    (active, _) = held(client)
    (model_dir / "failure" / "SHADOW").write_text("damaged\n")
    client.post("/api/v1/models/reload")
    report = client.get(SHADOW).json()
    assert "sha256" in report["problem"]
    assert [worker["problem"] for worker in report["workers"]] == [report["problem"]] * 2
    assert report["readings"] == 0
    assert predict(client)["model_version"] == active
    assert client.get("/health/ready").status_code == 200
    assert client.get("/health").json()["checks"]["models"]["status"] == "ok"

    (model_dir / "failure" / "SHADOW").write_text("../../etc\n")
    client.post("/api/v1/models/reload")
    assert client.get(SHADOW).status_code == 409
    assert client.get("/api/v1/models/failure").json()["shadow"] is None
    assert predict(client)["model_version"] == active


def test_a_cleared_shadow_scores_no_more(client: httpx.Client) -> None:
    client.post(SHADOW, json={"version": "milder"})
    before = client.get(SHADOW).json()["readings"]
    predict(client)
    seen = compared(client, before + 1)["readings"]
    for _ in range(2):
        assert client.delete(SHADOW).status_code == 204
    assert client.get(SHADOW).status_code == 404
    assert client.get("/api/v1/models/failure").json()["shadow"] is None
    for _ in range(5):
        predict(client)
    client.post(SHADOW, json={"version": "milder"})  # the same pair goes on where it was
    predict(client)
    assert compared(client, seen + 1)["readings"] == seen + 1


def test_activating_the_shadow_ends_the_comparison(client: httpx.Client) -> None:
    client.post(SHADOW, json={"version": "milder"})
    assert client.post("/api/v1/models/failure/activate", json={"version": "milder"}).status_code == 200
    assert client.get(SHADOW).status_code == 404
    assert predict(client)["model_version"] == "milder"
    itself = client.post(SHADOW, json={"version": "milder"})
    assert (itself.status_code, itself.json()["code"]) == (409, "conflict")
    assert client.post("/api/v1/models/failure/rollback").status_code == 200
    assert client.get(SHADOW).status_code == 404


def test_a_reading_that_the_shadow_cannot_score_sinks_no_other(redis: RunningServer) -> None:
    costs = Costs("USD", 450.0, 120.0, 900.0, 4.8, 1.5, 2.0, 240.0)
    active = LoadedVersion.active(Scorer.load(ROOT / "models" / "versions", costs), "failure")
    picky = Picky(active.name, "picky", "picky:0", active.model, active.manifest)
    now = datetime.now(UTC)
    seen: list[Seen] = [
        (parse_reading(metrics(temperature=temperature), now=now), HistoryEntries.of(()))
        for temperature in (20, 95, 40)
    ]
    with Redis.from_url(redis.url) as store:
        comparison = ShadowComparison(settings(redis.url), store, active, picky)
        comparison.look(seen)
        comparison.dropped(7)
        comparison.flush()
        comparison.flush()  # adds nothing
        (key,) = (
            key for key in store.scan_iter("ml:shadow:failure:*picky*") if not key.endswith(b":extremes")
        )
        report = shadow_report.report(counters.total(store, [key.decode()], length=shadow_report.LENGTH))
    assert (report["readings"], report["failed"], report["dropped"]) == (2, 1, 7)


class Picky(LoadedVersion):
    """A version that fails on heat."""

    def scores(self, frame: Frame) -> Floats:
        if (frame[:, self.model.spec.names.index("temperature_c")] > 90).any():
            raise ScoringFailed("too hot")
        return super().scores(frame)


def settings(redis_url: str) -> Settings:
    with pytest.MonkeyPatch.context() as patch:
        for name, value in environment(redis_url).items():
            patch.setenv(name, value)
        return read_settings(dotenv=None)


def test_the_anomaly_model_can_have_one_too(client: httpx.Client) -> None:
    path = "/api/v1/models/anomaly/shadow"
    assert client.post(path, json={"version": "twin"}).status_code == 200
    for temperature in (20, 95):
        answer = client.post("/api/v1/predictions/anomaly", json=request(temperature=temperature))
        assert answer.status_code == 200
    report = compared(client, 2, path)
    assert (report["mean_absolute_difference"], report["threshold"]) == (0, 0.5)
    assert client.delete(path).status_code == 204


@pytest.mark.owasp("API5", "setting a shadow model needs the role admin")
def test_what_is_none_and_who_may_not(client: httpx.Client) -> None:
    assert client.post(SHADOW, json={"version": "never-seen"}).status_code == 404
    assert client.post(SHADOW, json={"version": 1}).status_code == 422
    assert client.get("/api/v1/models/luck/shadow").status_code == 404
    assert client.delete("/api/v1/models/luck/shadow").status_code == 404
    reader = {"X-API-Key": READ_KEY}
    assert client.post(SHADOW, json={"version": "milder"}, headers=reader).status_code == 403
    assert client.delete(SHADOW, headers=reader).status_code == 403
