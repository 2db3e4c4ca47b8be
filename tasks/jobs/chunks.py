"""Who scores which chunk of a job: a few chunks of each job on the queue, and a lease on those in hand.

Only a job's next few chunks are tasks at any time; whoever finishes one sends the next. Jobs thus take turns
on the queue instead of standing behind each other, and a million rows are no heap of messages.

A chunk in hand is leased: its worker renews the lease each second, so that a dead worker's chunk is free
again in seconds (`tasks/worker/recovery.py` sends it anew). Nothing depends on a lease being right: results
are stored and counted in one step, once, whoever brings them.
"""

from __future__ import annotations

import time
import uuid
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from enum import IntEnum
from typing import Any, Final, cast

import orjson
from redis import Redis

from settings import Settings
from tasks.jobs.job_keys import OPEN_KEY, JobKeys, pack, unpack
from tasks.messaging.names import SCHEMA_VERSION, Queues, TaskNames
from tasks.messaging.task_publisher import Sender
from tasks.monitoring import heartbeats
from tasks.storage.redis_connection import OUTAGES

# A chunk whose worker dies this often is the cause of it.
MAX_ATTEMPTS: Final = 4
# A worker renews each second; one that is silent for so long has died, or is as good as dead.
LEASE_S: Final = 8.0
# A task that no worker has begun after so long may be lost: it is sent again, which does no harm.
SENT_S: Final = 60.0
# Or after so long, where nothing waits on the queue: a crash of Redis has taken it.
MISSED_S: Final = 5.0
# Tasks of one job at a time, for each worker process: one in hand and one that it finds when it is done.
CHUNKS_A_WORKER: Final = 2
# A job of more rows leaves one process to others. Somebody waits for what takes a second; what takes a minute
# must not have all processors.
LARGE_ROWS: Final = 20_000
ERRORS_SHOWN: Final = 10
WORKERS_KNOWN_S: Final = 2.0

_NOW = """
local clock = redis.call('TIME')
local now = clock[1] + clock[2] / 1e6
"""

# The next chunks to send, so many that enough are under way for a job of this size.
_TAKE = (
    _NOW
    + """
local status = redis.call('HGET', KEYS[1], 'status')
if status ~= 'PENDING' and status ~= 'RUNNING' then return {} end
local out = redis.call('ZCARD', KEYS[2]) + redis.call('ZCARD', KEYS[3])
local following = tonumber(redis.call('HGET', KEYS[1], 'next'))
local chunks = tonumber(redis.call('HGET', KEYS[1], 'chunks'))
local large = tonumber(redis.call('HGET', KEYS[1], 'total')) > tonumber(ARGV[4])
local enough = tonumber(large and ARGV[5] or ARGV[1])
local taken = {}
while out < enough and following < chunks do
  redis.call('ZADD', KEYS[2], now + ARGV[2], following)
  table.insert(taken, following)
  following, out = following + 1, out + 1
end
redis.call('HSET', KEYS[1], 'next', following)
redis.call('EXPIRE', KEYS[2], ARGV[3])
return taken
"""
)

# Chunks that were sent or begun, and of which nothing has been heard for too long: to be sent again.
_LOST = (
    _NOW
    + """
local late = now
if redis.call('LLEN', KEYS[3]) == 0 then late = now + ARGV[1] - ARGV[3] end
local lost = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', late)
for _, chunk in ipairs(redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', now)) do
  redis.call('ZREM', KEYS[2], chunk)
  table.insert(lost, chunk)
end
for _, chunk in ipairs(lost) do redis.call('ZADD', KEYS[1], now + ARGV[1], chunk) end
redis.call('EXPIRE', KEYS[1], ARGV[2])
return lost
"""
)

# Start a chunk: count the attempt, and say which it is; 0 if it is done, not wanted, or in another's hands.
# Who asks again with the same token has not heard the answer, and gets it. A message that the broker delivers
# again says that whoever took it is gone; another task for the same chunk may be in live hands all the same.
_BEGIN = (
    _NOW
    + """
local status = redis.call('HGET', KEYS[1], 'status')
if status ~= 'PENDING' and status ~= 'RUNNING' then return 0 end
if redis.call('HEXISTS', KEYS[2], ARGV[1]) == 1 then return 0 end
local lease = redis.call('ZSCORE', KEYS[4], ARGV[1])
local holder = ARGV[1] .. ':holder'
if lease and tonumber(lease) > now then
  local held = redis.call('HGET', KEYS[5], holder) or ''
  if held == ARGV[4] then return tonumber(redis.call('HGET', KEYS[5], ARGV[1])) end
  if ARGV[3] == '' or string.sub(held, 1, #ARGV[3]) ~= ARGV[3] then return 0 end
end
if status == 'PENDING' then redis.call('HSET', KEYS[1], 'status', 'RUNNING', 'started_at', now) end
redis.call('ZREM', KEYS[3], ARGV[1])
redis.call('ZADD', KEYS[4], now + ARGV[2], ARGV[1])
redis.call('HSET', KEYS[5], holder, ARGV[4])
local attempt = redis.call('HINCRBY', KEYS[5], ARGV[1], 1)
for i = 4, 5 do redis.call('EXPIRE', KEYS[i], ARGV[5]) end
return attempt
"""
)

