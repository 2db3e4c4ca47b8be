"""A whole service under a little load, for recordings: web, three workers, a consumer, and their servers."""

from __future__ import annotations

import asyncio
import contextlib
import sys
import tempfile
import threading
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, Final

import httpx
import orjson
from kafka import KafkaProducer

from tasks.messaging.names import Queues
from tests import readings
from tests.integration.stream_bench import INPUT
from tests.processes import KEY, Process, Web, environment, free_port, start_worker, wait_until
from tests.services import RunningServer, Server, start_kafka, start_redis
from tests.tcp_proxy import TcpProxy
from tests.unit.consumers.ocpp import events as ocpp

OCPP_TOPIC: Final = "ocpp.events"
QUEUES: Final = {"single": Queues.SINGLE, "batch": Queues.BATCH, "stream": Queues.STREAM}
FAILURE: Final = "/api/v1/predictions/failure"
BATCH: Final = "/api/v1/predictions/batch"
JOB_EVERY_S: Final = 5.0
JOB_ROWS: Final = 200
STREAM_EVERY_S: Final = 0.1
CONSUMER: Final = ("consumers",)
# Start a server, and end it.
StartRedis = Callable[[], AbstractContextManager[RunningServer]]
StartKafka = Callable[[], AbstractContextManager[Server]]


def ocpp_event() -> bytes:
    """An OCPP event that makes no reading: most of them."""
    now = datetime.now(UTC).isoformat()
    return orjson.dumps(ocpp.envelope(0, "Heartbeat", {}, eventId=uuid.uuid4().hex, occurredAt=now))


@dataclass
class Load:
    """Callers of the service. Attributes may be changed while it runs.

    `burst` single predictions are sent at once, every `every_s` seconds, and a job of 200 rows every 5 s.
    `records` Kafka records and `events` OCPP events are sent every 0.1 s. `row` makes a reading as a caller
    sends it, `record` the bytes of a Kafka record, and `event` those of an OCPP event.
    """

    url: str
    kafka: str
    burst: int = 1
    every_s: float = 0.05
    records: int = 2
    events: int = 0
    row: Callable[[], dict[str, Any]] = readings.metrics
    record: Callable[[], bytes] | None = None
    event: Callable[[], bytes] = ocpp_event
    _stopped: threading.Event = field(default_factory=threading.Event)

    @contextmanager
    def running(self) -> Iterator[None]:
        """Run the load in two threads. Ends them on leaving, which blocks 5 s at most."""
        threads = [threading.Thread(target=run) for run in (self._call, self._produce)]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            self._stopped.set()
            for thread in threads:
                thread.join()

    def _call(self) -> None:
        asyncio.run(self._calls())

    async def _calls(self) -> None:
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=64)
        headers = {"X-API-Key": KEY}
        async with (
            httpx.AsyncClient(base_url=self.url, headers=headers, limits=limits, timeout=10) as client,
            asyncio.TaskGroup() as group,
        ):
            jobs = group.create_task(self._jobs(client))
            while not self._stopped.is_set():
                for _ in range(self.burst):
                    row = self.row()
                    body = {"charger_id": row["charger_id"], "metrics": row}
                    group.create_task(_post(client, FAILURE, body))
                await asyncio.sleep(self.every_s)
            jobs.cancel()

    async def _jobs(self, client: httpx.AsyncClient) -> None:
        while True:
            await _post(client, BATCH, {"chargers": [self.row() for _ in range(JOB_ROWS)]})
            await asyncio.sleep(JOB_EVERY_S)

    def _produce(self) -> None:
        producer = KafkaProducer(bootstrap_servers=self.kafka, max_block_ms=5000)
        while not self._stopped.wait(STREAM_EVERY_S):
            for _ in range(self.records):
                row = self.row()
                value = orjson.dumps(row) if self.record is None else self.record()
                producer.send(INPUT, value, key=row["charger_id"].encode())
            for _ in range(self.events):
                producer.send(OCPP_TOPIC, self.event(), key=b"CP-1")
        producer.close()


async def _post(client: httpx.AsyncClient, path: str, body: Any) -> None:
    with contextlib.suppress(httpx.HTTPError):  # the fault that is recorded
        await client.post(path, content=orjson.dumps(body), headers={"Content-Type": "application/json"})


@dataclass(frozen=True)
class Network:
    """The proxies by which all programs reach Redis and Kafka. Other clients of Kafka are sent there too."""

    redis: TcpProxy
    kafka: TcpProxy


