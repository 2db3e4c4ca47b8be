"""How everything here uses Redis: clients with deadlines, scripts for many keys, prefixes of keys.

redis-py 8 waits up to 5 s and retries ten times by default: 58 s for one GET on a server that is mute. A
caller who gives up after 5 s is better served by an error after a fraction of one.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, Final

from redis import Redis, RedisError, ResponseError
from redis.backoff import ConstantBackoff
from redis.exceptions import ConnectionError, OutOfMemoryError, ReadOnlyError, TimeoutError
from redis.retry import Retry

from settings import Settings

CONNECT_TIMEOUT_S: Final = 0.5
COMMAND_TIMEOUT_S: Final = 1.0
CACHE_TIMEOUT_S: Final = 0.3
RETRY_EVERY_S: Final = 0.25
# What Redis says, or does not say, whatever the command.
OUTAGES: Final = (ConnectionError, TimeoutError, OutOfMemoryError, ReadOnlyError)

# Its name and arguments, as Redis takes them.
Command = tuple[bytes | str | int | float, ...]


def connect(url: str, *, timeout_s: float = COMMAND_TIMEOUT_S, patience_s: float = 0.0) -> Redis:
    """A client (it connects lazily) whose every command ends within about `timeout_s`, without retries.

    Raises nothing itself; commands raise `redis.RedisError`. A blocking command must block for less than
    `timeout_s`. With `patience_s`, a command is repeated for so long, and one attempt more, while the server
    is away or mute, which suits a worker of jobs: nobody waits for it, and its work would be done again.
    """
    return Redis.from_url(
        url,
        socket_timeout=timeout_s,
        socket_connect_timeout=min(CONNECT_TIMEOUT_S, timeout_s),
        socket_keepalive=True,
        # RESP2, and no word of the library: a new connection then asks for nothing else first (but with its
        # password and database), where redis-py would make four round trips, each with the whole time-out.
        protocol=2,
        driver_info=None,
        retry=_Patient(patience_s) if patience_s else Retry(ConstantBackoff(0), 0),
    )


class PinnedConnection:
    """A connection for each thread that asks, kept for the next time. Safe to share between threads.

    Taking one from a client's pool, and giving it back, costs more than the command itself (docs/adr/0008).
    Deadlines and patience are the client's; it connects lazily, and anew where the server has hung up
    meanwhile.
    """

    def __init__(self, client: Redis) -> None:
        self._client = client
        self._retry = client.get_retry() or Retry(ConstantBackoff(0), 0)
        self._own = threading.local()

    def execute(self, *commands: Command) -> list[Any]:
        """The answers to these, in one round trip, as Redis gives them. Raises `redis.RedisError`."""
        if not commands:
            return []
        answers: list[Any] = self._retry.call_with_retry(lambda: self._exchange(commands), lambda error: None)
        return answers

    def _connection(self) -> Any:  # untyped there
        """This thread's."""
        connection = getattr(self._own, "connection", None)
        if connection is None:
            # Not by the pool, which would count it as one of its own for ever.
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
            except ResponseError as error:  # the answers after it are still to be read
                refused = refused or error
        if refused is not None:
            raise refused
        return answers


def _is_stale(connection: Any) -> bool:
    try:
        return bool(connection.can_read())  # nothing was asked: it is the end
    except RedisError:
        return True


class _Patient(Retry):
    """Repeats for so many seconds by the clock: a mute server makes each attempt last its whole time-out."""

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
    """Exit 2 with a readable line if the broker's Redis may evict keys: it would drop tasks and jobs.

    A cache of its own may evict. Where Redis cannot be reached yet, or does not show its configuration,
    nothing is refused.
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
    """`ml:` for everybody's keys, `ml:tenant:{t}:` for a tenant's."""
    return f"ml:tenant:{tenant}:" if tenant else "ml:"


# A script keeps everybody else waiting, so that it does so much at once and no more.
MOST_AT_ONCE: Final = 64

Things = Sequence[tuple[Sequence[str], Sequence[bytes | str | int | float]]]


def for_each(script: str, constants: Sequence[int | float], things: Things) -> list[Command]:
    """Commands that run `script` for all `things`: the keys and arguments of each.

    The script finds all keys in `KEYS`, in `ARGV` the constants and then everybody's arguments.
    """
    commands: list[Command] = []
    for start in range(0, len(things), MOST_AT_ONCE):
        some = things[start : start + MOST_AT_ONCE]
        keys = [key for its_keys, _ in some for key in its_keys]
        arguments = [argument for _, its_arguments in some for argument in its_arguments]
        commands.append(("EVAL", script, len(keys), *keys, *constants, *arguments))
    return commands
