"""The active version is damaged: another one serves, and health names both.

While it serves, the copy in memory goes on. In a worker that starts on it, the version before serves.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from models import registry
from tasks.messaging.names import Queues
from tests.processes import Web, environment, start_worker, wait_until
from tests.readings import request
from tests.services import RunningServer
from tests.versions import copied_versions, copy_version, damage

FAILURE = "/api/v1/predictions/failure"


@pytest.mark.owasp("API10", "an active model version that is changed on disk is not loaded, and is named")
def test_the_version_in_memory_goes_on(redis: RunningServer, tmp_path: Path) -> None:
    model_dir = copied_versions(tmp_path)
    env = environment(redis.url.replace("/0", "/14"), MODEL_DIR=str(model_dir))
    with start_worker(Queues.SINGLE, env) as worker, Web(env) as web:
        wait_until(web.ready, what="readiness", log=worker.log)

        def models() -> dict[str, str]:
            found: dict[str, str] = web.client.get("/health").json()["checks"]["models"]
            return found

        (active,) = [path for path in (model_dir / "failure").iterdir() if path.is_dir()]
        shutil.copytree(active, tmp_path / "kept")
        damage(active)
        web.client.post("/api/v1/models/reload")  # else it takes 10 s
        wait_until(lambda: "is not what the manifest says" in models()["detail"], what="the damage")
        assert models()["status"] == "down"
        assert web.client.get("/health").json()["status"] == "degraded"
        assert web.ready()
        assert web.client.post(FAILURE, json=request()).status_code == 200
        shutil.copytree(tmp_path / "kept", active, dirs_exist_ok=True)
        web.client.post("/api/v1/models/reload")
        wait_until(lambda: models()["status"] == "ok", what="the repair")


@pytest.mark.owasp("API10", "a worker that starts on a damaged version serves with the one before it")
def test_a_worker_that_starts_on_a_damaged_version_takes_the_one_before(
    redis: RunningServer, tmp_path: Path
) -> None:
    model_dir = copied_versions(tmp_path)
    first = registry.active_version(model_dir, "failure")
    copy_version(model_dir / "failure", "second")
    registry.activate(model_dir, "failure", "second")
    shutil.copytree(model_dir / "failure" / "second", tmp_path / "kept")
    damage(model_dir / "failure" / "second")
    env = environment(redis.url.replace("/0", "/14"), MODEL_DIR=str(model_dir), ML_DEGRADED_SCORING="0")
    with start_worker(Queues.SINGLE, env) as worker, Web(env) as web:
        wait_until(web.ready, what="readiness", log=worker.log)
        answer = web.client.post(FAILURE, json=request()).json()
        assert answer["model_version"] == first
        check = web.client.get("/health").json()["checks"]["models"]
        assert check["status"] == "down"
        assert "failure second: model.onnx is not what the manifest says" in check["detail"]
        assert f"failure {first}" in check["detail"].partition("; loaded: ")[2]
        held = {each["name"]: each for each in web.client.get("/api/v1/models").json()["models"]}
        assert held["failure"]["version"] == first
        assert held["failure"]["refused"]["version"] == "second"
        assert "is not what the manifest says" in held["failure"]["refused"]["problem"]
        assert held["anomaly"]["refused"] is None
        errors = [line for line in worker.log().splitlines() if "versions refused" in line]
        assert '"level": "error"' in errors[0], errors
        assert "is not what the manifest says" in errors[0]
        shutil.copytree(tmp_path / "kept", model_dir / "failure" / "second", dirs_exist_ok=True)
        # No reload is asked for: the worker looks every 10 s.
        wait_until(
            lambda: web.client.post(FAILURE, json=request()).json()["model_version"] == "second",
            what="the repair",
            timeout_s=30,
        )
        wait_until(lambda: web.client.get("/health").json()["checks"]["models"]["status"] == "ok", what="ok")
