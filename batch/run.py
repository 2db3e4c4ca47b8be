"""One run: upload a file as a job, follow it to its end, fetch its results."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final

from batch.display import Display, rows, scored, sizes
from batch.formats import InputFormat
from batch.job_requests import Again, Job, Outage, Service, UploadLost
from batch.memory import MemoryFile
from batch.outcome import Exit, NotSucceeded, Refused
from batch.outputs import open_part, output

# Rows fetched at a time: fewer after a cut, so that even a connection that is always cut brings them on.
MOST_ROWS: Final = 50_000
LEAST_ROWS: Final = 50
IN_MEMORY_BYTES: Final = 4_194_304
ERRORS_SHOWN: Final = 5


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a run is to do. `out` None: the results go to `stdout`."""

    file: Path
    input_format: InputFormat
    kind: str
    out: Path | None
    output_format: str
    patience_s: float


class Run:
    def __init__(
        self, wanted: Wanted, service: Service, memory: MemoryFile, display: Display, stdout: IO[bytes]
    ) -> None:
        self._wanted = wanted
        self._service = service
        self._memory = memory
        self._display = display
        self._stdout = stdout

    def __call__(self) -> Exit:
        """Raises `GivenUp` when the run cannot go on; a repeated one may."""
        job = self._job()
        self._display.stage("Scoring")
        for now in self._service.progress(job["job_id"]):
            job = now
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
        """The job of an earlier run that did not end, or a new one."""
        if self._memory.now.job_id is not None:
            job = self._service.job(self._memory.now.job_id)
            if job is not None:
                self._display.say(f"Going on with job {job['job_id']}.")
                return job
            self._memory.begin_anew()
        size = self._wanted.file.stat().st_size
        self._display.stage("Uploading")
        try:
            job = self._submitted(size)
        except UploadLost:
            self._memory.begin_anew()
            job = self._submitted(size)
        except Refused:
            self._memory.forget()
            raise
        self._memory.change(job_id=job["job_id"])
        self._display.say(f"Job {job['job_id']}: {job['total']:,} rows.")
        return job

    def _submitted(self, size: int) -> Job:
        return self._service.submit(
            self._wanted.file,
            self._wanted.input_format,
            kind=self._wanted.kind,
            key=self._memory.now.key,
            on_sent=lambda sent: self._display.show(sent, size, sizes(sent, size)),
        )

    def _fetch(self, job: Job) -> None:
        out = self._wanted.out
        self._display.stage("Fetching")
        if out is None:
            self._fetch_into(self._stdout, job, size_bytes=0, keep=lambda _rows, _size: None)
            return
        part = out.with_name(f"{out.name}.part")
        file, held = open_part(part, self._memory.now.size_bytes)
        with file:
            if not held:
                self._memory.change(rows=0, size_bytes=0)
            self._fetch_into(
                file, job, size_bytes=held, keep=lambda n, size: self._memory.change(rows=n, size_bytes=size)
            )
            os.fsync(file.fileno())
        os.replace(part, out)

    def _fetch_into(
        self, file: IO[bytes], job: Job, *, size_bytes: int, keep: Callable[[int, int], None]
    ) -> None:
        """Slice by slice: what is cut is fetched again, and nothing of it has been written."""
        outage = Outage(self._wanted.patience_s, self._display.say)
        done, total, limit = self._memory.now.rows, job["total"], MOST_ROWS
        with output(file, self._wanted.output_format, size_bytes=size_bytes) as written:
            while done < total:
                with tempfile.SpooledTemporaryFile(IN_MEMORY_BYTES) as slice_:
                    try:
                        self._service.results(
                            job["job_id"], self._wanted.output_format, cursor=done, limit=limit, into=slice_
                        )
                    except Again as again:
                        outage.wait(again)
                        limit = max(LEAST_ROWS, limit // 4)
                        continue
                    slice_.seek(0)
                    written.append(slice_)
                outage.over()
                done = min(done + limit, total)
                limit = min(limit + limit // 4, MOST_ROWS)
                if written.size_bytes:
                    keep(done, written.size_bytes)
                self._display.show(done, total, rows(done, total))

    def _outcome(self, job: Job) -> Exit:
        where = self._wanted.out or "standard output"
        good, failed = job["total"] - job["failed"], job["failed"]
        rows = "row" if good == 1 else "rows"
        self._display.say(f"{good:,} {rows} scored, {failed:,} failed; results in {where}.")
        for error in job.get("errors", [])[:ERRORS_SHOWN]:
            self._display.say(f"  row {error['row']}, {error['pointer'] or 'the row'}: {error['detail']}")
        if job["status"] == "FAILED":
            raise NotSucceeded(f"Job {job['job_id']} failed: no row could be scored.")
        return Exit.SOME_ROWS_FAILED if failed else Exit.SCORED
