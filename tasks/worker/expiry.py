"""Expiry of tasks by the clock of Redis, in the worker's parent process."""

from __future__ import annotations

from typing import Literal

from celery.worker.request import Request
from celery.worker.state import revoked

from tasks.storage import redis_clock


class ExpiringRequest(Request):
    """A task request whose expiry is a time of Redis, as its sender states it.

    Celery compares with the host's own clock. A worker of a host 3 s ahead would discard every single
    prediction.
    """

    def maybe_expire(self) -> Literal[True] | None:
        """True if the task has expired. It is then not run."""
        if self.expires and self.expires.timestamp() < redis_clock.now():
            revoked.add(self.id)
            return True
        return None
