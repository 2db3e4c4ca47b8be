"""A Redis with a clock that a test moves, and state machines that compare all its keys with a plain model.

The scripts run unchanged on a real server. A prelude replaces their `TIME` by the clock. It rounds `TTL` and
`PTTL` up to a multiple of `STEP_S`, because the server's real clock goes on. `FUZZ_EXAMPLES` sets the number
of examples, for a long run.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, Final, cast

from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import RuleBasedStateMachine, invariant, run_state_machine_as_test
from redis import Redis

from tasks.storage.redis_connection import Command

# No other test uses this database of the session's server, and no worker.
DATABASE: Final = "/10"
START: Final = 1_790_000_000.0
# Steps of the clock and times to live are multiples of it. No key comes nearer to its end, so the server
# drops none while a slow machine runs a step.
STEP_S: Final = 5
CLOCK: Final = "test:clock"
FRACTION: Final = re.compile(rb"-?\d+\.\d+(e[-+]?\d+)?")
PRELUDE: Final = f"""
local server = redis
local function clocked(name, ...)
  if name == 'TIME' then
    local now = tonumber(server.call('GET', '{CLOCK}'))
    local whole = math.floor(now)
    return {{tostring(whole), tostring((now - whole) * 1e6)}}
  end
  local found = server.call(name, ...)
  if name == 'TTL' and found > 0 then return math.ceil(found / {STEP_S}) * {STEP_S} end
  if name == 'PTTL' and found > 0 then return math.ceil(found / {STEP_S}e3) * {STEP_S}e3 end
  return found
end
local redis = setmetatable({{call = clocked}}, {{__index = server}})
"""
# With bytes that mean something to Lua patterns, globs, formats, JSON and the separators of keys.
TENANTS: Final = (None, "%d:jobs*\n\x00\"'é{}")


class Scores(dict[str, float]):
    """The members of a sorted set and their scores."""


class ClockedRedis(Redis):
    """A client whose scripts read the test's clock."""

    def register_script(self, script: str) -> Any:  # type: ignore[override]  # the stubs' type is longer
        """As in redis-py, with the prelude."""
        return super().register_script(PRELUDE + script)

    def run(self, commands: Sequence[Command]) -> list[Any]:
        """Send commands, scripts with the prelude. Returns their replies."""
        with self.pipeline(transaction=False) as pipeline:
            for name, first, *others in commands:
                word = PRELUDE + str(first) if name == "EVAL" else first
                pipeline.execute_command(name, word, *others)  # type: ignore[no-untyped-call]  # untyped there
            return pipeline.execute()

    def time(self, **_: Any) -> Any:
        """The test's clock, as seconds and microseconds."""
        now = float(cast(bytes, self.get(CLOCK)))
        return int(now), int((now - int(now)) * 1e6)


