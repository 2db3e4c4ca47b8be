"""A worker without models fails nothing that another, or it a little later, can do."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from redis import Redis

from settings import ROOT
from tasks.jobs.job_keys import JobKeys
from tasks.messaging.names import Queues
from tests.http_jobs import submit
from tests.processes import Web, environment, start_worker, wait_until
from tests.readings import metrics, request
from tests.services import RunningServer

FAILURE = "/api/v1/predictions/failure"


def test_work_waits_for_models(lonely: tuple[Web, RunningServer], tmp_path: Path) -> None:
    web, server = lonely
    models = tmp_path / "versions"
    models.mkdir()
    env = environment(server.url, MODEL_DIR=str(models))
    with start_worker(Queues.SINGLE, env) as single, start_worker(Queues.BATCH, env) as batch:
        wait_until(lambda: " ready." in single.log() and " ready." in batch.log(), what="two workers")
        refused = web.client.post(FAILURE, json=request())
        assert (refused.status_code, refused.json()["code"]) == (503, "models_unavailable")
        assert int(refused.headers["Retry-After"]) > 0
        job = submit(web.client, [metrics()])
        wait_until(lambda: "ModelsUnavailable" in batch.log(), what="a refusal of the chunk", log=batch.log)
        (line,) = [json.loads(line) for line in batch.log().splitlines() if "ModelsUnavailable" in line]
        assert (line["job_id"], line["chunk"]) == (job["job_id"], 0)
        assert line["task_id"] in line["event"]
        assert web.client.get(f"/api/v1/jobs/{job['job_id']}").json()["status"] == "PENDING"

        shutil.copytree(ROOT / "models" / "versions", models, dirs_exist_ok=True)
        wait_until(lambda: web.client.post(FAILURE, json=request()).status_code == 200, what="a verdict")
        address = f"/api/v1/jobs/{job['job_id']}"

        def ended() -> bool:
            with Redis.from_url(server.url) as redis:  # as if a minute had passed since the task was sent
                redis.zadd(JobKeys(job["job_id"]).sent, {"0": 0.0}, xx=True)
            return str(web.client.get(address).json()["status"]) == "SUCCEEDED"

        wait_until(ended, what="the end of the job", log=batch.log)
        assert web.client.get(address).json()["failed"] == 0
