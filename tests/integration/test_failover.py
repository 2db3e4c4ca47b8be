"""Redis moves to another address behind the same name: a replica is promoted, and the old master demoted."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from redis import Redis

from tasks.messaging.names import Queues
from tests.http_jobs import finish, submit
from tests.processes import Web, environment, start_worker, wait_until
from tests.readings import metrics, request
from tests.services import RunningServer, start_redis
from tests.tcp_proxy import TcpProxy

FAILURE = "/api/v1/predictions/failure"


@dataclass
class Pair:
    """A master and its replica, and the proxy that stands for the master's name."""

    master: RunningServer
    replica: RunningServer
    proxy: TcpProxy
    web: Web

    def fail_over(self) -> None:
        """Promote the replica, demote the master, and have the name lead to the new master."""
        with Redis.from_url(self.replica.url) as new, Redis.from_url(self.master.url) as old:
            new.slaveof()
            old.slaveof("127.0.0.1", self.replica.port)
            self.proxy.target_port = self.replica.port


@pytest.fixture
def pair() -> Iterator[Pair]:
    with start_redis() as master, start_redis() as replica, TcpProxy(master.port) as proxy:
        with Redis.from_url(replica.url) as client:
            client.slaveof("127.0.0.1", master.port)
            wait_until(
                lambda: client.info("replication")["master_link_status"] == "up", what="the replica's copy"
            )
        env = environment(f"redis://127.0.0.1:{proxy.port}/0")
        with (
            start_worker(Queues.SINGLE, env) as single,
            start_worker(Queues.BATCH, env) as batch,
            Web(env) as web,
        ):
            wait_until(web.ready, what="readiness", log=lambda: single.log() + web.log())
            wait_until(lambda: "ready" in batch.log(), what="the batch worker", log=batch.log)
            yield Pair(master, replica, proxy, web)


def test_everything_goes_on_with_the_promoted_replica(pair: Pair) -> None:
    client = pair.web.client
    assert client.post(FAILURE, json=request()).status_code == 200
    before = submit(client, [metrics() for _ in range(50)])
    assert finish(client, before["job_id"])["status"] == "SUCCEEDED"
    with Redis.from_url(pair.master.url) as master:
        master.wait(1, 5000)
    pair.fail_over()

    def answered() -> bool:
        answers = [client.post(FAILURE, json=request()).status_code for _ in range(5)]
        return answers == [200] * 5

    wait_until(answered, what="predictions by the new master", log=pair.web.log)
    assert client.get(f"/api/v1/jobs/{before['job_id']}").json()["status"] == "SUCCEEDED"
    after = submit(client, [metrics() for _ in range(50)])
    assert finish(client, after["job_id"])["status"] == "SUCCEEDED"
    # The worker says with its next heartbeat that it takes tasks again.
    wait_until(pair.web.ready, what="readiness", log=pair.web.log)
    with Redis.from_url(pair.replica.url) as new:
        assert new.exists(f"ml:job:{after['job_id']}")
