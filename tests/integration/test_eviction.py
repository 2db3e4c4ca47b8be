"""A Redis that may drop tasks and jobs is refused by every process that puts some there, before it serves."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

import pytest
from redis import Redis

from settings import ROOT
from tasks.messaging.names import Queues
from tests.processes import BIN, environment, free_port
from tests.services import RunningServer, start_redis

WEB = f"{BIN}/granian --interface asginl asgi:app"
GUNICORN = f"{BIN}/gunicorn --worker-class gthread --threads 32 wsgi:app"
WORKER = f"{sys.executable} -m celery -A tasks.worker.app worker -Q {Queues.SINGLE} -P prefork -c 1"


@pytest.fixture(scope="module")
def evicting() -> Iterator[RunningServer]:
    with start_redis() as server:
        with Redis.from_url(server.url) as client:
            client.config_set("maxmemory-policy", "allkeys-lru")
        yield server


@pytest.mark.owasp("API8", "a Redis that may evict jobs is refused at start")
@pytest.mark.parametrize(
    "command",
    [WORKER, f"{sys.executable} -m consumers", f"{sys.executable} -m consumers ocpp", WEB, GUNICORN],
    ids=["worker", "consumer", "ocpp", "web", "gunicorn"],
)
def test_an_evicting_redis_is_refused(evicting: RunningServer, command: str) -> None:
    address = {WEB: f" --port {free_port()}", GUNICORN: f" --bind 127.0.0.1:{free_port()}"}
    ended = subprocess.run(
        (command + address.get(command, "")).split(),
        cwd=ROOT,
        env=environment(evicting.url),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ended.returncode != 0
    assert "maxmemory-policy is allkeys-lru" in ended.stderr
    assert "Traceback" not in ended.stderr