_RENEW = (
    _NOW
    + """
redis.call('ZADD', KEYS[1], 'XX', now + ARGV[2], ARGV[1])
"""
)

# Uncount an attempt, if the chunk is still counted: it may be done, or its job forgotten.
_RETURN = """
local attempts = tonumber(redis.call('HGET', KEYS[1], ARGV[1]) or '0')
if attempts > 0 then redis.call('HINCRBY', KEYS[1], ARGV[1], -1) end
"""

# Store a chunk's results and count them, once; the last one ends the job.
_FINISH = (
    _NOW
    + """
local chunk, retention = ARGV[1], ARGV[5]
redis.call('ZREM', KEYS[4], chunk)
redis.call('ZREM', KEYS[5], chunk)
local status = redis.call('HGET', KEYS[1], 'status')
if status ~= 'PENDING' and status ~= 'RUNNING' then return 0 end
if redis.call('HSETNX', KEYS[2], chunk, ARGV[2]) == 0 then return 0 end
redis.call('HDEL', KEYS[3], chunk)
local done = redis.call('HINCRBY', KEYS[1], 'done', ARGV[3])
local failed = redis.call('HINCRBY', KEYS[1], 'failed', ARGV[4])
for i = 8, #ARGV do
  if redis.call('LLEN', KEYS[7]) < tonumber(ARGV[7]) then redis.call('RPUSH', KEYS[7], ARGV[i]) end
end
for i = 1, 7 do redis.call('EXPIRE', KEYS[i], retention) end
local total = tonumber(redis.call('HGET', KEYS[1], 'total'))
if done < total then
  -- The pace of late: a number of rows and the seconds that they took, 10 at most, so that what is longer ago
  -- counts less and less. Where nothing was done for long (the service was away), the pace is what it was.
  local pace = redis.call('HMGET', KEYS[1], 'pace_rows', 'pace_s', 'pace_at', 'started_at')
  local rows, seconds, last = tonumber(pace[1]), tonumber(pace[2]), tonumber(pace[3])
  if last then
    local took, usual = now - last, ARGV[3] * seconds / rows
    if took > math.max(5, 5 * usual) then took = usual end
    rows, seconds = rows + ARGV[3], seconds + took
  else
    rows, seconds = done, now - (tonumber(pace[4]) or now)
  end
  if seconds > 10 then rows, seconds = rows * 10 / seconds, 10 end
  redis.call('HSET', KEYS[1], 'pace_rows', rows, 'pace_s', seconds, 'pace_at', now)
  return 1
end
redis.call('HSET', KEYS[1], 'finished_at', now, 'status', failed >= total and 'FAILED' or 'SUCCEEDED')
redis.call('UNLINK', KEYS[4], KEYS[5], KEYS[6])
redis.call('SREM', KEYS[8], ARGV[6])
redis.call('PUBLISH', KEYS[9], '')
return 2
"""
)


class Counted(IntEnum):
    """What became of a chunk's results: counted before or not wanted, counted, or the job's last."""

    NOT = 0
    YES = 1
    LAST = 2


