"""The alert threshold of a policy moves with the active version, and the consumer gets it with each score."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import orjson
import pytest

from models.alert_threshold import THRESHOLDS, Evidence
from tasks.client.stream_predictor import StreamPredictor
from tasks.messaging.messages import NO_ALERT
from tasks.messaging.names import Queues
from tests.processes import Web, environment, settings_of, start_worker, wait_until
from tests.readings import reading
from tests.services import start_redis
from tests.versions import copied_versions, copy_version

# Half of 200 chargers alert from .5 down; of these, nine in ten failed.
KNOWN = Evidence(
    200,
    200,
    *(tuple(most if at <= 0.5 else 0 for at in THRESHOLDS) for most in (100, 90, 100)),
)
FAILURE = "/api/v1/models/failure"


@pytest.fixture(scope="module")
def model_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = copied_versions(tmp_path_factory.mktemp("models"))
    copy_version(folder / "failure", "judged")
    path = folder / "failure" / "judged" / "manifest.json"
    manifest = orjson.loads(path.read_bytes()) | {"alert_evidence": KNOWN.to_manifest()}
    path.write_bytes(orjson.dumps(manifest))
    return folder


@pytest.fixture(scope="module")
def service(model_dir: Path) -> Iterator[tuple[Web, StreamPredictor]]:
    with start_redis() as redis:
        env = environment(
            redis.url, MODEL_DIR=str(model_dir), ML_ALERT_POLICY="precision", ML_ALERT_PRECISION="0.4"
        )
        with start_worker(Queues.STREAM, env) as worker, Web(env) as web:
            wait_until(lambda: web.client.get(FAILURE).json().get("held"), what="the models", log=worker.log)
            predictor = StreamPredictor(settings_of(env))
            yield web, predictor
            predictor.close()


def alert_at(predictor: StreamPredictor, charger: str) -> list[float | None]:
    results = predictor.submit(predictor.requests_for(("failure",), reading(charger), None)).result(30)
    assert all(result.error_code is None for result in results)
    return [result.alert_at for result in results]


def test_each_activation_has_the_threshold_that_its_version_can_promise(
    service: tuple[Web, StreamPredictor],
) -> None:
    web, predictor = service
    shipped = web.client.get(FAILURE).json()
    assert (shipped["alerts"]["policy"], shipped["alerts"]["threshold"]) == ("precision", None)
    assert shipped["active"] in shipped["alerts"]["reason"]
    assert alert_at(predictor, "EVZ-1") == [NO_ALERT]

    assert web.client.post(f"{FAILURE}/activate", json={"version": "judged"}).status_code == 200
    alerts = web.client.get(FAILURE).json()["alerts"]
    # Starts are .4, .55, .7 and .85: that at .4 has alerts, and all lower thresholds have the same.
    assert alerts == {"policy": "precision", "threshold": 0.01, "reason": None}
    assert alert_at(predictor, "EVZ-1") == [0.01]
    assert "alert_evidence" not in web.client.get(FAILURE).json()["card"]

    assert web.client.post(f"{FAILURE}/rollback").status_code == 200
    assert alert_at(predictor, "EVZ-1") == [NO_ALERT]
    assert web.client.get("/api/v1/models/anomaly").json()["alerts"] is None
