"""One run: upload a file as a job, follow the job, fetch its results."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final, cast

from evzone_ml_client import MLClient, NotFound, RequestRejected, Saved
from evzone_ml_client.calls import Kind
from evzone_ml_client.command.csv_file import header_of, is_csv, lines_of_rows
from evzone_ml_client.command.display import Display, rows, scored, sizes
from evzone_ml_client.command.failures import CONFLICT, refusal
from evzone_ml_client.command.field_names import ignored_line, unknown_columns
from evzone_ml_client.command.memory import MemoryFile
from evzone_ml_client.command.outcome import Exit, NotSucceeded
from evzone_ml_client.formats import ResultsFormat
from evzone_ml_client.schemas import Job, RowProblem

ERRORS_SHOWN: Final = 5
STORED: Final = "The verdicts are in the fleet, unless it has newer ones."
NOT_STORED: Final = "The fleet is as it was; with --store the verdicts of a file enter it."


@dataclass(frozen=True, slots=True)
class Wanted:
    """Parameters of a run.

    `file` is sent, in `input_format`; `original` is the file as the user has it, with the same rows. `out`
    None: the results go to `stdout`. `resumable`: an unfinished `out` can be continued by a later run.
    `store` None: the service's default for the format. `columns` None: all.
    """

    file: Path
    input_format: str
    kind: Kind
    out: Path | None
    output_format: ResultsFormat
    resumable: bool = True
    store: bool | None = None
    columns: list[str] | None = None
    original: Path | None = None
    original_format: str = ""

    @property
    def stored(self) -> bool:
        """Whether verdicts enter the fleet. Unless it is told, the service stores those of JSON only."""
        return self.input_format.partition(".")[0] == "json" if self.store is None else self.store

    @property
    def csv(self) -> tuple[Path, str] | None:
        """The user's file and its format if it is CSV."""
        file, file_format = self.original or self.file, self.original_format or self.input_format
        return (file, file_format) if is_csv(file_format) else None


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
        self._warn_of_ignored_columns(job)
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
            store=self._wanted.store,
            idempotency_key=self._memory.now.key,
            file_format=self._wanted.input_format,
            on_sent=lambda sent: self._display.show(sent, size, sizes(sent, size)),
            timeout_s=math.inf,  # any size may be sent; the client detects a stalled connection
        )

    def _fetch(self, job: Job) -> None:
        kept = self._wanted.resumable and self._wanted.out is not None

        def saved(now: Saved) -> None:
            if kept and now.size_bytes:
                self._memory.change(rows=now.rows, size_bytes=now.size_bytes)
            self._display.show(now.rows, job["total"], rows(now.rows, job["total"]))

        self._display.stage("Fetching")
        try:
            self._service.save_results(
                job["job_id"],
                self._wanted.out or self._stdout,
                file_format=self._wanted.output_format,
                columns=self._wanted.columns,
                start=Saved(self._memory.now.rows, self._memory.now.size_bytes) if kept else None,
                on_saved=saved,
            )
        except OSError as error:
            if error.filename is None:  # writing does not name the file
                error.filename = self._where
            raise

    @property
    def _where(self) -> str:
        return str(self._wanted.out or "standard output")

    def _outcome(self, job: Job) -> Exit:
        good, failed = job["total"] - job["failed"], job["failed"]
        rows = "row" if good == 1 else "rows"
        self._display.print_line(f"{good:,} {rows} scored, {failed:,} failed; results in {self._where}.")
        for line in self._problems(job.get("errors", [])[:ERRORS_SHOWN]):
            self._display.print_line(f"  {line}")
        if job["status"] == "FAILED":
            raise NotSucceeded(f"Job {job['job_id']} failed: no row could be scored.")
        self._display.print_line(STORED if self._wanted.stored else NOT_STORED)
        return Exit.SOME_ROWS_FAILED if failed else Exit.SCORED

    def _problems(self, errors: Sequence[RowProblem]) -> list[str]:
        """A line for each failed row. It names the line of a CSV file, and the row of others, from 0."""
        lines: dict[int, int] = {}
        if self._wanted.csv is not None:
            lines = lines_of_rows(*self._wanted.csv, {error["row"] for error in errors})
        found = []
        for error in errors:
            row = error["row"]
            where = f"line {lines[row]}" if row in lines else f"row {row}"
            found.append(f"{where}, {error['pointer'].lstrip('/') or 'the row'}: {error['detail']}")
        return found

    def _warn_of_ignored_columns(self, job: Job) -> None:
        """Print a warning. Services of earlier releases do not report ignored columns: read the header."""
        ignored = cast(dict[str, Any], job).get("ignored_columns")
        if ignored is None and self._wanted.csv is not None:
            ignored = unknown_columns(header_of(self._wanted.file, self._wanted.input_format))
        if ignored:
            self._display.print_line(ignored_line(ignored))
