"""The faults, each caused for real, and what is promised while it lasts."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from typing import Final

from redis import Redis

from tests.faults import disk_causes, kafka_causes, network_causes, poisons
from tests.faults.clock_causes import WrongClock
from tests.faults.services import Service, usual
from tests.faults.traffic import Traffic
from tests.host.faults import killed_redis, mute_redis, stopped
from tests.host.live_service import QUEUES, LiveService

# Causes a fault for so many seconds.
Cause = Callable[[LiveService, float], None]
# The broken promises of a fault's own, after it was over at so many epoch seconds.
Check = Callable[[LiveService, Traffic, float], list[str]]
KILL_EVERY_S: Final = 2.0
STOP_WITHIN_S: Final = 30.0


def again_and_again(do: Callable[[], None], fault_s: float) -> None:
    """Call `do` every 2 s. In this thread: a process ends with the thread that has started it."""
    over = time.monotonic() + fault_s
    while time.monotonic() < over:
        time.sleep(KILL_EVERY_S)
        do()


def lasting(fault: Callable[[LiveService], AbstractContextManager[None]]) -> Cause:
    """The cause of a fault that is a context."""

    def cause(service: LiveService, fault_s: float) -> None:
        with fault(service):
            time.sleep(fault_s)

    return cause


def killed_often(name: str) -> Cause:
    """Kill a program every 2 s, and start it at once, as a supervisor does."""

    def cause(service: LiveService, fault_s: float) -> None:
        def kill() -> None:
            service.programs[name].kill()
            service.start(name)

        again_and_again(kill, fault_s)

    return cause


@contextmanager
def without_workers(service: LiveService) -> Iterator[None]:
    """Kill all workers, and start them again at the end."""
    for name in QUEUES:
        service.programs[name].kill()
    yield
    for name in QUEUES:
        service.start(name)


def rolling_restart(service: LiveService, fault_s: float) -> None:
    """Restart each worker, each web server and the consumer by SIGTERM, one after the other.

    A second passes between two. A caller that met the first retries half a second later on the other.
    """
    for name in (*QUEUES, *service.webs, "consumer"):
        service.programs[name].end(STOP_WITHIN_S)
        service.start(name)
        service.wait_ready(name)
        time.sleep(1)


@contextmanager
def all_frozen(service: LiveService) -> Iterator[None]:
    """Stop all workers (SIGSTOP)."""
    with ExitStack() as stack:
        for name in QUEUES:
            stack.enter_context(stopped(service, name))
        yield


@contextmanager
def cut_connections(service: LiveService) -> Iterator[None]:
    """Have Redis close every connection, twice a second."""
    over = threading.Event()

    def run() -> None:
        with Redis.from_url(service.redis.url) as redis:
            while not over.wait(0.5):
                redis.client_kill_filter(_type="normal", skipme=True)
                redis.client_kill_filter(_type="pubsub")

    thread = threading.Thread(target=run)
    thread.start()
    yield
    over.set()
    thread.join()


@contextmanager
def read_only_redis(service: LiveService) -> Iterator[None]:
    """Make Redis the replica of a server that is not there: reads go on, writes are refused."""
    with Redis.from_url(service.redis.url) as redis:
        redis.slaveof("127.0.0.1", 1)
        yield
        redis.slaveof()


@contextmanager
def full_redis(service: LiveService) -> Iterator[None]:
    """Lower Redis' limit below what it holds: writes are refused."""
    with Redis.from_url(service.redis.url) as redis:
        redis.config_set("maxmemory", 1_000_000)
        yield
        redis.config_set("maxmemory", 0)


@contextmanager
def empty_redis(service: LiveService) -> Iterator[None]:
    """Kill Redis, and start it again without its data."""
    service.redis.kill()
    yield
    for path in service.redis.folder.rglob("*.aof*"):
        if path.is_file():
            path.unlink()
    service.redis.restart()


@contextmanager
def frozen_kafka(service: LiveService) -> Iterator[None]:
    """Stop the broker (SIGSTOP)."""
    service.kafka.pause()
    yield
    service.kafka.resume()


def everything_at_random(service: LiveService, fault_s: float) -> None:
    """Kill, or stop for up to 4 s (SIGSTOP), one process after the other, of all kinds. Repeats itself."""
    chance = random.Random(14)
    servers = {"redis": service.redis, "kafka": service.kafka}
    over = time.monotonic() + fault_s
    while time.monotonic() < over:
        name = chance.choice([*service.programs, *servers])
        is_killed, stopped_s = chance.random() < 0.5, chance.uniform(0.5, 4.0)
        if name in servers:
            # The embedded Kafka keeps nothing, so it is only stopped.
            if is_killed and name == "redis":
                servers[name].kill()
                servers[name].restart()
            else:
                servers[name].pause()
                time.sleep(stopped_s)
                servers[name].resume()
        elif is_killed:
            service.programs[name].kill()
            service.start(name)
        else:
            with stopped(service, name):
                time.sleep(stopped_s)
        time.sleep(chance.uniform(0.5, 3.0))


