"""The service without a worker: tasks are taken from queues and answered by hand. Then without Redis."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, Final

import httpx
from redis import Redis

from tests.golden import redis_dump, wire
from tests.golden.answers import events_of, head
from tests.golden.http_batches import BATCH, BODY, JOBS
from tests.golden.kafka_scenes import TRACE, Topics, shown, until
from tests.golden.model_folder import ACTIVE
from tests.golden.readings import HEALTHY, LEAST, ORDINARY, WITH_COSTS, request_of
from tests.golden.scene import Scenes
from tests.processes import Web, wait_until

Document = dict[str, Any]
FAILURE: Final = "/api/v1/predictions/failure"
INPUT: Final = "lonely.metrics"
PREDICTIONS: Final = "lonely.predictions"
DEAD_LETTERS: Final = "lonely.dlq"
TOPICS: Final = {
    "KAFKA_TOPIC_METRICS": INPUT,
    "KAFKA_TOPIC_PREDICTIONS": PREDICTIONS,
    "KAFKA_TOPIC_DEAD_LETTERS": DEAD_LETTERS,
    "KAFKA_TOPIC_FAILURE_ALERTS": "lonely.failure_alerts",
    "KAFKA_TOPIC_ANOMALIES": "lonely.anomalies",
    "KAFKA_TOPIC_ALERT_STATE": "lonely.alert_state",
    "KAFKA_GROUP_ID": "lonely",
}
# With one place, a second request finds the queue full.
SETTINGS: Final = {"ML_MAX_WAITING": "1", "METRICS_REQUIRE_KEY": "true"}
VERDICT: Final = {"charger_id": "GOLD-1", "failure_probability": 0.25, "by": "hand", "fingerprint": "f" * 32}


class Lonely:
    """Scenes of one web process without a worker."""

    def __init__(self, web: Web, redis: Redis) -> None:
        self.redis = redis
        self.http = Scenes(web.client)
        self.messages: Document = {}
        self.keys: Document = {}

    def without_worker(self) -> None:
        """What is answered, and sent, while nobody scores."""
        with ThreadPoolExecutor(4) as threads:
            self._answered_by_hand(threads)
            self._given_up(threads)
        self._operations()
        self._batch()

    def _answered_by_hand(self, threads: ThreadPoolExecutor) -> None:
        sentence = "A sentence of the worker's."
        cases: list[tuple[str, str | None, Any, Document]] = [
            ("verdict", None, VERDICT, {"gists": [0.25]}),
            ("verdict_without_gist", None, VERDICT, {}),
            ("verdict_of_a_newer_worker", None, VERDICT, {"gists": [0.25], "unknown": 1}),
            ("scoring_failed", "scoring_failed", sentence, {"gists": [None]}),
            ("models_unavailable", "models_unavailable", sentence, {"gists": [None]}),
            ("unknown_code", "something_new", sentence, {"gists": [None]}),
            ("late", "prediction_timeout", sentence, {"gists": [None]}),
        ]
        for name, code, line, more in cases:
            with self._asked(threads, f"reply_{name}", FAILURE, ORDINARY) as task:
                wire.answer_to(self.redis, task, [code], [line], **more)
        for name, path, reading in (
            ("failure", FAILURE, ORDINARY),
            ("maintenance_with_costs", "/api/v1/predictions/maintenance", WITH_COSTS),
            ("anomaly", "/api/v1/predictions/anomaly", HEALTHY),
        ):
            with self._asked(threads, f"task_{name}", path, reading, headers={"X-Tenant-ID": "acme"}) as task:
                self.messages[f"single_{name}"] = wire.stable(task)
                wire.answer_to(self.redis, task, [None], [VERDICT])

    @contextmanager
    def _asked(
        self, threads: ThreadPoolExecutor, name: str, path: str, reading: Document, **options: Any
    ) -> Iterator[Document]:
        """Send a prediction; inside, its task off the queue. The answer is recorded at the end."""
        answer = self._later(threads, name, path, reading, **options)
        yield wire.taken(self.redis, "ml.single")
        answer.result(60)

    def _later(
        self, threads: ThreadPoolExecutor, name: str, path: str, reading: Document, **options: Any
    ) -> Future[httpx.Response]:
        return threads.submit(self.http.ask, name, "POST", path, json=request_of(reading), **options)

    def _given_up(self, threads: ThreadPoolExecutor) -> None:
        """Nobody answers: 504 at the deadline, and meanwhile there is no room for another."""
        late = self._later(threads, "nobody_answers", FAILURE, LEAST)
        wait_until(lambda: bool(self.redis.llen("ml.single")), what="the task")
        self.http.ask("queue_full", "POST", FAILURE, json=request_of(HEALTHY))
        late.result(60)
        late = self._later(threads, "nobody_answers_anomaly", "/api/v1/predictions/anomaly", LEAST)
        late.result(60)
        self.redis.delete("ml.single")

    def _operations(self) -> None:
        ask = self.http.ask
        for name, path in (("health", "/health"), ("ready", "/health/ready")):
            ask(f"{name}_without_worker", "GET", path)
            ask(f"{name}_without_key", "GET", path, key=None)
        ask("metrics_without_key", "GET", "/metrics", key=None)
        ask("models_without_worker", "GET", "/api/v1/models")
        ask("reload_without_worker", "POST", "/api/v1/models/reload")
        with ThreadPoolExecutor(1) as threads:
            path = f"/api/v1/models/failure/versions/{ACTIVE}/verify"
            answer = threads.submit(self.http.ask, "verified_by_hand", "POST", path)
            task = wire.taken(self.redis, "ml.single")
            self.messages["verify"] = wire.stable(task)
            problem = json.dumps({"problem": "It is not as it should be."})
            self.redis.set(wire.message_in(task)["reply_key"], problem, ex=60)
            answer.result(60)

    def _batch(self) -> None:
        before = redis_dump.keys_of(self.redis)
        headers = {"Idempotency-Key": "golden-lonely"}
        answer = self.http.ask("batch_pending", "POST", f"{BATCH}?kind=all", json=BODY, headers=headers)
        path = f"{JOBS}/{answer.json()['job_id']}"
        self.keys["batch_pending"] = redis_dump.dump(
            self.redis, redis_dump.keys_of(self.redis) - before - {b"ml.batch"}
        )
        self.messages["batch"] = wire.stable(wire.taken(self.redis, "ml.batch"))
        ask = self.http.ask
        ask("job_pending", "GET", path)
        ask("results_pending", "GET", f"{path}/results")
        ask("results_pending_ndjson", "GET", f"{path}/results", headers={"Accept": "application/x-ndjson"})
        ask(
            "batch_waited_for_in_vain",
            "POST",
            f"{BATCH}?kind=all",
            json=BODY,
            headers={**headers, "Prefer": "wait=1"},
        )
        self.http.keep("events_pending", f"GET {JOBS}/{{id}}/events", self._first_events(f"{path}/events"))
        for suffix in ("input", "sent"):
            ask(f"job_{suffix}_key", "GET", f"{path}:{suffix}")
        ask("job_cancelled", "DELETE", path)
        ask("events_cancelled", "GET", f"{path}/events")
        self.keys["batch_cancelled"] = redis_dump.dump(self.redis, redis_dump.keys_of(self.redis) - before)
        self._still_accepted()

    def _first_events(self, path: str) -> Document:
        """Status, headers and events of a stream up to its first event with data."""
        content = b""
        with self.http.client.stream(
            "GET", path, headers={"X-Request-ID": "golden-events_pending"}
        ) as response:
            for part in response.iter_raw():
                content += part
                if b"data:" in content and content.endswith(b"\n\n"):
                    break
            return {**head(response), "body": events_of(content)}

    def _still_accepted(self) -> None:
        """A claim of a request that is being accepted: written by hand, with the digest of another body."""
        claimed = self.keys["batch_pending"]["ml:idempotency:golden-lonely"]["value"]
        _, _, asked = str(claimed).partition(":")
        self.redis.set("ml:idempotency:golden-claimed", f"{'0' * 32}:{asked}", ex=15)
        headers = {"Idempotency-Key": "golden-claimed"}
        self.http.ask("still_accepted", "POST", f"{BATCH}?kind=all", json=BODY, headers=headers)

    def without_redis(self, stop: Callable[[], object]) -> None:
        """Every kind of call while Redis is away."""
        stop()
        client = self.http.client
        wait_until(
            lambda: client.get("/health").json()["checks"]["redis"]["status"] != "ok",
            what="the look that finds no Redis",
        )
        ask = self.http.ask
        for name, method, path, body in (
            ("failure", "POST", FAILURE, request_of(ORDINARY)),
            ("batch", "POST", BATCH, BODY),
            ("outcome", "POST", "/api/v1/outcomes", OUTCOME),
            ("cached", "GET", "/api/v1/predictions/GOLD-1", None),
            ("cache_deleted", "DELETE", "/api/v1/predictions/GOLD-1", None),
            ("jobs", "GET", JOBS, None),
            ("job", "GET", f"{JOBS}/{'0' * 32}", None),
            ("results", "GET", f"{JOBS}/{'0' * 32}/results", None),
            ("fleet", "GET", "/api/v1/chargers", None),
            ("history", "GET", "/api/v1/chargers/GOLD-1/history", None),
            ("models", "GET", "/api/v1/models", None),
            ("drift", "GET", "/api/v1/models/failure/drift", None),
            ("quality", "GET", "/api/v1/outcomes/quality", None),
            ("health", "GET", "/health", None),
            ("ready", "GET", "/health/ready", None),
        ):
            ask(f"no_redis_{name}", method, path, json=body)


OUTCOME: Final = {"charger_id": "GOLD-1", "outcome": "failed", "occurred_at": "2024-03-01T08:30:00Z"}


def announce_worker(redis: Redis) -> None:
    """Say in Redis that a worker reads `ml.stream`, as 04f6cf5 says it, and lives for an hour from now."""
    models = [{"name": name, "version": ACTIVE, "type": "golden"} for name in ("failure", "anomaly")]
    record = {
        "name": "hand@golden",
        "pid": 1,
        "queues": ["ml.stream"],
        "models": models,
        "problem": None,
        "generation": 0,
        "seen_at": time.time() + 3_600,
    }
    redis.hset("ml:workers", "hand@golden:1", json.dumps(record))


def produce_first(topics: Topics) -> None:
    """Put records on the consumer's topic before it starts: its first poll brings them all together."""
    topics.make(INPUT)
    for reading in (WITH_COSTS, {**HEALTHY, "tenant_id": "acme"}, LEAST):
        topics.producer.send(INPUT, json.dumps(reading).encode(), key=b"key", headers=TRACE, partition=0)
    topics.producer.flush(10)


