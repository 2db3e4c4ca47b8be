"""One run: upload a file as a job, follow the job, fetch its results."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final

from batch.display import Display, rows, scored, sizes
from batch.failures import CONFLICT, refusal
from batch.memory import MemoryFile
from batch.outcome import Exit, NotSucceeded
from evzone_ml_client import MLClient, NotFound, RequestRejected, Saved
from evzone_ml_client.calls import Kind
from evzone_ml_client.formats import ResultsFormat
from evzone_ml_client.schemas import Job

ERRORS_SHOWN: Final = 5


@dataclass(frozen=True, slots=True)
class Wanted:
    """Parameters of a run. `out` None: the results go to `stdout`."""

    file: Path
    input_format: str
    kind: Kind
    out: Path | None
    output_format: ResultsFormat


class Run:
    """A run of the command, new or resumed."""

    def __init__(
        self, wanted: Wanted, service: MLClient, memory: MemoryFile, display: Display, stdout: IO[bytes]
    ) -> None:
        self._wanted = wanted
        self._service = service
        self._memory = memory
        self._display = display
        self._stdout = stdout

    def __call__(self) -> Exit:
        """Run to the end. Blocks. Raises `GivenUp` and `ServiceUnavailable`; a repeated run may succeed."""
        job = self._job()
        try:
            return self._followed(job)
        except NotFound:
            raise NotSucceeded(f"The service does not know job {job['job_id']} any more.") from None

    def _followed(self, job: Job) -> Exit:
        self._display.stage("Scoring")
        for event in self._service.stream_job(job["job_id"]):
            job = event.job
            self._display.show(job["done"], job["total"], scored(job))
        if job["status"] == "CANCELLED":
            self._memory.forget()
            done = rows(job["done"], job["total"])
            raise NotSucceeded(
                f"Job {job['job_id']} was cancelled after {done}; what is done stays readable."
            )
        self._fetch(job)
        self._memory.forget()
        return self._outcome(job)

    def _job(self) -> Job:
        """Return the unfinished job of an earlier run, or submit a new one."""
        if self._memory.now.job_id is not None:
            try:
                job = self._service.get_job(self._memory.now.job_id)
            except NotFound:
                self._memory.begin_anew()
            else:
                self._display.print_line(f"Going on with job {job['job_id']}.")
                return job
        self._display.stage("Uploading")
        try:
            job = self._submitted()
        except RequestRejected as error:
            self._memory.forget()
            raise refusal(error) from None
        self._memory.change(job_id=job["job_id"])
        self._display.print_line(f"Job {job['job_id']}: {job['total']:,} rows.")
        return job

    def _submitted(self) -> Job:
        try:
            return self._submit()
        except RequestRejected as error:
            if error.status != CONFLICT:
                raise
            self._memory.begin_anew()  # a dead upload holds the key
            return self._submit()

    def _submit(self) -> Job:
        size = self._wanted.file.stat().st_size
        return self._service.submit_batch(
            self._wanted.file,
            kind=self._wanted.kind,
            idempotency_key=self._memory.now.key,
            file_format=self._wanted.input_format,
            on_sent=lambda sent: self._display.show(sent, size, sizes(sent, size)),
            timeout_s=math.inf,  # any size may be sent; the client detects a stalled connection
        )

    def _fetch(self, job: Job) -> None:
        kept = self._wanted.out is not None

        def saved(now: Saved) -> None:
            if kept and now.size_bytes:
                self._memory.change(rows=now.rows, size_bytes=now.size_bytes)
            self._display.show(now.rows, job["total"], rows(now.rows, job["total"]))

        self._display.stage("Fetching")
        self._service.save_results(
            job["job_id"],
            self._wanted.out or self._stdout,
            file_format=self._wanted.output_format,
            start=Saved(self._memory.now.rows, self._memory.now.size_bytes) if kept else None,
            on_saved=saved,
        )

    def _outcome(self, job: Job) -> Exit:
        where = self._wanted.out or "standard output"
        good, failed = job["total"] - job["failed"], job["failed"]
        rows = "row" if good == 1 else "rows"
        self._display.print_line(f"{good:,} {rows} scored, {failed:,} failed; results in {where}.")
        for error in job.get("errors", [])[:ERRORS_SHOWN]:
            self._display.print_line(
                f"  row {error['row']}, {error['pointer'] or 'the row'}: {error['detail']}"
            )
        if job["status"] == "FAILED":
            raise NotSucceeded(f"Job {job['job_id']} failed: no row could be scored.")
        return Exit.SOME_ROWS_FAILED if failed else Exit.SCORED
