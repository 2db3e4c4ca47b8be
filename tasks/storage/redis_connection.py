"""Redis access for all packages: clients with deadlines, scripts over many keys, key prefixes.

By default redis-py 8 waits up to 5 s and retries ten times: 58 s for one GET on a server that does not reply.
A caller with a deadline of 5 s needs an error after a fraction of it.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, Final

from redis import Connection, Redis, RedisError, ResponseError, SSLConnection
from redis.backoff import ConstantBackoff
from redis.exceptions import ConnectionError, OutOfMemoryError, ReadOnlyError, TimeoutError
from redis.retry import Retry

import keepalive
from settings import Settings

CONNECT_TIMEOUT_S: Final = 0.5
COMMAND_TIMEOUT_S: Final = 1.0
CACHE_TIMEOUT_S: Final = 0.3
RETRY_EVERY_S: Final = 0.25


class CannotPersist(ResponseError):
    """Raised if a server refuses a command because it cannot write its file (MISCONF): its disk is full."""


# Errors that do not depend on the command: Redis is unreachable, out of memory, read-only, or its disk full.
OUTAGES: Final = (ConnectionError, TimeoutError, OutOfMemoryError, CannotPersist)

# A command's name and arguments.
Command = tuple[bytes | str | int | float, ...]


def connect(url: str, *, timeout_s: float = COMMAND_TIMEOUT_S, patience_s: float = 0.0) -> Redis:
    """A client that connects lazily. Each command ends within about `timeout_s`, without retries.

    A connection to a server that has become a replica is closed, and the command is sent on a new one.

    Raises nothing; commands raise `redis.RedisError`. A blocking command must block for less than
    `timeout_s`. With `patience_s`, commands are retried for this long, plus one attempt, while the server is
    unreachable or silent. This suits a batch worker: no caller waits for it, and its work would be repeated
    otherwise.
    """
    return Redis.from_url(
        url,
        connection_class=TlsConnection if url.startswith("rediss:") else PlainConnection,
        socket_timeout=timeout_s,
        socket_connect_timeout=min(CONNECT_TIMEOUT_S, timeout_s),
        socket_keepalive=True,
        socket_keepalive_options=keepalive.TCP_OPTIONS,
        # With RESP2 and no driver info a new connection sends nothing first, except password and database.
        # By default redis-py makes four round trips, each with the full time-out.
        protocol=2,
        driver_info=None,
        # Once on a new connection after a failover. Nothing else is repeated: the server may have done it.
        retry=_Patient(patience_s) if patience_s else Retry(ConstantBackoff(0), 1, (NotTheMaster,)),
    )


class NotTheMaster(ConnectionError):
    """Raised if a server refuses a write because it is a replica. The command was not carried out."""


class _NamesRefusals:
    """A connection that raises `NotTheMaster` and `CannotPersist`.

    It is closed when its server refuses a write as a replica. The name of a master may lead to another server
    after a failover, and only a new connection asks for it.
    """

    def read_response(self, *args: Any, **kwargs: Any) -> Any:
        try:
            return super().read_response(*args, **kwargs)  # type: ignore[misc]  # a mixin of connections
        except ReadOnlyError as error:
            self.disconnect()  # type: ignore[attr-defined]  # a mixin of connections
            raise NotTheMaster(str(error)) from None
        except ResponseError as error:
            if str(error).startswith("MISCONF"):
                raise CannotPersist(str(error)) from None
            raise


class PlainConnection(_NamesRefusals, Connection):
    """Such a connection without TLS."""


class TlsConnection(_NamesRefusals, SSLConnection):
    """Such a connection with TLS."""


class PinnedConnection:
    """One persistent connection per calling thread. Thread-safe.

    Taking a connection from the client's pool and returning it costs more than the command itself
    (docs/adr/0008). Deadlines and retries are the client's. It connects lazily, and reconnects if the server
    has closed the connection.
    """

    def __init__(self, client: Redis) -> None:
        self._client = client
        self._retry = client.get_retry() or Retry(ConstantBackoff(0), 0)
        self._own = threading.local()

    def execute(self, *commands: Command) -> list[Any]:
        """Replies to the commands, in order, in one round trip. Raises `redis.RedisError`.

        If commands are refused, all replies are read, then the first `ResponseError` is raised. Blocks within
        the client's deadline.
        """
        if not commands:
            return []
        answers: list[Any] = self._retry.call_with_retry(lambda: self._exchange(commands), lambda error: None)
        return answers

    def _connection(self) -> Any:  # untyped there
        """This thread's connection."""
        connection = getattr(self._own, "connection", None)
        if connection is None:
            # Created outside the pool, which would count it as in use for ever.
            pool = self._client.connection_pool
            connection = self._own.connection = pool.connection_class(**pool.connection_kwargs)
        return connection

    def _exchange(self, commands: Sequence[Command]) -> list[Any]:
        connection = self._connection()
        if connection.is_connected and _is_stale(connection):
            connection.disconnect()
        connection.send_packed_command(connection.pack_commands(commands))
        answers: list[Any] = []
        refused = None
        for _ in commands:
            try:
                answers.append(connection.read_response())
            except ResponseError as error:  # later replies must still be read
                refused = refused or error
        if refused is not None:
            raise refused
        return answers