class ComparedWithRedis(RuleBasedStateMachine):
    """Rules change the server and `model` alike. After each of them all keys must be equal.

    `ends` has the times at which keys expire. A subclass names its `server_url` before it runs.
    """

    server_url: ClassVar[str]

    def __init__(self) -> None:
        super().__init__()
        self.redis = cast(ClockedRedis, ClockedRedis.from_url(self.server_url))
        self.redis.flushdb()
        self.now = START
        self.redis.set(CLOCK, repr(self.now))
        self.model: dict[str, Any] = {}
        self.ends: dict[str, float] = {}

    def teardown(self) -> None:
        """Close the connections."""
        self.redis.close()

    def expire(self, key: str, seconds: float) -> None:
        """The model's EXPIRE."""
        if self.model.get(key):
            self.ends[key] = self.now + seconds

    def drop(self, *keys: str) -> None:
        """The model's DEL."""
        for key in keys:
            self.model.pop(key, None)
            self.ends.pop(key, None)

    def advance(self, seconds: float) -> None:
        """Move the clock, and expire keys on the server and in the model."""
        self.now += seconds
        gone = [key for key, end in self.ends.items() if end < self.now + STEP_S]
        self.drop(*gone)
        with self.redis.pipeline() as pipeline:
            pipeline.set(CLOCK, repr(self.now))
            if gone:
                pipeline.delete(*gone)
            for key, end in self.ends.items():
                pipeline.pexpire(key, round((end - self.now) * 1000))
            pipeline.execute()

    @invariant()
    def all_keys_are_equal(self) -> None:
        """Compare the values, and the times to live to within `STEP_S`."""
        for key in [key for key, value in self.model.items() if value in ({}, [], frozenset())]:
            self.drop(key)
        stored, left_s = snapshot(self.redis)
        assert stored == {key: plain(value) for key, value in self.model.items()}
        for key, left in left_s.items():
            end = self.ends.get(key)
            assert (end is None) == (left is None), (key, left)
            if end is not None and left is not None:
                assert 0 <= end - self.now - left < STEP_S, (key, left, end - self.now)
        with self.redis.pipeline(transaction=False) as pipeline:  # the test's clock stands still
            for key, end in self.ends.items():
                pipeline.pexpire(key, round((end - self.now) * 1000))
            pipeline.execute()


READERS: Final[Mapping[bytes, Callable[[Any, bytes], Any]]] = {
    b"string": lambda pipeline, key: pipeline.get(key),
    b"hash": lambda pipeline, key: pipeline.hgetall(key),
    b"zset": lambda pipeline, key: pipeline.zrange(key, 0, -1, withscores=True),
    b"set": lambda pipeline, key: pipeline.smembers(key),
    b"list": lambda pipeline, key: pipeline.lrange(key, 0, -1),
}


def snapshot(redis: Redis) -> tuple[dict[str, Any], dict[str, float | None]]:
    """The values of all keys, and their times to live in seconds."""
    keys = sorted(set(cast(list[bytes], redis.keys())) - {CLOCK.encode()})
    with redis.pipeline() as pipeline:
        for key in keys:
            pipeline.type(key)
            pipeline.pttl(key)
        found = pipeline.execute()
        for key, kind in zip(keys, found[::2], strict=True):
            READERS[kind](pipeline, key)
        values = pipeline.execute()
    stored = {}
    for key, kind, value in zip(keys, found[::2], values, strict=True):
        stored[key.decode()] = plain(Scores(value) if kind == b"zset" else value)
    left = [None if ms < 0 else ms / 1000 for ms in found[1::2]]
    return stored, dict(zip(stored, left, strict=True))


def plain(value: Any) -> Any:
    """A value in one form, for comparison: texts as bytes, numbers as they are in a script."""
    match value:
        case Scores():
            return "scores", {plain(member): score for member, score in value.items()}
        case dict():
            return {plain(name): plain(each) for name, each in value.items()}
        case list():
            return [plain(each) for each in value]
        case set() | frozenset():
            return {plain(each) for each in value}
        case float():  # as the server writes the numbers of a script
            return b"%d" % value if value.is_integer() else repr(value).encode()
        case bytes() if FRACTION.fullmatch(value):  # not always with the fewest digits
            return repr(float(value)).encode()
        case int():
            return b"%d" % value
        case str():
            return value.encode()
    return value


def check(machine: type[ComparedWithRedis], url: str, *, examples: int = 40, steps: int = 30) -> None:
    """Run a machine on its database of the server at `url`."""
    machine.server_url = url.replace("/0", DATABASE)
    bounded = settings(
        max_examples=int(os.environ.get("FUZZ_EXAMPLES", "0")) or examples,
        stateful_step_count=steps,
        deadline=None,
        database=None,
        print_blob=True,
        phases=(Phase.explicit, Phase.generate, Phase.shrink),
        suppress_health_check=list(HealthCheck),
    )
    run_state_machine_as_test(machine, settings=bounded)
