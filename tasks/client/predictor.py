"""Single predictions for callers that wait: from the cache, or from a worker through the queue.

A reading without a pending request is looked up in the cache (`tasks/client/cache_reader.py`). If it is not
cached, it is sent to a worker (`tasks/client/batcher.py`). Callers wait on futures of an event loop.
Identical readings of one charger share one entry in a task. This module adds clock, threads and Redis to the
state machines of this package.
"""

from __future__ import annotations

import asyncio
import threading
import time
from asyncio import sleep
from collections.abc import Iterable, Sequence
from typing import Final, NoReturn

import metrics
from errors import BrokerUnavailable, PredictionTimeout, QueueFull, ServiceError
from readings.reading import Kind, Reading
from settings import Settings
from tasks.client.admission import Admission
from tasks.client.batcher import MAX_BATCH, MAX_IN_FLIGHT, Batch, MicroBatcher, Step
from tasks.client.cache_reader import CacheReader
from tasks.client.degraded import DegradedScoring
from tasks.client.pending import Outcome, PendingRequest, PendingRequests, Waiter
from tasks.client.queue_inspection import QueueInspector
from tasks.client.reply_listener import ReplyListener
from tasks.client.turns import QUICK_REFUSALS, REFUSED_LATER_S, REFUSED_SOON_S, SharedCapacity
from tasks.messaging.messages import ScoreMessage, ScoreRequest, ScoreResult
from tasks.messaging.names import Queues, TaskNames
from tasks.messaging.task_publisher import CacheGuard, TaskPublisher
from tasks.monitoring.service_health import Snapshot
from tasks.storage import redis_clock
from tasks.storage.verdict_cache import VerdictCache

# Share of the deadline that a task may take before its process is killed. The rest is enough for a retry.
KILLED_AFTER: Final = 0.34
# The queue is swept for this long after a task went unanswered: on the queue it may expire a moment later.
SWEEP_FOR_S: Final = 5.0
# Events of sent tasks are batched for this long.
EVENTS_EVERY_S: Final = 0.1
# So many callers may wait even for slow workers: the tasks in flight stay full, and a next one waits.
LEAST_WAITING: Final = (MAX_IN_FLIGHT + 1) * MAX_BATCH
# A thread waits this much longer than the deadline of its coroutine.
LOOP_GRACE_S: Final = 1.0


