"""Health of the service's parts, checked once a second in the background, so that `/health` never blocks."""

from __future__ import annotations

import logging
import threading
import time
from dataclasses import dataclass, field, replace
from typing import Any, Final, Literal, cast

import orjson
from redis import Redis, RedisError, ResponseError

from admin_port import Health
from errors import ServiceError
from models import registry
from settings import Settings
from tasks.messaging.names import Queues
from tasks.messaging.task_publisher import SENT_AT
from tasks.monitoring import heartbeats, redis_memory, watermarks
from tasks.monitoring.drift_counts import DriftReports
from tasks.monitoring.redis_memory import Memory
from tasks.notify.webhook_store import NO_EVENTS, WebhookStatus, WebhookStore, summed
from tasks.storage import redis_clock
from tasks.storage.redis_connection import connect

log = logging.getLogger(__name__)

LOOK_EVERY_S: Final = 1.0
SLOW_EVERY_S: Final = 10.0
# A snapshot older than this is not trusted.
STALE_AFTER_S: Final = 5.0
# The shortest of so many round trips tells a slow Redis from one look at a busy moment.
PINGS: Final = 3
CONSUMERS_KEY: Final = "ml:consumers"
NOT_PERSISTENT: Final = "answers, but has no append-only file: its restart would lose jobs and histories"
# The alert ClockSkew fires at the same offset.
MAX_CLOCK_OFFSET_S: Final = 2.0

State = Literal["ok", "down", "absent"]