def _is_stale(connection: Any) -> bool:
    try:
        return bool(connection.can_read())  # no reply is due, so this is the end of the stream
    except RedisError:
        return True


class _Patient(Retry):
    """Retry for a number of seconds, because each attempt on a silent server lasts its full time-out."""

    def __init__(self, patience_s: float) -> None:
        super().__init__(ConstantBackoff(RETRY_EVERY_S), retries=-1)
        self._patience_s = patience_s

    def call_with_retry(
        self,
        do: Callable[[], Any],
        fail: Callable[..., Any],
        is_retryable: Callable[[Exception], bool] | None = None,
        with_failure_count: bool = False,
    ) -> Any:
        deadline = time.monotonic() + self._patience_s

        def fail_for_good_at_last(error: Exception, failures: int) -> None:
            fail(*((error, failures) if with_failure_count else (error,)))
            if time.monotonic() >= deadline:
                raise error

        return super().call_with_retry(do, fail_for_good_at_last, is_retryable, with_failure_count=True)


def refuse_eviction(settings: Settings) -> None:
    """Exit with 2 and a message if the broker's Redis may evict keys, because tasks and jobs would be lost.

    A separate cache server may evict. If Redis is unreachable or hides its configuration, nothing is refused.
    Blocks 2 s at most.
    """
    try:
        policy = connect(settings.redis_url).config_get("maxmemory-policy").get("maxmemory-policy")
    except RedisError:
        return
    if policy not in (None, "noeviction"):
        sys.stderr.write(
            f"Wrong setting: REDIS_URL: this server's maxmemory-policy is {policy}; it would drop tasks and "
            "jobs when memory runs short. Set it to noeviction; the server of REDIS_CACHE_URL may evict.\n"
        )
        raise SystemExit(2)


def tenant_prefix(tenant: str | None) -> str:
    """Key prefix: `ml:` without a tenant, `ml:tenant:{t}:` with one."""
    return f"ml:tenant:{tenant}:" if tenant else "ml:"


# Redis runs no other command while a script runs, so each call handles at most this many items.
MOST_AT_ONCE: Final = 64

Things = Sequence[tuple[Sequence[str], Sequence[bytes | str | int | float]]]


def for_each(script: str, constants: Sequence[int | float], things: Things) -> list[Command]:
    """Commands that run `script` over `things`, each a pair of keys and arguments.

    The script gets all keys in `KEYS`. `ARGV` holds the constants, then the arguments of all things.
    """
    commands: list[Command] = []
    for start in range(0, len(things), MOST_AT_ONCE):
        some = things[start : start + MOST_AT_ONCE]
        keys = [key for its_keys, _ in some for key in its_keys]
        arguments = [argument for _, its_arguments in some for argument in its_arguments]
        commands.append(("EVAL", script, len(keys), *keys, *constants, *arguments))
    return commands