class PredictionClient:
    """Predict single readings. One instance per process; safe to share between its threads and event loops.

    Without capacity to wait (`ML_MAX_WAITING`) a caller still gets cached verdicts. Tenants share the
    capacity, and take turns wherever requests wait. Errors are isolated per reading: an exception during
    look-up or sending becomes the outcome of its own readings only.
    """

    def __init__(
        self, settings: Settings, cache: VerdictCache, degraded: DegradedScoring | None = None
    ) -> None:
        self._timeout_s = settings.sync_timeout_s
        self._admission = Admission(settings.max_waiting, LEAST_WAITING, self._timeout_s)
        # Guards the capacities and the two state machines.
        self._lock = threading.Lock()
        self._quick_refusals = SharedCapacity(QUICK_REFUSALS)
        self._pending = PendingRequests()
        self._batcher = MicroBatcher(self._pending, self._admission, timeout_s=self._timeout_s)
        self._publisher = TaskPublisher(settings, flush_every_s=EVENTS_EVERY_S)
        self._queue = QueueInspector(settings, Queues.SINGLE)
        # Without a view of the service's parts it is never started, and never able.
        self._degraded = degraded or DegradedScoring(settings, Snapshot)
        self._replied_at = 0.0
        # Whether tasks stand on the queue and none is answered. One of them stays there, as a probe.
        self._stalled = False
        self._away_until = 0.0
        self._sweep_until = 0.0
        # Serves callers that are threads. Created by the first of them.
        self._own_loop: _LoopThread | None = None
        self._replies = ReplyListener(
            settings, on_reply=self._on_reply, on_tick=self._on_tick, on_unreachable=self._on_unreachable
        )
        self._cache_reader = CacheReader(
            cache, settle=self._settle, enqueue=self._enqueue, send_unless_cached=self._send_unless_cached
        )
        if degraded is not None and settings.degraded_scoring:
            degraded.start(self._settle)
        self._replies.start()
        self._cache_reader.start()

    def close(self) -> None:
        """Stop the threads. Blocks 4 s at most. Callers that still wait end at their deadlines."""
        self._cache_reader.stop()
        self._replies.stop()
        self._degraded.stop()
        if self._own_loop is not None:
            self._own_loop.stop()

    def predict(
        self,
        kind: Kind,
        reading: Reading,
        tenant: str | None,
        *,
        store: bool = True,
        trace: str | None = None,
    ) -> bytes:
        """`predict_async` for a thread. Blocks for the setting `ML_SYNC_TIMEOUT` and 1 s at most."""
        with self._lock:
            self._own_loop = self._own_loop or _LoopThread()
        waiting = asyncio.run_coroutine_threadsafe(
            self.predict_async(kind, reading, tenant, store=store, trace=trace), self._own_loop.loop
        )
        try:
            return waiting.result(self._timeout_s + LOOP_GRACE_S)
        except TimeoutError:  # the loop has been stopped
            raise PredictionTimeout(f"No verdict within {self._timeout_s:g} s.") from None

    async def predict_async(
        self,
        kind: Kind,
        reading: Reading,
        tenant: str | None,
        *,
        store: bool = True,
        trace: str | None = None,
    ) -> bytes:
        """The verdict as a JSON body, within the setting `ML_SYNC_TIMEOUT`. Does not block the event loop.

        Without `store`, nothing is written to cache, history and fleet. `trace` is the context of the
        caller's span, if the request is traced.

        Raises `QueueFull`, `BrokerUnavailable`, `ModelsUnavailable`, `PredictionTimeout` or `ScoringFailed`.
        An unexpected exception in look-up or sending is raised unchanged.
        """
        loop = asyncio.get_running_loop()
        score_request = ScoreRequest(
            kind, tenant, reading, reading.fingerprint(), redis_clock.now() + self._timeout_s, store
        )
        woken: Waiter = loop.create_future()
        now = time.monotonic()
        with self._lock:
            admitted = self._admission.take(tenant)
            request, is_new = self._pending.join(
                score_request, now + self._timeout_s, woken, now, cached_only=not admitted, trace=trace
            )
        timer = loop.call_later(self._timeout_s, _wake, [woken])
        try:
            if is_new:
                self._cache_reader.add(request)
            await woken
        finally:
            timer.cancel()
            with self._lock:
                if admitted:
                    self._admission.give_back(tenant)
                elif request.outcome is not None:
                    self._admission.note_look_up(is_hit=isinstance(request.outcome, ScoreResult))
                self._pending.leave(request, woken)
        if request.outcome is None:
            raise PredictionTimeout(f"No verdict within {self._timeout_s:g} s.")
        if isinstance(request.outcome, Exception):
            if isinstance(request.outcome, QueueFull):
                await self._delay_refusal(tenant)
            raise request.outcome
        return request.outcome.body

    def is_refused_unread(self, tenant: str | None) -> bool:
        """Whether to refuse a request of `tenant` before its body is parsed. Does not block.

        Call it once for each request. If it is true, call `refuse`.
        """
        with self._lock:
            return self._admission.is_refused_unread(tenant)

    async def refuse(self, tenant: str | None) -> NoReturn:
        """Refuse a request of `tenant` for lack of capacity. Raises `QueueFull`."""
        await self._delay_refusal(tenant)
        raise QueueFull("predictions")

    async def _delay_refusal(self, tenant: str | None) -> None:
        with self._lock:
            if not self._batcher.is_shared(time.monotonic()):
                return
            is_quick = self._quick_refusals.take(tenant)
        try:
            await sleep(REFUSED_SOON_S if is_quick else REFUSED_LATER_S)
        finally:
            if is_quick:
                with self._lock:
                    self._quick_refusals.give_back(tenant)

    def _settle(self, outcomes: Iterable[tuple[PendingRequest, Outcome]]) -> None:
        """Set outcomes and wake the callers. All futures of a loop are resolved in one call to it."""
        with self._lock:
            waiters = self._pending.settle(outcomes)
        by_loop: dict[asyncio.AbstractEventLoop, list[Waiter]] = {}
        for waiter in waiters:
            by_loop.setdefault(waiter.get_loop(), []).append(waiter)
        for loop, all_woken in by_loop.items():
            if not loop.is_closed():
                loop.call_soon_threadsafe(_wake, all_woken)

    def _enqueue(self, requests: list[PendingRequest]) -> None:
        """Queue requests and send the task that is due. Like all that may send, blocks 2 s at most."""
        reason = self._degraded.reason()
        if reason is None:
            with self._lock:
                is_probed = self._stalled and self._batcher.is_waiting
                to_send = [] if is_probed else self._batcher.enqueue(requests, time.monotonic())
            self._carry_out(Step(to_send, []))
        if reason or self._stalled:
            self._degraded.add(requests, reason or "stalled")

    def _send_unless_cached(self, requests: list[PendingRequest], guards: Sequence[CacheGuard]) -> bool:
        if self._stalled or self._degraded.reason():
            return False
        with self._lock:
            batch = self._batcher.alone(requests, time.monotonic())
        return batch is not None and self._send(batch, guards)

    def _carry_out(self, step: Step) -> None:
        for batch in step.to_send:  # first, so that no worker is idle
            self._send(batch)
        unsent: list[PendingRequest] = []
        settled: list[tuple[PendingRequest, Outcome]] = []
        for request, outcome in step.settled:
            is_unsent = isinstance(outcome, BrokerUnavailable) and not request.is_suspect
            if is_unsent and self._degraded.able:
                unsent.append(request)
            else:
                settled.append((request, outcome))
        self._degraded.add(unsent, "redis")
        self._settle(settled)

    def _send(self, batch: Batch, unless: Sequence[CacheGuard] = ()) -> bool:
        """Send a task. True if it was sent or has failed; False if Redis found a guard of `unless`."""
        started = time.monotonic()
        is_away = started < self._away_until
        try:
            if is_away:
                raise BrokerUnavailable("The task queue cannot be reached.")
            message = ScoreMessage(
                batch.batch_id,
                self._replies.address,
                [request.score_request for request in batch.load],
                source="rest",
                traces=[request.trace for request in batch.load if request.trace is not None],
            )
            batch.task_id = self._publisher.send(
                TaskNames.SCORE,
                message.encode(),
                queue=Queues.SINGLE,
                expires_s=max(0.1, batch.expires_at - time.monotonic()),
                time_limit_s=self._timeout_s * KILLED_AFTER,
                unless=unless,
            )
        except Exception as error:
            now = time.monotonic()
            with self._lock:
                if isinstance(error, ServiceError) and not is_away:
                    # Fail fast for as long as this attempt took. With a Redis that does not reply, requests
                    # would otherwise block one after another until their deadlines.
                    self._away_until = 2 * now - started
                step = self._batcher.failed(batch, error, now)
            self._carry_out(step)
            return True
        if not batch.task_id:
            with self._lock:
                self._batcher.withdraw(batch)
            return False
        metrics.BATCH_READINGS.observe(batch.size)
        return True

    def _on_reply(self, batch_id: str, answers: list[ScoreResult]) -> None:
        with self._lock:
            self._replied_at, self._stalled = time.monotonic(), False
            step = self._batcher.replied(batch_id, answers, time.monotonic())
        self._carry_out(step)

    def _on_unreachable(self) -> None:
        with self._lock:
            step = self._batcher.fail_queued(BrokerUnavailable("The task queue cannot be reached."))
        self._carry_out(step)

    def _on_tick(self) -> None:
        now = time.monotonic()
        reason = self._degraded.reason()
        with self._lock:
            metrics.WAITING.set(self._pending.callers)
            if self._batcher.give_up_expired(now):
                self._sweep_until = now + SWEEP_FOR_S
            unserved = self._batcher.take_queued() if reason else []
            to_send = self._batcher.due(now)
            silent = self._batcher.silent(now)
        if reason:
            self._degraded.add(unserved, reason)
        if silent:
            to_send += self._second_sendings(silent, now)
        if now < self._sweep_until:
            self._queue.sweep_expired()
        self._carry_out(Step(to_send, []))
        self._publisher.flush_events()

    def _second_sendings(self, silent: list[Batch], now: float) -> list[Batch]:
        ids = {batch.task_id for batch in silent}
        queued = self._queue.waiting(ids)
        self._score_stalled(silent, queued)
        if queued is None or len(queued) == len(ids):
            return []
        is_served = self._queue.is_served()
        with self._lock:
            return self._batcher.looked(silent, queued, now, is_served=is_served)

    def _score_stalled(self, silent: list[Batch], queued: dict[str, bytes] | None) -> None:
        """Have the requests of stalled tasks scored in this process, and those that wait behind them.

        A task is stalled while Redis cannot be reached (`queued` is None), or if it stands on the queue and
        nothing was answered since it was sent. It stays there, and its answer ends the stall. Tasks off the
        queue are retried: a reading may have ended their worker, and would end this process too.
        """
        stalled = [
            batch
            for batch in silent
            if queued is None or (batch.task_id in queued and batch.sent_at > self._replied_at)
        ]
        if not stalled or not self._degraded.able:
            return
        with self._lock:
            self._stalled = queued is not None
            requests = [request for batch in stalled for request in batch.load if request.outcome is None]
            requests += self._batcher.take_queued()
        self._degraded.add(requests, "redis" if queued is None else "stalled")


class _LoopThread:
    """An event loop in a separate thread."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever, name="callers", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stop the loop. Blocks 2 s at most."""
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(timeout=2)
        if not self._thread.is_alive():
            self.loop.close()


def _wake(waiters: list[Waiter]) -> None:
    for waiter in waiters:
        if not waiter.done():
            waiter.set_result(None)
