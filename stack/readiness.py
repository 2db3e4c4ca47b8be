"""Readiness of the service: one check for each part."""

from __future__ import annotations

import base64
from collections.abc import Callable
from dataclasses import dataclass
from http.client import HTTPConnection

from redis import Redis, RedisError

from settings import Settings
from stack.local_api import ANSWER_TIMEOUT_S, LocalApi, get_json
from stack.programs import QUEUES
from stack.servers import LOOPBACK, kafka_answers, redis_answers
from tasks.monitoring import heartbeats
from tasks.storage.redis_connection import connect


@dataclass(frozen=True, slots=True)
class Check:
    """A check. `problem()` returns why the part is not ready, or None. `program` has the relevant log."""

    name: str
    program: str
    problem: Callable[[], str | None]


def checks(settings: Settings) -> list[Check]:
    """Return the checks that must pass before `make run` reports the service as ready."""
    api = LocalApi(settings)
    redis = connect(settings.redis_url)
    found = []
    if settings.redis_embedded:
        found.append(Check("Redis", "redis", lambda: _unless(redis_answers(settings.redis_port))))
    if settings.kafka_embedded:
        found.append(Check("Kafka", "kafka", lambda: _unless(kafka_answers(settings.kafka_port))))
    found.append(Check("web", "web", lambda: api.problem("/health")))
    for name, queue in QUEUES.items():
        found.append(Check(f"worker {name}", f"worker-{name}", _worker_check(redis, queue)))
    found.append(Check("consumer", "consumer", lambda: _consumer_problem(api, "consumer")))
    if settings.ocpp_wanted:
        found.append(Check("OCPP", "ocpp", lambda: _consumer_problem(api, "ocpp")))
    found.append(Check("predictions", "web", lambda: api.problem("/health/ready")))
    found.append(Check("Flower", "flower", lambda: _flower_problem(settings)))
    return found


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


def _consumer_problem(api: LocalApi, role: str) -> str | None:
    answer = api.get("/health")
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
    connection = HTTPConnection(LOOPBACK, settings.flower_port, timeout=ANSWER_TIMEOUT_S)
    answer = get_json(connection, "/api/workers?refresh=true", headers)
    if answer is None:
        return "does not answer yet"
    status, seen = answer
    if status != 200:
        return f"answers {status}"
    missing = [name for name in QUEUES if not any(worker.startswith(f"{name}@") for worker in seen)]
    return f"does not see the workers {', '.join(missing)} yet" if missing else None
