"""`MLClient`: every call blocks until it is answered or given up."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterable
from contextlib import closing
from datetime import datetime
from os import PathLike
from types import TracebackType
from typing import IO, Any, Self, TypeVar, cast

from httpx_sse import EventSource

from evzone_ml_client import calls
from evzone_ml_client.blocking import BlockingTransport
from evzone_ml_client.breaker import CircuitState
from evzone_ml_client.calls import Call, JobStatus, Kind, OutcomeKind
from evzone_ml_client.downloads import Download, Saved
from evzone_ml_client.events import NOT_NOW, JobEvent, Progress
from evzone_ml_client.formats import ResultsFormat
from evzone_ml_client.policy import Policy
from evzone_ml_client.retries import OnRetry
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

T = TypeVar("T")


class MLClient:
    """The service, for code that may block. One client serves any number of threads.

    Every call raises `RequestRejected` where the service refuses the request, and `ServiceUnavailable` where
    it cannot be had within the time-out; retries and circuit as the settings say. `on_retry` is told of each
    attempt that has failed, before the next; what it raises ends the call.
    """

    def __init__(self, settings: Settings, *, on_retry: OnRetry | None = None) -> None:
        self._policy = Policy(settings, on_retry)
        self._transport = BlockingTransport(settings)

    @classmethod
    def from_env(cls, **others: Any) -> Self:
        """By `ML_SERVICE_URL`, `ML_SERVICE_API_KEY`, …, and `others`: see `Settings.from_env`."""
        return cls(Settings.from_env(**others))

    @property
    def settings(self) -> Settings:
        return self._policy.settings

    @property
    def circuit(self) -> CircuitState:
        """`closed` is good, `open`: calls fail at once, `half_open`: one is under way to find out."""
        return self._policy.circuit.state

    def close(self) -> None:
        """Close the connections."""
        self._transport.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def health_check(self) -> Health:
        """What the service says of itself. One attempt, whatever the circuit's state."""
        return self._run(calls.health_check())

    def predict_failure(self, reading: Reading) -> FailurePrediction:
        """Whether the charger will fail, when, why, and what to do."""
        return self._run(calls.predict_failure(reading))

    def predict_maintenance(self, reading: Reading) -> MaintenanceSchedule:
        """When a visit is cheapest, and what it saves."""
        return self._run(calls.predict_maintenance(reading))

    def detect_anomaly(self, reading: Reading) -> AnomalyVerdict:
        """Whether the reading is unlike those of the fleet."""
        return self._run(calls.detect_anomaly(reading))

    def get_cached_prediction(self, charger_id: str) -> FailurePrediction | None:
        """The newest failure prediction that the service holds, or None."""
        return self._run(calls.get_cached_prediction(charger_id))

    def invalidate_cache(self, charger_id: str) -> None:
        """Have the service forget the cached predictions of a charger, and this client its last one."""
        return self._run(calls.invalidate_cache(charger_id))

    def batch_predictions(
        self,
        readings: Iterable[Reading],
        *,
        kind: Kind = "failure",
        store: bool | None = None,
        wait_s: int | None = None,
    ) -> BatchResult:
        """Score some readings and wait for the results, `wait_s` on top of the time-out, or within it.

        The service waits 30 s at most. Raises `JobNotFinished` where that is too short; its job goes on.
        """
        return self._run(
            calls.batch_predictions(readings, kind=kind, store=store, wait_s=wait_s, settings=self.settings)
        )

    def submit_batch(
        self,
        batch: Iterable[Reading] | PathLike[str],
        *,
        kind: Kind = "failure",
        store: bool | None = None,
        idempotency_key: str | None = None,
        file_format: str | None = None,
        on_sent: Callable[[int], None] | None = None,
        timeout_s: float | None = None,
    ) -> Job:
        """Have readings, or a file of them, scored as a job.

        A `Path` to `.csv`, `.ndjson`, `.json` or `.parquet`, each also with `.gz`, is sent as it is, piece by
        piece, within `upload_timeout_s`. `file_format` names the format (`csv`, `csv.gz`) where the file's
        name does not. `on_sent` is told how many bytes of the file have been sent, after each piece; a
        retry begins again.

        The same `idempotency_key` is the same job; each submission has one of its own, so that a retry never
        doubles it. `store`: keep the verdicts in cache and fleet (default: not those of files).
        """
        return self._run(
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

    def get_job(self, job_id: str) -> Job:
        """Where a job stands. Raises `NotFound`."""
        return self._run(calls.get_job(job_id))

    def cancel_job(self, job_id: str) -> Job:
        """Cancel a job; what is done stays readable. Raises `NotFound`."""
        return self._run(calls.cancel_job(job_id))

    def list_jobs(
        self,
        *,
        status: JobStatus | None = None,
        kind: Kind | None = None,
        created_after: datetime | None = None,
    ) -> Generator[Job, None, None]:
        """Jobs, newest first; those of a status or kind, or younger than a moment, which has a time zone."""
        cursor: str | None = "0"
        while cursor is not None:
            page = self._run(calls.list_jobs(cursor, status=status, kind=kind, created_after=created_after))
            yield from page["items"]
            cursor = page["next"]

    def stream_job(self, job_id: str) -> Generator[JobEvent, None, None]:
        """A job's progress as it comes, up to `done`. Raises `NotFound`.

        Follows the service's events. Where those cannot be had, or are cut off, it looks at the job in
        between.
        """
        progress = Progress()
        while True:
            if (news := progress.job(self.get_job(job_id))) is not None:
                yield news
            if progress.over():
                return
            try:
                with closing(self._run(calls.job_events(job_id))) as response:
                    for event in EventSource(response).iter_sse():
                        if (news := progress.event(event)) is not None:
                            yield news
            except NOT_NOW:
                pass
            if progress.over():
                return
            time.sleep(progress.pause_s)

    def job_results(self, job_id: str, *, start: int = 0) -> Generator[dict[str, Any], None, None]:
        """The rows of a job in input order, from row `start` up to the first that is not scored yet.

        A row that failed has `charger_id`, `row` and `error`. Raises `NotFound`.
        """
        cursor, following = "", str(start)
        while following != cursor:
            cursor = following
            page = self._run(calls.job_results(job_id, cursor))
            yield from page["items"]
            following = page["next"] or cursor

    def save_results(
        self,
        job_id: str,
        out: PathLike[str] | IO[bytes],
        *,
        file_format: ResultsFormat | None = None,
        start: Saved | None = None,
        on_saved: Callable[[Saved], None] | None = None,
    ) -> Job:
        """Write the results of a job that has ended into a file, in input order. Returns the job.

        `out` is a path, whose extension names the format, or an open binary file. The path exists once it is
        complete; until then its rows are in `<out>.part`. Rows come in slices, each within
        `upload_timeout_s`, smaller ones where connections are cut.

        `on_saved` is told after each slice how much there is. Given as `start` later, to another process too,
        NDJSON and CSV go on from there, with the same `out` and job; Parquet begins again.

        Raises `JobNotFinished` while the job runs, `NotFound` for one that is not known (any more), and
        `ImportError` for Parquet without pyarrow.
        """
        download = Download(
            self.get_job(job_id),
            out,
            file_format=file_format,
            start=start,
            timeout_s=self.settings.upload_timeout_s,
        )
        try:
            while not download.complete:
                saved = download.append(self._run(download.slice()))
                if on_saved is not None:
                    on_saved(saved)
            download.close()
        finally:
            download.abandon()
        return download.job

    def fleet(self) -> Generator[dict[str, Any], None, None]:
        """The newest verdict of each charger, highest failure probability first."""
        cursor: str | None = "0"
        while cursor is not None:
            page = self._run(calls.fleet(cursor))
            yield from page["items"]
            cursor = page["next"]

    def list_models(self) -> Models:
        """The models that the service's workers hold now."""
        return self._run(calls.list_models())

    def post_outcome(self, charger_id: str, outcome: OutcomeKind, occurred_at: datetime) -> OutcomeAccepted:
        """Report what really happened. `occurred_at` has a time zone."""
        return self._run(calls.post_outcome(charger_id, outcome, occurred_at))

    def _run(self, call: Call[T]) -> T:
        flow = self._policy.flow(call)
        try:
            exchange = next(flow)
            while True:
                try:
                    answer = self._transport.exchanged(exchange)
                except BaseException as error:
                    exchange = flow.throw(error)
                else:
                    exchange = flow.send(answer)
        except StopIteration as end:
            return cast(T, end.value)