@dataclass(frozen=True, slots=True)
class Check:
    """State of one part: `ok`, `down` (required and missing) or `absent` (missing, but optional)."""

    state: State
    detail: str


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The result of one check of all parts. `taken_at` is in `time.monotonic()` seconds.

    `oldest_s` is the age of each queue's oldest task in seconds. `memory` is by server, `main` and `cache`.
    `redis_s` is the time of a round trip to Redis in seconds.
    `webhooks` is the state of all outboxes together.
    `drift` contains one report per model. `shortage` is why jobs are refused, None while Redis has room.
    """

    taken_at: float = 0.0
    checks: dict[str, Check] = field(default_factory=dict)
    workers: list[heartbeats.WorkerState] = field(default_factory=list)
    queue_lengths: dict[str, int] = field(default_factory=dict)
    oldest_s: dict[str, float] = field(default_factory=dict)
    memory: dict[str, Memory] = field(default_factory=dict)
    drift: dict[str, dict[str, Any]] = field(default_factory=dict)
    webhooks: WebhookStatus = NO_EVENTS
    shortage: str | None = None
    redis_s: float = 0.0

    @property
    def ready(self) -> bool:
        """Whether single predictions can be served now."""
        is_fresh = time.monotonic() - self.taken_at < STALE_AFTER_S
        return is_fresh and self.serving and self.checks["redis"].state == "ok"

    @property
    def serving(self) -> bool:
        """Whether a worker that holds models reads the queue of single predictions.

        A version that workers have refused is no obstacle: they keep the one before.
        """
        return any(Queues.SINGLE in worker.queues and worker.able for worker in self.workers)

    @property
    def healthy(self) -> bool:
        """Whether the service is ready and no part is down."""
        return self.ready and all(check.state != "down" for check in self.checks.values())


class Monitor:
    """Keep `snapshot` current in a background thread."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._redis = connect(settings.redis_url)
        same = settings.redis_cache_url == settings.redis_url
        self._cache = self._redis if same else connect(settings.redis_cache_url)
        self._drift_reports = DriftReports(settings, self._redis)
        self._drift: dict[str, dict[str, Any]] = {}
        self._webhook_store = WebhookStore(self._redis)
        self._webhooks = NO_EVENTS
        self._memory: dict[str, Memory] = {}
        self._persists = True
        self._slow_at = 0.0
        self.snapshot = Snapshot()
        self._looked = threading.Event()
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="monitor", daemon=True)
        self._thread.start()

    def health(self) -> Health:
        """The health for `/health`, from the last snapshot. Does not block."""
        snapshot = self.snapshot
        checks = {name: (check.state, check.detail) for name, check in snapshot.checks.items()}
        return Health(snapshot.ready, snapshot.healthy, checks)

    def close(self) -> None:
        """Stop the thread. Blocks 2 s at most."""
        self._stopped.set()
        self._thread.join(timeout=2)

    def wait_first(self, timeout_s: float) -> None:
        """Block until the first check is complete, `timeout_s` at most."""
        self._looked.wait(timeout_s)

    def _run(self) -> None:
        while not self._stopped.is_set():
            try:
                self.snapshot = self._look()
            except Exception:
                log.exception("health could not be looked up")
            self._looked.set()
            self._stopped.wait(LOOK_EVERY_S)

    def _look(self) -> Snapshot:
        redis, redis_s = _ping(self._redis, PINGS)
        # A look at a slow Redis takes seconds; its slowness is known at once.
        self.snapshot = replace(self.snapshot, redis_s=redis_s)
        checks = {"redis": redis, "cache": _ping(self._cache)[0]}
        living: list[heartbeats.WorkerState] = []
        lengths: dict[str, int] = {}
        oldest_s: dict[str, float] = {}
        consumers: list[dict[str, Any]] = []
        shortage: str | None = None
        if checks["redis"].state == "ok":
            try:
                heartbeats.note("web", self._redis)
                living = heartbeats.living(self._redis)
                for queue in (Queues.SINGLE, Queues.BATCH, Queues.STREAM, Queues.NOTIFY):
                    lengths[queue], oldest_s[queue] = _waiting(self._redis, queue)
                consumers = living_consumers(self._redis)
                shortage = self._redis_shortage()
                self._look_seldom(cache_answers=checks["cache"].state == "ok")
                if not self._persists:
                    checks["redis"] = Check("ok", NOT_PERSISTENT)
            except RedisError as error:
                checks["redis"] = Check("down", _one_line(error))
        checks |= _check_workers(living)
        checks["clocks"] = _check_clocks(living)
        ocpp = [record for record in consumers if record.get("role") == "ocpp"]
        checks["storage"] = _check_storage(shortage, watermarks.disk_shortage(self._settings))
        checks["consumer"] = _check_consumers([record for record in consumers if record not in ocpp])
        if ocpp:  # most fleets have no OCPP consumer, so its absence is not shown
            checks["ocpp"] = _check_consumers(ocpp)
        return Snapshot(
            time.monotonic(),
            checks,
            living,
            lengths,
            oldest_s,
            self._memory,
            self._drift,
            self._webhooks,
            shortage,
            redis_s,
        )

    def _look_seldom(self, *, cache_answers: bool) -> None:
        """Update drift, memory and outboxes, every 10 s: it takes milliseconds. Raises `redis.RedisError`."""
        if time.monotonic() < self._slow_at:
            return
        self._slow_at = time.monotonic() + SLOW_EVERY_S
        self._memory = {}
        self._measure("main", self._redis)
        self._persists = _persists(self._redis)
        self._webhooks = summed(self._webhook_store.statuses(self._webhook_store.all()))
        if cache_answers and self._cache is not self._redis:
            self._measure("cache", self._cache)
        found = {}
        for name in registry.NAMES:
            try:
                found[name] = self._drift_reports.report(name)
            except (ServiceError, OSError) as error:
                log.debug("no drift of %s: %s", name, error)
        self._drift = found

    def _redis_shortage(self) -> str | None:
        """Why jobs are refused. None where the user of Redis may not ask for its memory."""
        try:
            return watermarks.redis_shortage(self._settings, self._redis.info("memory"))
        except ResponseError:
            return None

    def _measure(self, name: str, server: Redis) -> None:
        """Update the memory of one server. Without it the service works: its user may lack the right."""
        try:
            self._memory[name] = redis_memory.measure(server)
        except Exception:
            log.debug("memory of Redis (%s) not known", name, exc_info=True)


def _persists(redis: Redis) -> bool:
    """Whether the server has an append-only file, as far as its user may know."""
    try:
        return bool(redis.info("persistence").get("aof_enabled", 1))
    except RedisError:
        return True


def _waiting(redis: Redis, queue: str) -> tuple[int, float]:
    """The number of tasks in a queue, and the age of the oldest in seconds; 0 if there is none.

    Tasks of older releases state no time and count as new. Raises `redis.RedisError`.
    """
    pipeline = redis.pipeline(transaction=False)
    pipeline.llen(queue)
    pipeline.lindex(queue, -1)  # workers take from the right
    length, oldest = pipeline.execute()
    try:
        sent_at = float(orjson.loads(oldest or b"")["headers"][SENT_AT])
    except (ValueError, KeyError, TypeError):
        return length, 0.0
    return length, max(0.0, redis_clock.now() - sent_at)


