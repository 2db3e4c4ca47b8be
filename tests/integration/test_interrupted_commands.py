"""Ctrl-C ends a command of a person with status 130 and one line, whatever it is doing."""

from __future__ import annotations

import signal
import socket
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from models.simulation.simulate import simulate
from tests.processes import Process, environment, wait_until

# Imports of the libraries for training alone take long where others want the processors too.
PATIENCE_S = 120.0
READING = "charger_id,connector_status,timestamp\nA,Charging,2026-01-01T00:00:00Z\n"

pytestmark = pytest.mark.timeout(3 * PATIENCE_S)


def interrupt(process: Process) -> list[str]:
    """Send Ctrl-C and wait; the lines that the command wrote since its last line of progress."""
    before = len(process.log().splitlines())
    process.process.send_signal(signal.SIGINT)
    status = process.process.wait(PATIENCE_S)
    # Python ends itself by the signal where it came during an `exec` of an import: 130 as well, to a shell.
    status = 128 - status if status < 0 else status
    log = process.log()
    assert status == 130, log
    assert "Traceback" not in log
    return log.splitlines()[before:]


def await_line(process: Process, text: str) -> None:
    wait_until(lambda: text in process.log(), what=text, timeout_s=PATIENCE_S, log=process.log)


def command(*words: str, **settings: str) -> Process:
    return Process([sys.executable, "-m", *words], environment("redis://127.0.0.1:1/0", **settings))


@pytest.fixture(scope="module")
def history(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = Path(tmp_path_factory.mktemp("history"))
    simulate(250, 90, 5).write(folder)
    return folder


def test_training_can_be_interrupted(history: Path, tmp_path: Path) -> None:
    versions = tmp_path / "versions"
    with command("models", "train", "--history", str(history), "--model-dir", str(versions)) as process:
        await_line(process, "failure: features")
        assert interrupt(process)[-1] == "models train: interrupted"
    assert not versions.exists()


def test_an_evaluation_can_be_interrupted(tmp_path: Path) -> None:
    out = tmp_path / "report"
    with command("models", "evaluate", "--chargers", "5000", "--out", str(out)) as process:
        await_line(process, "evaluate: simulate")
        assert interrupt(process) == ["models evaluate: interrupted"]
    assert not out.exists()


@pytest.mark.parametrize("words", [[], ["replay-dlq"]], ids=["service", "replay-dlq"])
def test_a_command_can_be_interrupted_while_it_imports(words: list[str], tmp_path: Path) -> None:
    package = tmp_path / "kafka"
    package.mkdir()
    (package / "__init__.py").write_text("import time; print('importing', flush=True); time.sleep(600)")
    with command("consumers", *words, PYTHONPATH=str(tmp_path)) as process:
        await_line(process, "importing")
        assert interrupt(process) == ["consumers: interrupted"]


@pytest.fixture
def mute_broker() -> Iterator[socket.socket]:
    """A port that accepts connections and never answers."""
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        listener.settimeout(PATIENCE_S)
        yield listener


@pytest.mark.parametrize("words", [["replay-dlq"], ["replay", "readings.csv"]], ids=["replay-dlq", "replay"])
def test_a_command_that_waits_for_kafka_can_be_interrupted(
    words: list[str], mute_broker: socket.socket, tmp_path: Path
) -> None:
    (tmp_path / "readings.csv").write_text(READING)
    words = [str(tmp_path / word) if word.endswith(".csv") else word for word in words]
    broker = f"127.0.0.1:{mute_broker.getsockname()[1]}"
    with command("consumers", *words, KAFKA_BOOTSTRAP_SERVERS=broker) as process:
        connection, _ = mute_broker.accept()
        with closing(connection):
            assert interrupt(process) == [f"consumers {words[0]}: interrupted"]