@dataclass(frozen=True)
class Fault:
    """A fault, and its promise.

    `answered`: least share of single predictions that are answered 200 by a caller that retries once.
    `keeps_jobs`: whether accepted jobs survive. `switches`: whether model versions change. `app` is the
    workers' Celery app. `service` starts a service in which the fault can be caused. `exactly_once`: no
    record has two outcomes. `check`: further promises.
    """

    cause: Cause
    fault_s: float = 10.0
    answered: float = 0.995
    keeps_jobs: bool = True
    switches: bool = False
    app: str = "tasks.worker.app"
    service: Service = usual
    exactly_once: bool = False
    check: Check = lambda service, traffic, over_at: []


FAULTS: Final[dict[str, Fault]] = {
    "worker of singles killed every 2 s": Fault(killed_often("single")),
    "worker of batch killed every 2 s": Fault(killed_often("batch")),
    "worker of stream killed every 2 s": Fault(killed_often("stream")),
    "a web server of two killed every 2 s": Fault(killed_often("web-2")),
    "consumer killed every 2 s": Fault(killed_often("consumer")),
    "all workers gone for 10 s": Fault(lasting(without_workers)),
    "all workers frozen for 10 s": Fault(lasting(all_frozen)),
    "rolling restart by SIGTERM": Fault(rolling_restart, fault_s=0),
    "Redis killed, back with data": Fault(lasting(killed_redis)),
    "Redis killed, back empty": Fault(lasting(empty_redis), keeps_jobs=False),
    "Redis frozen for 3 s": Fault(lasting(mute_redis), fault_s=3),
    "Redis frozen for 30 s": Fault(lasting(mute_redis), fault_s=30),
    "connections to Redis cut twice a second": Fault(lasting(cut_connections)),
    "Redis read-only": Fault(lasting(read_only_redis)),
    "Redis out of memory": Fault(lasting(full_redis)),
    "Kafka frozen for 30 s": Fault(lasting(frozen_kafka), fault_s=30, answered=1.0),
    "everything killed and frozen at random": Fault(everything_at_random, fault_s=120),
    "Kafka stopped for 30 s": Fault(
        lasting(kafka_causes.stopped_kafka), 30, 1.0, service=kafka_causes.one_node, exactly_once=True
    ),
    "Kafka killed, back after 10 s": Fault(
        lasting(kafka_causes.killed_kafka), answered=1.0, service=kafka_causes.one_node, exactly_once=True
    ),
    "Kafka slow for 20 s": Fault(
        lasting(kafka_causes.slow_kafka), 20, 1.0, service=kafka_causes.one_node, exactly_once=True
    ),
    "Kafka leaders move before commits": Fault(
        kafka_causes.moving_leaders, answered=1.0, service=kafka_causes.three_nodes, exactly_once=True
    ),
    "clock of the worker 5 s ahead": Fault(WrongClock("single", 5), answered=1.0),
    "clock of the worker 5 s behind": Fault(WrongClock("single", -5), answered=1.0),
    "clock of the worker 2 min ahead": Fault(WrongClock("single", 120), answered=1.0),
    "clock of a web server 2 min behind": Fault(WrongClock("web-2", -120)),
    "clock of the worker stepped back 1 h": Fault(WrongClock("single", -3600, steps=True), answered=1.0),
    "clock of a web server stepped back 1 h": Fault(WrongClock("web-2", -3600, steps=True)),
    "disk of Redis full for 10 s": Fault(
        lasting(disk_causes.full_redis_disk), service=disk_causes.redis_on_small_disk
    ),
    "disk of uploads full for 10 s": Fault(
        disk_causes.full_upload_disk, answered=1.0, service=disk_causes.uploads_on_small_disk
    ),
    "disk of model versions full for 10 s": Fault(
        disk_causes.full_model_disk,
        answered=1.0,
        switches=True,
        service=disk_causes.versions_on_small_disk,
    ),
    "model folders damaged, and a restart": Fault(
        disk_causes.damaged_versions, switches=True, service=disk_causes.versions_on_small_disk
    ),
    "Redis slowed by 200 ms": Fault(
        lasting(network_causes.slow_redis),
        service=network_causes.behind_proxies,
        check=network_causes.all_answered,
    ),
    "replies of Redis lost after execution": Fault(
        lasting(network_causes.lost_replies),
        service=network_causes.behind_proxies,
        check=network_causes.nothing_doubled,
    ),
    "Redis moves to a promoted replica": Fault(
        network_causes.failover,
        service=network_causes.behind_proxies,
        check=network_causes.stream_recovered,
    ),
    "every connection reset at once": Fault(
        network_causes.reset_all,
        service=network_causes.behind_proxies,
        check=network_causes.stream_recovered,
    ),
    "every connection half-open at once": Fault(
        network_causes.half_open,
        service=network_causes.behind_proxies,
        check=network_causes.stream_recovered,
    ),
    "all packets dropped for 30 s": Fault(
        lasting(network_causes.dropped_packets),
        fault_s=30,
        service=network_causes.behind_proxies,
        check=network_causes.stream_recovered,
    ),
    "readings that raise, hang, eat and crash": Fault(
        poisons.in_all_ways, app="tests.integration.fragile_app", service=poisons.with_little_memory
    ),
}
# In CI, within 6 minutes.
SMOKE: Final = (
    "worker of singles killed every 2 s",
    "all workers gone for 10 s",
    "Redis killed, back with data",
    "Redis frozen for 3 s",
    "connections to Redis cut twice a second",
    "every connection reset at once",
)
