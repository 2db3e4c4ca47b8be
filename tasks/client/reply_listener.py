"""Receive replies: one reply list and one listening thread per process that requests scores.

Celery's result backend costs a subscription, a stored result and a poll for every request. A list with one
blocking reader costs one push and one pop per task, however many readings it carries.
"""

from __future__ import annotations

import logging
import threading
import time
import uuid
from collections.abc import Callable
from typing import Final

from redis import RedisError

from settings import Settings
from tasks.messaging.messages import ScoreResult, decode_reply
from tasks.storage.redis_connection import PinnedConnection, connect

log = logging.getLogger(__name__)

POLL_S: Final = 0.25
RECONNECT_PAUSE_S: Final = 0.2


class ReplyListener:
    """Call `on_reply(batch_id, answers)` for each reply, and `on_tick()` about every 0.25 s.

    While Redis is unreachable, `on_unreachable()` is called about once a second instead of `on_reply`.
    Reading resumes as soon as Redis is back. All three run in the listener's thread and must not block for
    long. The reply list of a process that has ended expires.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        on_reply: Callable[[str, list[ScoreResult]], None],
        on_tick: Callable[[], None],
        on_unreachable: Callable[[], None] = lambda: None,
    ) -> None:
        self.address: Final = f"ml:reply:{uuid.uuid4().hex}"
        self._connection = PinnedConnection(connect(settings.redis_url, timeout_s=POLL_S * 4))
        self._on_reply = on_reply
        self._on_tick = on_tick
        self._on_unreachable = on_unreachable
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="reply-listener", daemon=True)

    def start(self) -> None:
        """Start the listener's thread."""
        self._thread.start()

    def stop(self) -> None:
        """Stop the thread. Blocks 2 s at most."""
        self._stopped.set()
        self._thread.join(timeout=2)

    def _run(self) -> None:
        ticked_at = 0.0
        while not self._stopped.is_set():
            popped, reachable = None, True
            try:
                (popped,) = self._connection.execute(("BLPOP", self.address, POLL_S))
            except RedisError as error:
                log.debug("reply list unreachable: %s", error)
                reachable = False
            try:
                if popped:
                    self._on_reply(*decode_reply(popped[1]))
                if not reachable:
                    self._on_unreachable()
                # Not after every reply: ticking here would delay the callers just woken.
                if time.monotonic() - ticked_at >= POLL_S or not popped:
                    ticked_at = time.monotonic()
                    self._on_tick()
            except Exception:
                # This thread answers every caller of the process; one bad reply must not end it.
                log.exception("reply could not be handled")
            if not reachable:
                time.sleep(RECONNECT_PAUSE_S)
