"""A Redis in memory, and the clock of a process. Both go by a time that a test moves by hand."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import redis


class HandClock:
    """In place of the module `time`: seconds that pass when the test says so, or when somebody sleeps."""

    def __init__(self, now: float = 1_000.0) -> None:
        self.now = now
        self.while_asleep: Callable[[], object] = lambda: None

    def monotonic(self) -> float:
        return self.now

    def time(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        self.while_asleep()


class RedisByHand:
    """The commands that heartbeats and the sizes of chunks use. While `down`, each fails."""

    def __init__(self, clock: HandClock) -> None:
        self._clock = clock
        self._hashes: dict[str, dict[bytes, bytes]] = {}
        self._counters: dict[str, int] = {}
        self._expires_at: dict[str, float] = {}
        self.down = False

    def time(self) -> tuple[int, int]:
        self._reach()
        return int(self._clock.now), round(self._clock.now % 1 * 1e6)

    def hset(self, key: str, field: str, value: object) -> None:
        self._reach()
        text = value if isinstance(value, bytes) else str(value).encode()
        self._hash(key)[field.encode()] = text

    def hget(self, key: str, field: str) -> bytes | None:
        self._reach()
        return self._hash(key).get(field.encode())

    def hgetall(self, key: str) -> dict[bytes, bytes]:
        self._reach()
        return dict(self._hash(key))

    def hdel(self, key: str, *names: str | bytes) -> None:
        self._reach()
        for name in names:
            self._hash(key).pop(name.encode() if isinstance(name, str) else name, None)

    def incr(self, key: str) -> int:
        self._reach()
        self._counters[key] = self._counters.get(key, 0) + 1
        return self._counters[key]

    def get(self, key: str) -> bytes | None:
        self._reach()
        return str(self._counters[key]).encode() if key in self._counters else None

    def expire(self, key: str, seconds: int) -> None:
        self._reach()
        self._expires_at[key] = self._clock.now + seconds

    def pipeline(self, *, transaction: bool) -> Pipeline:
        return Pipeline(self)

    def _hash(self, key: str) -> dict[bytes, bytes]:
        if self._clock.now >= self._expires_at.get(key, float("inf")):
            self._hashes.pop(key, None)
            del self._expires_at[key]
        return self._hashes.setdefault(key, {})

    def _reach(self) -> None:
        if self.down:
            raise redis.ConnectionError("away")


class Pipeline:
    """Commands that are carried out together."""

    def __init__(self, server: RedisByHand) -> None:
        self._server = server
        self._commands: list[Callable[[], Any]] = []

    def __getattr__(self, name: str) -> Callable[..., None]:
        command = getattr(self._server, name)
        return lambda *arguments: self._commands.append(lambda: command(*arguments))

    def execute(self) -> list[Any]:
        commands, self._commands = self._commands, []
        return [command() for command in commands]