class Chunks:
    """The chunks of all jobs of one Redis server. Methods raise `redis.RedisError` when it is unreachable."""

    def __init__(self, settings: Settings, redis: Redis, sender: Sender) -> None:
        self._redis = redis
        self._sender = sender
        self._retention_s = settings.job_retention_s
        self._take = redis.register_script(_TAKE)
        self._lost = redis.register_script(_LOST)
        self._begin = redis.register_script(_BEGIN)
        self._renew = redis.register_script(_RENEW)
        self._finish = redis.register_script(_FINISH)
        self._return = redis.register_script(_RETURN)
        self._in_hand: tuple[str, int] | None = None
        self._to_give_back: deque[tuple[str, int]] = deque()
        self._processes = 1
        self._processes_known_until = 0.0

    def feed(self, job_id: str) -> int:
        """Send so many of a job's chunks that the workers have enough of it; how many. Also raises
        `BrokerUnavailable`: what has not been sent then is sent a minute later."""
        keys = JobKeys(job_id)
        processes = self.processes()
        enough = CHUNKS_A_WORKER * processes
        enough_of_large = enough if processes == 1 else processes - 1
        args = [enough, SENT_S, self._retention_s, LARGE_ROWS, enough_of_large]
        taken = self._take(keys=[keys.record, keys.sent, keys.held], args=args)
        return self._send(job_id, cast(list[int], taken))

    def send_lost(self, job_id: str) -> int:
        """Send those again whose worker or message is gone; how many. Raises like `feed`."""
        keys = JobKeys(job_id)
        args = [SENT_S, self._retention_s, MISSED_S]
        lost = self._lost(keys=[keys.sent, keys.held, Queues.BATCH], args=args)
        return self._send(job_id, [int(chunk) for chunk in cast(list[bytes], lost)])

    def _send(self, job_id: str, chunks: Sequence[int]) -> int:
        messages = [{"v": SCHEMA_VERSION, "job_id": job_id, "chunk": chunk} for chunk in chunks]
        self._sender.send_all(TaskNames.SCORE_CHUNK, messages, queue=Queues.BATCH)
        return len(chunks)

    def processes(self) -> int:
        """How many score chunks now, at least 1."""
        if time.monotonic() > self._processes_known_until:
            serving = sum(Queues.BATCH in worker.queues for worker in heartbeats.living(self._redis))
            self._processes = max(1, serving)
            self._processes_known_until = time.monotonic() + WORKERS_KNOWN_S
        return self._processes

    def open_jobs(self) -> list[str]:
        """Ids of jobs that have not ended. Jobs that have expired are taken off the list on the way."""
        found = []
        for raw in cast(set[bytes], self._redis.smembers(OPEN_KEY)):
            keys = JobKeys(raw.decode())
            if self._redis.exists(keys.record):
                found.append(keys.job_id)
            else:
                self._redis.unlink(*keys.all)
                self._redis.srem(OPEN_KEY, raw)
        return found

    @contextmanager
    def begun(self, job_id: str, chunk: int, *, task_id: str, redelivered: bool) -> Iterator[int]:
        """Take a chunk in hand: which attempt at it this is; 0 when it is not to be scored.

        It is not when it is done, cancelled, forgotten, or in the hands of another who is alive; when the
        broker delivers a task again, whoever took that task is not. The lease is kept while the context
        lasts, by whoever calls `renew`. An attempt that ends in an outage of Redis is given back: it says
        nothing about the chunk.
        """
        self._give_back()
        keys = JobKeys(job_id)
        token = f"{task_id}:{uuid.uuid4().hex}"
        attempt = cast(
            int,
            self._begin(
                keys=[keys.record, keys.results, keys.sent, keys.held, keys.attempts],
                args=[chunk, LEASE_S, task_id if redelivered else "", token, self._retention_s],
            ),
        )
        self._in_hand = (job_id, chunk) if attempt else None
        try:
            yield attempt
        except OUTAGES:
            if attempt:
                self._to_give_back.append((job_id, chunk))
            raise
        finally:
            self._in_hand = None

    def _give_back(self) -> None:
        """Uncount the attempts that an outage of Redis has ended, once it can be reached again."""
        while True:
            try:
                job_id, chunk = returned = self._to_give_back.popleft()
            except IndexError:  # for two threads
                return
            try:
                self._return(keys=[JobKeys(job_id).attempts], args=[chunk])
            except OUTAGES:
                self._to_give_back.append(returned)
                raise

    def renew(self) -> None:
        """Renew the lease on the chunk in hand, if there is one. For another thread than the scoring one."""
        in_hand = self._in_hand
        if in_hand is not None:
            job_id, chunk = in_hand
            self._renew(keys=[JobKeys(job_id).held], args=[chunk, LEASE_S])
        self._give_back()

    def input(self, job_id: str, chunk: int) -> bytes | None:
        packed = cast(bytes | None, self._redis.hget(JobKeys(job_id).input, str(chunk)))
        return None if packed is None else unpack(packed)

    def finish(
        self,
        job_id: str,
        chunk: int,
        results: Sequence[bytes],
        *,
        failed: int,
        errors: Sequence[dict[str, Any]],
    ) -> Counted:
        """Store a chunk's results (one JSON each row) and count them, unless that was done before."""
        keys = JobKeys(job_id)
        counted: int = self._finish(
            keys=[
                *(keys.record, keys.results, keys.input, keys.sent, keys.held, keys.attempts, keys.errors),
                OPEN_KEY,
                keys.ended,
            ],
            args=[
                *(chunk, pack(b"\n".join(results)), len(results), failed, self._retention_s, job_id),
                ERRORS_SHOWN,
                *map(orjson.dumps, errors[:ERRORS_SHOWN]),
            ],
        )
        return Counted(counted)
