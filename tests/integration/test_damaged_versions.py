"""The active version is damaged while it serves: the copy in memory goes on, and health names the damage."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tasks.messaging.names import Queues
from tests.processes import Web, environment, start_worker, wait_until
from tests.readings import request
from tests.services import RunningServer
from tests.versions import copied_versions, damage

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