class LiveService:
    """Programs: `web`, the workers `single`, `batch` and `stream`, `consumer`, and `ocpp` if it has a topic.

    With `two_webs` also `web-2`, a second web server. `admin` has the address of each program's admin port,
    `environments` has its environment. `resources` are closed after the programs have ended.
    """

    def __init__(
        self,
        redis: RunningServer,
        kafka: Server,
        folder: Path,
        app: str,
        settings: Mapping[str, str],
        *,
        two_webs: bool = False,
        consumer: Sequence[str] = CONSUMER,
        network: Network | None = None,
    ) -> None:
        self.redis, self.kafka = redis, kafka
        self._consumer = consumer
        self.resources = ExitStack()
        self._network = network
        self.programs: dict[str, Process] = {}
        consumers = ("consumer", "ocpp") if "KAFKA_TOPIC_OCPP" in settings else ("consumer",)
        webs = ("web", "web-2") if two_webs else ("web",)
        ports = {name: free_port() for name in (*webs, *QUEUES, *consumers)}
        self.admin = {name: f"http://127.0.0.1:{port}" for name, port in ports.items()}
        self._app = app
        shared = {
            "KAFKA_BOOTSTRAP_SERVERS": kafka.url,
            "KAFKA_TRANSACTIONS": "off",  # the embedded broker does not isolate them
            "STATE_DIR": str(folder),
            "PROMETHEUS_MULTIPROC_DIR": str(folder / "metrics"),
            **settings,
        }
        redis_url = f"redis://127.0.0.1:{network.redis.port}/0" if network else redis.url
        self.environments = {
            name: environment(redis_url, **shared, ADMIN_PORT=str(port)) for name, port in ports.items()
        }
        self.webs: dict[str, Web] = {}
        for name in QUEUES:
            self.start(name)
        self.webs = {name: Web(self.environments[name]) for name in webs}
        self.programs |= self.webs
        for name in QUEUES:
            self.wait_ready(name)
        for name in consumers:
            self.start(name)
            self.wait_ready(name)
        self.load = Load(self.web.url, kafka.url)

    @property
    def web(self) -> Web:
        """The first web server."""
        return self.webs["web"]

    @property
    def network(self) -> Network:
        """The proxies of a service that has some."""
        assert self._network is not None, "this service has no proxies"
        return self._network

    def start(self, name: str, **more: str) -> None:
        """Start a program, with further variables of its environment. Waits only for a web process."""
        env = self.environments[name] | more
        if name in self.webs:
            self.webs[name] = self.programs[name] = Web(env, self.webs[name].port)
        elif name in QUEUES:
            self.programs[name] = start_worker(QUEUES[name], env, app=self._app)
        else:
            command = [*CONSUMER, "ocpp"] if name == "ocpp" else self._consumer
            self.programs[name] = Process([sys.executable, "-m", *command], env)

    def wait_ready(self, name: str) -> None:
        """Block until a program is ready, 30 s at most. Raises `AssertionError` after that."""
        wait_until(partial(self._is_ready, name), what=name, log=lambda: self.programs[name].log())

    def stop(self) -> None:
        """End all programs. Does nothing to those that have ended."""
        for process in reversed(self.programs.values()):
            process.stop()

    def _is_ready(self, name: str) -> bool:
        try:
            return httpx.get(f"{self.admin[name]}/health/ready").status_code == 200
        except httpx.TransportError:
            return False


@contextmanager
def live_service(
    app: str,
    settings: Mapping[str, str],
    *,
    two_webs: bool = False,
    redis_server: StartRedis = start_redis,
    kafka_server: StartKafka = start_kafka,
    consumer: Sequence[str] = CONSUMER,
    proxied: bool = False,
) -> Iterator[LiveService]:
    """A service whose programs are ready. `app` is the workers' Celery app. Its load does not run yet.

    `consumer` is the module of the consumer and its arguments.

    With a broker that isolates transactions, `settings` has `KAFKA_TRANSACTIONS`.

    With `proxied`, all programs reach Redis and the embedded broker by proxies.
    """
    with ExitStack() as stack:
        redis = stack.enter_context(redis_server())
        network = None
        if proxied:
            to_redis, to_kafka = TcpProxy(redis.url), TcpProxy(redis.url)
            network = Network(stack.enter_context(to_redis), stack.enter_context(to_kafka))
        kafka = stack.enter_context(start_kafka(network.kafka) if network else kafka_server())
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(ignore_cleanup_errors=True)))
        service = LiveService(
            redis, kafka, folder, app, settings, two_webs=two_webs, consumer=consumer, network=network
        )
        stack.callback(service.resources.close)
        stack.callback(service.stop)
        yield service
