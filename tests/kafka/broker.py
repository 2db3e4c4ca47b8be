"""Apache Kafka itself, for the tests of delivery: fetched once by Maven, started as a single KRaft node."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Final

import pytest

from settings import ROOT
from stack.servers import LOOPBACK, kafka_answers
from tests.services import ServerProcess, free_port

POM: Final = Path(__file__).with_name("pom.xml")
KAFKA_VERSION: Final = "4.1.0"
JARS: Final = ROOT / "build" / "kafka" / KAFKA_VERSION / "jars"
FETCH_TIMEOUT_S: Final = 300
START_TIMEOUT_S: Final = 60
JAVA: Final = ["java", "-Xmx384m", "-Xss512k", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"]

PROPERTIES: Final = """\
process.roles=broker,controller
node.id=1
controller.quorum.bootstrap.servers=127.0.0.1:{controller_port}
listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller_port}
advertised.listeners=PLAINTEXT://127.0.0.1:{port}
controller.listener.names=CONTROLLER
log.dirs={folder}/data
offsets.topic.replication.factor=1
offsets.topic.num.partitions=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=1
group.initial.rebalance.delay.ms=0
transaction.abort.timed.out.transaction.cleanup.interval.ms=1000
"""

OPENSSL: Final = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"]
USER: Final = "evzone"
PASSWORD: Final = "a-password"
_LOGIN: Final = "org.apache.kafka.common.security"
SECURE_PROPERTIES: Final = f"""\
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,SASL_SSL:SASL_SSL
ssl.keystore.type=PEM
ssl.keystore.location={{keystore}}
sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-512
listener.name.sasl_ssl.plain.sasl.jaas.config={_LOGIN}.plain.PlainLoginModule required \\
  user_{USER}="{PASSWORD}";
listener.name.sasl_ssl.scram-sha-512.sasl.jaas.config={_LOGIN}.scram.ScramLoginModule required;
"""


def fetch() -> str | None:
    """Fetch Kafka unless it is here; why it cannot be had, or None. Takes about 40 s the first time."""
    if (JARS / f"kafka_2.13-{KAFKA_VERSION}.jar").is_file():
        return None if shutil.which("java") else "no java on this machine"
    for program in ("java", "mvn"):
        if shutil.which(program) is None:
            return f"no {program} on this machine"
    command = ["mvn", "-q", "-B", "-f", str(POM), "package"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=FETCH_TIMEOUT_S, check=False)
    except subprocess.TimeoutExpired:
        return f"Maven did not end within {FETCH_TIMEOUT_S} s"
    return None if done.returncode == 0 else f"Maven: {done.stdout[-500:]}"


def require() -> None:
    """Skip, where Apache Kafka cannot be had; in CI that is a failure, or nobody would ever notice."""
    problem = fetch()
    if problem is None:
        return
    if os.environ.get("CI"):
        pytest.fail(f"Apache Kafka is needed here: {problem}")
    pytest.skip(f"needs Apache Kafka: {problem}")


class ApacheKafka(ServerProcess):
    """One broker with its log on disk: what was acknowledged is there again after `stop` or `kill`.

    With `secure`, `secure_url` asks for TLS, signed by `cafile`, and a password: USER's by PLAIN or SCRAM.
    """

    stop_timeout_s = 20.0

    def __init__(self, *, secure: bool = False) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="evzone-kafka-"))
        self.port = free_port()
        self.secure_port = free_port()
        self.secure_url = f"localhost:{self.secure_port}"
        self.cafile = self.folder / "certificate.pem"
        self.url = f"{LOOPBACK}:{self.port}"
        self._properties = self.folder / "server.properties"
        self._properties.write_text(
            PROPERTIES.format(port=self.port, controller_port=free_port(), folder=self.folder)
        )
        scram = []
        if secure:
            self._secure()
            scram = ["--add-scram", f"SCRAM-SHA-512=[name={USER},password={PASSWORD}]"]
        self._run_tool("kafka.tools.StorageTool", "format", "-t", "A" * 22, "--standalone", *scram, "-c")
        self.process = self._start()

    def _secure(self) -> None:
        """A self-signed certificate, and a listener that wants TLS and a password."""
        key = self.folder / "key.pem"
        subject = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
        subprocess.run(
            [*OPENSSL, *subject, "-keyout", str(key), "-out", str(self.cafile)],
            check=True,
            capture_output=True,
        )
        keystore = self.folder / "keystore.pem"
        keystore.write_text(key.read_text() + self.cafile.read_text())
        text = self._properties.read_text()
        for name in ("listeners", "advertised.listeners"):
            text = text.replace(f"\n{name}=", f"\n{name}=SASL_SSL://localhost:{self.secure_port},", 1)
        self._properties.write_text(text + SECURE_PROPERTIES.format(keystore=keystore))

    def restart(self) -> None:
        """Start again after `stop` or `kill`, with the same port and log."""
        self.process = self._start()

    def _command(self, main: str, *arguments: str) -> list[str]:
        quiet = "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn"
        return [*JAVA, quiet, "-cp", f"{JARS}/*", main, *arguments, str(self._properties)]

    def _run_tool(self, main: str, *arguments: str) -> None:
        subprocess.run(
            self._command(main, *arguments), check=True, capture_output=True, timeout=START_TIMEOUT_S
        )

    def _start(self) -> subprocess.Popen[bytes]:
        process = self._spawn(self._command("kafka.Kafka"))
        deadline = time.monotonic() + START_TIMEOUT_S
        while time.monotonic() < deadline and process.poll() is None:
            if kafka_answers(self.port):
                return process
            time.sleep(0.1)
        process.kill()
        raise RuntimeError(f"Apache Kafka did not start.\n{self.log()[-3000:]}")
