"""A job's progress, over as many connections as it takes."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Final, Literal

import httpx
from httpx_sse import ServerSentEvent

from evzone_ml_client.errors import RequestRejected, ServiceUnavailable
from evzone_ml_client.schemas import Job

# The service sends a comment every 10 s.
SILENT_S: Final = 30.0
# No events now: refused, not passed on by a gateway, or cut, as happens to long streams.
NOT_NOW: Final = (RequestRejected, ServiceUnavailable, httpx.TransportError, ValueError)
# Until it says otherwise by `retry`.
PAUSE_S: Final = 1.0


@dataclass(frozen=True, slots=True)
class JobEvent:
    """`progress` when something has changed, at last `done`; `job` as `get_job` shows it."""

    name: Literal["progress", "done"]
    job: Job


class Progress:
    """What has been told of a job, from events and from looking at it in between: each state once."""

    def __init__(self) -> None:
        self._told: Job | None = None
        self.pause_s = PAUSE_S

    def event(self, event: ServerSentEvent) -> JobEvent | None:
        """The job of an event, if there is news of it. Raises `ValueError` for data that is no job."""
        if event.retry is not None:
            self.pause_s = event.retry / 1000
        return self.job(json.loads(event.data)) if event.event in ("progress", "done") else None

    def job(self, job: Job) -> JobEvent | None:
        """The job as it is now, if there is news of it."""
        if self._told is not None and _state(job) == _state(self._told):
            return None
        self._told = job
        return JobEvent("done" if self.over() else "progress", job)

    def over(self) -> bool:
        return self._told is not None and self._told["finished_at"] is not None


def _state(job: Job) -> tuple[str, int, int]:
    return job["status"], job["done"], job["failed"]
