"""Start the service, play all scenes, and return what was observed, by area."""

from __future__ import annotations

import json
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

import httpx
from redis import Redis

from settings import ROOT
from tests.golden import (
    commands,
    http_batches,
    http_models,
    http_operations,
    http_predictions,
    kafka_scenes,
    lonely,
    metrics_page,
    model_folder,
    ocpp_scenes,
    redis_scenes,
    worker_scenes,
)
from tests.golden.commands import Commands
from tests.golden.kafka_scenes import Topics
from tests.golden.normal import Normaliser
from tests.golden.scene import Scenes
from tests.golden.settings_used import LIMITS
from tests.processes import Process, Web, environment, start_worker, wait_until
from tests.services import RunningServer, start_kafka, start_redis

Document = dict[str, Any]
AREAS: Final = ("http", "redis", "kafka", "messages", "metrics", "commands")
QUEUES: Final = "ml.single,ml.batch,ml.stream"


def recording() -> Document:
    """Observe the present code. Takes about a minute and starts a dozen processes, all of which it ends."""
    with tempfile.TemporaryDirectory(prefix="golden-") as scratch:
        folder = Path(scratch)
        recorder = _Recorder(folder)
        recorder.run()
        normaliser = Normaliser({str(folder): "<folder>", str(ROOT): "<root>"})
        observed = {area: normaliser.value(recorder.found[area]) for area in AREAS}
    # As it will be read back: no tuples, no numbers as names.
    again: Document = json.loads(json.dumps(observed))
    return again


class _Recorder:
    """Two services side by side: one with everything, one without a worker."""

    def __init__(self, folder: Path) -> None:
        self.found: dict[str, Document] = {area: {} for area in AREAS}
        self._folder = folder
        for name in ("models", "switched", "served"):
            model_folder.make(folder / name)
        for name in ("prometheus", "main", "lonely", "commands"):
            (folder / name).mkdir()

    def run(self) -> None:
        with start_redis() as redis, start_redis() as lonely_redis, start_kafka() as kafka:
            topics = Topics(kafka.url)
            commands_env = environment(
                "redis://127.0.0.1:1/0", **LIMITS, MODEL_DIR=str(self._folder / "models")
            )
            offline = Commands(commands_env, self._folder)
            with ThreadPoolExecutor(3) as threads:
                parts = [
                    threads.submit(self._main, redis, kafka, topics),
                    threads.submit(self._lonely, lonely_redis, kafka),
                    threads.submit(self._offline, offline),
                ]
                for part in parts:
                    part.result()
            topics.close()

    def _offline(self, offline: Commands) -> None:
        commands.without_service(offline)
        commands.with_models(offline)
        self.found["commands"] |= offline.recorded

    def _environment(
        self, redis: RunningServer, kafka: RunningServer, place: str, **more: str
    ) -> dict[str, str]:
        own = {
            "KAFKA_BOOTSTRAP_SERVERS": kafka.url,
            "KAFKA_TRANSACTIONS": "off",  # the embedded broker does not isolate them
            "KAFKA_TOPIC_PARTITIONS": "1",
            "STATE_DIR": str(self._folder / place),
            "MODEL_DIR": str(self._folder / "served"),
        }
        return environment(redis.url, **own, **more)

    def _main(self, redis: RunningServer, kafka: RunningServer, topics: Topics) -> None:
        shared = {**LIMITS, "PROMETHEUS_MULTIPROC_DIR": str(self._folder / "prometheus")}
        env = self._environment(redis, kafka, "main", **shared)
        client = Redis.from_url(redis.url)
        with ExitStack() as running:
            running.callback(client.close)
            worker = running.enter_context(start_worker(QUEUES, env, name="golden"))
            web = running.enter_context(Web(env))
            web.client.timeout = httpx.Timeout(60)
            wait_until(web.ready, what="readiness", timeout_s=60, log=lambda: worker.log() + web.log())
            consumers = [
                running.enter_context(_consumer(env)),
                running.enter_context(_consumer({**env, **ocpp_scenes.SETTINGS}, "ocpp")),
            ]
            # The scenes of models come before anything is scored, so that they see no traffic.
            scenes = Scenes(web.client)
            http_models.scenes(scenes)
            wait_until(lambda: _running(client) == 2, what="the consumers", log=lambda: consumers[0].log())
            http_predictions.scenes(scenes)
            http_batches.scenes(scenes)
            http_operations.scenes(scenes)
            self.found["http"] |= {"main": scenes.recorded}
            self.found["messages"] |= {"replies": worker_scenes.scenes(client)}
            self.found["kafka"] |= {
                "scoring": kafka_scenes.outcomes(topics),
                "ocpp": ocpp_scenes.scenes(topics),
            }
            self.found["redis"] |= redis_scenes.scenes(web.client, client)
            self._commands_on(env, web, topics)
            self.found["metrics"] |= {
                "all_processes": metrics_page.read(web.client.get("/metrics").text, of_several=True)
            }

    def _commands_on(self, env: dict[str, str], web: Web, topics: Topics) -> None:
        """Commands that need the service or the broker."""
        own = {name: value for name, value in env.items() if name != "PROMETHEUS_MULTIPROC_DIR"}
        online = Commands(own, self._folder / "commands")
        commands.with_service(online, web.url)
        self.found["kafka"] |= {"commands": kafka_scenes.commands(online, topics)}
        self.found["commands"] |= online.recorded

    def _lonely(self, redis: RunningServer, kafka: RunningServer) -> None:
        settings = {**lonely.TOPICS, **lonely.SETTINGS}
        env = self._environment(redis, kafka, "lonely", **settings)
        client = Redis.from_url(redis.url)
        topics = Topics(kafka.url)
        with ExitStack() as running:
            running.callback(client.close)
            running.callback(topics.close)
            lonely.produce_first(topics)
            web = running.enter_context(Web(env))
            web.client.timeout = httpx.Timeout(60)
            alone = lonely.Lonely(web, client)
            alone.without_worker()
            lonely.announce_worker(client)
            with _consumer(env):
                sent, records = lonely.stream_scenes(client, topics)
            self.found["metrics"] |= {"web": metrics_page.read(web.client.get("/metrics").text)}
            alone.without_redis(redis.kill)
        self.found["http"] |= {"lonely": alone.http.recorded}
        self.found["messages"] |= {"tasks": alone.messages | sent}
        self.found["redis"] |= {"lonely": alone.keys}
        self.found["kafka"] |= {"by_hand": records}


def _consumer(env: dict[str, str], *command: str) -> Process:
    return Process([sys.executable, "-m", "consumers", *command], env)


def _running(redis: Redis) -> int:
    """How many consumers say that they run, and have partitions."""
    records: Any = [json.loads(record) for record in redis.hgetall("ml:consumers").values()]
    return sum(record["state"] == "running" and record["partitions"] > 0 for record in records)
