"""`AsyncMLClient`: the client for an event loop."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Iterable, Sequence
from contextlib import aclosing
from datetime import datetime
from types import TracebackType
from typing import IO, Any, Self, TypeVar, cast

import anyio
import httpx
from anyio import to_thread
from httpx_sse import EventSource

from evzone_ml_client import calls
from evzone_ml_client.blocking import BlockingTransport
from evzone_ml_client.breaker import CircuitState
from evzone_ml_client.calls import AlertKind, AlertState, Call, FleetFilters, JobStatus, Kind, OutcomeKind
from evzone_ml_client.downloads import Download, Saved
from evzone_ml_client.events import NOT_NOW, SILENT_S, JobEvent, Progress
from evzone_ml_client.exchange import ApiResponse, Exchange
from evzone_ml_client.formats import ResultsFormat, StrPath
from evzone_ml_client.policy import Policy
from evzone_ml_client.retries import OnRetry
from evzone_ml_client.schemas import (
    Alert,
    AlertWithStory,
    AnomalyVerdict,
    AttributeFile,
    Attributes,
    BatchResult,
    Charger,
    FailurePrediction,
    FleetCharger,
    Health,
    Job,
    MaintenanceSchedule,
    Models,
    OutcomeAccepted,
    Reading,
    ReportedOutcome,
    ServiceInfo,
    Site,
    StoredAttributes,
)
from evzone_ml_client.settings import Settings
from evzone_ml_client.transport import client_options, is_stream, read_timeout, request_options

T = TypeVar("T")


class AsyncMLClient:
    """Client of the service for tasks of one event loop. Time-outs, errors and `on_retry` as in `MLClient`.

    A cancelled call ends at once and does not change the circuit. Time-outs are exact, except for files and
    bodies above 64 kB: a thread sends these, and calls `on_sent`.
    """

    def __init__(self, settings: Settings, *, on_retry: OnRetry | None = None) -> None:
        self._policy = Policy(settings, on_retry)
        self._http = httpx.AsyncClient(**client_options(settings))
        self._uploads = BlockingTransport(settings)

    @classmethod
    def from_env(cls, **others: Any) -> Self:
        """Create a client with `Settings.from_env(**others)`. Raises `InvalidSettings`."""
        return cls(Settings.from_env(**others))

    @property
    def settings(self) -> Settings:
        """The settings of this client."""
        return self._policy.settings

    @property
    def circuit(self) -> CircuitState:
        """State of the circuit: calls fail at once in `open`; one trial call runs in `half_open`."""
        return self._policy.circuit.state

    async def aclose(self) -> None:
        """Close the connections. The client cannot be used afterwards."""
        self._uploads.close()
        await self._http.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def health_check(self) -> Health:
        """Return the health of the service and its dependencies. One attempt, even in an open circuit.

        With a key that the service does not know, it has `status` alone.
        """
        return await self._run(calls.health_check())

    async def predict_failure(self, reading: Reading) -> FailurePrediction:
        """Return the probability of a failure within 1, 7 and 30 days (0 to 1), with reasons and steps."""
        return await self._run(calls.predict_failure(reading))

    async def predict_maintenance(self, reading: Reading) -> MaintenanceSchedule:
        """Return the cheapest date for a visit, and its costs and savings in `currency`."""
        return await self._run(calls.predict_maintenance(reading))

    async def detect_anomaly(self, reading: Reading) -> AnomalyVerdict:
        """Return whether the reading differs from the training fleet, with a score from 0 to 100."""
        return await self._run(calls.detect_anomaly(reading))

    async def get_cached_prediction(self, charger_id: str) -> FailurePrediction | None:
        """Return the newest failure prediction in the service's cache, or None."""
        return await self._run(calls.get_cached_prediction(charger_id))

    async def invalidate_cache(self, charger_id: str) -> None:
        """Delete a charger's cached predictions in the service, and its last prediction in this client."""
        return await self._run(calls.invalidate_cache(charger_id))

    async def batch_predictions(
        self,
        readings: Iterable[Reading],
        *,
        kind: Kind = "failure",
        store: bool | None = None,
        wait_s: int | None = None,
    ) -> BatchResult:
        """Score readings as a job and wait for the results, in input order.

        Takes at most `timeout_s`, plus `wait_s` if given. The service waits at most 30 s. Raises
        `JobNotFinished` if the job does not end in time; the job continues.
        """
        return await self._run(
            calls.batch_predictions(readings, kind=kind, store=store, wait_s=wait_s, settings=self.settings)
        )

    async def submit_batch(
        self,
        batch: Iterable[Reading] | StrPath,
        *,
        kind: Kind = "failure",
        store: bool | None = None,
        idempotency_key: str | None = None,
        file_format: str | None = None,
        on_sent: Callable[[int], None] | None = None,
        timeout_s: float | None = None,
    ) -> Job:
        """Submit readings, or a file of readings, as a job. Does not wait for its end.

        A `Path` (`.csv`, `.ndjson`, `.jsonl`, `.json`, `.parquet`, also with `.gz`) is sent in pieces.
        `file_format` (`csv`, `csv.gz`) overrides the extension. `on_sent` receives the bytes sent so far; a
        retry starts from 0. `timeout_s` defaults to `upload_timeout_s` for a file. The same `idempotency_key`
        returns the same job; the default is a new key. `store` writes the verdicts to cache and fleet
        (default: only for JSON). Raises `ValueError` for an unknown format, `OSError` for an unreadable file.
        """
        return await self._run(
            calls.submit_batch(
                batch,
                kind=kind,
                store=store,
                idempotency_key=idempotency_key,
                file_format=file_format,
                on_sent=on_sent,
                timeout_s=timeout_s,
                settings=self.settings,
            )
        )

    async def get_job(self, job_id: str) -> Job:
        """Return the status and progress of a job. Raises `NotFound`."""
        return await self._run(calls.get_job(job_id))

    async def cancel_job(self, job_id: str) -> Job:
        """Cancel a job. Finished rows stay readable. Raises `NotFound`."""
        return await self._run(calls.cancel_job(job_id))

    async def list_jobs(
        self,
        *,
        status: JobStatus | None = None,
        kind: Kind | None = None,
        created_after: datetime | str | None = None,
    ) -> AsyncGenerator[Job, None]:
        """Iterate over jobs, newest first. Raises `ValueError` for a `created_after` without a time zone."""
        cursor: str | None = "0"
        while cursor is not None:
            page = await self._run(
                calls.list_jobs(cursor, status=status, kind=kind, created_after=created_after)
            )
            for job in page["items"]:
                yield job
            cursor = page["next"]

    async def stream_job(self, job_id: str) -> AsyncGenerator[JobEvent, None]:
        """Iterate over a job's states until `done`, from events or else from reads. Raises `NotFound`."""
        progress = Progress()
        while True:
            if (news := progress.job(await self.get_job(job_id))) is not None:
                yield news
            if progress.over():
                return
            try:
                async with aclosing(await self._run(calls.job_events(job_id))) as response:
                    async for event in EventSource(response).aiter_sse():
                        if (news := progress.event(event)) is not None:
                            yield news
            except NOT_NOW:
                pass
            if progress.over():
                return
            await anyio.sleep(progress.pause_s)

    async def job_results(self, job_id: str, *, start: int = 0) -> AsyncGenerator[dict[str, Any], None]:
        """Iterate over the rows of a job in input order, from row `start` to the first unscored row.

        A failed row has `charger_id`, `row` and `error`. Raises `NotFound`.
        """
        cursor, following = "", str(start)
        while following != cursor:
            cursor = following
            page = await self._run(calls.job_results(job_id, cursor))
            for row in page["items"]:
                yield row
            following = page["next"] or cursor

    async def save_results(
        self,
        job_id: str,
        out: StrPath | IO[bytes],
        *,
        file_format: ResultsFormat | None = None,
        columns: Sequence[str] | None = None,
        start: Saved | None = None,
        on_saved: Callable[[Saved], None] | None = None,
    ) -> Job:
        """Write the results of a finished job to a file, in input order. Returns the job.

        `out` is a path, whose extension is the format, or an open binary file. A path exists once it is
        complete; until then the rows are in `<out>.part`. Slices of at most 10,000 rows are fetched, each
        within `upload_timeout_s`; fewer after a failed attempt. `on_saved` is called after each slice. Its
        last value as `start` resumes NDJSON and CSV with the same `out` and job, in another process too.
        Parquet restarts. Raises `JobNotFinished` while the job runs, `NotFound` for an unknown or expired
        job, `ValueError` for an unknown format, `ImportError` for Parquet without pyarrow.
        """
        download = Download(
            await self.get_job(job_id),
            out,
            file_format=file_format,
            columns=columns,
            start=start,
            timeout_s=self.settings.upload_timeout_s,
        )
        try:
            while not download.complete:
                received = await self._run(download.slice())
                saved = await to_thread.run_sync(download.append, received)
                if on_saved is not None:
                    on_saved(saved)
            await to_thread.run_sync(download.close)
        finally:
            download.abandon()
        return download.job

    async def fleet(
        self, *, sort: str = "risk", filters: FleetFilters | None = None
    ) -> AsyncGenerator[FleetCharger, None]:
        """Iterate over the newest verdict of each charger, with its attributes.

        Highest failure probability first, or in another order of the API. `filters` let some chargers pass.
        """
        cursor: str | None = "0"
        while cursor is not None:
            page = await self._run(calls.fleet(cursor, sort=sort, filters=filters))
            for row in page["items"]:
                yield row
            cursor = page["next"]

    async def sites(self, *, sort: str = "risk") -> AsyncGenerator[Site, None]:
        """Iterate over the sites of the fleet, highest failure probability first, or in another order."""
        cursor: str | None = "0"
        while cursor is not None:
            page = await self._run(calls.sites(cursor, sort=sort))
            for site in page["items"]:
                yield site
            cursor = page["next"]

    async def get_charger(self, charger_id: str) -> Charger:
        """Return the attributes, the newest reading and the verdicts of a charger. Raises `NotFound`."""
        return await self._run(calls.get_charger(charger_id))

    async def put_attributes(self, charger_id: str, attributes: Attributes) -> StoredAttributes:
        """Replace all attributes of a charger; those that are left out are removed."""
        return await self._run(calls.put_attributes(charger_id, attributes))

    async def upload_attributes(self, file: StrPath, *, timeout_s: float | None = None) -> AttributeFile:
        """Store attributes from a CSV file (`.csv`, `.csv.gz`) with `charger_id` and their names.

        Wrong rows stop no other; the result names the first ones. `timeout_s` defaults to
        `upload_timeout_s`. Raises `ValueError` for another format, `OSError` for an unreadable file.
        """
        call = calls.upload_attributes(file, timeout_s=timeout_s, settings=self.settings)
        return await self._run(call)

    async def list_models(self) -> Models:
        """Return the models loaded by the service's workers."""
        return await self._run(calls.list_models())

    async def service_info(self) -> ServiceInfo:
        """Return version, brokers and topics of the service. Raises `NotFound` if it is too old."""
        return await self._run(calls.service_info())

    async def post_outcome(
        self, charger_id: str, outcome: OutcomeKind, occurred_at: datetime | str
    ) -> OutcomeAccepted:
        """Report an outcome; repeats are stored once. Raises `NotFound` for an unknown charger.

        Raises `ValueError` if `occurred_at` has no time zone.
        """
        return await self._run(calls.post_outcome(charger_id, outcome, occurred_at))

    async def list_outcomes(self, *, charger_id: str | None = None) -> AsyncGenerator[ReportedOutcome, None]:
        """Iterate over the reported outcomes, the latest first; those of one charger, if it is given."""
        cursor: str | None = "0"
        while cursor is not None:
            page = await self._run(calls.list_outcomes(cursor, charger_id=charger_id))
            for outcome in page["items"]:
                yield outcome
            cursor = page["next"]

    async def correct_outcome(
        self,
        outcome_id: str,
        *,
        outcome: OutcomeKind | None = None,
        occurred_at: datetime | str | None = None,
    ) -> ReportedOutcome:
        """Correct an outcome, its time, or both. Raises `NotFound`, and `ValueError` without a change."""
        return await self._run(calls.correct_outcome(outcome_id, outcome=outcome, occurred_at=occurred_at))

    async def delete_outcome(self, outcome_id: str) -> None:
        """Delete an outcome. Raises `NotFound`, also if a lost answer was that of the deletion."""
        await self._run(calls.delete_outcome(outcome_id))

    async def list_alerts(
        self,
        *,
        state: AlertState = "open",
        kind: AlertKind | None = None,
        charger_id: str | None = None,
        acknowledged: bool | None = None,
        assigned_to: str | None = None,
        muted: bool | None = None,
    ) -> AsyncGenerator[Alert, None]:
        """Iterate over the alerts of a state, the newest first; None selects any value."""
        cursor: str | None = None
        while True:
            call = calls.list_alerts(
                cursor, state=state, kind=kind, charger_id=charger_id, acknowledged=acknowledged,
                assigned_to=assigned_to, muted=muted,
            )  # fmt: skip
            page = await self._run(call)
            for alert in page["items"]:
                yield alert
            cursor = page["next"]
            if cursor is None:
                return

    async def get_alert(self, alert_id: str) -> AlertWithStory:
        """Return an alert with its newest 50 events. Raises `NotFound`."""
        return await self._run(calls.get_alert(alert_id))

    async def acknowledge_alert(self, alert_id: str, *, note: str | None = None) -> AlertWithStory:
        """Note that somebody has seen an alert; repeats change nothing. Raises `NotFound`."""
        return await self._run(calls.acknowledge_alert(alert_id, note=note))

    async def assign_alert(self, alert_id: str, to: str | None) -> AlertWithStory:
        """Assign an alert to a person or team; None ends that. Raises `NotFound`."""
        return await self._run(calls.assign_alert(alert_id, to))

    async def mute_alert(
        self,
        alert_id: str,
        *,
        reason: str,
        until: datetime | str | None = None,
        hours: float | None = None,
    ) -> AlertWithStory:
        """Mute an open alert, for 90 days at most. The alert topics do not change.

        Raises `NotFound`, `Conflict` for a closed alert, and `ValueError` without exactly one end.
        """
        return await self._run(calls.mute_alert(alert_id, reason=reason, until=until, hours=hours))

    async def unmute_alert(self, alert_id: str) -> AlertWithStory:
        """End the muting of an alert. Raises `NotFound`."""
        return await self._run(calls.unmute_alert(alert_id))

    async def erase_charger(self, charger_id: str) -> Job:
        """Erase a charger by a job. Its one result is the receipt. Needs the role `admin`."""
        return await self._run(calls.erase_charger(charger_id))

    async def erase_tenant(self, tenant_id: str) -> Job:
        """Erase a tenant and end its keys, as `erase_charger` does."""
        return await self._run(calls.erase_tenant(tenant_id))

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

    async def _exchanged(self, exchange: Exchange) -> ApiResponse:
        request = exchange.request
        if request.large:
            # The service may refuse a request, and reset the connection, before the whole body is sent.
            # asyncio then drops the response; a blocking socket still reads it (docs/adr/0013).
            return await to_thread.run_sync(self._uploads.exchanged, exchange, abandon_on_cancel=True)
        await anyio.sleep(exchange.pause_s)
        asked = self._http.build_request(
            **request_options(request, exchange.timeout_s), content=cast(bytes | None, request.content)
        )
        with anyio.fail_after(exchange.timeout_s):
            response = await self._http.send(asked, stream=True)
            if is_stream(response, request.streamed):
                read_timeout(response, SILENT_S)
                return ApiResponse(response.url, response.status_code, response.headers, stream=response)
            async with aclosing(response):
                body = await response.aread()
                return ApiResponse(response.url, response.status_code, response.headers, body)
