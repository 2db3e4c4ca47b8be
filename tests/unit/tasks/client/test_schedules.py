"""Ten thousand schedules under a virtual clock: tasks and replies that are lost, late, doubled, reported."""

from __future__ import annotations

import asyncio
import heapq
import itertools
import random
from collections.abc import Callable

import pytest

from errors import ScoringFailed
from tasks.client.batcher import Batch
from tasks.client.pending import PendingRequest, Waiter
from tasks.messaging.messages import TASK_LOST, ScoreResult
from tests.unit.tasks.client.simulation import TIMEOUT_S, Simulation

SCHEDULES = 10_000
SEEDS_A_TEST = 1_000
REQUESTS = 12
ARRIVE_WITHIN_S = 4.0
TICK_S = 0.25
LOST = ScoreResult(error_code=TASK_LOST, error_detail="The process died.")


class Schedule:
    """One run of the batcher with workers whose faults a seed chooses."""

    def __init__(self, seed: int, loop: asyncio.AbstractEventLoop) -> None:
        self._random = random.Random(seed)
        self._simulation = Simulation(loop)
        self._fault_rate = self._random.choice([0.0, 0.2, 0.7])
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._numbers = itertools.count()
        self._queued: list[Batch] = []
        # Of each caller: its request and waiter, and whether it still waits.
        self.callers: list[tuple[PendingRequest, Waiter]] = []
        self.had_fault = False

    def run(self) -> None:
        """Let all callers come, wait, and go."""
        start = self._simulation.now
        for _ in range(REQUESTS):
            self._at(start + self._random.uniform(0, ARRIVE_WITHIN_S), self._arrive)
        ticks = int((ARRIVE_WITHIN_S + 3 * TIMEOUT_S) / TICK_S)
        for number in range(ticks):
            self._at(start + number * TICK_S, self._tick)
        while self._events:
            at, _, do = heapq.heappop(self._events)
            self._simulation.now = max(self._simulation.now, at)
            do()
            for batch in self._simulation.take():
                self._send(batch)

    def assert_well(self) -> None:
        """Every caller has its own answer, an error, or has waited until its deadline; nothing is left."""
        for request, _ in self.callers:
            outcome = request.outcome
            if isinstance(outcome, ScoreResult):
                assert outcome.body == request.key[2].encode(), "an answer to another request"
            else:
                assert outcome is None or isinstance(outcome, ScoringFailed)
                assert self.had_fault, "nothing went wrong, and a caller had no answer"
        assert self._simulation.pending.callers == 0
        assert self._simulation.batcher.queued == 0
        assert not self._simulation.batcher.is_waiting

    def _at(self, when: float, do: Callable[[], None]) -> None:
        heapq.heappush(self._events, (when, next(self._numbers), do))

    def _soon(self, do: Callable[[], None], within_s: float) -> None:
        self._at(self._simulation.now + self._random.uniform(0.001, within_s), do)

    def _arrive(self) -> None:
        name = f"r{self._random.randrange(REQUESTS)}"  # some ask the same
        tenant = self._random.choice([None, "a", "b"])
        request = self._simulation.request(f"{tenant}-{name}", tenant)
        waiter = request.waiters[-1]
        self.callers.append((request, waiter))
        self._at(self._simulation.now + TIMEOUT_S, lambda: self._leave(request, waiter))

    def _leave(self, request: PendingRequest, waiter: Waiter) -> None:
        self._simulation.pending.leave(request, waiter)

    def _send(self, batch: Batch) -> None:
        self._queued.append(batch)
        if self._is_faulty():
            return  # no worker comes to it: it stays on the queue until it expires
        self._soon(lambda: self._work(batch), 0.05)

    def _work(self, batch: Batch) -> None:
        self._queued.remove(batch)
        answers = [ScoreResult(body=request.key[2].encode()) for request in batch.load]
        if not self._is_faulty():
            self._soon(lambda: self._reply(batch, answers), 0.1)
            return
        match self._random.randrange(4):
            case 0:  # the worker died with its parent
                pass
            case 1:  # its parent reports it
                self._soon(lambda: self._reply(batch, [LOST] * batch.size), 1.0)
            case 2:  # late, perhaps after the retry
                self._soon(lambda: self._reply(batch, answers), 2 * TIMEOUT_S)
            case _:  # twice
                self._soon(lambda: self._reply(batch, answers), 1.0)
                self._soon(lambda: self._reply(batch, answers), 2.0)

    def _reply(self, batch: Batch, answers: list[ScoreResult]) -> None:
        self._simulation.reply(batch, *answers)

    def _tick(self) -> None:
        self._simulation.tick(*self._queued)

    def _is_faulty(self) -> bool:
        faulty = self._random.random() < self._fault_rate
        self.had_fault |= faulty
        return faulty


@pytest.mark.parametrize("first", range(0, SCHEDULES, SEEDS_A_TEST))
def test_every_caller_gets_its_own_answer_or_none(first: int, loop: asyncio.AbstractEventLoop) -> None:
    for seed in range(first, first + SEEDS_A_TEST):
        schedule = Schedule(seed, loop)
        schedule.run()
        try:
            schedule.assert_well()
        except AssertionError as error:
            raise AssertionError(f"seed {seed}: {error}") from error
