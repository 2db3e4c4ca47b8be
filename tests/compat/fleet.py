"""The processes of two releases on one Redis and one Kafka, side by side and in each other's place."""

from __future__ import annotations

import random
import socket
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final, cast

import httpx
import orjson
from redis import Redis

from tests.compat.faults import Book, bad_lines
from tests.compat.releases import Release, worker_name
from tests.processes import KEY, Process, wait_until

# What is replaced together: a release's processes of one kind.
SIDES: Final = {
    "web": ("web",),
    "workers": ("worker-single", "worker-batch", "worker-stream"),
    "consumers": ("consumer", "ocpp"),
}
# Redis keys that releases share.
WORKERS: Final = "ml:workers"
CONSUMERS: Final = "ml:consumers"
START_TIMEOUT_S: Final = 90.0
END_TIMEOUT_S: Final = 40.0
CALL_TIMEOUT_S: Final = 30.0


@dataclass(eq=False)
class Web:
    """A web process that callers are sent to."""

    release: str
    client: httpx.Client
    in_flight: int = 0


@dataclass(eq=False)
class Rotation:
    """The web processes that take calls, as a load balancer knows them."""

    _webs: list[Web] = field(default_factory=list)
    _changed: threading.Condition = field(default_factory=threading.Condition)

    def webs(self) -> list[Web]:
        with self._changed:
            return list(self._webs)

    @contextmanager
    def one(self, chance: random.Random) -> Iterator[Web]:
        """Any of them, for one call."""
        with self._changed:
            web = chance.choice(self._webs)
            web.in_flight += 1
        try:
            yield web
        finally:
            with self._changed:
                web.in_flight -= 1
                self._changed.notify_all()

    def add(self, web: Web) -> None:
        with self._changed:
            self._webs.append(web)

    def drain(self, release: str) -> Web:
        """Take one out. Blocks until its calls are answered."""
        with self._changed:
            web = next(each for each in self._webs if each.release == release)
            self._webs.remove(web)
            self._changed.wait_for(lambda: web.in_flight == 0, CALL_TIMEOUT_S)
            return web


class Fleet:
    """Starts and ends processes. A process that ends badly, or logs an error, is a fault in `book`."""

    def __init__(self, redis_url: str, book: Book, overrides: Mapping[str, Mapping[str, str]]) -> None:
        self.rotation = Rotation()
        self._redis: Redis = Redis.from_url(redis_url)
        self._book = book
        self._overrides = overrides
        self._processes: dict[tuple[str, str], Process] = {}

    def start(self, side: str, release: Release) -> None:
        """Start one side of a release and wait until it serves."""
        started = {name: self._start(name, release) for name in SIDES[side]}
        for name, process in started.items():
            if side == "web":
                self._add_web(release, process)
                continue
            serves = self._holds_models if side == "workers" else self._has_partitions
            wait_until(
                partial(serves, process),
                what=f"the {release.name} {name}",
                timeout_s=START_TIMEOUT_S,
                log=process.log,
            )

    def end(self, side: str, release: Release) -> None:
        """End one side as a process manager does: no new calls for a web process, then SIGTERM."""
        if side == "web":
            self.rotation.drain(release.name).client.close()
        for name in SIDES[side]:
            process = self._processes.pop((release.name, name))
            code = process.end(END_TIMEOUT_S)
            if code != 0:
                self._book.fault(f"{release.name} {name} ended with {code}:\n{process.log()[-2000:]}")
            self._look_at(f"{release.name} {name}", process)
            process.stop()

    def worker_names(self) -> set[str]:
        """The names of the workers that run, without their host."""
        return {worker_name(name, release) for release, name in self._processes if name in SIDES["workers"]}

    def look(self) -> None:
        """Each process must live and must have logged no error."""
        for (release, name), process in self._processes.items():
            if process.process.poll() is not None:
                self._book.fault(f"{release} {name} has ended:\n{process.log()[-2000:]}")
            self._look_at(f"{release} {name}", process)

    def close(self) -> None:
        for web in self.rotation.webs():
            web.client.close()
        for process in self._processes.values():
            process.stop()
        self._redis.close()

    def _start(self, name: str, release: Release) -> Process:
        process = release.start(name, **self._overrides.get(name, {}))
        self._processes[release.name, name] = process
        return process

    def _look_at(self, name: str, process: Process) -> None:
        if found := bad_lines(process.log()):
            self._book.fault(f"{name} logged:\n{found}")

    def _add_web(self, release: Release, process: Process) -> None:
        url = f"http://127.0.0.1:{release.port}"
        client = httpx.Client(base_url=url, headers={"X-API-Key": KEY}, timeout=CALL_TIMEOUT_S)

        def ready() -> bool:
            try:
                return client.get("/health/ready").status_code == 200
            except httpx.TransportError:
                return False

        wait_until(ready, what=f"the {release.name} web", timeout_s=START_TIMEOUT_S, log=process.log)
        self.rotation.add(Web(release.name, client))

    def _holds_models(self, worker: Process) -> bool:
        """Whether a scoring process of this worker has said that it holds models."""
        assert worker.process.poll() is None, worker.log()
        said = {state["pid"]: bool(state["models"]) for state in self._records(WORKERS).values()}
        children = set(worker.children())
        return " ready." in worker.log() and any(said.get(pid) for pid in children)

    def _has_partitions(self, consumer: Process) -> bool:
        assert consumer.process.poll() is None, consumer.log()
        record = self._records(CONSUMERS).get(f"{socket.gethostname()}:{consumer.process.pid}")
        return record is not None and record["state"] == "running" and bool(record["partitions"])

    def _records(self, key: str) -> dict[str, Any]:
        found = cast(dict[bytes, bytes], self._redis.hgetall(key))
        return {name.decode(): orjson.loads(raw) for name, raw in found.items()}
