"""Is the service up? One question for each part, asked at its own door."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException

from settings import Settings
from stack.servers import LOOPBACK, kafka_answers, redis_answers

ANSWER_TIMEOUT_S = 2.0


@dataclass(frozen=True, slots=True)
class Check:
    """`program` is whose log tells more; `problem()` is what is missing, or None when it is ready."""

    name: str
    program: str
    problem: Callable[[], str | None]


def checks(settings: Settings) -> list[Check]:
    """What must be true before `make run` says that the service is ready."""
    found = []
    if settings.redis_embedded:
        found.append(Check("Redis", "redis", lambda: _unless(redis_answers(settings.redis_port))))
    if settings.kafka_embedded:
        found.append(Check("Kafka", "kafka", lambda: _unless(kafka_answers(settings.kafka_port))))
    web = local_host(settings.host)
    found.append(Check("web", "web", lambda: _http_problem(web, settings.port, "/health")))
    found.append(
        Check("predictions", "worker-single", lambda: _http_problem(web, settings.port, "/health/ready"))
    )
    found.append(
        Check("Flower", "flower", lambda: _http_problem(LOOPBACK, settings.flower_port, "/healthcheck"))
    )
    return found


def local_host(host: str) -> str:
    """Where a process on this machine finds what is bound to `host`."""
    return {"0.0.0.0": LOOPBACK, "::": "::1"}.get(host, host)  # noqa: S104 - compared, not bound


def _unless(ready: bool) -> str | None:
    return None if ready else "does not answer yet"


def _http_problem(host: str, port: int, path: str) -> str | None:
    connection = HTTPConnection(host, port, timeout=ANSWER_TIMEOUT_S)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        body = response.read()
    except (OSError, HTTPException):
        return "does not answer yet"
    finally:
        connection.close()
    return None if response.status == 200 else f"{path} answers {response.status}{_failed_checks(body)}"


def _failed_checks(body: bytes) -> str:
    """What /health/ready names as missing, as far as its answer can be read."""
    try:
        said = json.loads(body)["checks"]
        return ": " + ", ".join(f"{name} {state}" for name, state in said.items() if state != "ok")
    except (ValueError, KeyError, TypeError, AttributeError):
        return ""