def _check_clocks(living: list[heartbeats.WorkerState]) -> Check:
    """Deadlines are in Redis' time, but readings and logs carry the time of their host."""
    offsets = {"this host": redis_clock.offset_s()}
    offsets |= {f"{worker.name}:{worker.pid}": worker.clock_offset_s for worker in living}
    wrong = [
        f"{name} is {abs(offset):.1f} s {'ahead of' if offset > 0 else 'behind'} Redis"
        for name, offset in offsets.items()
        if abs(offset) > MAX_CLOCK_OFFSET_S
    ]
    if wrong:
        return Check("down", "; ".join(wrong))
    return Check("ok", f"within {MAX_CLOCK_OFFSET_S:g} s of Redis")


def _ping(redis: Redis, times: int = 1) -> tuple[Check, float]:
    """The state of a server, and the shortest of so many round trips in seconds."""
    shortest_s = float("inf")
    try:
        for _ in range(times):
            began = time.monotonic()
            redis.ping()
            shortest_s = min(shortest_s, time.monotonic() - began)
    except RedisError as error:
        return Check("down", _one_line(error)), 0.0
    return Check("ok", "answers"), shortest_s


def _check_workers(living: list[heartbeats.WorkerState]) -> dict[str, Check]:
    serving = [worker for worker in living if Queues.SINGLE in worker.queues]
    if not serving:
        return {
            "workers": Check("down", f"no worker reads the queue {Queues.SINGLE}"),
            "models": Check("down", "no worker holds models"),
        }
    able = [worker for worker in serving if worker.able]
    problems = sorted({worker.problem for worker in living if worker.problem})
    versions = ", ".join(sorted({f"{model['name']} {model['version']}" for w in able for model in w.models}))
    if problems and able:
        models = Check("down", f"{'; '.join(problems)}; loaded: {versions}")
    elif not able:
        models = Check("down", "; ".join(problems) or "no worker holds models")
    else:
        models = Check("ok", versions)
    missing = [
        queue
        for queue in (Queues.BATCH, Queues.STREAM)
        if not any(queue in worker.queues for worker in living)
    ]
    if missing:
        return {"workers": Check("ok", f"none for {', '.join(missing)}"), "models": models}
    return {"workers": Check("ok", f"{len(living)} processes"), "models": models}


def _check_storage(*shortages: str | None) -> Check:
    found = [shortage for shortage in shortages if shortage]
    return Check("down", " ".join(found)) if found else Check("ok", "enough room")


def consumer_records(redis: Redis) -> dict[bytes, dict[str, Any]]:
    """The records of consumers by their field of `CONSUMERS_KEY`; one that cannot be read is left out.

    Raises `redis.RedisError`.
    """
    found: dict[bytes, dict[str, Any]] = {}
    for name, raw in cast(dict[bytes, bytes], redis.hgetall(CONSUMERS_KEY)).items():
        try:
            record = orjson.loads(raw)
            found[name] = {**record, "seen_at": float(record["seen_at"])}
        except (ValueError, KeyError, TypeError):
            log.debug("the record %r of a consumer cannot be read and is left out", name)
    return found


def living_consumers(redis: Redis) -> list[dict[str, Any]]:
    """The records of consumers that live, connected to Kafka or not. Raises `redis.RedisError`."""
    records = consumer_records(redis).values()
    seconds, _ = redis.time()
    return [record for record in records if seconds - record["seen_at"] < heartbeats.SILENT_AFTER_S]


def _check_consumers(consumers: list[dict[str, Any]]) -> Check:
    if not consumers:
        return Check("absent", "no Kafka consumer runs")
    stuck = [record for record in consumers if record.get("state") != "running"]
    if stuck:
        return Check("down", "; ".join(f"{record.get('state')}: {record.get('reason')}" for record in stuck))
    slowed = sorted({str(record["reason"]) for record in consumers if record.get("reason")})
    return Check("ok", "; ".join([f"{len(consumers)} running", *slowed]))


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())
