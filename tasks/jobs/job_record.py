"""The record of one batch job: a Redis hash, and the job document of the HTTP contract made of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, cast

import orjson

from readings.reading import KINDS, Kind, epoch_rfc3339

# A job of kind `erase` deletes data, and has one row: its receipt.
JobKind = Kind | Literal["all", "erase"]
# The kinds of a batch.
JOB_KINDS: Final[tuple[Kind | Literal["all"], ...]] = (*KINDS, "all")
LISTED_KINDS: Final[tuple[JobKind, ...]] = (*JOB_KINDS, "erase")
STATUSES: Final = ("PENDING", "RUNNING", "SUCCEEDED", "FAILED", "CANCELLED")
ENDED: Final = frozenset({"SUCCEEDED", "FAILED", "CANCELLED"})
# Encoding of a chunk's rows: one JSON line per row, CSV with a header, or an Arrow IPC stream.
Encoding = Literal["ndjson", "csv", "arrow"]
# Names of ignored columns that a job lists, and how much of each.
MAX_IGNORED_COLUMNS: Final = 100
MAX_COLUMN_NAME_CHARS: Final = 100


@dataclass(frozen=True, slots=True)
class Job:
    """One job's record. Times are epoch seconds. `done` counts rows with a result, failed ones included.

    `errors` are the first row problems: `{row, pointer, detail, code}`. `recent_rows_per_s` excludes downtime
    of the service; it is None until some rows are done. Redis deletes the job at `expires_at`; each stored
    chunk of results postpones that. `ignored_columns` are the first unknown column names of the input.
    `blank_lines` is the number of blank lines in NDJSON input; they are not rows. `trace` is the context of
    the request that submitted it, if that is traced. `remember`: its readings enter the readings' history.
    `waiting_for` is the reason why an erasure has not ended
    yet, if it had to stop.
    """

    job_id: str
    tenant: str | None
    kind: JobKind
    store: bool
    encoding: Encoding
    status: str
    total: int
    done: int
    failed: int
    chunk_rows: int
    created_at: float
    started_at: float | None = None
    finished_at: float | None = None
    recent_rows_per_s: float | None = None
    errors: Sequence[dict[str, Any]] = ()
    expires_at: float | None = None
    ignored_columns: Sequence[str] = ()
    blank_lines: int = 0
    trace: str | None = None
    remember: bool = False
    waiting_for: str | None = None

    @property
    def ended(self) -> bool:
        """Whether the job has succeeded, failed or been cancelled."""
        return self.status in ENDED

    @property
    def kinds(self) -> tuple[Kind, ...]:
        """The prediction kinds to score; of an erasure none."""
        if self.kind == "erase":
            return ()
        return KINDS if self.kind == "all" else (self.kind,)

    def rows_per_s(self, now: float) -> float | None:
        """Rows per second, recently or, of an ended job, on average. None before the first row."""
        if self.started_at is None or not self.done:
            return None
        if not self.ended and self.recent_rows_per_s is not None:
            return self.recent_rows_per_s
        return self.done / max((self.finished_at or now) - self.started_at, 1e-3)

    def eta_s(self, now: float) -> float | None:
        """Seconds until the end at the recent rate; None before the first row."""
        if self.ended:
            return 0.0
        rate = self.rows_per_s(now)
        return None if rate is None else (self.total - self.done) / rate

    def document(self, now: float) -> dict[str, Any]:
        """The job as JSON values, as returned by the HTTP API."""
        eta_s, rate = self.eta_s(now), self.rows_per_s(now)
        waiting = {"waiting_for": self.waiting_for} if self.kind == "erase" and not self.ended else {}
        return {
            "job_id": self.job_id,
            "tenant_id": self.tenant,
            "kind": self.kind,
            "status": self.status,
            "total": self.total,
            "done": self.done,
            "failed": self.failed,
            "progress": round(self.done / self.total, 4),
            "created_at": epoch_rfc3339(self.created_at),
            "started_at": epoch_rfc3339(self.started_at),
            "finished_at": epoch_rfc3339(self.finished_at),
            "rows_per_second": None if rate is None else round(rate, 1),
            "eta_seconds": None if eta_s is None else round(eta_s, 1),
            "expires_at": epoch_rfc3339(self.expires_at),
            "ignored_columns": list(self.ignored_columns),
            "errors": list(self.errors),
            **waiting,
        }


def job_from(job_id: str, held: Mapping[str, str], errors: Sequence[bytes], *, expires_at: float) -> Job:
    """The job of a stored hash and its list of row problems. Fields of other releases may be missing."""
    return Job(
        job_id=job_id,
        tenant=held["tenant"] or None,
        kind=cast(JobKind, held["kind"]),
        store=held["store"] == "1",
        encoding=cast(Encoding, held["encoding"]),
        status=held["status"],
        total=int(held["total"]),
        done=int(held["done"]),
        failed=int(held["failed"]),
        chunk_rows=int(held["chunk_rows"]),
        created_at=float(held["created_at"]),
        started_at=float(held["started_at"]) if "started_at" in held else None,
        finished_at=float(held["finished_at"]) if "finished_at" in held else None,
        recent_rows_per_s=float(held["pace_rows"]) / max(float(held["pace_s"]), 1e-3)
        if "pace_s" in held
        else None,
        errors=sorted(map(orjson.loads, errors), key=lambda error: (error["row"], error["pointer"])),
        expires_at=expires_at,
        ignored_columns=orjson.loads(held.get("ignored_columns", "[]")),
        blank_lines=int(held.get("blank_lines", 0)),
        trace=held.get("trace"),
        remember=held.get("remember") == "1",
        waiting_for=held.get("waiting_for"),
    )
