"""Apache Kafka itself, for the tests of delivery: fetched once by Maven, started as a single KRaft node."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import Final

import pytest

from settings import ROOT
from stack.servers import LOOPBACK, kafka_answers
from tests.processes import free_port
from tests.services import RunningServer

POM: Final = Path(__file__).with_name("pom.xml")
KAFKA_VERSION: Final = "4.1.0"
JARS: Final = ROOT / "build" / "kafka" / KAFKA_VERSION / "jars"
FETCH_TIMEOUT_S: Final = 300
START_TIMEOUT_S: Final = 60
STOP_TIMEOUT_S: Final = 20
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

# A JRE brings it.
KEYTOOL: Final = ["keytool", "-genkeypair", "-alias", "broker", "-keyalg", "RSA", "-validity", "2"]
STORE_PASSWORD: Final = "store-password"
USER: Final = "evzone"
PASSWORD: Final = "a-password"
_LOGIN: Final = "org.apache.kafka.common.security"
SECURE_PROPERTIES: Final = f"""\
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,SASL_SSL:SASL_SSL
ssl.keystore.type=PKCS12
ssl.keystore.location={{keystore}}
ssl.keystore.password={STORE_PASSWORD}
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


class ApacheKafka(RunningServer):
    """One broker with its log on disk: what was acknowledged is there again after `stop` or `kill`.

    With `secure`, `secure_url` asks for TLS, signed by `cafile`, and a password: USER's by PLAIN or SCRAM.
    """

    def __init__(self, *, secure: bool = False) -> None:
        self._is_secure = secure
        self.secure_port = free_port()
        self.secure_url = f"localhost:{self.secure_port}"
        super().__init__(
            self._command_on,
            kafka_answers,
            f"{LOOPBACK}:{{port}}",
            start_timeout_s=START_TIMEOUT_S,
            stop_timeout_s=STOP_TIMEOUT_S,
        )

    @property
    def cafile(self) -> Path:
        """The certificate that signs the broker's, as PEM."""
        return self.folder / "certificate.pem"

    def close(self) -> None:
        """Kill the broker, for nothing of it is used again, and delete its folder."""
        self.kill()
        super().close()

    def _command_on(self, port: int, folder: Path) -> list[str]:
        """The broker's command line. The first time, its properties are written and its log is made."""
        properties = folder / "server.properties"
        if not properties.exists() or f":{port}," not in properties.read_text():
            text = PROPERTIES.format(port=port, controller_port=free_port(), folder=folder)
            properties.write_text(self._secured(text, folder) if self._is_secure else text)
            login = f"SCRAM-SHA-512=[name={USER},password={PASSWORD}]"
            scram = ["--add-scram", login] if self._is_secure else []
            tool = [*java("kafka.tools.StorageTool"), "format", "-t", "A" * 22, "--standalone", *scram]
            run([*tool, "--ignore-formatted", "-c", str(properties)])
        return [*java("kafka.Kafka"), str(properties)]

    def _secured(self, properties: str, folder: Path) -> str:
        """With a self-signed certificate, and a listener that wants TLS and a password."""
        store = folder / "keystore.p12"
        if not store.exists():
            access = ["-keystore", str(store), "-storepass", STORE_PASSWORD]
            names = ["-dname", "CN=localhost", "-ext", "SAN=dns:localhost"]
            run([*KEYTOOL, *names, "-storetype", "PKCS12", *access])
            run(["keytool", "-exportcert", "-rfc", "-alias", "broker", "-file", str(self.cafile), *access])
        for name in ("listeners", "advertised.listeners"):
            secure = f"\n{name}=SASL_SSL://localhost:{self.secure_port},"
            properties = properties.replace(f"\n{name}=", secure, 1)
        return properties + SECURE_PROPERTIES.format(keystore=store)


def java(main: str, *options: str) -> list[str]:
    """The command line of a class of Kafka. `options` of the virtual machine win over `JAVA`."""
    quiet = "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn"
    return [*JAVA, *options, quiet, "-cp", f"{JARS}/*", main]


def run(command: list[str]) -> None:
    """Run a command to its end. Raises `subprocess.SubprocessError`."""
    subprocess.run(command, check=True, capture_output=True, timeout=START_TIMEOUT_S)
