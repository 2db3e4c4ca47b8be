"""The task that starts the delivery of events that are due to webhooks."""

from __future__ import annotations

from typing import Any

from tasks.messaging.messages import check_version
from tasks.messaging.names import TaskNames
from tasks.worker.app import app
from tasks.worker.intake import reading_arguments
from tasks.worker.runtime import current


@app.task(name=TaskNames.DELIVER, ignore_result=True)
def deliver_events(raw: dict[str, Any]) -> None:
    """Start a sender: `{v}`. The events are in the outbox. Does not wait for their delivery."""
    with reading_arguments(TaskNames.DELIVER):
        check_version(raw)
    current().deliverer.wake()
