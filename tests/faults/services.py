"""The services in which faults are caused."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Final

from tests.faults.callers import API_KEYS
from tests.host.live_service import CONSUMER, LiveService, StartKafka, StartRedis, live_service
from tests.services import start_kafka, start_redis

# Starts a service whose workers have this Celery app.
Service = Callable[[str], AbstractContextManager[LiveService]]
# Each tenant of the callers has a key.
SETTINGS: Final = {"ML_DEGRADED_SCORING": "true", "ML_SERVICE_API_KEY": API_KEYS}


class CannotCause(Exception):
    """Raised where a fault cannot be caused on this machine. The message says what it needs."""


@contextmanager
def usual(
    app: str,
    more: Mapping[str, str] | None = None,
    redis_server: StartRedis = start_redis,
    kafka_server: StartKafka = start_kafka,
    consumer: Sequence[str] = CONSUMER,
) -> Iterator[LiveService]:
    """A service with two web servers and degraded scoring. `more` are settings of all programs."""
    with live_service(
        app,
        {**SETTINGS, **(more or {})},
        two_webs=True,
        redis_server=redis_server,
        kafka_server=kafka_server,
        consumer=consumer,
    ) as service:
        yield service
