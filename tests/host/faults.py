"""The faults of the alerts, each caused for real in a running service."""

from __future__ import annotations

import itertools
import logging
import random
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, cast

import orjson
from redis import Redis

from models.simulation.simulate import simulate
from tasks.notify.webhook_store import part_key
from tests import readings
from tests.host.live_service import FAILURE, OCPP_TOPIC, LiveService, ocpp_event
from tests.webhook_sink import webhook_sink

log = logging.getLogger(__name__)

LIBFAKETIME: Final = "*/faketime/libfaketimeMT.so.1"
REDIS_LIMIT_BYTES: Final = 256_000_000
WORKER_STOPPED: Final = "The only worker of ml.single is stopped (SIGSTOP)."


@contextmanager
def stopped(service: LiveService, name: str) -> Iterator[None]:
    """Stop a program: it keeps its connections and does nothing."""
    service.programs[name].signal_all(signal.SIGSTOP)
    try:
        yield
    finally:
        service.programs[name].signal_all(signal.SIGCONT)


@contextmanager
def stopped_at_times(service: LiveService, name: str, *, stop_s: float, every_s: float) -> Iterator[None]:
    """Stop a program for `stop_s` of each `every_s` seconds."""
    over = threading.Event()

    def run() -> None:
        while not over.is_set():
            with stopped(service, name):
                over.wait(stop_s)
            over.wait(every_s - stop_s)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


@contextmanager
def load(service: LiveService, **changed: Any) -> Iterator[None]:
    """Change attributes of the load."""
    before = {name: getattr(service.load, name) for name in changed}
    vars(service.load).update(changed)
    yield
    vars(service.load).update(before)


@contextmanager
def many_callers(service: LiveService) -> Iterator[None]:
    """Send more single predictions than may wait for a slow worker."""
    with stopped_at_times(service, "single", stop_s=0.3, every_s=1.0), load(service, burst=4):
        yield


@contextmanager
def slow_stream(service: LiveService) -> Iterator[None]:
    """Produce more records than the worker of the stream has time for. Its heartbeats go on."""
    with stopped_at_times(service, "stream", stop_s=0.95, every_s=1.0), load(service, records=100):
        yield


@contextmanager
def killed(service: LiveService, name: str) -> Iterator[None]:
    """Kill a program, and start another one."""
    service.programs[name].kill()
    yield
    service.start(name)


@contextmanager
def mute_redis(service: LiveService) -> Iterator[None]:
    """Stop Redis: connections are accepted by the kernel, nothing is answered."""
    service.redis.pause()
    yield
    service.redis.resume()


@contextmanager
def killed_redis(service: LiveService) -> Iterator[None]:
    """Kill Redis, and start it again with its file."""
    service.redis.kill()
    yield
    service.redis.restart()


def limit_redis(service: LiveService) -> None:
    """Set the memory that Redis may use."""
    with Redis.from_url(service.redis.url) as redis:
        redis.config_set("maxmemory", REDIS_LIMIT_BYTES)


@contextmanager
def full_redis(service: LiveService) -> Iterator[None]:
    """Fill Redis up to 90 % of its limit with keys of another program."""
    with Redis.from_url(service.redis.url) as redis:
        keys: list[str] = []
        while redis.info("memory")["used_memory"] < 0.9 * REDIS_LIMIT_BYTES:
            keys.append(f"other:{len(keys)}")
            redis.set(keys[-1], bytes(1_000_000))
        yield
        redis.delete(*keys)


@contextmanager
def other_clock(service: LiveService) -> Iterator[None]:
    """Replace the worker of single predictions. The clock of the new one is 5 s ahead."""
    library = next(Path("/usr/lib").glob(LIBFAKETIME), None)
    if library is None:
        sys.exit("A program with another clock needs libfaketime: apt-get install libfaketime")
    clock = {"LD_PRELOAD": str(library), "FAKETIME": "+5s", "FAKETIME_DONT_FAKE_MONOTONIC": "1"}
    for variables in (clock, {}):
        service.programs["single"].stop()
        service.start("single", **variables)
        service.wait_ready("single")
        if variables:
            yield


@contextmanager
def refusing_target(service: LiveService, status: int, *, hours_ago: float = 0) -> Iterator[None]:
    """Add a webhook for ended jobs that refuses all, and remove it afterwards.

    Its first event may be dated back.
    """
    with webhook_sink() as sink, Redis.from_url(service.redis.url) as redis:
        sink.status = status
        body = {"url": sink.url, "types": ["job.ended"]}
        webhook_id = service.web.client.post("/api/v1/webhooks", json=body).json()["id"]
        added = part_key(webhook_id, "added")
        while hours_ago and not redis.zcard(added):
            time.sleep(0.1)
        for event, at in cast(list[tuple[bytes, float]], redis.zrange(added, 0, 0, withscores=True)):
            redis.zadd(added, {event: at - 3600 * hours_ago})
        yield
        service.web.client.delete(f"/api/v1/webhooks/{webhook_id}")


@contextmanager
def one_poison(service: LiveService) -> Iterator[None]:
    """Send one reading for which the model raises an error."""
    body = readings.request(metadata={"costs": {"fault": "raises"}})
    answer = service.web.client.post(FAILURE, json=body)
    log.info("the answer to it is %d", answer.status_code)
    yield


def spoilt(make: Callable[[], bytes], each: int) -> Callable[[], bytes]:
    """Records of `make`, but each so many is no JSON."""
    numbers = itertools.count()
    return lambda: b"{bad" if next(numbers) % each == 0 else make()


def send_events(service: LiveService) -> None:
    """Have 100 OCPP events sent a second. 3 % of them are no JSON, which is fewer than the alert's 5 %."""
    service.load.events, service.load.event = 10, spoilt(ocpp_event, 33)


