"""The task that scores one chunk of a batch job."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any, Final, cast

import orjson

import metrics
import tracing
from errors import FieldError, InvalidReading, ScoringFailed, ServiceError
from isolation import together_or_alone
from readings import rows
from readings.reading import Reading
from readings.refused import Refused
from tasks.jobs.chunks import ERRORS_SHOWN, MAX_ATTEMPTS, Counted
from tasks.jobs.job_record import Encoding, Job
from tasks.messaging.messages import check_version
from tasks.messaging.names import Queues, TaskNames
from tasks.messaging.task_publisher import SENT_AT
from tasks.storage import redis_clock
from tasks.storage.redis_connection import OUTAGES
from tasks.worker.announcements import announce_ended
from tasks.worker.app import app
from tasks.worker.intake import reading_arguments
from tasks.worker.runtime import Runtime, current
from tasks.worker.scoring import (
    NO_MEMORY,
    Scored,
    Subject,
    Verdict,
    add_histories,
    name_of,
    predictions,
    score_kinds,
    store_attributes,
)
from tasks.worker.suspect_rows import SuspectRows, limited

log = logging.getLogger(__name__)

DECODERS: Final[dict[Encoding, Callable[..., list[Reading | Refused]]]] = {
    "csv": rows.from_csv,
    "arrow": rows.from_arrow,
}


# Bounds memory use, and the work that is repeated row by row after an error.
SCORED_TOGETHER: Final = 256

_ENDS_ITS_PROCESS: Final = "The process that scored this row ended, also when it scored this row alone."
_GIVEN_UP: Final = "Given up after %d attempts: no attempt finished."

# A reading of the chunk after its row number in the job.
Row = tuple[int, Subject]


class Results:
    """One JSON line per row, and the problems of failed rows, by row number in the job."""

    def __init__(self) -> None:
        self.lines: dict[int, bytes] = {}
        self.problems: dict[int, list[dict[str, Any]]] = {}

    def refuse(self, number: int, charger_id: str | None, error: ServiceError) -> None:
        """Set a row's result to `error`."""
        problem: dict[str, Any] = {"code": error.code, "detail": str(error)}
        found = [FieldError("", str(error), error.code)]
        if isinstance(error, InvalidReading):
            found = error.errors
            problem["errors"] = [asdict(each) for each in found]
        self.lines[number] = orjson.dumps({"row": number, "charger_id": charger_id, "error": problem})
        self.problems[number] = [{"row": number, **asdict(each)} for each in found]

    def in_order(self) -> list[bytes]:
        """The JSON lines in row order."""
        return [self.lines[number] for number in sorted(self.lines)]

    def first_problems(self) -> list[dict[str, Any]]:
        """The problems of the first `ERRORS_SHOWN` failed rows, in row order."""
        rows = [self.problems[number] for number in sorted(self.problems)[:ERRORS_SHOWN]]
        return [problem for row in rows for problem in row]


