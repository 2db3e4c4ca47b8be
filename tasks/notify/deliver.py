"""Delivery: threads of a batch worker take webhooks that are due, and send their events. E-mail is one more.

A sender holds the lease of one webhook, and sends its events one after the other. So a webhook has one
request under way, and a slow target delays no other webhook before all threads wait for slow ones.
The threads are not those that score: a target that does not answer holds up no job (docs/adr/0019).
"""

from __future__ import annotations

import logging
import threading
import time
from typing import Final

from redis import RedisError

import metrics
from settings import Settings
from tasks.notify import email_sending
from tasks.notify.outbox import Outbox, Taken, TakenEvent
from tasks.notify.sending import Attempt, post, signed_headers
from tasks.notify.webhook_store import EMAIL_ID

log = logging.getLogger(__name__)

THREADS: Final = 8
# After this time a sender gives the lease back, so that other webhooks have their turn.
TURN_S: Final = 5.0


class Deliverer:
    """The senders of one worker process. Thread-safe."""

    def __init__(self, settings: Settings, outbox: Outbox) -> None:
        self._settings = settings
        self._outbox = outbox
        self._stopped = threading.Event()
        self._lock = threading.Lock()
        self._running = 0

    def wake(self) -> bool:
        """Start a sender, unless all of this process run. Does not block."""
        with self._lock:
            if self._running >= THREADS or self._stopped.is_set():
                return False
            self._running += 1
        threading.Thread(target=self._run, name="webhooks", daemon=True).start()
        return True

    def close(self) -> None:
        """Start no more senders, and let those that run end after their current event. Does not block."""
        self._stopped.set()

    def _run(self) -> None:
        try:
            while not self._stopped.is_set():
                taken = self._outbox.take()
                if taken is None:
                    return
                self.wake()  # another webhook may be due
                self._send_turn(taken)
        except RedisError as error:
            log.warning("webhooks wait for Redis: %s", error)
        except Exception:
            log.exception("a sender of webhooks has failed")
        finally:
            with self._lock:
                self._running -= 1

    def _send_turn(self, taken: Taken) -> None:
        ends_at = time.monotonic() + TURN_S
        for event in taken.events:
            attempt = self._send(taken, event)
            may_go_on = self._outbox.settle(
                taken,
                event,
                delivered=attempt.delivered,
                error=attempt.error,
                unwanted=attempt.unwanted,
                hopeless=attempt.hopeless,
            )
            counter = metrics.EMAIL_ATTEMPTS if _is_email(taken) else metrics.WEBHOOK_ATTEMPTS
            counter.labels(result="delivered" if attempt.delivered else "failed").inc()
            if not attempt.delivered:
                log.warning(
                    "webhook %s: event %s failed: %s", taken.webhook.webhook_id, event.event_id, attempt.error
                )
            if not may_go_on or time.monotonic() >= ends_at or self._stopped.is_set():
                break
        self._outbox.release(taken)

    def _send(self, taken: Taken, event: TakenEvent) -> Attempt:
        if _is_email(taken):
            return email_sending.send(
                event.event_id,
                event.body,
                self._settings.smtp,
                reached=self._outbox.reached(event),
                note=lambda names: self._outbox.note_reached(event, names),
            )
        try:
            headers = signed_headers(taken.secret, event.event_id, event.body, at=time.time())
        except ValueError:
            return Attempt(None, "the stored secret is damaged; make the webhook anew")
        return post(taken.webhook.url, event.body, headers, self._settings)


def _is_email(taken: Taken) -> bool:
    return taken.webhook.webhook_id == EMAIL_ID
