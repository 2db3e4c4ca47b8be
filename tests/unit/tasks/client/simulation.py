"""A batcher by simulation: time, workers and faults are the test's."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

from readings.reading import Reading
from tasks.client.admission import Admission
from tasks.client.batcher import Batch, MicroBatcher, Step
from tasks.client.pending import PendingRequest, PendingRequests, Waiter
from tasks.messaging.messages import ScoreRequest, ScoreResult

TIMEOUT_S = 3.0
READING = Reading("EVZ-1", "AVAILABLE", datetime(2026, 5, 4, tzinfo=UTC))


class Simulation:
    """A batcher, its clock, and what became of each request."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.now = 100.0
        self.loop = loop
        self.pending = PendingRequests()
        self.batcher = MicroBatcher(self.pending, Admission(100_000, 1, TIMEOUT_S), timeout_s=TIMEOUT_S)
        self.sent: list[Batch] = []
        self.requests: list[PendingRequest] = []

    def request(self, name: str | None = None, tenant: str | None = None) -> PendingRequest:
        """A new caller's; `name` tells equal readings."""
        ask = ScoreRequest("failure", tenant, READING, name or f"f{len(self.requests)}", 0.0)
        waiter: Waiter = self.loop.create_future()
        request, is_new = self.pending.join(ask, self.now + TIMEOUT_S, waiter, self.now, cached_only=False)
        if is_new:
            self.requests.append(request)
            self.send(self.batcher.enqueue([request], self.now))
        return request

    def send(self, batches: list[Batch]) -> None:
        for batch in batches:
            batch.task_id = f"task-{batch.batch_id}"
            self.sent.append(batch)

    def carry_out(self, step: Step) -> None:
        self.send(step.to_send)
        self.pending.settle(step.settled)

    def reply(self, batch: Batch, *answers: ScoreResult) -> None:
        found = list(answers) or [ScoreResult(body=b"{}")] * batch.size
        self.carry_out(self.batcher.replied(batch.batch_id, found, self.now))

    def tick(self, *queued: Batch, is_served: bool = True) -> None:
        self.batcher.give_up_expired(self.now)
        self.send(self.batcher.due(self.now))
        silent = self.batcher.silent(self.now)
        ids = {batch.task_id for batch in queued}
        self.send(self.batcher.looked(silent, ids, self.now, is_served=is_served))

    def take(self) -> list[Batch]:
        sent, self.sent = self.sent, []
        return sent
