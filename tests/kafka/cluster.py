"""Three nodes of Apache Kafka, each a broker and a controller, for tests in which leaders move."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from kafka import KafkaAdminClient
from kafka.errors import KafkaError

from stack.servers import LOOPBACK
from tests.kafka.broker import STOP_TIMEOUT_S, java, run
from tests.processes import free_port, wait_until
from tests.services import RunningServer

NODES: Final = 3
READY_WITHIN_S: Final = 120.0
HEAP: Final = "-Xmx256m"
CLUSTER_ID: Final = "A" * 22
ADMIN_TIMEOUT_MS: Final = 10_000
# Each internal topic has one partition: its leader is the coordinator of all transactions, or of all groups.
COORDINATES_TRANSACTIONS: Final = "__transaction_state"
COORDINATES_GROUPS: Final = "__consumer_offsets"

PROPERTIES: Final = """\
process.roles=broker,controller
node.id={node}
controller.quorum.voters={voters}
listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller_port}
advertised.listeners=PLAINTEXT://127.0.0.1:{port}
controller.listener.names=CONTROLLER
log.dirs={folder}/data
default.replication.factor=3
min.insync.replicas=2
offsets.topic.replication.factor=3
offsets.topic.num.partitions=1
transaction.state.log.replication.factor=3
transaction.state.log.min.isr=2
transaction.state.log.num.partitions=1
group.initial.rebalance.delay.ms=0
transaction.abort.timed.out.transaction.cleanup.interval.ms=1000
"""


class KafkaCluster:
    """Three nodes with replication 3, of which 2 must have a record. `url` names all of them."""

    def __init__(self) -> None:
        controllers = [free_port() for _ in range(NODES)]
        voters = ",".join(f"{node}@{LOOPBACK}:{port}" for node, port in enumerate(controllers))
        self.nodes: list[RunningServer] = []
        try:
            for node, port in enumerate(controllers):
                self.nodes.append(
                    RunningServer(
                        _command(node, port, voters),
                        lambda _: True,  # a node alone answers nothing
                        f"{LOOPBACK}:{{port}}",
                        stop_timeout_s=STOP_TIMEOUT_S,
                    )
                )
            wait_until(self._all_are_there, what="three nodes", timeout_s=READY_WITHIN_S, log=self.log)
        except BaseException:
            self.close()
            raise

    @property
    def url(self) -> str:
        """Addresses of the nodes, with commas between them."""
        return ",".join(node.url for node in self.nodes)

    def leader(self, topic: str, partition: int = 0) -> RunningServer:
        """The node that leads a partition. Blocks until there is one, two minutes at most."""

        def found() -> RunningServer | None:
            leaders = [
                each["leader_id"] for each in self._known(topic) if each["partition_index"] == partition
            ]
            return self.nodes[leaders[0]] if leaders and leaders[0] >= 0 else None

        node = wait_until(found, what="a leader", timeout_s=READY_WITHIN_S, poll_s=0.5, log=self.log)
        assert node is not None
        return node

    def wait_in_sync(self, *topics: str) -> None:
        """Block until all nodes have all of these topics. Raises `AssertionError` after two minutes."""

        def are_in_sync() -> bool:
            found = [self._known(topic) for topic in topics]
            return all(found) and all(len(each["isr_nodes"]) == NODES for some in found for each in some)

        wait_until(are_in_sync, what="all replicas", timeout_s=READY_WITHIN_S, poll_s=0.5, log=self.log)

    def restart(self) -> None:
        """Start those nodes again that have ended."""
        for node in self.nodes:
            if node.has_ended():
                node.restart()

    def stop(self) -> None:
        """End all nodes in good order."""
        for node in self.nodes:
            node.stop()

    def kill(self) -> None:
        """End all nodes as a crash would."""
        for node in self.nodes:
            node.kill()

    def pause(self) -> None:
        """Make all nodes mute."""
        for node in self.nodes:
            node.pause()

    def resume(self) -> None:
        """Let them answer again."""
        for node in self.nodes:
            node.resume()

    def close(self) -> None:
        """Kill all nodes, and delete their folders."""
        self.kill()
        for node in self.nodes:
            node.close()

    def log(self) -> str:
        """The end of what each node has said."""
        return "\n".join(node.log()[-2000:] for node in self.nodes)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _admin(self) -> KafkaAdminClient:
        return KafkaAdminClient(bootstrap_servers=self.url, request_timeout_ms=ADMIN_TIMEOUT_MS)

    def _all_are_there(self) -> bool:
        try:
            admin = self._admin()
        except KafkaError:
            return False
        try:
            return len(admin.describe_cluster()["brokers"]) == NODES
        except KafkaError:
            return False
        finally:
            admin.close()

    def _known(self, topic: str) -> list[dict[str, Any]]:
        """The partitions of a topic; none while no node tells, as after the death of the asked one."""
        try:
            admin = self._admin()
        except KafkaError:
            return []
        try:
            (found,) = admin.describe_topics([topic])
            return list(found["partitions"])
        except KafkaError:
            return []
        finally:
            admin.close()


def _command(node: int, controller_port: int, voters: str) -> Callable[[int, Path], list[str]]:
    """What gives a node's command line. The first time, its properties are written and its log is made."""

    def command(port: int, folder: Path) -> list[str]:
        properties = folder / "server.properties"
        text = PROPERTIES.format(
            node=node, port=port, controller_port=controller_port, voters=voters, folder=folder
        )
        if not properties.exists() or properties.read_text() != text:
            properties.write_text(text)
            format_log = [*java("kafka.tools.StorageTool"), "format", "-t", CLUSTER_ID, "--ignore-formatted"]
            run([*format_log, "-c", str(properties)])
        return [*java("kafka.Kafka", HEAP), str(properties)]

    return command
