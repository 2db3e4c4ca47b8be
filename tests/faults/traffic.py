"""Callers of a service under faults: singles, jobs and records. All that they see is in a history."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import random
import threading
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final

import httpx
import orjson

from tests.faults.callers import TENANTS, Chargers, Sent, said_by
from tests.faults.final_state import write_final_state
from tests.faults.history import History
from tests.faults.job_traffic import Jobs
from tests.faults.stream_traffic import Stream

FAILURE: Final = "/api/v1/predictions/failure"
JSON: Final = {"Content-Type": "application/json"}
# The callers' own time-out, as in the clients.
CALL_TIMEOUT_S: Final = 5.0
RETRY_AFTER_S: Final = 0.5
OK: Final = 200


@dataclass(frozen=True, slots=True)
class Call:
    """A single prediction. Statuses are 0 without an answer; `began` is in `time.monotonic()` seconds.

    `first` is the status of the first attempt, `final` that of the retry if there was one.
    """

    began: float
    first: int
    final: int
    took_s: float
    is_degraded: bool


@dataclass
class Rates:
    """The offered load. It may be changed while the traffic runs."""

    singles_a_second: float = 60.0
    records_a_second: float = 50.0
    job_every_s: float = 5.0

    def times(self, factor: float) -> Rates:
        """The same mix, more or less often."""
        return Rates(
            self.singles_a_second * factor, self.records_a_second * factor, self.job_every_s / factor
        )


@dataclass
class Traffic:
    """Calls to web processes at `urls`, in turn, and records for a broker."""

    urls: list[str]
    kafka: str
    history: History
    rates: Rates
    seed: int = 1
    calls: list[Call] = field(default_factory=list)
    jobs: int = 0
    records: int = 0
    _stopped: threading.Event = field(default_factory=threading.Event)
    _stream: Stream | None = None

    def change(self, rates: Rates) -> None:
        """Offer another load from now on."""
        vars(self.rates).update(vars(rates))

    @property
    def outstanding_records(self) -> int:
        """The number of acknowledged records that have no outcome yet."""
        return 0 if self._stream is None else self._stream.outstanding

    @contextmanager
    def running(self) -> Iterator[None]:
        """Run it. On leaving, blocks until jobs and records are settled, 100 s at most.

        Then writes to the history how the service stands.
        """
        chargers = Chargers(self.seed)
        stream = self._stream = Stream(self.kafka, self.history, chargers, self.rates)
        with stream.running(), ThreadPoolExecutor(1) as threads:
            calling = threads.submit(lambda: asyncio.run(self._call(chargers)))
            try:
                yield
            finally:
                self._stopped.set()
            calling.result()
        self.records = stream.acknowledged
        write_final_state(self.urls[0], self.history)

    async def _call(self, chargers: Chargers) -> None:
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=64)
        async with httpx.AsyncClient(limits=limits, timeout=CALL_TIMEOUT_S) as client:
            jobs = Jobs(client, self.urls, self.history, chargers, random.Random(self.seed))
            async with asyncio.TaskGroup() as group:
                submitting = group.create_task(jobs.submit_for_ever(group, self.rates))
                due = time.monotonic()
                for number in itertools.count():
                    if self._stopped.is_set():
                        break
                    group.create_task(self._predict(client, chargers.reading(chargers.tenant()), number))
                    # Open loop: slow answers do not slow the callers.
                    due = max(due + 1 / self.rates.singles_a_second, time.monotonic() - CALL_TIMEOUT_S)
                    await asyncio.sleep(max(0.0, due - time.monotonic()))
                jobs.stop()
                submitting.cancel()
            self.jobs = jobs.accepted

    async def _predict(self, client: httpx.AsyncClient, sent: Sent, number: int) -> None:
        began = time.monotonic()
        first, is_degraded = await self._attempt(client, self.urls[number % len(self.urls)], sent)
        final = first
        if first != OK:
            await asyncio.sleep(RETRY_AFTER_S)
            final, is_degraded = await self._attempt(client, self.urls[(number + 1) % len(self.urls)], sent)
        self.calls.append(Call(began, first, final, time.monotonic() - began, is_degraded))

    async def _attempt(self, client: httpx.AsyncClient, url: str, sent: Sent) -> tuple[int, bool]:
        request, key = uuid.uuid4().hex, TENANTS[sent.tenant]
        self.history.write("send", request=request, url=url, caller=key, reading=sent.named)
        headers = JSON | {"X-API-Key": key, "X-Tenant-ID": sent.tenant, "X-Request-ID": request}
        body: dict[str, Any] = {}
        try:
            answer = await client.post(url + FAILURE, content=orjson.dumps(sent.body), headers=headers)
            if answer.status_code == OK:
                body = answer.json()
        except httpx.HTTPError:
            self._write_answer(request, 0, None, None, body)
            return 0, False
        self._write_answer(
            request, answer.status_code, answer.headers.get("X-Request-ID"), _port(answer), body
        )
        return answer.status_code, bool(body) and body["degraded"]

    def _write_answer(
        self, request: str, status: int, echo: str | None, connection: int | None, body: dict[str, Any]
    ) -> None:
        self.history.write(
            "answer",
            request=request,
            status=status,
            echo=echo,
            connection=connection,
            said=said_by(body) if body else None,
            degraded=bool(body) and body["degraded"],
            cached=bool(body) and body["cached"],
        )


def _port(answer: httpx.Response) -> int | None:
    """The caller's port of the connection of an answer; None if it is closed by now."""
    stream = answer.extensions.get("network_stream")
    with contextlib.suppress(OSError):
        address = stream.get_extra_info("client_addr") if stream is not None else None
        return None if address is None else int(address[1])
    return None
