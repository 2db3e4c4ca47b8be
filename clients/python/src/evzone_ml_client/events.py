"""Progress of a job from its event stream, across several connections."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Final, Literal

import httpx
from httpx_sse import ServerSentEvent

from evzone_ml_client.errors import RequestRejected, ServiceUnavailable
from evzone_ml_client.schemas import Job

# The service sends a comment every 10 s: three missed ones mean a dead connection.
SILENT_S: Final = 30.0
# The stream is unavailable: refused, not forwarded by a gateway, or cut, as long streams often are.
NOT_NOW: Final = (RequestRejected, ServiceUnavailable, httpx.TransportError, ValueError)
# Default until an event sets `retry`.
PAUSE_S: Final = 1.0


@dataclass(frozen=True, slots=True)
class JobEvent:
    """A change of a job: `progress`, and `done` at the end. `job` is the same as from `get_job`."""

    name: Literal["progress", "done"]
    job: Job


class Progress:
    """Combines event streams and job reads into one sequence of states, without repetitions."""

    def __init__(self) -> None:
        self._told: Job | None = None
        self.pause_s = PAUSE_S

    def event(self, event: ServerSentEvent) -> JobEvent | None:
        """Return the job of a server-sent event if its state is new, else None.

        Stores the `retry` pause of the event. Raises `ValueError` for invalid JSON.
        """
        if event.retry is not None:
            self.pause_s = event.retry / 1000
        return self.job(json.loads(event.data)) if event.event in ("progress", "done") else None

    def job(self, job: Job) -> JobEvent | None:
        """Return an event for this job if its state is new, else None."""
        if self._told is not None and _state(job) == _state(self._told):
            return None
        self._told = job
        return JobEvent("done" if self.over() else "progress", job)

    def over(self) -> bool:
        """Whether the last state is final."""
        return self._told is not None and self._told["finished_at"] is not None


def _state(job: Job) -> tuple[str, int, int]:
    return job["status"], job["done"], job["failed"]