@app.task(name=TaskNames.SCORE_CHUNK, ignore_result=True, acks_late=True, reject_on_worker_lost=True)
def score_chunk(raw: dict[str, Any]) -> None:
    """Score one chunk of a job: `{v, job_id, chunk}`. Input and results are in Redis.

    Raises `ModelsUnavailable` without models, and `redis.RedisError` or `BrokerUnavailable` in an outage. The
    chunk is then sent again.
    """
    with reading_arguments(TaskNames.SCORE_CHUNK):
        check_version(raw)
        job_id, chunk = str(raw["job_id"]), int(raw["chunk"])
    runtime = current()
    chunks = runtime.chunks
    request = score_chunk.request
    redelivered = bool((request.delivery_info or {}).get("redelivered"))
    runtime.scorer  # noqa: B018  # raises without models: another worker takes the chunk, or it waits
    with chunks.started(job_id, chunk, task_id=request.id or "", redelivered=redelivered) as attempt:
        job = runtime.jobs.find(job_id) if attempt else None
        if job is None:  # done before, cancelled, expired or leased to another worker
            chunks.feed(job_id)
            return
        if attempt > 1:
            metrics.REPEATED_TASKS.labels(queue=Queues.BATCH).inc()
        started = time.perf_counter()
        seen: tracing.Attributes = {
            "messaging.destination.name": Queues.BATCH,
            "celery.task_id": request.id or "",
            "evzone.job_id": job_id,
            "evzone.chunk": chunk,
            "evzone.attempt": attempt,
        }
        sent_at, waited_s = request.get(SENT_AT), None
        if sent_at is not None:  # a sender of an older release states none
            waited_s = max(0.0, redis_clock.now() - sent_at)
            metrics.QUEUE_SECONDS.labels(queue=Queues.BATCH).observe(waited_s)
        with tracing.task(TaskNames.SCORE_CHUNK, [job.trace], waited_s=waited_s, attributes=seen):
            results, counted = _score_and_store(runtime, job, chunk, attempt)
    seconds = time.perf_counter() - started
    if counted is not Counted.NOT:
        metrics.JOB_ROWS.labels(result="failed").inc(len(results.problems))
        metrics.JOB_ROWS.labels(result="scored").inc(len(results.lines) - len(results.problems))
    if counted is Counted.LAST:
        metrics.JOBS.labels(status="ended").inc()
        announce_ended(runtime.announcements)
    chunks.feed(job_id)  # after the last one too: the tenant's next job has its turn
    runtime.chunk_sizer.note(job.kind, len(results.lines), seconds)


def _score_and_store(runtime: Runtime, job: Job, chunk: int, attempt: int) -> tuple[Results, Counted]:
    """Score a chunk and store its results. If that needs too much memory, all its rows fail.

    Raises `ScoringFailed` if there is no memory for that either. The chunk is then sent again, and given up
    after some attempts.
    """
    try:
        results = _results(runtime, job, chunk, runtime.chunks.input(job.job_id, chunk), attempt)
        return results, _finish(runtime, job, chunk, results)
    except MemoryError:  # Celery would end the whole worker
        results = Results()  # the next step has the memory of the others
    try:
        results = _refused(job, chunk, ScoringFailed(NO_MEMORY))
        return results, _finish(runtime, job, chunk, results)
    except MemoryError:
        raise ScoringFailed(NO_MEMORY) from None


def _finish(runtime: Runtime, job: Job, chunk: int, results: Results) -> Counted:
    return runtime.chunks.finish(
        job.job_id,
        chunk,
        results.in_order(),
        failed=len(results.problems),
        errors=results.first_problems(),
    )


def _results(runtime: Runtime, job: Job, chunk: int, data: bytes | None, attempt: int) -> Results:
    suspects = SuspectRows.of(runtime.redis, job.job_id, chunk) if attempt > 1 else None
    is_given_up = attempt > MAX_ATTEMPTS and not (suspects and suspects.is_promising(attempt))
    is_decodable = attempt <= MAX_ATTEMPTS + 1 or (suspects and suspects.found)
    if data is None or (is_given_up and not is_decodable):
        # Every job must end. Even decoding these rows has killed a worker, so they are not decoded again.
        reason = _GIVEN_UP % (attempt - 1) if data else "The input of this row is gone."
        return _refused(job, chunk, ScoringFailed(reason))
    results = Results()
    first = chunk * job.chunk_rows
    arrived = datetime.fromtimestamp(job.created_at, UTC)
    rows_to_score: list[Row] = []
    if job.encoding == "ndjson":
        decoded = rows.from_ndjson(data, now=arrived, first_line=None if job.blank_lines else first + 1)
    else:
        decoded = DECODERS[job.encoding](data, now=arrived)
    for number, row in enumerate(decoded, start=first):
        if isinstance(row, Refused):
            results.refuse(number, row.charger_id, row.error)
        elif suspects and number in suspects.found:
            results.refuse(number, row.charger_id, ScoringFailed(_ENDS_ITS_PROCESS))
        else:
            rows_to_score.append((number, Subject(row, job.tenant)))
    if is_given_up:
        for number, subject in rows_to_score:
            results.refuse(number, subject.reading.charger_id, ScoringFailed(_GIVEN_UP % (attempt - 1)))
        return results
    add_histories(runtime, [subject for _, subject in rows_to_score], source="batch")
    numbers = [number for number, _ in rows_to_score]
    for some in suspects.groups(numbers) if suspects else _groups(len(numbers)):
        _score(runtime, job, rows_to_score[some], results, limit=limited() if suspects else nullcontext())
    return results


