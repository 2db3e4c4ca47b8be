"""A job's progress over as many connections as it takes."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Final, Literal, cast

import httpx
from httpx_sse import ServerSentEvent

from evzone_ml_client.calls import Call, job_events
from evzone_ml_client.schemas import Job

# The service sends a comment every 10 s.
SILENT_S: Final = 30.0
# Until it says otherwise by `retry`.
PAUSE_S: Final = 1.0


@dataclass(frozen=True, slots=True)
class JobEvent:
    """`progress` when something has changed, at last `done`; `job` as `get_job` shows it."""

    name: Literal["progress", "done"]
    job: Job


class Progress:
    """Where the stream of one job is: what to ask for next, and what an event says."""

    def __init__(self, job_id: str) -> None:
        self._job_id = job_id
        self._last_event_id = ""
        self.over = False
        self.pause_s = PAUSE_S

    def connect(self) -> Call[httpx.Response | None]:
        return job_events(self._job_id, self._last_event_id)

    def take(self, event: ServerSentEvent) -> JobEvent | None:
        """What an event says; None for one of a kind that is not known."""
        self._last_event_id = event.id
        if event.retry is not None:
            self.pause_s = event.retry / 1000
        if event.event not in ("progress", "done"):
            return None
        self.over = event.event == "done"
        return JobEvent(cast(Literal["progress", "done"], event.event), json.loads(event.data))
