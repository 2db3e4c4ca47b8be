"""Redis clients keep their word about time, whether the server is gone or mute."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator

import pytest
from redis import RedisError

from tasks.storage import redis_connection

TIMEOUT_S, PATIENCE_S = 0.05, 0.4


@pytest.fixture
def mute() -> Iterator[int]:
    """A port whose connections are taken, and never answered."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


@pytest.fixture
def refusing(mute: int) -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
    return port


@pytest.mark.parametrize("server", ["mute", "refusing"])
@pytest.mark.parametrize("patience_s", [0.0, PATIENCE_S])
def test_patience_is_counted_in_seconds_not_in_attempts(
    server: str, patience_s: float, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redis_connection, "RETRY_EVERY_S", 0.01)
    now = [0.0]

    class Clock:
        """As if each attempt took the whole time-out, and nothing else any time."""

        @staticmethod
        def monotonic() -> float:
            now[0] += TIMEOUT_S
            return now[0]

    monkeypatch.setattr(redis_connection, "time", Clock)
    port = request.getfixturevalue(server)
    client = redis_connection.connect(f"redis://127.0.0.1:{port}", timeout_s=TIMEOUT_S, patience_s=patience_s)
    with client, pytest.raises(RedisError):
        client.get("anything")
    # It is looked at after each attempt. Without patience there is one, and otherwise as many as fit into it.
    least, most = (PATIENCE_S, 3 * PATIENCE_S) if patience_s else (0, 0)
    assert least <= now[0] <= most


def test_a_server_whose_disk_is_full_is_named() -> None:
    """Like a full memory, it is no error of the command. The connection is used again."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(1000)
                connection.sendall(b"-MISCONF Errors writing to the AOF file: No space left on device\r\n")
                connection.recv(1000)
                connection.sendall(b"+OK\r\n")

        thread = threading.Thread(target=answer)
        thread.start()
        with redis_connection.connect(f"redis://127.0.0.1:{server.getsockname()[1]}") as client:
            with pytest.raises(redis_connection.CannotPersist, match="No space left"):
                client.set("key", "value")
            assert client.set("key", "value")
        thread.join()
    assert redis_connection.CannotPersist in redis_connection.OUTAGES