def _groups(count: int) -> Iterator[slice]:
    for start in range(0, count, SCORED_TOGETHER):
        yield slice(start, start + SCORED_TOGETHER)


def _refused(job: Job, chunk: int, error: ServiceError) -> Results:
    """Every row of a chunk with the same error."""
    results = Results()
    first = chunk * job.chunk_rows
    for number in range(first, min(first + job.chunk_rows, job.total)):
        results.refuse(number, None, error)
    log.error("chunk %d of job %s has no scores: %s", chunk, job.job_id, error)
    return results


def _score(
    runtime: Runtime, job: Job, some: Sequence[Row], results: Results, limit: AbstractContextManager[None]
) -> None:
    """Score rows into `results`, within `limit`, and store them.

    Raises `redis.RedisError` in an outage, for a later attempt.
    """
    with limit:
        scored = score_kinds(runtime, job.kinds, [subject for _, subject in some], source="batch")
    stored: list[Scored] = []
    answered: list[Subject] = []
    for (number, subject), *answers in zip(some, *scored, strict=True):
        failures = [answer for answer in answers if isinstance(answer, ServiceError)]
        if failures:
            results.refuse(number, subject.reading.charger_id, failures[0])
            continue
        verdicts = cast(list[Verdict], answers)
        if job.kind == "all":
            named = b",".join(b'"%b":%b' % (kind.encode(), body) for kind, _, _, body in verdicts)
            body = b'{"charger_id":%b,%b}' % (orjson.dumps(subject.reading.charger_id), named)
        else:
            body = verdicts[0].body
        results.lines[number] = b'{"row":%d,%b' % (number, body[1:])
        answered.append(subject)
        if job.store:
            stored += [(subject, verdict) for verdict in verdicts]
    if stored:
        store_attributes(runtime, [subject for subject, _ in stored], source="batch")
        _store(runtime, stored)
    if job.remember:
        _remember(runtime, answered)


def _remember(runtime: Runtime, answered: Sequence[Subject]) -> None:
    """Add readings to the history of their chargers. Rows whose readings cannot be added keep results."""

    def add(some: Sequence[Subject]) -> Sequence[Subject]:
        runtime.connection.execute(*runtime.history.to_store([(each.tenant, each.reading) for each in some]))
        return some

    together_or_alone(add, answered, unit="row", name=name_of, passes=OUTAGES)


def _store(runtime: Runtime, stored: Sequence[Scored]) -> None:
    """Store verdicts. Rows whose verdicts cannot be stored keep their results."""

    def store(some: Sequence[Scored]) -> Sequence[Scored]:
        verdicts = [verdict for _, verdict in some]
        commands = runtime.fleet.to_store(predictions(some))
        if runtime.cache.with_the_rest:
            # Stored or tried again together: the cache must not keep an older verdict than the fleet.
            commands = runtime.cache.to_store(verdicts) + commands
        else:
            runtime.cache.put_all(verdicts)
        runtime.connection.execute(*commands)
        return some

    together_or_alone(
        store,
        stored,
        unit="row",
        name=lambda scored: name_of(scored[0]),
        passes=OUTAGES,
    )
