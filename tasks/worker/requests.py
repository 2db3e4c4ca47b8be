"""What a worker's parent process does with a message before and after its task runs."""

from __future__ import annotations

from celery.worker.request import Request

from tasks.messaging.names import Queues


class ScoreRequest(Request):
    """Acknowledges nothing on the queue of single predictions, where kombu keeps no copy (celeryconfig.py).

    Kombu would still ask Redis to delete one: a transaction, and a round trip, for each task.
    """

    def acknowledge(self) -> None:
        if self.delivery_info["routing_key"] == Queues.SINGLE:
            self.acknowledged = True
        else:
            super().acknowledge()
