"""`AsyncMLClient`: the calls of `MLClient`, awaited."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterable
from contextlib import aclosing
from datetime import datetime
from os import PathLike
from types import TracebackType
from typing import Any, Self, TypeVar, cast

import anyio
import httpx
from anyio import to_thread
from httpx_sse import EventSource

from evzone_ml_client import calls
from evzone_ml_client.blocking import BlockingTransport
from evzone_ml_client.breaker import CircuitState
from evzone_ml_client.calls import Call, Kind, OutcomeKind
from evzone_ml_client.events import SILENT_S, JobEvent, Progress
from evzone_ml_client.exchange import Answer, Exchange
from evzone_ml_client.policy import Policy
from evzone_ml_client.schemas import (
    AnomalyVerdict,
    BatchResult,
    FailurePrediction,
    Health,
    Job,
    MaintenanceSchedule,
    Models,
    OutcomeAccepted,
    Reading,
)
from evzone_ml_client.settings import Settings
from evzone_ml_client.transport import client_options, is_stream, read_timeout, request_options

T = TypeVar("T")


class AsyncMLClient:
    """The service, for code on an event loop. Its calls are those of `MLClient`, which says what they mean.

    A call that is cancelled is given up at once, and counts neither for nor against the service.
    """

    def __init__(self, settings: Settings) -> None:
        self._policy = Policy(settings)
        self._http = httpx.AsyncClient(**client_options(settings))
        self._uploads = BlockingTransport(settings)

    @classmethod
    def from_env(cls, **others: Any) -> Self:
        return cls(Settings.from_env(**others))

    @property
    def settings(self) -> Settings:
        return self._policy.settings

    @property
    def circuit(self) -> CircuitState:
        return self._policy.circuit.state

    async def aclose(self) -> None:
        """Close the connections."""
        self._uploads.close()
        await self._http.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def health_check(self) -> Health:
        return await self._run(calls.health_check())

    async def predict_failure(self, reading: Reading) -> FailurePrediction:
        return await self._run(calls.predict_failure(reading))

    async def predict_maintenance(self, reading: Reading) -> MaintenanceSchedule:
        return await self._run(calls.predict_maintenance(reading))

    async def detect_anomaly(self, reading: Reading) -> AnomalyVerdict:
        return await self._run(calls.detect_anomaly(reading))

    async def get_cached_prediction(self, charger_id: str) -> FailurePrediction | None:
        return await self._run(calls.get_cached_prediction(charger_id))

    async def invalidate_cache(self, charger_id: str) -> None:
        return await self._run(calls.invalidate_cache(charger_id))

    async def batch_predictions(
        self,
        readings: Iterable[Reading],
        *,
        kind: Kind = "failure",
        store: bool | None = None,
        wait_s: int | None = None,
    ) -> BatchResult:
        return await self._run(
            calls.batch_predictions(readings, kind=kind, store=store, wait_s=wait_s, settings=self.settings)
        )

    async def submit_batch(
        self,
        batch: Iterable[Reading] | PathLike[str],
        *,
        kind: Kind = "failure",
        store: bool | None = None,
        idempotency_key: str | None = None,
        timeout_s: float | None = None,
    ) -> Job:
        return await self._run(
            calls.submit_batch(
                batch,
                kind=kind,
                store=store,
                idempotency_key=idempotency_key,
                timeout_s=timeout_s,
                settings=self.settings,
            )
        )

    async def get_job(self, job_id: str) -> Job:
        return await self._run(calls.get_job(job_id))

    async def cancel_job(self, job_id: str) -> Job:
        return await self._run(calls.cancel_job(job_id))

    async def stream_job(self, job_id: str) -> AsyncGenerator[JobEvent, None]:
        progress = Progress(job_id)
        while not progress.over:
            response = await self._run(progress.connect())
            if response is None:
                return
            try:
                async for event in EventSource(response).aiter_sse():
                    told = progress.take(event)
                    if told is not None:
                        yield told
            except httpx.TransportError:
                pass  # cut, as happens to long streams
            finally:
                await response.aclose()
            if not progress.over:
                await anyio.sleep(progress.pause_s)

    async def job_results(self, job_id: str, *, start: int = 0) -> AsyncGenerator[dict[str, Any], None]:
        cursor, following = "", str(start)
        while following != cursor:
            cursor = following
            page = await self._run(calls.job_results(job_id, cursor))
            for row in page["items"]:
                yield row
            following = page["next"] or cursor

    async def fleet(self) -> AsyncGenerator[dict[str, Any], None]:
        cursor: str | None = "0"
        while cursor is not None:
            page = await self._run(calls.fleet(cursor))
            for row in page["items"]:
                yield row
            cursor = page["next"]

    async def list_models(self) -> Models:
        return await self._run(calls.list_models())

    async def post_outcome(
        self, charger_id: str, outcome: OutcomeKind, occurred_at: datetime
    ) -> OutcomeAccepted:
        return await self._run(calls.post_outcome(charger_id, outcome, occurred_at))

    async def _run(self, call: Call[T]) -> T:
        flow = self._policy.flow(call)
        try:
            exchange = next(flow)
            while True:
                try:
                    answer = await self._exchanged(exchange)
                except BaseException as error:
                    exchange = flow.throw(error)
                else:
                    exchange = flow.send(answer)
        except StopIteration as end:
            return cast(T, end.value)

    async def _exchanged(self, exchange: Exchange) -> Answer:
        request = exchange.request
        if request.large:
            # Refused before its body is sent, a request is answered and the connection reset: asyncio then
            # drops the answer with it. Threads read it.
            return await to_thread.run_sync(self._uploads.exchanged, exchange, abandon_on_cancel=True)
        await anyio.sleep(exchange.pause_s)
        asked = self._http.build_request(
            **request_options(request, exchange.timeout_s), content=cast(bytes | None, request.content)
        )
        with anyio.fail_after(exchange.timeout_s):
            response = await self._http.send(asked, stream=True)
            if is_stream(response, request.streamed):
                read_timeout(response, SILENT_S)
                return Answer(response.status_code, response.headers, stream=response)
            async with aclosing(response):
                body = await response.aread()
                return Answer(response.status_code, response.headers, body)
