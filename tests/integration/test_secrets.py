"""A whole run of the service shows its secrets to no other user: in no command line, log, output or file."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import httpx
import pytest
from redis import Redis

from tests.processes import free_port, wait_until
from tests.readings import metrics
from tests.services import start_redis
from tests.stacks import Stack, open_to_others, stack_in

API_KEY: Final = "secret-of-the-api-1a2b3c4d"
WRONG_KEY: Final = "secret-that-is-wrong-5e6f7a"
REDIS: Final = "secret-of-redis-8b9c0d1e"
KAFKA: Final = "secret-of-kafka-2f3a4b5c"
FLOWER: Final = "secret-of-flower-6d7e8f9a"
SECRETS: Final = (API_KEY, WRONG_KEY, REDIS, KAFKA, FLOWER)
STOPPED_WITHIN_S: Final = 60


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[Stack]:
    """Servers that ask for passwords. Kafka is none, so that its client has errors to log."""
    with start_redis() as server, Redis.from_url(server.url) as redis, stack_in(tmp_path) as stack:
        redis.config_set("requirepass", REDIS)
        stack.environment |= {
            "ML_SERVICE_API_KEY": API_KEY,
            "REDIS_URL": f"redis://:{REDIS}@127.0.0.1:{server.port}/0",
            "KAFKA_BOOTSTRAP_SERVERS": f"127.0.0.1:{free_port()}",
            "KAFKA_SECURITY_PROTOCOL": "SASL_PLAINTEXT",
            "KAFKA_SASL_USERNAME": "ml",
            "KAFKA_SASL_PASSWORD": KAFKA,
            "FLOWER_BASIC_AUTH": f"me:{FLOWER}",
            "LOG_LEVEL": "DEBUG",
            "ACCESS_LOG": "true",
        }
        yield stack


def told(texts: dict[str, bytes]) -> list[str]:
    """The secrets in these texts, and where each is."""
    return [
        f"{secret} in {name}" for name, text in texts.items() for secret in SECRETS if secret.encode() in text
    ]


def command_lines(stack: Stack) -> dict[str, bytes]:
    found = {}
    for pid in stack.processes():
        try:
            found[f"the command line of {pid}"] = Path(f"/proc/{pid}/cmdline").read_bytes()
        except OSError:  # it has ended
            continue
    return found


@pytest.mark.owasp("API8", "a whole run shows its secrets in no command line, log, output or open file")
@pytest.mark.timeout(320)
def test_a_whole_run_tells_no_secret(stack: Stack) -> None:
    before = os.umask(0)
    try:
        (stack.folder / "log").mkdir(parents=True)  # of an earlier release
        (stack.folder / "log" / "web.log").touch()
        assert len(open_to_others(stack.folder)) == 3
        process = stack.start()
    finally:
        os.umask(before)
    stack.wait_until_said("worker stream ready")
    stack.wait_until_said("predictions ready")
    stack.wait_until_said("Flower ready")

    lines = command_lines(stack)
    assert len(lines) > 8
    assert told(lines) == []
    with httpx.Client(base_url=f"http://127.0.0.1:{stack.port}", timeout=30) as http:
        for key, status in ((API_KEY, 200), (WRONG_KEY, 401)):
            answer = http.post("/api/v1/predictions/failure", json=metrics("C-1"), headers={"X-API-Key": key})
            assert answer.status_code == status
        http.post("/api/v1/models/reload", headers={"X-API-Key": API_KEY})
        assert (
            http.get("/health", headers={"X-API-Key": API_KEY}).json()["checks"]["consumer"]["status"] != "ok"
        )
    flower = f"http://127.0.0.1:{stack.environment['FLOWER_PORT']}/api/workers"
    assert httpx.get(flower, auth=("me", "wrong")).status_code == 401
    assert httpx.get(flower, auth=("me", FLOWER)).status_code == 200
    assert told(command_lines(stack)) == []

    configuration = stack.folder / "supervisord.conf"
    (socket,) = re.findall(r"^file = (.+)$", configuration.read_text(), re.MULTILINE)
    # Its folder is closed too, from its creation.
    assert open_to_others(Path(socket).parent) == []
    assert open_to_others(stack.folder) == []

    process.send_signal(signal.SIGINT)
    wait_until(lambda: process.poll() is not None, what="the end", timeout_s=STOPPED_WITHIN_S, log=stack.said)
    files = {str(path): path.read_bytes() for path in stack.home.rglob("*") if path.is_file()}
    assert b"Starting" in files[str(stack.home / "said")]
    assert len(files) > 8
    assert told(files) == []
