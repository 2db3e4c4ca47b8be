"""Rows of a job that end the process that scores them, found by narrowing down over several attempts.

The first attempt at a chunk scores many rows together and notes nothing. If its process ends, the next ones
note in Redis which rows they are about to score. They score a few together. Rows of a group that ended a
process are scored one by one. A row that has ended two processes alone fails: workers that are killed for
other reasons do not stand at the same row.

A row that never returns ends its process too, by a time limit. The limit of a whole chunk ends the first
attempt. Few rows have a shorter one.
"""

from __future__ import annotations

import faulthandler
import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final, cast

import orjson
from redis import Redis

from tasks.jobs.job_keys import JobKeys

log = logging.getLogger(__name__)

FEW: Final = 16
# Of `FEW` rows, which take some milliseconds. The time-out of a whole chunk is 30 s.
LIMIT_S: Final = 5
STDERR: Final = 2
# A row is believed to be the cause after this many deaths while it was scored alone.
DEATHS_ALONE: Final = 2
# Beyond these, a chunk is given up as a whole.
MOST_FOUND: Final = 8
MOST_ATTEMPTS: Final = 50


@contextmanager
def limited() -> Iterator[None]:
    """End this process if the block takes longer than `LIMIT_S`, also in native code that never returns.

    The stacks of all threads then go to standard error, as plain lines. Costs a thread, about 50 µs.
    """
    # By its number, because Celery replaces `sys.stderr` by an object without one.
    faulthandler.dump_traceback_later(LIMIT_S, exit=True, file=STDERR)
    try:
        yield
    finally:
        faulthandler.cancel_dump_traceback_later()


@dataclass
class SuspectRows:
    """The notes of one chunk. Rows are numbers in the job.

    `first` and `count` are the rows that were scored when the last process ended; `count` is 0 if that is
    unknown. `times` is how often these were noted. `found` are the rows that end their processes.
    """

    redis: Redis
    job_id: str
    chunk: int
    first: int = 0
    count: int = 0
    times: int = 0
    found: list[int] = field(default_factory=list)

    @classmethod
    def of(cls, redis: Redis, job_id: str, chunk: int) -> SuspectRows:
        """Read the notes of earlier attempts. Raises `redis.RedisError`."""
        suspects = cls(redis, job_id, chunk)
        noted = cast("bytes | None", redis.hget(suspects._key, suspects._field))
        if noted is not None:
            suspects.first, suspects.count, suspects.times, suspects.found = orjson.loads(noted)
        if suspects.count == 1 and suspects.times >= DEATHS_ALONE:
            log.error("row %d of job %s ends the process that scores it", suspects.first, job_id)
            suspects.found.append(suspects.first)
            suspects.count = suspects.times = 0
            suspects._write()
        return suspects

    def is_promising(self, attempt: int) -> bool:
        """Whether a further attempt may find the row that ends its process, or has found it."""
        is_known = self.count > 0 or bool(self.found)
        return is_known and len(self.found) < MOST_FOUND and attempt <= MOST_ATTEMPTS

    def groups(self, numbers: Sequence[int]) -> Iterator[slice]:
        """Slices of `numbers`, ascending rows, to score together. Each is noted before it is returned.

        Raises `redis.RedisError`.
        """
        suspects = range(self.first, self.first + self.count)
        before = self.first, self.count, self.times
        start = 0
        while start < len(numbers):
            end = start + 1
            if numbers[start] not in suspects:
                most = min(start + FEW, len(numbers))
                end = next((at for at in range(end, most) if numbers[at] in suspects), most)
            self.first, self.count = numbers[start], numbers[end - 1] - numbers[start] + 1
            self.times = before[2] + 1 if (self.first, self.count) == before[:2] else 1
            self._write()
            yield slice(start, end)
            start = end

    @property
    def _key(self) -> str:
        return JobKeys(self.job_id).attempts

    @property
    def _field(self) -> str:
        return f"{self.chunk}:suspects"

    def _write(self) -> None:
        self.redis.hset(
            self._key, self._field, orjson.dumps([self.first, self.count, self.times, self.found])
        )