def send_fleet(service: LiveService) -> None:
    """Have readings of a simulated fleet sent, as the models were trained on, each of another charger."""
    table = simulate(300, 365, 77).readings.sample(3000, random_state=1)
    rows = []
    for row in table.astype(object).where(table.notna(), None).to_dict("records"):
        codes = row["error_codes"]
        row["error_codes"] = None if codes is None else [code for code in codes.split(";") if code]
        row |= {name: row[name].isoformat() for name in ("timestamp", "last_maintenance") if row[name]}
        rows.append({str(name): value for name, value in row.items()})
    service.load.row = lambda: random.choice(rows) | {"charger_id": readings.new_charger_id()}


def in_minutes(service: LiveService) -> AbstractContextManager[None]:
    """Have the fleet's uptimes sent in minutes."""
    row = service.load.row

    def wrong_unit() -> dict[str, Any]:
        sent = row()
        return sent if sent["uptime_hours"] is None else sent | {"uptime_hours": 60 * sent["uptime_hours"]}

    return load(service, row=wrong_unit)


@dataclass(frozen=True)
class Fault:
    """A fault in words, and the context in which it is there.

    `settings` are those of all programs, `app` is the workers' Celery app. `prepare` is called before the
    load begins.
    """

    words: str
    cause: Callable[[LiveService], AbstractContextManager[None]]
    quiet_s: int = 60
    fault_s: int = 60
    after_s: int = 60
    interval_s: int = 1
    settings: Mapping[str, str] = field(default_factory=dict)
    app: str = "tasks.worker.app"
    prepare: Callable[[LiveService], None] = lambda service: None


# By alert. `ALERT.VARIANT` is a further fault on which the alert must fire.
FAULTS: Final[dict[str, Fault]] = {
    "SinglePredictionsFailFast": Fault(WORKER_STOPPED, lambda service: stopped(service, "single")),
    "SinglePredictionsFailSlowly": Fault(
        "The only worker of ml.single is stopped (SIGSTOP) for 3.1 s of each 10 s.",
        lambda service: stopped_at_times(service, "single", stop_s=3.1, every_s=10),
        quiet_s=120,
        fault_s=240,
        interval_s=10,
    ),
    "TasksWait": Fault(WORKER_STOPPED, lambda service: stopped(service, "single"), fault_s=180),
    "JobsStandStill": Fault(
        "The only worker of ml.batch is stopped (SIGSTOP).",
        lambda service: stopped(service, "batch"),
        fault_s=720,
        after_s=120,
        interval_s=5,
    ),
    "StreamLags": Fault(
        "1,000 records a second arrive. The only worker of ml.stream runs for 50 ms of each second.",
        slow_stream,
        fault_s=180,
        after_s=120,
    ),
    "StreamPaused": Fault("Redis accepts connections and answers nothing (SIGSTOP).", mute_redis, fault_s=90),
    "StreamPaused.workers": Fault(
        "The only worker of ml.stream is stopped (SIGSTOP).",
        lambda service: stopped(service, "stream"),
        fault_s=90,
    ),
    "DeadLetters": Fault(
        "Each fourth record is no JSON.",
        lambda service: load(service, record=spoilt(lambda: orjson.dumps(readings.metrics()), 4)),
    ),
    "DeadLetters.ocpp": Fault(
        "Each tenth OCPP event is no JSON. In the quiet time it is each 33rd.",
        lambda service: load(service, event=spoilt(ocpp_event, 10)),
        settings={"KAFKA_TOPIC_OCPP": OCPP_TOPIC},
        prepare=send_events,
    ),
    "RequestsRefused": Fault(
        "80 requests a second where ML_MAX_WAITING is 8. The worker is stopped for 0.3 s of each second.",
        many_callers,
        settings={"ML_MAX_WAITING": "8"},
    ),
    "DegradedAnswers": Fault(
        "Redis is killed. The web process scores single predictions.",
        killed_redis,
        settings={"ML_DEGRADED_SCORING": "true"},
    ),
    "PartDown": Fault("Redis is killed.", killed_redis, fault_s=120),
    "PartDown.web": Fault(
        "The only web process is killed.", lambda service: killed(service, "web"), fault_s=120
    ),
    "OptionalPartDown": Fault("The only consumer is killed.", lambda service: killed(service, "consumer")),
    "OptionalPartDown.ocpp": Fault(
        "The only OCPP process is killed.",
        lambda service: killed(service, "ocpp"),
        settings={"KAFKA_TOPIC_OCPP": OCPP_TOPIC},
    ),
    "ClockSkew": Fault("The clock of the worker of ml.single is 5 s ahead (libfaketime).", other_clock),
    "RedisMemory": Fault(
        "Keys of another program fill Redis up to 90 % of its limit.", full_redis, prepare=limit_redis
    ),
    "ModelDrift": Fault(
        "The fleet's `uptime_hours` are sent in minutes.", in_minutes, fault_s=120, prepare=send_fleet
    ),
    "EventsParked": Fault(
        "A webhook is added, and its target answers 410. The webhook is removed after the fault.",
        lambda service: refusing_target(service, 410),
        settings={"WEBHOOK_ALLOW_PRIVATE": "true"},
    ),
    "EventsWait": Fault(
        "A webhook is added, and its target answers 503. Its first event is dated back by two hours.",
        lambda service: refusing_target(service, 503, hours_ago=2),
        settings={"WEBHOOK_ALLOW_PRIVATE": "true"},
    ),
    "UnexpectedErrors": Fault(
        "One reading for which the model raises an error.",
        one_poison,
        app="tests.integration.fragile_app",
    ),
}
