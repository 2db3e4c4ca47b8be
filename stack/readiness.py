"""Readiness of the service: one check for each part."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException
from typing import Any

from redis import Redis, RedisError

from settings import Settings
from stack.programs import QUEUES
from stack.servers import LOOPBACK, kafka_answers, redis_answers
from tasks.monitoring import heartbeats
from tasks.storage.redis_connection import connect

ANSWER_TIMEOUT_S = 4.0  # Flower waits 1 s for the workers' replies before it responds


@dataclass(frozen=True, slots=True)
class Check:
    """A check. `problem()` returns why the part is not ready, or None. `program` has the relevant log."""

    name: str
    program: str
    problem: Callable[[], str | None]


def checks(settings: Settings) -> list[Check]:
    """Return the checks that must pass before `make run` reports the service as ready."""
    host, port = local_host(settings.host), settings.port
    redis = connect(settings.redis_url)
    found = []
    if settings.redis_embedded:
        found.append(Check("Redis", "redis", lambda: _unless(redis_answers(settings.redis_port))))
    if settings.kafka_embedded:
        found.append(Check("Kafka", "kafka", lambda: _unless(kafka_answers(settings.kafka_port))))
    found.append(Check("web", "web", lambda: http_problem(host, port, "/health")))
    for name, queue in QUEUES.items():
        found.append(Check(f"worker {name}", f"worker-{name}", _worker_check(redis, queue)))
    found.append(Check("consumer", "consumer", lambda: _consumer_problem(host, port, "consumer")))
    if settings.ocpp_wanted:
        found.append(Check("OCPP", "ocpp", lambda: _consumer_problem(host, port, "ocpp")))
    found.append(Check("predictions", "web", lambda: http_problem(host, port, "/health/ready")))
    found.append(Check("Flower", "flower", lambda: _flower_problem(settings)))
    return found


def local_host(host: str) -> str:
    """Return the address on this machine of a server bound to `host`."""
    return {"0.0.0.0": LOOPBACK, "::": "::1"}.get(host, host)  # noqa: S104 - compared, not bound


def _unless(ready: bool) -> str | None:
    return None if ready else "does not answer yet"


def _worker_check(redis: Redis, queue: str) -> Callable[[], str | None]:
    def problem() -> str | None:
        try:
            serving = [worker for worker in heartbeats.living(redis) if queue in worker.queues]
        except RedisError as error:
            return f"cannot be looked up in Redis: {error}"
        if any(worker.able for worker in serving):
            return None
        return next((worker.problem for worker in serving if worker.problem), "is not there yet")

    return problem


def _consumer_problem(host: str, port: int, role: str) -> str | None:
    answer = _get(host, port, "/health")
    if answer is None:
        return "cannot be looked up: web does not answer yet"
    consumer: dict[str, str] = answer[1].get("checks", {}).get(role, {})
    return None if consumer.get("status") == "ok" else consumer.get("detail", "is not there yet")


def _flower_problem(settings: Settings) -> str | None:
    """Return why Flower is not ready, or None.

    Flower lists workers and queues only once, at its start, before they run. `refresh` makes it list them
    again.
    """
    credentials = base64.b64encode(settings.flower_basic_auth.split(",")[0].encode()).decode()
    headers = {"Authorization": f"Basic {credentials}"}
    answer = _get(LOOPBACK, settings.flower_port, "/api/workers?refresh=true", headers)
    if answer is None:
        return "does not answer yet"
    status, seen = answer
    if status != 200:
        return f"answers {status}"
    missing = [name for name in QUEUES if not any(worker.startswith(f"{name}@") for worker in seen)]
    return f"does not see the workers {', '.join(missing)} yet" if missing else None


def http_problem(host: str, port: int, path: str) -> str | None:
    """Return why a GET of `path` does not return 200, or None if it does. Blocks for up to 4 s a step."""
    answer = _get(host, port, path)
    if answer is None:
        return "does not answer yet"
    status, body = answer
    if status == 200:
        return None
    missing = [
        f"{name} {check['status']} ({check['detail']})"
        for name, check in body.get("checks", {}).items()
        if check["status"] != "ok"
    ]
    return f"answers {status}{': ' if missing else ''}{', '.join(missing)}"


def _get(
    host: str, port: int, path: str, headers: Mapping[str, str] | None = None
) -> tuple[int, dict[str, Any]] | None:
    """Return status and decoded body (empty if it is not a JSON object), or None without a response."""
    connection = HTTPConnection(host, port, timeout=ANSWER_TIMEOUT_S)
    try:
        connection.request("GET", path, headers=dict(headers or {}))
        response = connection.getresponse()
        raw = response.read()
    except (OSError, HTTPException):
        return None
    finally:
        connection.close()
    try:
        body = json.loads(raw)
    except ValueError:
        body = {}
    return response.status, body if isinstance(body, dict) else {}