def stream_scenes(redis: Redis, topics: Topics) -> tuple[Document, Document]:
    """Tasks that the consumer sends, and the records that it makes of replies by hand."""
    messages: Document = {}
    verdicts = [{**VERDICT, "failure_probability": 0.95}, {"charger_id": "GOLD-1", "is_anomaly": True}]
    task = wire.taken(redis, "ml.stream")
    messages["stream_together"] = wire.stable(task)
    wire.answer_to(redis, task, [None] * 6, verdicts * 3, gists=[0.25, False] * 2 + [0.95, True])
    topics.send(INPUT, ORDINARY, key=b"key", headers=TRACE)
    task = wire.taken(redis, "ml.stream")
    messages["stream_alone"] = wire.stable(task)
    wire.answer_to(redis, task, [None, None], verdicts)  # as an older worker does, without gists
    topics.send(INPUT, HEALTHY, key=b"key", headers=TRACE)
    for _ in range(3):  # attempts, then it is given up
        task = wire.taken(redis, "ml.stream")
        wire.answer_to(redis, task, ["scoring_failed"] * 2, ["A sentence."] * 2, gists=[None, None])
    until(topics, 1, DEAD_LETTERS)
    outputs = (PREDICTIONS, DEAD_LETTERS, "lonely.failure_alerts", "lonely.anomalies")
    return messages, {topic: [shown(record) for record in topics.read(topic)] for topic in outputs}
