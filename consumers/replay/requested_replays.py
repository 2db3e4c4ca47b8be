"""Carry out replays of dead letters that an administrator has asked for in the console.

A thread of the scoring consumer looks for requests in Redis. One consumer at a time carries them out, by a
lock that expires. The rules are those of `replay-dlq --replay`: a dead letter that was replayed before, or of
which only the beginning was kept, is left out. A consumer that dies between sending a part and noting it
makes its successor send that part again.
"""

from __future__ import annotations

import contextvars
import logging
import threading
import time
from collections.abc import Generator
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from typing import Final

from kafka.errors import KafkaError
from redis import RedisError
from redis.exceptions import LockError
from redis.lock import Lock

from consumers.kafka.outcome_publisher import KafkaUnavailable
from consumers.kafka.topic_reader import read_whole_topic
from consumers.replay.dead_letters import READ_TIMEOUT_S, DeadLetter, Wanted, put_back, replayed_before
from settings import Settings
from tasks.storage.redis_connection import connect
from tasks.storage.replay_requests import ReplayRequest, ReplayRequests

log = logging.getLogger(__name__)

LOCK_KEY: Final = "ml:dlq:replaying"
# Longer than any part takes: 10 s to read and 60 s to send.
LOCK_S: Final = 120.0
EXTEND_EVERY_S: Final = 10.0
LOOK_EVERY_S: Final = 2.0
# Dead letters of one request, and of one part of it, which is noted as a whole.
MOST_OF_REQUEST: Final = 1_000
MOST_OF_PART: Final = 100
PART_BYTES: Final = 16_000_000


class RequestedReplays:
    """Carries out requests in a thread of its own, with Kafka clients of its own."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._redis = connect(settings.redis_url)
        self._requests = ReplayRequests(self._redis)
        self._stopped = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Start the thread. Its log lines contain the fields that the caller has bound."""
        run = partial(contextvars.copy_context().run, self._run)
        self._thread = threading.Thread(target=run, name="requested-replays", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop the thread. A request under way is left to another consumer. Blocks for about 2 s at most."""
        self._stopped.set()
        if self._thread is not None:
            self._thread.join(timeout=2)

    def look(self) -> None:
        """Carry out the oldest request, if no other consumer is at it. Blocks until it has ended.

        Raises `redis.RedisError`; the request is then carried out later.
        """
        if self._requests.next_open() is None:
            return
        lock = Lock(self._redis, LOCK_KEY, timeout=LOCK_S, thread_local=False)
        if not lock.acquire(blocking=False):
            return
        try:
            # Another consumer may have ended it a moment ago.
            request = self._requests.next_open()
            if request is not None:
                self._carry_out(request, lock)
        finally:
            try:
                lock.release()
            except LockError:
                log.warning("a replay took so long that another consumer may have begun it too")

    def _run(self) -> None:
        while not self._stopped.wait(LOOK_EVERY_S):
            try:
                self.look()
            except RedisError as error:
                log.debug("requests to replay dead letters: %s", error)
            except Exception:
                log.exception("requests to replay dead letters")

    def _carry_out(self, request: ReplayRequest, lock: Lock) -> None:
        """Replay in parts, and store the progress after each. A problem of Kafka ends the request."""
        # A consumer that died may have sent some of them, which are left out now.
        done = replace(request, state="running", left_out=0)
        self._requests.update(done)
        try:
            with closing(self._chosen(request, lock)) as parts:
                for part, left_out in parts:
                    put_back(self._settings, self._redis, part)
                    done = replace(done, sent=done.sent + len(part), left_out=max(0, left_out - request.sent))
                    self._requests.update(done)
        except RedisError:
            raise
        except (KafkaError, KafkaUnavailable) as error:
            log.warning("replay of dead letters failed: %s", error)
            self._requests.end(done, problem=f"Kafka: {type(error).__name__}: {error}"[:500])
            return
        except Exception as error:
            self._requests.end(done, problem=f"Unexpected error: {type(error).__name__}. The log has more.")
            raise
        if self._stopped.is_set():
            return
        self._requests.end(done)
        log.info("replay asked for in the console: %d dead letters put back", done.sent)

    def _chosen(self, request: ReplayRequest, lock: Lock) -> Generator[tuple[list[DeadLetter], int]]:
        """Parts of the dead letters to put back, each with the number of those left out so far.

        The last part may be empty. Ends early if the process stops.
        """
        # Those that fail again get here anew, later.
        asked_at = datetime.fromtimestamp(request.asked_at, UTC)
        wanted = Wanted(code=request.code, origin=request.origin, until=asked_at)
        before = replayed_before(self._redis)
        part: list[DeadLetter] = []
        part_bytes = found = left_out = 0
        extended_at = time.monotonic()
        topic = self._settings.kafka_topic_dead_letters
        with closing(read_whole_topic(self._settings, topic, timeout_s=READ_TIMEOUT_S)) as records:
            for record in records:
                if self._stopped.is_set() or found == MOST_OF_REQUEST:
                    break
                if time.monotonic() - extended_at > EXTEND_EVERY_S:
                    lock.extend(LOCK_S, replace_ttl=True)
                    extended_at = time.monotonic()
                letter = DeadLetter.of(record)
                if letter is None or not wanted.includes(letter):
                    continue
                if not letter.is_whole or letter.identity.encode() in before:
                    left_out += 1
                    continue
                part.append(letter)
                found, part_bytes = found + 1, part_bytes + len(record.value or b"")
                if len(part) == MOST_OF_PART or part_bytes >= PART_BYTES:
                    yield part, left_out
                    part, part_bytes = [], 0
        if not self._stopped.is_set():
            yield part, left_out
